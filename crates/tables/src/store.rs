//! Rows, history and head in RocksDB. A revision is one write batch, synced: it is there whole or not at all.
//!
//! Knows keys and values, not what rows mean. Nothing is repaired here: what does not read is reported.

mod folder;
mod ledger;
mod load;

pub(crate) use load::{Loaded, count};

use crate::history::{Revision, RevisionInfo};
use crate::{Error, store::folder::Folder};
use rocksdb::{ColumnFamily, DB, FlushOptions, WriteBatch, WriteOptions};
use routing::{Change, RowKey, Tables};
use serde::{Deserialize, Serialize};

/// Rows by [`RowKey::to_bytes`].
const ROWS: &str = "rows";
/// [`RevisionInfo`] by revision.
const HISTORY: &str = "history";
/// The rows of each change and of its inverse, in pieces.
const CHANGES: &str = "changes";
/// The format and the head.
const META: &str = "meta";
const FAMILIES: [&str; 4] = [ROWS, HISTORY, CHANGES, META];

/// The key of the format's number, in decimal digits: the one thing that every version reads.
const FORMAT_KEY: &[u8] = b"format";
/// The key of the [`Head`].
const HEAD_KEY: &[u8] = b"head";

/// Bytes of a change that is flushed at once.
const LARGE: usize = 8 << 20;

/// What is written with every revision.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Head {
    revision: Revision,
    /// How many rows there are: what is read must be as many.
    rows: u64,
    /// Of the cluster that the tables belong to; empty while the node stands alone.
    #[serde(default)]
    cluster: String,
}

/// An open store, the only one on its folder.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    /// Absent only after a reopening that failed.
    db: Option<DB>,
    head: Head,
    failed: bool,
}

impl Store {
    /// Opens or creates, and reads everything.
    pub(crate) fn open(dir: &std::path::Path) -> Result<(Self, Loaded), Error> {
        let folder = Folder::lock(dir)?;
        let db = folder.open_db()?;
        let (head, loaded) = load::load(&folder, &db)?;
        Ok((Self { folder, db: Some(db), head, failed: false }, loaded))
    }

    /// Whether a write has failed since the last opening.
    pub(crate) const fn is_failed(&self) -> bool {
        self.failed
    }

    /// Closes and opens again, keeping the folder's lock.
    pub(crate) fn reopen(&mut self) -> Result<Loaded, Error> {
        self.failed = true;
        self.db = None;
        let db = self.folder.open_db()?;
        let (head, loaded) = load::load(&self.folder, &db)?;
        (self.db, self.head, self.failed) = (Some(db), head, false);
        Ok(loaded)
    }

    /// Writes a revision and forgets the history before `oldest`. It is on the disk when this returns.
    pub(crate) fn commit(
        &mut self,
        info: &RevisionInfo,
        change: &Change,
        inverse: &Change,
        after: &Tables,
        oldest: Revision,
    ) -> Result<(), Error> {
        let head = Head { revision: info.revision, rows: count(after), ..self.head.clone() };
        let batch = self.batch(&head, info, change, inverse, oldest)?;
        let size = batch.size_in_bytes();
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db()?.write_opt(batch, &options).map_err(|error| {
            self.failed = true;
            Error::Write(error.into_string())
        })?;
        self.head = head;
        if size > LARGE {
            self.start_flush();
        }
        Ok(())
    }

    /// Moves a large change out of memory and out of the log, so that neither is read again at the next start. It is
    /// durable already; if this fails, the next write says so.
    fn start_flush(&self) {
        let Some(db) = &self.db else { return };
        let mut options = FlushOptions::default();
        options.set_wait(false);
        for name in FAMILIES {
            if let Err(error) = db.flush_cf_opt(family(db, name), &options) {
                tracing::warn!(%error, "tables: a large change stays in the log");
            }
        }
    }

    /// The rows of a change that is in the history.
    pub(crate) fn change(&self, revision: Revision) -> Result<Change, Error> {
        ledger::read(&self.folder, self.db()?, revision, ledger::Way::There)
    }

    /// The rows that lead back from a revision to the one before.
    pub(crate) fn inverse(&self, revision: Revision) -> Result<Change, Error> {
        ledger::read(&self.folder, self.db()?, revision, ledger::Way::Back)
    }

    fn db(&self) -> Result<&DB, Error> {
        self.db.as_ref().ok_or_else(|| Error::Write("the store is closed after a failed write".into()))
    }

    fn batch(
        &self,
        head: &Head,
        info: &RevisionInfo,
        change: &Change,
        inverse: &Change,
        oldest: Revision,
    ) -> Result<WriteBatch, Error> {
        let db = self.db()?;
        let mut batch = WriteBatch::default();
        // In the order of `Tables::apply_unchecked`: what is deleted goes first.
        for key in &change.delete {
            delete_row(&mut batch, family(db, ROWS), key);
        }
        for row in &change.put {
            batch.put_cf(family(db, ROWS), row.key().to_bytes(), encode(row)?);
        }
        let history = family(db, HISTORY);
        batch.put_cf(history, info.revision.to_be_bytes(), encode(info)?);
        ledger::write(&mut batch, db, info.revision, ledger::Way::There, change)?;
        ledger::write(&mut batch, db, info.revision, ledger::Way::Back, inverse)?;
        if let Some(first) = self.first_kept(db).filter(|first| *first < oldest) {
            batch.delete_range_cf(history, first.to_be_bytes(), oldest.to_be_bytes());
            batch.delete_range_cf(family(db, CHANGES), first.to_be_bytes(), oldest.to_be_bytes());
        }
        batch.put_cf(family(db, META), HEAD_KEY, encode(head)?);
        Ok(batch)
    }

    fn first_kept(&self, db: &DB) -> Option<Revision> {
        let mut cursor = db.raw_iterator_cf(family(db, HISTORY));
        cursor.seek_to_first();
        cursor.key()?.try_into().ok().map(Revision::from_be_bytes)
    }
}

/// A plan takes its routes along and a deck its rates, as in [`Tables::delete`].
fn delete_row(batch: &mut WriteBatch, rows: &ColumnFamily, key: &RowKey) {
    batch.delete_cf(rows, key.to_bytes());
    let body = match key {
        RowKey::Plan(name) => RowKey::Route { plan: name.clone(), prefix: routing::Prefix::EMPTY, hours: None },
        RowKey::Deck(name) => RowKey::Rate { deck: name.clone(), prefix: routing::Prefix::EMPTY, from: None },
        RowKey::Account(_) | RowKey::Rate { .. } | RowKey::Route { .. } | RowKey::Trunk(_) => return,
        RowKey::Number(_) | RowKey::User(_) | RowKey::Ported(_) | RowKey::Screen(_) => return,
    };
    let first = body.to_bytes();
    // The first key of the body is the owner's name, its ending NUL, and a prefix of eight zero bytes.
    let owner = first.iter().position(|byte| *byte == 0).unwrap_or(first.len());
    let mut end = first[..owner].to_vec();
    end.push(1);
    batch.delete_range_cf(rows, first, end);
}

/// The families are opened with the store, so each is there.
fn family<'a>(db: &'a DB, name: &str) -> &'a ColumnFamily {
    db.cf_handle(name).expect("a column family that was opened with the store")
}

/// JSON, so that a later version reads rows of an earlier one.
fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Fault(format!("a row cannot be written: {error}")))
}
