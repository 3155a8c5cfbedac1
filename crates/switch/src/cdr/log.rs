//! What the copy of this node's records lacks: each change of the outbox in its order, until the node that holds the copy has
//! confirmed it; and from that, which rows may be seen outside.
//!
//! It does not know who holds the copy, and sends nothing. A node alone has no copy, and nothing waits there.

use super::store::{Batch, Op, Store};
use crate::clock;
use crate::error::Error;
use parking_lot::Mutex;
use sip::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// A row that has no copy by then is written without one: a site that is left alone must go on writing records.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Changes that may wait, and their bytes. Past that the copy is made anew.
const CHANGES: usize = 200_000;
const BYTES: usize = 64 << 20;

/// See the module.
pub(super) struct Log {
    is_alone: bool,
    inside: Mutex<Inside>,
}

/// How far the copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nobody is there who could hold it.
    Nobody,
    /// It has to be made anew: changes that it lacks are not known any more, or its holder is new.
    Torn,
    /// It is being made; changes since its beginning are here.
    Copying,
    /// It is whole but for the changes that are here.
    Following,
}

struct Inside {
    stage: Stage,
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Since when there is no whole copy.
    since: Option<Instant>,
    /// There are other nodes, up or down: being without a copy is a lack.
    has_others: bool,
}

/// Changes that were made together.
struct Entry {
    changes: Vec<Op>,
    bytes: usize,
    /// The finished rows among them: the first sequence number, and how many.
    rows: Option<Rows>,
    at: Instant,
}

/// Finished rows with sequence numbers that follow each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) first: u64,
    pub(super) count: u64,
}

impl Entry {
    fn is_young(&self, now: Instant) -> bool {
        now.since(self.at) < PATIENCE
    }
}

impl Inside {
    fn push(&mut self, changes: Vec<Op>, rows: Option<Rows>, now: Instant) {
        let bytes = changes.iter().map(Op::bytes).sum();
        self.bytes += bytes;
        self.entries.push_back(Entry { changes, bytes, rows, at: now });
        if self.entries.len() > CHANGES || self.bytes > BYTES {
            metrics::counter!("tandem_queue_full_total", "queue" => "records").increment(1);
            self.empty(Stage::Torn);
            self.since.get_or_insert(now);
        }
    }

    fn empty(&mut self, stage: Stage) {
        self.stage = stage;
        self.entries.clear();
        self.bytes = 0;
    }

    fn is_lacking_for_long(&self, now: Instant) -> bool {
        self.since.is_none_or(|since| now.since(since) >= PATIENCE)
    }
}

impl Log {
    /// Of a node that has just started: whatever an earlier process left, its copy is made anew.
    pub(super) fn new(is_alone: bool) -> Self {
        let (stage, since) = if is_alone { (Stage::Nobody, None) } else { (Stage::Torn, Some(clock::now().mono)) };
        let entries = VecDeque::new();
        Self { is_alone, inside: Mutex::new(Inside { stage, entries, bytes: 0, since, has_others: !is_alone }) }
    }

    /// Makes a change of the outbox and notes it for the copy, both in one order.
    pub(super) fn write(&self, db: &Store, batch: Batch, rows: Option<Rows>) -> Result<(), Error> {
        if self.is_alone {
            return db.write(batch);
        }
        let mut inside = self.inside.lock();
        if matches!(inside.stage, Stage::Nobody | Stage::Torn) {
            return db.write(batch);
        }
        let changes = batch.of_rows();
        db.write(batch)?;
        if !changes.is_empty() {
            inside.push(changes, rows, clock::now().mono);
        }
        Ok(())
    }

    /// The copy is made anew from here on.
    pub(super) fn begin(&self) {
        let mut inside = self.inside.lock();
        inside.empty(Stage::Copying);
        inside.since.get_or_insert(clock::now().mono);
        inside.has_others = true;
    }

    /// The copy is whole but for what waits here.
    pub(super) fn follow(&self) {
        let mut inside = self.inside.lock();
        if inside.stage == Stage::Copying {
            (inside.stage, inside.since) = (Stage::Following, None);
        }
    }

    /// Nobody is there to hold it.
    pub(super) fn stop(&self, has_others: bool) {
        let mut inside = self.inside.lock();
        inside.empty(Stage::Nobody);
        inside.has_others = has_others;
        inside.since = has_others.then(|| inside.since.unwrap_or_else(|| clock::now().mono));
    }

    /// Whether the copy has to be made anew.
    pub(super) fn is_torn(&self) -> bool {
        self.inside.lock().stage == Stage::Torn
    }

    /// The oldest changes, of about so many bytes, how many entries these are, and whether there are more.
    pub(super) fn batch(&self, limit: usize) -> (Vec<Op>, usize, bool) {
        let inside = self.inside.lock();
        let (mut changes, mut bytes, mut count) = (Vec::new(), 0, 0);
        for entry in inside.entries.iter().take_while(|_| inside.stage == Stage::Following) {
            if bytes >= limit {
                break;
            }
            changes.extend_from_slice(&entry.changes);
            (bytes, count) = (bytes + entry.bytes, count + 1);
        }
        (changes, count, bytes >= limit && count < inside.entries.len())
    }

    /// The copy has the oldest entries.
    pub(super) fn confirm(&self, count: usize) {
        let mut inside = self.inside.lock();
        // Whatever was given up meanwhile is not confirmed by this.
        if inside.stage == Stage::Following {
            let gone = inside.entries.drain(..count).map(|entry| entry.bytes).sum::<usize>();
            inside.bytes -= gone;
        }
    }

    /// Whether another node has all rows as they are.
    pub(super) fn is_complete(&self) -> bool {
        let inside = self.inside.lock();
        inside.stage == Stage::Following && inside.entries.is_empty()
    }

    /// Rows from this sequence number on may not be seen outside yet: their copy may still come.
    pub(super) fn bound(&self, now: Instant) -> u64 {
        let inside = self.inside.lock();
        if inside.stage == Stage::Nobody {
            return u64::MAX;
        }
        if inside.stage != Stage::Following && !inside.is_lacking_for_long(now) {
            return 0;
        }
        let young = inside.entries.iter().filter(|entry| entry.is_young(now)).find_map(|entry| entry.rows);
        young.map_or(u64::MAX, |rows| rows.first)
    }

    /// Rows from this sequence number on are not known to be in a copy.
    pub(super) fn confirmed(&self) -> u64 {
        let inside = self.inside.lock();
        match inside.stage {
            Stage::Nobody if !inside.has_others => u64::MAX,
            Stage::Nobody | Stage::Torn | Stage::Copying => 0,
            Stage::Following => inside.entries.iter().find_map(|entry| entry.rows).map_or(u64::MAX, |rows| rows.first),
        }
    }

    /// Rows without a copy, of `pending`, and for how long the oldest of them has had none.
    pub(super) fn lack(&self, pending: u64, now: Instant) -> (u64, Duration) {
        let inside = self.inside.lock();
        if inside.stage != Stage::Following {
            let since = inside.since.filter(|_| pending > 0);
            let lacking = if inside.has_others { pending } else { 0 };
            return (lacking, since.map_or(Duration::ZERO, |since| now.since(since)));
        }
        let mut rows = inside.entries.iter().filter_map(|entry| Some((entry.rows?.count, entry.at))).peekable();
        let oldest = rows.peek().map_or(Duration::ZERO, |(_, at)| now.since(*at));
        (rows.map(|(count, _)| count).sum(), oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdr::store::Shelf;

    fn put(log: &Log, db: &Store, row: u64) {
        let mut batch = Batch::default();
        batch.put([&b"r"[..], &row.to_be_bytes()].concat(), [0; 100]);
        log.write(db, batch, Some(Rows { first: row, count: 1 })).expect("memory");
    }

    fn later(ms: u64) -> Instant {
        clock::now().mono + Duration::from_millis(ms)
    }

    #[test]
    fn a_row_waits_for_its_copy_and_no_longer_than_patience() {
        let (log, db) = (Log::new(false), Store::Memory(Shelf::default()));
        assert!(log.is_torn());
        put(&log, &db, 1);
        assert_eq!((log.bound(later(0)), log.bound(later(2_100)), log.confirmed()), (0, u64::MAX, 0));
        log.begin();
        put(&log, &db, 2);
        assert_eq!(log.batch(1_000).1, 0, "what is older than the copy comes first");
        log.follow();
        put(&log, &db, 3);
        assert_eq!((log.bound(later(0)), log.confirmed()), (2, 2));
        let (changes, count, is_cut) = log.batch(1);
        assert_eq!((changes.len(), count, is_cut), (1, 1, true));
        log.confirm(1);
        assert_eq!((log.bound(later(0)), log.bound(later(2_100)), log.confirmed()), (3, u64::MAX, 3));
        assert_eq!(log.lack(9, later(0)).0, 1);
        assert_eq!((log.batch(1).1, log.batch(1).2), (1, false), "whoever is given all of it may wait for more");
        log.confirm(log.batch(1_000).1);
        assert_eq!((log.bound(later(0)), log.confirmed(), log.lack(9, later(0)).0), (u64::MAX, u64::MAX, 0));
    }

    #[test]
    fn without_anybody_nothing_waits_and_the_lack_is_known() {
        let (log, db) = (Log::new(false), Store::Memory(Shelf::default()));
        log.stop(true);
        put(&log, &db, 1);
        assert_eq!((log.bound(later(0)), log.confirmed(), log.lack(1, later(0)).0), (u64::MAX, 0, 1));
        log.stop(false);
        assert_eq!((log.confirmed(), log.lack(1, later(0)).0), (u64::MAX, 0), "a cluster of one lacks nothing");
    }

    #[test]
    fn what_does_not_fit_tears_the_copy_and_an_answer_that_comes_late_confirms_nothing() {
        let (log, db) = (Log::new(false), Store::Memory(Shelf::default()));
        log.begin();
        log.follow();
        put(&log, &db, 0);
        let (_, sent, _) = log.batch(1_000);
        (1..=CHANGES as u64).for_each(|row| put(&log, &db, row));
        assert!(log.is_torn());
        log.confirm(sent);
        assert_eq!(log.confirmed(), 0);
        log.begin();
        log.follow();
        assert_eq!((log.batch(1_000).1, log.confirmed()), (0, u64::MAX));
    }
}
