//! Listings for people: columns as wide as they need, numbers to the right.

use crate::logging::say;
use serde_json::Value;
use std::io::IsTerminal as _;

/// A cell is no wider on a terminal; whoever pipes the listing gets it whole.
const WIDEST: usize = 40;

/// A column: its heading, and the field that it shows.
pub(super) type Column = (&'static str, &'static str);

/// Prints rows, or `nothing` if there are none.
pub(super) fn print(columns: &[Column], rows: &[Value], nothing: &str) {
    if rows.is_empty() {
        return say(nothing);
    }
    let most = if std::io::stdout().is_terminal() { WIDEST } else { usize::MAX };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(_, field)| cut(cell(row.get(field)), most)).collect()).collect();
    let width = |index: usize| {
        let widest = cells.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
        widest.max(columns[index].0.chars().count())
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let numeric: Vec<bool> =
        columns.iter().map(|(_, field)| rows.iter().all(|row| row.get(field).is_none_or(Value::is_number))).collect();
    let headings: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    say(&line(&headings, &widths, &numeric));
    for row in &cells {
        say(&line(row, &widths, &numeric));
    }
}

fn cut(text: String, most: usize) -> String {
    if text.chars().count() <= most { text } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn line(cells: &[String], widths: &[usize], numeric: &[bool]) -> String {
    let padded = cells.iter().zip(widths).zip(numeric).map(|((cell, width), right)| {
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        if *right { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
    });
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// One value as text.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(list)) => list.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::Object(object)) => {
            object.iter().map(|(name, item)| format!("{name}={}", cell(Some(item)))).collect::<Vec<_>>().join(" ")
        }
    }
}
