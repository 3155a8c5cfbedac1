//! How rows, history and head are kept: the keys and values of [`engine::Engine`]'s families.
//!
//! Knows keys and values, not what rows mean. Nothing is repaired here: what does not read is reported.

mod engine;
mod folder;
mod ledger;
mod load;
mod revision;
mod shelf;

pub(crate) use engine::{Batch, Engine, Family};
pub(crate) use load::{count, load};
pub(crate) use revision::put_large;
pub use shelf::Shelf;

use crate::Error;
use crate::calm::breathe;
use crate::history::{Revision, RevisionInfo};
use routing::{Change, RowKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The key of the format's number, in decimal digits: the one thing that every version reads.
const FORMAT_KEY: &[u8] = b"format";
/// The key of the [`Head`].
pub(crate) const HEAD_KEY: &[u8] = b"head";
/// The key of the revision whose rows are being written, if they are too many for one batch.
const PENDING_KEY: &[u8] = b"pending";

/// What is written with every revision.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) revision: Revision,
    /// How many rows there are: what is read must be as many.
    pub(crate) rows: u64,
}

/// Adds a revision to the batch. Its rows and its head are only there with the batch; most of the ledger of a large change is
/// when this returns.
pub(crate) fn put_revision(
    engine: &Engine,
    batch: &mut Batch,
    info: &RevisionInfo,
    change: &Change,
    inverse: &Change,
    rows: u64,
) -> Result<(), Error> {
    // In the order of `Tables::apply_unchecked`: what is deleted goes first.
    for key in &change.delete {
        delete_row(batch, key);
    }
    batch.reserve(change.put.len());
    for row in &change.put {
        breathe();
        batch.put(Family::Rows, row.key().to_bytes(), encode(row)?);
    }
    ledger::write(engine, batch, info.revision, ledger::Way::There, change)?;
    ledger::write(engine, batch, info.revision, ledger::Way::Back, inverse)?;
    put_head(batch, info, rows)
}

/// What says that a revision is there.
fn put_head(batch: &mut Batch, info: &RevisionInfo, rows: u64) -> Result<(), Error> {
    batch.put(Family::History, info.revision.to_be_bytes(), encode(info)?);
    batch.put(Family::Meta, HEAD_KEY, encode(&Head { revision: info.revision, rows })?);
    Ok(())
}

/// Forgets the revisions from `first` to before `oldest`.
pub(crate) fn forget_revisions(batch: &mut Batch, first: Revision, oldest: Revision) {
    batch.delete_range(Family::History, first.to_be_bytes(), oldest.to_be_bytes());
    batch.delete_range(Family::Changes, first.to_be_bytes(), oldest.to_be_bytes());
}

/// The rows of a change that is in the history.
pub(crate) fn change(engine: &Engine, revision: Revision) -> Result<Change, Error> {
    ledger::read(engine, revision, ledger::Way::There)
}

/// The rows that lead back from a revision to the one before.
pub(crate) fn inverse(engine: &Engine, revision: Revision) -> Result<Change, Error> {
    ledger::read(engine, revision, ledger::Way::Back)
}

/// A plan takes its routes along and a deck its rates, as in [`routing::Tables::delete`].
fn delete_row(batch: &mut Batch, key: &RowKey) {
    batch.delete(Family::Rows, key.to_bytes());
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
    batch.delete_range(Family::Rows, first, end);
}

/// JSON, so that a later version reads what an earlier one wrote.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Fault(format!("a value cannot be written: {error}")))
}

/// The value of a key, if it is there.
pub(crate) fn read<T: DeserializeOwned>(engine: &Engine, family: Family, key: &[u8]) -> Result<Option<T>, Error> {
    let Some(bytes) = engine.get(family, key)? else { return Ok(None) };
    let named = || format!("`{}` of {}", String::from_utf8_lossy(key), family.name());
    serde_json::from_slice(&bytes).map(Some).map_err(|error| engine.broken(format!("{}: {error}", named())))
}
