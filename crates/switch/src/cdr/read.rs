//! Reads closed files back, for `tandem cdr` and the API: newest first, bounded.

use super::csv_file;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Rows looked at for one listing at the most: a trunk that had no call for a year is no reason to read the year.
const SCANNED: usize = 2_000_000;

/// One row: column to text.
pub type Columns = BTreeMap<String, String>;

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Ended at or after this time: RFC 3339 in UTC with milliseconds, as the column `ended` writes it.
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
    let mut newest: VecDeque<Columns> = VecDeque::new();
    let mut scanned = 0;
    for file in files(folder)? {
        // A file holds only rows that ended before it was named.
        if filter.since.as_deref().is_some_and(|since| csv_file::is_older(&file, since)) {
            break;
        }
        let found = match of_file(&file, filter, filter.limit - newest.len(), &mut scanned) {
            // Somebody collected it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        found.into_iter().rev().for_each(|row| newest.push_front(row));
        if newest.len() >= filter.limit || scanned >= SCANNED {
            break;
        }
    }
    Ok(newest.into())
}

/// The closed files, newest first.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
        .collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    Ok(files)
}

/// The last `room` rows of a file that fit.
fn of_file(path: &Path, filter: &Filter, room: usize, scanned: &mut usize) -> io::Result<VecDeque<Columns>> {
    let mut reader = csv::Reader::from_reader(fs::File::open(path)?);
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let (ended, trunks) = (column("ended"), [column("ingress_trunk"), column("egress_trunk")]);
    let mut last: VecDeque<csv::StringRecord> = VecDeque::new();
    for record in reader.records() {
        let record = record?;
        *scanned += 1;
        let value = |at: Option<usize>| at.and_then(|at| record.get(at));
        let late = filter.since.as_deref().is_none_or(|since| value(ended).is_some_and(|ended| ended >= since));
        let of_trunk = filter.trunk.as_deref().is_none_or(|trunk| trunks.iter().any(|at| value(*at) == Some(trunk)));
        if late && of_trunk {
            last.push_back(record);
            if last.len() > room {
                last.pop_front();
            }
        }
    }
    let columns = |record: csv::StringRecord| {
        header.iter().zip(record.iter()).map(|(column, value)| (column.to_owned(), value.to_owned())).collect()
    };
    Ok(last.into_iter().map(columns).collect())
}
