//! A revision of any number of rows becomes rows of the store, in batches of bounded size.
//!
//! First its way back is written, then that it is being written, then its rows, and last, in one batch, that it is there. Whoever
//! opens the store in between takes the rows back, and nobody has seen them; the log makes the revision again.

use super::engine::{APART, Batch, Engine, Family};
use super::ledger::{self, AHEAD, Way, Writer};
use super::{PENDING_KEY, delete_row, encode, put_head, read};
use crate::Error;
use crate::calm::breathe;
use crate::delta::Counts;
use crate::history::{Revision, RevisionInfo};
use routing::{Step, Tables, Touched};

/// Writes what leads from `before`, which has so many `rows`, to `after`, and answers how many rows that has. What is left for the
/// batch is bounded, and nothing counts without it.
pub(crate) fn put_large(
    engine: &Engine,
    batch: &mut Batch,
    info: &RevisionInfo,
    (before, rows): (&Tables, u64),
    after: &Tables,
    touched: &mut Touched,
) -> Result<u64, Error> {
    let mut back = Writer::new(engine, info.revision, Way::Back);
    try_steps(after, before, |step| match step {
        Step::Added(row) | Step::Changed(row) => back.put(&encode(&row)?),
        Step::Gone(key, _) => back.delete(&key),
    })?;
    let mut counts = Counts::default();
    let mut there = Writer::new(engine, info.revision, Way::There);
    let mut ahead = Ahead { engine, revision: info.revision, back: Some(back.finish()?), rows: Batch::default() };
    try_steps(before, after, |step| {
        counts.add(&step);
        match step {
            Step::Added(row) | Step::Changed(row) => {
                let (key, value) = (row.key(), encode(&row)?);
                touched.add(&key);
                there.put(&value)?;
                ahead.rows.put(Family::Rows, key.to_bytes(), value);
            }
            Step::Gone(key, _) => {
                touched.add(&key);
                there.delete(&key)?;
                delete_row(&mut ahead.rows, &key);
            }
        }
        ahead.write_much()
    })?;
    let rows = (rows + counts.added).saturating_sub(counts.deleted);
    ahead.finish(batch)?;
    batch.append(there.finish()?);
    put_head(batch, info, rows)?;
    Ok(rows)
}

/// The steps from one state to another, until one fails.
fn try_steps(from: &Tables, to: &Tables, mut take: impl FnMut(Step) -> Result<(), Error>) -> Result<(), Error> {
    let mut taken = Ok(());
    from.steps(to, |step| {
        breathe();
        if taken.is_ok() {
            taken = take(step);
        }
    });
    taken
}

/// Rows that are written ahead of their revision as they become many.
struct Ahead<'e> {
    engine: &'e Engine,
    revision: Revision,
    /// The rest of the way back, as long as no row is written.
    back: Option<Batch>,
    rows: Batch,
}

impl Ahead<'_> {
    fn write_much(&mut self) -> Result<(), Error> {
        if self.rows.size() < AHEAD {
            return Ok(());
        }
        if let Some(mut back) = self.back.take() {
            back.put(Family::Meta, PENDING_KEY, encode(&self.revision)?);
            // Rows are on the disk as soon as they are written, so this must be.
            self.engine.write(back, true)?;
        }
        if self.rows.size() < APART {
            return Ok(());
        }
        self.engine.write_apart(std::mem::take(&mut self.rows))
    }

    /// Puts into the batch of the revision what is to be there with it.
    fn finish(self, batch: &mut Batch) -> Result<(), Error> {
        let Some(back) = self.back else {
            batch.delete(Family::Meta, PENDING_KEY);
            return self.engine.write_apart(self.rows);
        };
        batch.append(back);
        batch.append(self.rows);
        Ok(())
    }
}

/// Takes the rows of a revision back that was not written to its end.
pub(super) fn undo(engine: &Engine) -> Result<(), Error> {
    let Some(revision) = read::<Revision>(engine, Family::Meta, PENDING_KEY)? else { return Ok(()) };
    tracing::info!(
        revision,
        "tables: a revision was being written; its rows are taken back, and the log makes it again"
    );
    let mut batch = Batch::default();
    let mut number = 0;
    while let Some(piece) = ledger::piece(engine, revision, Way::Back, number)? {
        number += 1;
        piece.delete.iter().for_each(|key| delete_row(&mut batch, key));
        for row in &piece.put {
            batch.put(Family::Rows, row.key().to_bytes(), encode(row)?);
        }
        if batch.size() >= AHEAD {
            // What is taken back twice is as it was: it may end here too.
            engine.write(std::mem::take(&mut batch), false)?;
        }
    }
    if number == 0 {
        return Err(engine.broken(format!("revision {revision} was being written, and its way back is missing")));
    }
    [Way::There, Way::Back].into_iter().for_each(|way| ledger::forget(&mut batch, revision, way));
    batch.delete(Family::Meta, PENDING_KEY);
    engine.write(batch, true)
}

#[cfg(test)]
mod tests;
