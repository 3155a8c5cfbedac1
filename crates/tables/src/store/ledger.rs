//! The rows of past changes, in pieces of bounded size: a change of a million rows is many small values, not one of 100 MB.

use super::encode;
use super::engine::{Batch, Engine, Family};
use crate::Error;
use crate::calm::breathe;
use crate::history::Revision;
use routing::{Change, Row, RowKey};

/// Rows a piece.
const PIECE: usize = 1024;

/// The direction of a change: part of its key on the disk.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// To the revision.
    There = 0,
    /// From the revision to the one before.
    Back = 1,
}

pub(super) fn write(batch: &mut Batch, revision: Revision, way: Way, change: &Change) -> Result<(), Error> {
    let puts = change.put.chunks(PIECE).map(|rows| encode(&Piece { put: rows, delete: &[] }));
    let deletes = change.delete.chunks(PIECE).map(|keys| encode(&Piece { put: &[], delete: keys }));
    for (number, piece) in (0u32..).zip(puts.chain(deletes)) {
        breathe();
        let mut key = start(revision, way);
        key.extend_from_slice(&number.to_be_bytes());
        batch.put(Family::Changes, key, piece?);
    }
    Ok(())
}

pub(super) fn read(engine: &Engine, revision: Revision, way: Way) -> Result<Change, Error> {
    let start = start(revision, way);
    let mut change = Change::default();
    engine.scan(Family::Changes, &start, |key, value| {
        if !key.starts_with(&start) {
            return Ok(false);
        }
        let piece: Change = serde_json::from_slice(value)
            .map_err(|error| engine.broken(format!("the change of revision {revision}: {error}")))?;
        change.put.extend(piece.put);
        change.delete.extend(piece.delete);
        Ok(true)
    })?;
    if change.is_empty() {
        return Err(engine.broken(format!("the change of revision {revision} is missing")));
    }
    Ok(change)
}

fn start(revision: Revision, way: Way) -> Vec<u8> {
    let mut key = revision.to_be_bytes().to_vec();
    key.push(way as u8);
    key
}

/// A part of a [`Change`], borrowed; it reads back as one.
#[derive(serde::Serialize)]
struct Piece<'a> {
    put: &'a [Row],
    delete: &'a [RowKey],
}
