//! The rows of past changes, in pieces of bounded size: a change of a million rows is many small values, not one of 100 MB.
//!
//! The pieces of a large change are written ahead of its revision. Nobody reads those of a revision that is not there, and one
//! that is made again after a crash begins without them.

use super::encode;
use super::engine::{Batch, Engine, Family};
use crate::Error;
use crate::calm::breathe;
use crate::history::Revision;
use routing::{Change, Row, RowKey};

/// Rows a piece.
const PIECE: usize = 1024;
/// Bytes of pieces that go into the batch of their revision; what is more is written ahead. Less than a batch that is flushed.
const AHEAD: usize = 4 << 20;

/// The direction of a change: part of its key on the disk.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// To the revision.
    There = 0,
    /// From the revision to the one before.
    Back = 1,
}

/// Puts the pieces into the batch of the revision; all but the last of many are in the store when this returns.
pub(super) fn write(
    engine: &Engine,
    batch: &mut Batch,
    revision: Revision,
    way: Way,
    change: &Change,
) -> Result<(), Error> {
    let mut pieces = Batch::default();
    let mut is_first = true;
    let puts = change.put.chunks(PIECE).map(|rows| encode(&Piece { put: rows, delete: &[] }));
    let deletes = change.delete.chunks(PIECE).map(|keys| encode(&Piece { put: &[], delete: keys }));
    for (number, piece) in (0u32..).zip(puts.chain(deletes)) {
        breathe();
        let mut key = start(revision, way);
        key.extend_from_slice(&number.to_be_bytes());
        if pieces.size() >= AHEAD {
            let mut ahead = Batch::default();
            if std::mem::take(&mut is_first) {
                let mut end = start(revision, way);
                end.extend_from_slice(&[0xff; 5]);
                ahead.delete_range(Family::Changes, start(revision, way), end);
            }
            ahead.append(std::mem::take(&mut pieces));
            engine.write(ahead, false)?;
        }
        pieces.put(Family::Changes, key, piece?);
    }
    batch.append(pieces);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Storage;
    use routing::E164;
    use routing::model::Ported;

    fn ported(from: u64, rows: u64) -> Change {
        let number = |at: u64| -> E164 { format!("+44{at}").parse().expect("a number") };
        let row = |at| Row::Ported(Ported { number: number(from + at), lrn: number(at % 7 + 100) });
        Change { put: (0..rows).map(row).collect(), delete: Vec::new() }
    }

    /// Writes as the store does, and answers how much went with the revision; a crash loses that.
    fn put(engine: &Engine, change: &Change, crashes: bool) -> usize {
        let mut batch = Batch::default();
        write(engine, &mut batch, 5, Way::There, change).expect("memory");
        let size = batch.size();
        if !crashes {
            engine.write(batch, false).expect("memory");
        }
        size
    }

    #[test]
    fn most_of_a_large_change_goes_ahead_and_reads_back_as_one() {
        let engine = Engine::open(&Storage::Memory).expect("memory");
        let change = ported(1_000_000_000, 200_000);
        assert!(put(&engine, &change, false) <= AHEAD + (AHEAD >> 4));
        assert_eq!(read(&engine, 5, Way::There).expect("it reads"), change);
    }

    #[test]
    fn what_a_crash_left_of_a_change_is_none_of_the_one_that_is_made() {
        let engine = Engine::open(&Storage::Memory).expect("memory");
        let back = ported(3_000_000_000, 10);
        let mut other_way = Batch::default();
        write(&engine, &mut other_way, 5, Way::Back, &back).expect("memory");
        engine.write(other_way, false).expect("memory");
        put(&engine, &ported(1_000_000_000, 300_000), true);
        assert!(read(&engine, 5, Way::There).is_ok(), "some of it is there");
        let change = ported(2_000_000_000, 150_000);
        put(&engine, &change, false);
        assert_eq!(read(&engine, 5, Way::There).expect("it reads"), change);
        assert_eq!(read(&engine, 5, Way::Back).expect("it reads"), back);
    }
}
