//! What a file has become: rows that can be weighed against the tables, put into them, and sent.

use crate::change::Change;
use crate::digits::Prefix;
use crate::error::Error;
use crate::row::Row;
use crate::runs::{Entry, Runs};
use crate::tables::Tables;
use sip::clock::Wall;
use std::fmt;

/// The rows of one file, each key once.
pub trait List {
    /// Every row in order.
    fn rows(&self) -> impl Iterator<Item = Row> + '_;

    /// How many rows there are, what they span, and what they would change in these tables.
    fn summary(&self, tables: &Tables) -> Summary;

    /// Puts the rows into tables, in place of what was there if the list replaces it. Whether they fit is not looked at.
    fn put_into(&self, tables: &mut Tables);

    /// The change that the list makes of these tables.
    ///
    /// # Errors
    /// The tables after it would not be valid.
    fn change(&self, tables: &Tables) -> Result<Change, Vec<Error>> {
        let mut after = tables.clone();
        self.put_into(&mut after);
        after.validate()?;
        Ok(tables.diff(&after))
    }

    /// The rows in order, at most `size` of them at a time.
    fn batches(&self, size: usize) -> impl Iterator<Item = Vec<Row>> + '_ {
        batches(self.rows(), size)
    }
}

/// Cuts rows into pieces of `size`, the last one shorter.
pub(super) fn batches<T>(mut rows: impl Iterator<Item = T>, size: usize) -> impl Iterator<Item = Vec<T>> {
    std::iter::from_fn(move || {
        let batch: Vec<T> = rows.by_ref().take(size.max(1)).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// What a list holds, and what it would change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Rows of the list.
    pub rows: usize,
    /// The first prefix or number, in the order of the digits; absent if there is no row.
    pub first: Option<Prefix>,
    /// The last one.
    pub last: Option<Prefix>,
    /// The earliest and the latest begin of validity of rates that have one.
    pub begins: Option<(Wall, Wall)>,
    /// Rows whose key is not in the tables.
    pub added: usize,
    /// Rows that differ from that of their key.
    pub changed: usize,
    /// Rows of the tables that go because the list replaces them.
    pub removed: usize,
    /// Rows that are in the tables as they are here.
    pub same: usize,
}

impl Summary {
    /// Counts a key: whether its row was there, whether it is there now, and whether both are alike.
    pub(super) const fn count(&mut self, was: bool, is: bool, alike: bool) {
        match (was, is) {
            (true, true) if !alike => self.changed += 1,
            (true, true) => self.same += 1,
            (false, true) => self.added += 1,
            (true, false) => self.removed += 1,
            (false, false) => {}
        }
    }

    pub(super) fn span(&mut self, digits: Prefix) {
        self.rows += 1;
        self.first = Some(self.first.map_or(digits, |first| first.min(digits)));
        self.last = Some(self.last.map_or(digits, |last| last.max(digits)));
    }

    pub(super) fn begin(&mut self, from: Wall) {
        let (earliest, latest) = self.begins.unwrap_or((from, from));
        self.begins = Some((earliest.min(from), latest.max(from)));
    }
}

/// As an operator reads it before saying yes.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows)?;
        if let (Some(first), Some(last)) = (self.first, self.last) {
            write!(f, ", {first} to {last}")?;
        }
        match self.begins {
            Some((earliest, latest)) if earliest == latest => write!(f, ", from {}", crate::time::show(earliest))?,
            Some((earliest, latest)) => {
                write!(f, ", from {} to {}", crate::time::show(earliest), crate::time::show(latest))?;
            }
            None => {}
        }
        let Self { added, changed, removed, same, .. } = self;
        write!(f, ": {added} added, {changed} changed, {removed} removed, {same} as they were")
    }
}

/// The line of each key that a file has had so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    lines: Runs<Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    key: (u64, u64),
    line: u32,
}

impl Entry for Line {
    type Key = (u64, u64);
    const FULL: usize = 512;

    fn key(&self) -> Self::Key {
        self.key
    }
}

impl Seen {
    /// Notes the line of a key; the line that it had before, if it had one.
    pub(super) fn again(&mut self, digits: Prefix, from: Option<Wall>, line: u32) -> Option<u32> {
        let key = (digits.word(), from.map_or(0, |from| from.0.saturating_add(1)));
        let before = self.lines.get(key).map(|seen| seen.line);
        if before.is_none() {
            self.lines.put(Line { key, line });
        }
        before
    }

    pub(super) fn line(&self, digits: Prefix) -> Option<u32> {
        self.lines.get((digits.word(), 0)).map(|seen| seen.line)
    }
}
