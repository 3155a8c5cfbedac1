//! The call records of all nodes, as their closed files hold them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use switch::cdr::read::{Columns, Filter, rows};

/// How long the records may take after the last call.
const PATIENCE: Duration = Duration::from_secs(20);

/// A final row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Final {
    /// The node that wrote it, by its own word.
    pub node: String,
    /// Whether the call was answered.
    pub answered: bool,
}

/// Final rows by call, once there are those of `calls` calls, or when that takes too long.
pub(super) fn finals(folders: &[PathBuf], calls: u64) -> BTreeMap<String, Vec<Final>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut by_call: BTreeMap<String, Vec<Final>> = BTreeMap::new();
        for row in folders.iter().flat_map(|folder| all(folder)).filter(|row| column(row, "final") == "true") {
            let last = Final { node: column(&row, "node").to_owned(), answered: !column(&row, "answered").is_empty() };
            by_call.entry(column(&row, "call_id").to_owned()).or_default().push(last);
        }
        if by_call.len() as u64 >= calls || Instant::now() > deadline {
            return by_call;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is not there yet holds no row: the count of calls tells.
fn all(folder: &Path) -> Vec<Columns> {
    rows(folder, &Filter { limit: 1_000_000, ..Filter::default() }).unwrap_or_default()
}

fn column<'a>(row: &'a Columns, name: &str) -> &'a str {
    row.get(name).map_or("", String::as_str)
}
