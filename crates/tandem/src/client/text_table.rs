//! Listings for people: columns as wide as they need and the terminal allows, numbers to the right.

use crate::logging::say;
use serde_json::Value;
use std::io::IsTerminal as _;

/// A column is not made narrower than this to fit a terminal.
const NARROWEST: usize = 8;
/// Between two columns.
const GAP: usize = 2;
/// Stands for what is not known, or is not there.
const NOTHING: &str = "-";

/// A column: its heading, and the field that it shows.
pub(super) type Column = (&'static str, &'static str);

/// Prints rows, or `nothing` if there are none. On a terminal a list within a row takes several lines, and what is too wide is
/// made to fit: columns without anything are left out, and wide ones cut, but never the first, which names the row and is
/// copied. Whoever pipes the listing gets it whole, a line a row.
pub(super) fn print(columns: &[Column], rows: &[Value], nothing: &str) {
    if rows.is_empty() {
        return say(nothing);
    }
    table(columns, rows, terminal()).iter().for_each(|line| say(line));
}

/// Columns of the terminal, if it is one.
pub(super) fn terminal() -> usize {
    let width =
        ratatui::crossterm::terminal::size().ok().map(|(width, _)| usize::from(width)).filter(|width| *width > 0);
    width.filter(|_| std::io::stdout().is_terminal()).unwrap_or(usize::MAX)
}

/// The lines of a table that is `most` characters wide, if that can be.
fn table(columns: &[Column], rows: &[Value], most: usize) -> Vec<String> {
    let mut drawn: Vec<Drawn> = columns.iter().map(|column| Drawn::new(*column, rows, most < usize::MAX)).collect();
    if width(&drawn) > most {
        // The first stays: it is never cut either.
        let mut first = true;
        drawn.retain(|column| std::mem::take(&mut first) || !column.is_empty());
    }
    fit(&mut drawn, most);
    let headings = drawn.iter().map(|column| column.pad(column.heading));
    let mut lines = vec![joined(headings)];
    for row in 0..rows.len() {
        let tallest = drawn.iter().map(|column| column.cells[row].len()).max().unwrap_or(0);
        for line in 0..tallest {
            let text = |column: &Drawn| column.pad(column.cells[row].get(line).map_or("", String::as_str));
            lines.push(joined(drawn.iter().map(text)));
        }
    }
    lines
}

/// A column with its cells, each of one line or several.
struct Drawn {
    heading: &'static str,
    width: usize,
    /// Stands to the right.
    numeric: bool,
    cells: Vec<Vec<String>>,
}

impl Drawn {
    /// `spread`: a list within a row takes a line for each of its items.
    fn new((heading, field): Column, rows: &[Value], spread: bool) -> Self {
        let lines = |row: &Value| match row.get(field) {
            Some(Value::Array(items)) if spread && !items.is_empty() => {
                items.iter().map(|item| cell(Some(item))).collect()
            }
            value => vec![cell(value)],
        };
        let cells: Vec<Vec<String>> = rows.iter().map(lines).collect();
        let widest = cells.iter().flatten().map(|text| text.chars().count()).max().unwrap_or(0);
        let known = || rows.iter().filter_map(|row| row.get(field)).filter(|value| !value.is_null());
        let numeric = known().count() > 0 && known().all(Value::is_number);
        Self { heading, width: widest.max(heading.chars().count()), numeric, cells }
    }

    /// Nothing is known in any row.
    fn is_empty(&self) -> bool {
        self.cells.iter().flatten().all(|text| text == NOTHING)
    }

    fn pad(&self, text: &str) -> String {
        let text = cut(text, self.width);
        let gap = " ".repeat(self.width.saturating_sub(text.chars().count()));
        if self.numeric { format!("{gap}{text}") } else { format!("{text}{gap}") }
    }
}

fn width(drawn: &[Drawn]) -> usize {
    drawn.iter().map(|column| column.width).sum::<usize>() + GAP * drawn.len().saturating_sub(1)
}

/// Takes from the widest column, again and again, until all fit or none has anything to give.
fn fit(drawn: &mut [Drawn], most: usize) {
    while width(drawn) > most {
        let least = |column: &Drawn| column.heading.chars().count().max(NARROWEST);
        let giving = drawn.iter_mut().skip(1).filter(|column| column.width > least(column));
        let Some(widest) = giving.max_by_key(|column| column.width) else { return };
        widest.width -= 1;
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn joined(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

/// A phone names itself as it likes: what would steer a terminal is made visible.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one }).collect()
}

/// One value as text.
pub(super) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) if text.is_empty() => NOTHING.to_owned(),
        Some(Value::String(text)) => harmless(text),
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

    #[test]
    fn what_a_phone_calls_itself_does_not_steer_the_terminal() {
        assert_eq!(cell(Some(&json!("x\u{1b}[2J\n\u{9b}y"))), "x\u{fffd}[2J\u{fffd}\u{fffd}y");
    }

    #[test]
    fn on_a_terminal_a_list_takes_several_lines_and_a_column_without_anything_gives_way_first() {
        let rows = [json!({ "id": "a", "contact": ["one", "two"] }), json!({ "id": "b", "contact": ["three"] })];
        assert_eq!(table(&COLUMNS, &rows, usize::MAX)[1], "a   -     one, two", "a pipe gets a line a row");
        assert_eq!(
            table(&COLUMNS, &rows, 80),
            ["ID  SECS  CONTACT", "a   -     one", "          two", "b   -     three"]
        );
        assert_eq!(table(&COLUMNS, &rows, 12), ["ID  CONTACT", "a   one", "    two", "b   three"]);
    }
}
