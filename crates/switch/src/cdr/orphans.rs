//! Rows of calls that this process does not carry: open ones of its former life, or of a call that another node may have taken
//! over, and those that the former life has closed in its last moments, of which the backup may not have heard. They wait until
//! it is known who closes them, so that every call gets one final row and never two.

use super::outbox::{Outbox, close_orphan};
use super::store::Batch as Changes;
use crate::error::Error;
use ::call::CallId;
use ::call::record::Row;
use rustc_hash::FxHashMap;
use sip::clock::Wall;
use std::time::Duration;

/// `t` + call: that this node has taken the call over, and when. Whoever lost it asks within this time.
const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// What was closed so shortly before the end may be open still for the backup of the call.
pub(super) const LAST_MOMENTS: Duration = Duration::from_secs(3);
/// Rows that are closed are exported after this in any case: a node that is gone for long must not hold them up.
const HELD_UP: Duration = Duration::from_secs(60);

/// One row.
pub(super) struct Orphan {
    key: Box<[u8]>,
    /// When the process that carried the call was last known to live.
    ended: Wall,
    /// It is a finished row already.
    is_closed: bool,
}

/// All of them: bounded by the calls that one node carries.
pub(super) type Orphans = FxHashMap<CallId, Vec<Orphan>>;

/// Calls that were taken over in this process, and when. What an earlier one took over died with it.
#[derive(Default)]
pub(super) struct Retaken(FxHashMap<CallId, Wall>);

impl Retaken {
    /// As many as a node carries. Older ones than an hour give way; where there are none, a newer one is not noted, which matters
    /// only if this node carried that call in an earlier life as well.
    const MOST: usize = 200_000;

    pub(super) fn note(&mut self, call: CallId, now: Wall) {
        if self.0.len() >= Self::MOST {
            let oldest = now.0.saturating_sub(3_600_000);
            self.0.retain(|_, at| at.0 > oldest);
        }
        if self.0.len() < Self::MOST {
            self.0.insert(call, now);
        }
    }
}

impl Outbox {
    /// Finds what an earlier process left open; answers how many rows.
    pub(super) fn find_orphans(&self) -> Result<usize, Error> {
        let ended = self.last_beat()?;
        let mut found = 0;
        for entry in self.db().from(b"o") {
            let (key, value) = entry?;
            if key.first() != Some(&b'o') {
                break;
            }
            match postcard::from_bytes::<Row>(&value) {
                Ok(row) => {
                    self.orphans().entry(row.call).or_default().push(Orphan { key, ended, is_closed: false });
                    found += 1;
                }
                Err(error) => self.set_aside(&key, &value, &error)?,
            }
        }
        Ok(found)
    }

    /// Finds the rows that were finished in the last moments of an earlier process.
    pub(super) fn find_closed(&self) -> Result<(), Error> {
        let ended = self.last_beat()?;
        let since = ended.0.saturating_sub(u64::try_from(LAST_MOMENTS.as_millis()).unwrap_or(0));
        for entry in self.db().from(b"r") {
            let (key, value) = entry?;
            if key.first() != Some(&b'r') {
                break;
            }
            // What cannot be read is set aside by the export.
            let Ok(row) = postcard::from_bytes::<Row>(&value) else { continue };
            if row.is_final && row.ended.0 >= since {
                self.orphans().entry(row.call).or_default().push(Orphan { key, ended, is_closed: true });
            }
        }
        Ok(())
    }

    /// Whether rows that are finished wait to be exported.
    pub(super) fn is_held_up(&self) -> bool {
        self.age() < HELD_UP && self.orphans().values().flatten().any(|orphan| orphan.is_closed)
    }

    /// Turns every open row of an earlier process into a final one.
    pub(super) fn close_orphans(&self) -> Result<usize, Error> {
        let calls: Vec<CallId> = self.orphans().keys().copied().collect();
        let closed = calls.into_iter().try_fold(0, |closed, call| Ok::<_, Error>(closed + self.close_orphan(call)?))?;
        self.sync()?;
        Ok(closed)
    }

    /// A live call is somebody else's from now on: its open rows wait like those of a dead process.
    pub(super) fn abandon(&self, call: CallId, ended: Wall) {
        self.retaken.lock().0.remove(&call);
        let keys = self.forget_open(call);
        if !keys.is_empty() {
            let orphans = keys.into_iter().map(|key| Orphan { key: key.into(), ended, is_closed: false });
            self.orphans().entry(call).or_default().extend(orphans);
        }
    }

    /// Calls whose rows wait, up to so many.
    pub(super) fn waiting(&self, limit: usize) -> Vec<CallId> {
        self.orphans().keys().copied().take(limit).collect()
    }

    /// How many calls wait.
    pub(super) fn waiting_len(&self) -> usize {
        self.orphans().len()
    }

    /// Nobody else closes the rows of this call: they ended with whoever carried it. Answers how many there were.
    pub(super) fn close_orphan(&self, call: CallId) -> Result<usize, Error> {
        self.resolve(call, |row, ended| {
            close_orphan(row, ended);
            true
        })
    }

    /// Another node closes the rows of this call.
    pub(super) fn drop_orphan(&self, call: CallId) -> Result<usize, Error> {
        self.resolve(call, |_, _| false)
    }

    fn resolve(&self, call: CallId, keep: impl Fn(&mut Row, Wall) -> bool) -> Result<usize, Error> {
        let Some(rows) = self.orphans().remove(&call) else { return Ok(0) };
        let (count, mut rows) = (rows.iter().filter(|row| !row.is_closed).count(), rows.into_iter());
        while let Some(orphan) = rows.next() {
            if let Err(error) = self.resolve_one(&orphan, &keep) {
                self.orphans().entry(call).or_default().extend(std::iter::once(orphan).chain(rows));
                return Err(error);
            }
        }
        Ok(count)
    }

    fn resolve_one(&self, orphan: &Orphan, keep: impl Fn(&mut Row, Wall) -> bool) -> Result<(), Error> {
        let Some(value) = self.db().get(&orphan.key)? else { return Ok(()) };
        if orphan.is_closed {
            return self.resolve_closed(orphan, &value, keep);
        }
        let mut batch = Changes::default();
        batch.delete(&orphan.key);
        match postcard::from_bytes::<Row>(&value) {
            Ok(mut row) => {
                if keep(&mut row, orphan.ended) {
                    self.append(batch, &row)
                } else {
                    self.write(batch)
                }
            }
            Err(error) => self.set_aside(&orphan.key, &value, &error),
        }
    }

    fn resolve_closed(
        &self,
        orphan: &Orphan,
        value: &[u8],
        keep: impl Fn(&mut Row, Wall) -> bool,
    ) -> Result<(), Error> {
        let Ok(mut row) = postcard::from_bytes::<Row>(value) else { return Ok(()) };
        if !keep(&mut row, orphan.ended) {
            self.withdraw(&orphan.key)?;
        }
        Ok(())
    }

    /// Whether this node has taken the call over.
    pub(super) fn has_taken(&self, call: CallId) -> bool {
        // A disk that cannot say so is taken to say yes: a row too few can be mended, a row too many is charged.
        self.db().get(&taken_key(call)).map_or(true, |found| found.is_some())
    }

    /// Whether this process has taken the call over, and not given it away since.
    pub(super) fn has_retaken(&self, call: CallId) -> bool {
        self.retaken.lock().0.contains_key(&call)
    }

    /// Forgets calls that were taken over long ago.
    pub(super) fn forget_taken(&self, now: Wall) -> Result<(), Error> {
        let oldest = now.0.saturating_sub(u64::try_from(REMEMBERED.as_millis()).unwrap_or(0));
        for entry in self.db().from(b"t") {
            let (key, value) = entry?;
            if key.first() != Some(&b't') {
                break;
            }
            if postcard::from_bytes::<u64>(&value).is_ok_and(|at| at < oldest) {
                let mut batch = Changes::default();
                batch.delete(&key);
                self.db().write(batch)?;
            }
        }
        Ok(())
    }
}

/// Notes with the row of a call that this node has taken it over.
pub(super) fn note_taken(batch: &mut Changes, row: &Row, now: Wall) {
    // Writing a number to a vector cannot fail.
    let at = postcard::to_allocvec(&now.0).expect("a number can be written");
    batch.put(taken_key(row.call), at);
}

fn taken_key(call: CallId) -> [u8; 15] {
    let mut key = [b't'; 15];
    key[1..3].copy_from_slice(&call.shard.to_be_bytes());
    key[3..7].copy_from_slice(&call.epoch.to_be_bytes());
    key[7..].copy_from_slice(&call.call.to_be_bytes());
    key
}
