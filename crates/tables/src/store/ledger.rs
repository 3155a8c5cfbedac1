//! The rows of past changes, in pieces of bounded size: a change of a million rows is many small values, not one of 100 MB.
//!
//! The pieces of a large change are written ahead of its revision. Of a revision that is not there nobody reads them but who takes
//! its rows back, and one that is made again after a crash begins without them.

use super::encode;
use super::engine::{APART, Batch, Engine, Family};
use crate::Error;
use crate::calm::breathe;
use crate::history::Revision;
use routing::{Change, RowKey};

/// Rows a piece.
const PIECE: usize = 1024;
/// Bytes that go into the batch of their revision; what is more is written ahead. Less than a batch that is flushed.
pub(super) const AHEAD: usize = 4 << 20;

/// The direction of a change: part of its key on the disk.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// To the revision.
    There = 0,
    /// From the revision to the one before.
    Back = 1,
}

/// Puts the pieces into the batch of the revision; many are in the store when this returns.
pub(super) fn write(
    engine: &Engine,
    batch: &mut Batch,
    revision: Revision,
    way: Way,
    change: &Change,
) -> Result<(), Error> {
    let mut writer = Writer::new(engine, revision, way);
    for row in &change.put {
        breathe();
        writer.put(&encode(row)?)?;
    }
    for key in &change.delete {
        breathe();
        writer.delete(key)?;
    }
    batch.append(writer.finish()?);
    Ok(())
}

/// Writes one way of a change row by row.
pub(super) struct Writer<'e> {
    engine: &'e Engine,
    revision: Revision,
    way: Way,
    /// Of the next piece.
    number: u32,
    /// Rows and keys of the next piece, as JSON.
    put: Vec<u8>,
    delete: Vec<u8>,
    /// How many these are.
    rows: usize,
    /// Pieces that are not written yet.
    pieces: Batch,
    is_ahead: bool,
}

impl<'e> Writer<'e> {
    pub(super) fn new(engine: &'e Engine, revision: Revision, way: Way) -> Self {
        let (put, delete, pieces) = Default::default();
        Self { engine, revision, way, number: 0, put, delete, rows: 0, pieces, is_ahead: false }
    }

    /// A row, as JSON.
    pub(super) fn put(&mut self, row: &[u8]) -> Result<(), Error> {
        push(&mut self.put, row);
        self.counted()
    }

    pub(super) fn delete(&mut self, key: &RowKey) -> Result<(), Error> {
        push(&mut self.delete, &encode(key)?);
        self.counted()
    }

    /// What is not written yet: nothing if some is. That some is on the disk then.
    pub(super) fn finish(mut self) -> Result<Batch, Error> {
        self.end_piece()?;
        if self.is_ahead {
            self.engine.write_apart(std::mem::take(&mut self.pieces))?;
        }
        Ok(self.pieces)
    }

    /// Pieces of a revision that was to be this one, and ended with a crash.
    fn forget_others(&self) -> Result<(), Error> {
        let (start, mut others) = (start(self.revision, self.way), false);
        self.engine.scan(Family::Changes, &start, |key, _| {
            others = key.starts_with(&start);
            Ok(false)
        })?;
        if !others {
            // To delete nothing would be something that the pieces have to lie above.
            return Ok(());
        }
        let mut batch = Batch::default();
        forget(&mut batch, self.revision, self.way);
        self.engine.write(batch, false)
    }

    fn counted(&mut self) -> Result<(), Error> {
        self.rows += 1;
        if self.rows >= PIECE { self.end_piece() } else { Ok(()) }
    }

    fn end_piece(&mut self) -> Result<(), Error> {
        if self.rows == 0 {
            return Ok(());
        }
        if self.pieces.size() >= AHEAD && !self.is_ahead {
            self.is_ahead = true;
            self.forget_others()?;
        }
        if self.pieces.size() >= APART {
            self.engine.write_apart(std::mem::take(&mut self.pieces))?;
        }
        let (put, delete) = (&mut self.put, &mut self.delete);
        let piece = [b"{\"put\":[", put.as_slice(), b"],\"delete\":[", delete, b"]}"].concat();
        self.pieces.put(Family::Changes, key(self.revision, self.way, self.number), piece);
        put.clear();
        delete.clear();
        (self.number, self.rows) = (self.number + 1, 0);
        Ok(())
    }
}

fn push(list: &mut Vec<u8>, item: &[u8]) {
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(item);
}

/// Deletes the pieces of one way.
pub(super) fn forget(batch: &mut Batch, revision: Revision, way: Way) {
    let mut end = start(revision, way);
    end.extend_from_slice(&[0xff; 5]);
    batch.delete_range(Family::Changes, start(revision, way), end);
}

/// One piece, if it is there.
pub(super) fn piece(engine: &Engine, revision: Revision, way: Way, number: u32) -> Result<Option<Change>, Error> {
    let stored = engine.get(Family::Changes, &key(revision, way, number))?;
    stored.map(|bytes| of_bytes(engine, revision, &bytes)).transpose()
}

pub(super) fn read(engine: &Engine, revision: Revision, way: Way) -> Result<Change, Error> {
    let start = start(revision, way);
    let mut change = Change::default();
    engine.scan(Family::Changes, &start, |key, value| {
        if !key.starts_with(&start) {
            return Ok(false);
        }
        let piece = of_bytes(engine, revision, value)?;
        change.put.extend(piece.put);
        change.delete.extend(piece.delete);
        Ok(true)
    })?;
    if change.is_empty() {
        return Err(engine.broken(format!("the change of revision {revision} is missing")));
    }
    Ok(change)
}

fn of_bytes(engine: &Engine, revision: Revision, bytes: &[u8]) -> Result<Change, Error> {
    serde_json::from_slice(bytes).map_err(|error| engine.broken(format!("the change of revision {revision}: {error}")))
}

fn start(revision: Revision, way: Way) -> Vec<u8> {
    let mut key = revision.to_be_bytes().to_vec();
    key.push(way as u8);
    key
}

fn key(revision: Revision, way: Way, number: u32) -> Vec<u8> {
    let mut key = start(revision, way);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Storage;
    use routing::model::Ported;
    use routing::{E164, Row};

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
