//! What this node keeps of other nodes' calls, in memory: the last state of each, and when its node was last known to carry it.

use super::said::{Life, Piece, What};
use ::call::{CallId, Checkpoint};
use bytes::Bytes;
use parking_lot::Mutex;
use routing::cluster::NodeId;
use rustc_hash::FxHashMap;
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Calls that are kept at the most: as many as two nodes carry.
const CALLS: usize = 400_000;
/// Bytes of their states at the most.
const BYTES: usize = 2 << 30;

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    number: u32,
    /// The moment that the state is of.
    pub(super) written: Instant,
    /// When its node last carried it.
    pub(super) alive: Instant,
    bytes: Bytes,
    /// The caller has acknowledged the answer since the bytes were written.
    acknowledged: bool,
    /// It is a second copy; the first one is here.
    pub(super) first: Option<NodeId>,
}

/// All of them, by whose they are.
#[derive(Default)]
pub(super) struct Store(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    lives: BTreeMap<Life, FxHashMap<CallId, Entry>>,
    calls: usize,
    bytes: usize,
}

impl Inside {
    fn remove(&mut self, life: Life, call: CallId) -> Option<Entry> {
        let calls = self.lives.get_mut(&life)?;
        let entry = calls.remove(&call)?;
        if calls.is_empty() {
            self.lives.remove(&life);
        }
        self.calls -= 1;
        self.bytes -= entry.bytes.len();
        Some(entry)
    }

    fn keep(&mut self, life: Life, call: CallId, entry: Entry) -> bool {
        let known = self.lives.get(&life).and_then(|calls| calls.get(&call));
        if known.is_some_and(|known| known.number > entry.number) {
            return true;
        }
        let before = known.map(|known| known.bytes.len());
        let (calls, bytes) = (self.calls + usize::from(before.is_none()), self.bytes + entry.bytes.len());
        if calls > CALLS || bytes > BYTES {
            metrics::counter!("tandem_queue_full_total", "queue" => "checkpoints_kept").increment(1);
            return false;
        }
        (self.calls, self.bytes) = (calls, bytes - before.unwrap_or(0));
        self.lives.entry(life).or_default().insert(call, entry);
        true
    }
}

impl Store {
    /// Takes in what a node says of its calls; answers those that are not kept.
    pub(super) fn take(&self, now: Instant, life: Life, pieces: Vec<Piece>) -> Vec<CallId> {
        let mut inside = self.0.lock();
        let mut not = Vec::new();
        for Piece { call, what } in pieces {
            let kept = match what {
                What::State { .. } | What::Spare { .. } => {
                    Entry::read(what, now).is_some_and(|entry| inside.keep(life, call, entry))
                }
                What::Alive => {
                    let entry = inside.lives.get_mut(&life).and_then(|calls| calls.get_mut(&call));
                    entry.is_some_and(|entry| {
                        entry.alive = now;
                        true
                    })
                }
                What::Acknowledged { number } => {
                    let entry = inside.lives.get_mut(&life).and_then(|calls| calls.get_mut(&call));
                    entry.is_some_and(|entry| entry.acknowledge(number, now))
                }
                What::Forget => {
                    inside.remove(life, call);
                    true
                }
            };
            if !kept {
                not.push(call);
            }
        }
        not
    }

    /// Forgets a call, whosever it was.
    pub(super) fn drop_call(&self, call: CallId) {
        let mut inside = self.0.lock();
        let lives: Vec<Life> = inside.lives.keys().copied().collect();
        for life in lives {
            inside.remove(life, call);
        }
    }

    /// Forgets everything. A node whose life was ended is nobody's backup any more, and was told of no end since: what it keeps
    /// may be of calls that ended long ago, and those that go on are kept elsewhere by now.
    pub(super) fn clear(&self) {
        *self.0.lock() = Inside::default();
    }

    /// The lives of which anything is kept.
    pub(super) fn lives(&self) -> Vec<Life> {
        self.0.lock().lives.keys().copied().collect()
    }

    /// The calls of a life, each with the node that has the first copy where this one is the second.
    pub(super) fn of(&self, life: Life) -> Vec<(CallId, Option<NodeId>)> {
        let inside = self.0.lock();
        let calls = inside.lives.get(&life).into_iter().flatten();
        calls.map(|(call, entry)| (*call, entry.first)).collect()
    }

    /// Whether anything is kept of a life that is a first copy, or whose first copy is gone as `is_gone` says.
    pub(super) fn is_first_of(&self, life: Life, is_gone: impl Fn(NodeId) -> bool) -> bool {
        let inside = self.0.lock();
        inside.lives.get(&life).is_some_and(|calls| calls.values().any(|entry| entry.first.is_none_or(&is_gone)))
    }

    /// Gives one out for good.
    pub(super) fn remove(&self, life: Life, call: CallId) -> Option<Entry> {
        self.0.lock().remove(life, call)
    }

    /// Some, which stay.
    pub(super) fn some(&self, life: Life, calls: &[CallId]) -> Vec<(CallId, Entry)> {
        let inside = self.0.lock();
        let Some(kept) = inside.lives.get(&life) else { return Vec::new() };
        calls.iter().filter_map(|call| Some((*call, kept.get(call)?.clone()))).collect()
    }

    /// Whether anything is kept of a call, whosever it is but for this one: who carries a call may ask whether others could.
    pub(super) fn knows(&self, call: CallId, but: Life) -> bool {
        self.0.lock().lives.iter().any(|(life, calls)| *life != but && calls.contains_key(&call))
    }

    /// Whether a state of this call is kept.
    pub(super) fn has(&self, call: CallId) -> bool {
        self.0.lock().lives.values().any(|calls| calls.contains_key(&call))
    }

    /// How many are kept.
    pub(super) fn len(&self) -> usize {
        self.0.lock().calls
    }
}

impl Entry {
    /// As it was read from what another node said, each state by itself; nothing if there is no state in it.
    pub(super) fn read(what: What, now: Instant) -> Option<Self> {
        match what {
            What::State { number, age_ms, silent_ms, bytes } => {
                let (written, alive) = (before(now, age_ms), before(now, silent_ms));
                Some(Self { number, written, alive, bytes, acknowledged: false, first: None })
            }
            What::Spare { first, number, age_ms, bytes } => {
                let written = before(now, age_ms);
                Some(Self { number, written, alive: now, bytes, acknowledged: false, first: Some(first) })
            }
            What::Alive | What::Forget | What::Acknowledged { .. } => None,
        }
    }

    /// Notes that the answer was acknowledged, in the state of this number; whether that is known now. It says nothing of any state but
    /// the one before it.
    fn acknowledge(&mut self, number: u32, now: Instant) -> bool {
        if number == self.number.wrapping_add(1) {
            (self.number, self.acknowledged) = (number, true);
        }
        self.alive = now;
        self.number >= number
    }

    /// The state.
    pub(super) fn state(&self) -> Bytes {
        let acknowledged = || Checkpoint::acknowledged(&self.bytes).ok();
        // Whoever restores what cannot be read says so.
        let acknowledged = if self.acknowledged { acknowledged() } else { None };
        acknowledged.map_or_else(|| self.bytes.clone(), Bytes::from)
    }

    /// Bytes that are kept of it.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// As it goes on to another node.
    pub(super) fn piece(&self, call: CallId, now: Instant) -> Piece {
        let what = What::State {
            number: self.number,
            age_ms: millis(now.since(self.written)),
            silent_ms: millis(now.since(self.alive)),
            bytes: self.state(),
        };
        Piece { call, what }
    }
}

/// Milliseconds on the wire.
pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn before(now: Instant, ms: u32) -> Instant {
    Instant::from_micros(now.as_micros().saturating_sub(u64::from(ms) * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life { node: 2, incarnation: 3 };

    fn at(ms: u64) -> Instant {
        Instant::from_micros(10_000_000 + ms * 1_000)
    }

    fn id(call: u64) -> CallId {
        CallId { shard: 1, epoch: 1, call }
    }

    fn state(call: u64, number: u32, bytes: &'static [u8]) -> Piece {
        let what = What::State { number, age_ms: 100, silent_ms: 50, bytes: Bytes::from_static(bytes) };
        Piece { call: id(call), what }
    }

    #[test]
    fn the_last_state_counts_however_they_arrive() {
        let store = Store::default();
        assert!(store.take(at(0), LIFE, vec![state(1, 2, b"new"), state(1, 1, b"old")]).is_empty());
        let kept = store.some(LIFE, &[id(1), id(2)]);
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (&kept[0].1.bytes[..], kept[0].1.written, kept[0].1.alive),
            (&b"new"[..], before(at(0), 100), before(at(0), 50))
        );
        assert!(store.take(at(9), LIFE, vec![Piece { call: id(1), what: What::Alive }]).is_empty());
        assert_eq!(store.some(LIFE, &[id(1)])[0].1.alive, at(9));
    }

    #[test]
    fn that_an_answer_was_acknowledged_is_added_to_the_state_before_and_to_no_other() {
        let store = Store::default();
        let acknowledged = |number| vec![Piece { call: id(1), what: What::Acknowledged { number } }];
        let kept =
            || store.some(LIFE, &[id(1)]).pop().map(|(_, entry)| (entry.number, entry.acknowledged, entry.alive));
        assert_eq!(store.take(at(0), LIFE, acknowledged(2)), [id(1)], "without a state before");
        store.take(at(0), LIFE, vec![state(1, 2, b"answered")]);
        assert_eq!(store.take(at(1), LIFE, acknowledged(4)), [id(1)], "there is one in between");
        assert!(store.take(at(2), LIFE, acknowledged(2)).is_empty(), "it is in there");
        assert_eq!(kept(), Some((2, false, at(2))));
        assert!(store.take(at(3), LIFE, acknowledged(3)).is_empty());
        assert_eq!(kept(), Some((3, true, at(3))));
        store.take(at(4), LIFE, vec![state(1, 2, b"answered")]);
        assert_eq!(kept(), Some((3, true, at(3))), "an older state comes too late");
        store.take(at(5), LIFE, vec![state(1, 4, b"changed")]);
        assert_eq!(kept(), Some((4, false, before(at(5), 50))));
    }

    #[test]
    fn what_is_not_known_is_asked_for_and_what_is_over_is_gone() {
        let store = Store::default();
        let unknown = store.take(at(0), LIFE, vec![Piece { call: id(5), what: What::Alive }]);
        assert_eq!(unknown, [id(5)], "a state is wanted first");
        store.take(at(0), LIFE, vec![state(1, 1, b"a"), state(2, 1, b"bcd"), state(2, 2, b"b")]);
        assert_eq!((store.len(), store.0.lock().bytes), (2, 2));
        let other = Life { incarnation: 4, ..LIFE };
        store.take(at(0), other, vec![Piece { call: id(1), what: What::Forget }]);
        assert!(store.knows(id(1), other), "another life says nothing about it");
        assert!(!store.knows(id(1), LIFE), "nobody else can have it");
        store.take(at(0), LIFE, vec![Piece { call: id(1), what: What::Forget }]);
        assert!(!store.knows(id(1), other) && store.remove(LIFE, id(2)).is_some());
        let rest = |store: &Store| {
            let bytes = store.0.lock().bytes;
            (store.len(), bytes, store.lives().len())
        };
        assert_eq!(rest(&store), (0, 0, 0));
        store.take(at(0), LIFE, vec![state(1, 1, b"a")]);
        store.clear();
        assert_eq!(rest(&store), (0, 0, 0));
    }
}
