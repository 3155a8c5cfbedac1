//! Listings for people: columns as wide as they need and the terminal allows, numbers to the right.

use crate::logging::say;
use serde_json::Value;
use std::io::IsTerminal as _;

/// A column is not made narrower than this to fit a terminal.
const NARROWEST: usize = 8;
/// Between two columns.
const GAP: usize = 2;

/// A column: its heading, and the field that it shows.
pub(super) type Column = (&'static str, &'static str);

/// Prints rows, or `nothing` if there are none. On a terminal wide columns are cut, but never the first: it names the row, and
/// is copied. Whoever pipes the listing gets it whole.
pub(super) fn print(columns: &[Column], rows: &[Value], nothing: &str) {
    if rows.is_empty() {
        return say(nothing);
    }
    table(columns, rows, terminal()).iter().for_each(|line| say(line));
}

/// Columns of the terminal, if it is one.
fn terminal() -> usize {
    let width =
        ratatui::crossterm::terminal::size().ok().map(|(width, _)| usize::from(width)).filter(|width| *width > 0);
    width.filter(|_| std::io::stdout().is_terminal()).unwrap_or(usize::MAX)
}

fn table(columns: &[Column], rows: &[Value], most: usize) -> Vec<String> {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|(_, field)| cell(row.get(field))).collect()).collect();
    let width = |index: usize| {
        let widest = cells.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
        widest.max(columns[index].0.chars().count())
    };
    let mut widths: Vec<usize> = (0..columns.len()).map(width).collect();
    fit(&mut widths, columns, most);
    let numeric: Vec<bool> =
        columns.iter().map(|(_, field)| rows.iter().all(|row| row.get(field).is_none_or(Value::is_number))).collect();
    let headings: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    std::iter::once(&headings).chain(&cells).map(|row| line(row, &widths, &numeric)).collect()
}

/// Takes from the widest column, again and again, until all fit or none has anything to give.
fn fit(widths: &mut [usize], columns: &[Column], most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        let least = |index: usize| columns[index].0.chars().count().max(NARROWEST);
        let giving = (1..widths.len()).filter(|index| widths[*index] > least(*index));
        let Some(widest) = giving.max_by_key(|index| widths[*index]) else { return };
        widths[widest] -= 1;
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn line(cells: &[String], widths: &[usize], numeric: &[bool]) -> String {
    let padded = cells.iter().zip(widths).zip(numeric).map(|((cell, width), right)| {
        let cell = cut(cell, *width);
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
        if *right { format!("{gap}{cell}") } else { format!("{cell}{gap}") }
    });
    padded.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: [Column; 3] = [("ID", "id"), ("SECS", "secs"), ("CONTACT", "contact")];

    #[test]
    fn numbers_stand_to_the_right_and_nothing_is_cut_where_there_is_room() {
        let rows = [json!({ "id": "a", "secs": 5, "contact": "x" }), json!({ "id": "bc", "secs": 12 })];
        let lines = table(&COLUMNS, &rows, usize::MAX);
        assert_eq!(lines, ["ID  SECS  CONTACT", "a      5  x", "bc    12  -"]);
    }

    #[test]
    fn what_is_too_wide_is_cut_but_for_the_first_column() {
        let (id, contact) = ("i".repeat(30), "c".repeat(30));
        let rows = [json!({ "id": id, "secs": 5, "contact": contact })];
        let lines = table(&COLUMNS, &rows, 50);
        assert_eq!(lines[1], format!("{id}     5  {}…", "c".repeat(11)));
        assert!(lines.iter().all(|line| line.chars().count() <= 50), "{lines:?}");
        let lines = table(&COLUMNS, &rows, 20);
        assert!(lines[1].starts_with(&id) && lines[1].ends_with("ccccccc…"), "{lines:?}");
    }
}
