//! Reads closed files back, for `tandem cdr` and the API: newest first, bounded.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One row: column to text.
pub type Columns = BTreeMap<String, String>;

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ended at or after this time (RFC 3339 UTC, compared as text).
    pub since: Option<String>,
    /// Of this ingress or egress trunk.
    pub trunk: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// The newest rows that fit, oldest of them first.
///
/// # Errors
/// The folder cannot be read, or a file in it is damaged.
pub fn rows(folder: &Path, filter: &Filter) -> io::Result<Vec<Columns>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    let mut newest = Vec::new();
    for file in files {
        let mut rows = of_file(&file, filter)?;
        rows.reverse();
        newest.append(&mut rows);
        if newest.len() >= filter.limit {
            break;
        }
    }
    newest.truncate(filter.limit);
    newest.reverse();
    Ok(newest)
}

fn of_file(path: &Path, filter: &Filter) -> io::Result<Vec<Columns>> {
    let mut reader = csv::Reader::from_path(path)?;
    let header = reader.headers()?.clone();
    let mut out = Vec::new();
    for record in reader.records() {
        let columns: Columns = header.iter().zip(record?.iter()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        if matches(&columns, filter) {
            out.push(columns);
        }
    }
    Ok(out)
}

fn matches(columns: &Columns, filter: &Filter) -> bool {
    let is = |column: &str, wanted: &str| columns.get(column).is_some_and(|value| value == wanted);
    let late = |since: &String| columns.get("ended").is_some_and(|ended| ended >= since);
    filter.since.as_ref().is_none_or(late)
        && filter.trunk.as_ref().is_none_or(|trunk| is("ingress_trunk", trunk) || is("egress_trunk", trunk))
}
