//! The tables of one revision as one file: a head, a line a row in the words of the store, and an end that says how many rows there
//! are and what their SHA-256 is. Nothing of a file that is not whole is taken.
//!
//! A later version reads what an earlier one wrote; the format's number rises when it could not.

use crate::Revision;
use crate::store::count;
use routing::{Row, Tables, View};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The format that is written here, and the newest that is read.
const FORMAT: u32 = 1;
/// The longest line: far above that of any row.
const LINE_MAX: usize = 4 << 20;
/// Bytes that are handed over at a time.
const PIECE: usize = 256 << 10;

/// The first line of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The format of the lines.
    pub tandem_backup: u32,
    /// The cluster that it is of.
    pub cluster: String,
    /// The revision that it shows.
    pub revision: Revision,
    /// When it was made, RFC 3339.
    pub made: String,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
    sha256: String,
}

/// Writes a backup piece by piece. `take` answers whether it wants more; if not, the file is not whole, and says so by its lack of
/// an end.
pub fn write(view: &View, cluster: &str, made: &str, mut take: impl FnMut(Vec<u8>) -> bool) {
    let head =
        Head { tandem_backup: FORMAT, cluster: cluster.to_owned(), revision: view.revision, made: made.to_owned() };
    let (mut sum, mut piece, mut rows) = (Sha256::new(), line(&head), 0);
    for row in view.tables().rows() {
        piece.extend(line(&row));
        rows += 1;
        if piece.len() >= PIECE {
            sum.update(&piece);
            if !take(std::mem::take(&mut piece)) {
                return;
            }
        }
    }
    sum.update(&piece);
    piece.extend(line(&End { rows, sha256: hex(&sum.finalize()) }));
    take(piece);
}

fn line(what: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(what).expect("rows have no map whose keys are no text");
    line.push(b'\n');
    line
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a whole backup holds.
#[derive(Debug)]
pub struct Backup {
    /// Its first line.
    pub head: Head,
    /// Its rows. Whether they fit each other is not looked at.
    pub tables: Tables,
    /// How many there are.
    pub rows: u64,
}

/// Reads a backup as it comes.
#[derive(Default)]
pub struct Reader {
    /// The begin of a line.
    rest: Vec<u8>,
    line: u64,
    sum: Sha256,
    head: Option<Head>,
    tables: Tables,
    rows: u64,
    end: bool,
    fault: Option<String>,
}

impl Reader {
    /// Takes the next piece of the file.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            let (mut whole, rest) = (std::mem::take(&mut self.rest), &bytes[at + 1..]);
            whole.extend_from_slice(&bytes[..=at]);
            bytes = rest;
            self.take(&whole);
            if self.is_hopeless() {
                return;
            }
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LINE_MAX {
            self.fail("is too long to be of a backup");
        }
    }

    /// Whether nothing that could still come makes it a backup.
    #[must_use]
    pub const fn is_hopeless(&self) -> bool {
        self.fault.is_some()
    }

    /// The backup, after its last piece.
    ///
    /// # Errors
    /// What is wrong with the file, beginning with the line.
    pub fn finish(mut self) -> Result<Backup, String> {
        if !self.end && self.fault.is_none() {
            self.line += 1;
            self.fail(if self.head.is_some() { "the end is missing: the file was cut off" } else { "is no backup" });
        } else if !self.rest.is_empty() {
            self.line += 1;
            self.fail("stands behind the end");
        }
        if self.fault.is_none() && count(&self.tables) != self.rows {
            self.fault = Some("a row is there twice, or a route or rate without its plan or deck".to_owned());
        }
        match (self.fault, self.head) {
            (None, Some(head)) => Ok(Backup { head, tables: self.tables, rows: self.rows }),
            (Some(fault), _) => Err(fault),
            (None, None) => Err("line 1: is no backup".to_owned()),
        }
    }

    fn fail(&mut self, what: &str) {
        let at = self.line;
        self.fault.get_or_insert_with(|| format!("line {at}: {what}"));
    }

    fn take(&mut self, line: &[u8]) {
        self.line += 1;
        if self.end {
            return self.fail("stands behind the end");
        }
        let Some(_) = &self.head else { return self.begin(line) };
        if let Ok(row) = serde_json::from_slice::<Row>(line) {
            self.sum.update(line);
            self.tables.put(row);
            self.rows += 1;
            return;
        }
        match serde_json::from_slice::<End>(line) {
            Ok(end) => self.close(&end),
            Err(_) => self.fail("is no row that this version knows: the file is damaged, or of a later version"),
        }
    }

    fn begin(&mut self, line: &[u8]) {
        match serde_json::from_slice::<Head>(line) {
            Ok(head) if head.tandem_backup > FORMAT => {
                let found = head.tandem_backup;
                self.fail(&format!("is of format {found}, and this version reads up to {FORMAT}"));
            }
            Ok(head) => {
                self.sum.update(line);
                self.head = Some(head);
            }
            Err(_) => self.fail("is no backup"),
        }
    }

    fn close(&mut self, end: &End) {
        let found = hex(&std::mem::take(&mut self.sum).finalize());
        if end.rows != self.rows {
            self.fail(&format!("says {} rows, and {} are there", end.rows, self.rows));
        } else if end.sha256 != found {
            self.fail("the checksum is another one: the file is damaged");
        }
        self.end = true;
    }
}

#[cfg(test)]
mod tests;
