//! The ladders of calls that have ended: the oldest goes when there are too many, when they take too much room, and when its
//! time is over. A restart forgets all of them.

use super::rungs::{Rungs, Shown};
use super::spool::Spool;
use ::call::CallId;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sip::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Calls at the most, however small they are.
const CALLS: usize = 200_000;
/// How often the same call may come here, leave, and be kept each time.
const LIVES: u8 = 4;

/// Which of the lives of a call on this node.
type Life = (CallId, u8);

#[derive(Default)]
struct Inside {
    kept: FxHashMap<Life, (Box<Rungs>, usize)>,
    /// The oldest first.
    order: VecDeque<(Life, Instant)>,
    bytes: usize,
}

/// See the module.
pub(super) struct Archive {
    inside: Mutex<Inside>,
    bytes: usize,
    time: Duration,
}

impl Archive {
    pub(super) fn new(bytes: usize, time: Duration) -> Self {
        Self { inside: Mutex::default(), bytes, time }
    }

    /// Keeps a ladder; others may have to go for it.
    pub(super) fn keep(&self, spool: &Spool, now: Instant, id: CallId, mut rungs: Box<Rungs>) {
        let size = rungs.size();
        let mut gone = Vec::new();
        {
            let mut inside = self.inside.lock();
            let Some(life) = (0..LIVES).map(|life| (id, life)).find(|life| !inside.kept.contains_key(life)) else {
                rungs.leave(spool);
                return evicted("lives", 1);
            };
            inside.bytes += size;
            inside.kept.insert(life, (rungs, size));
            inside.order.push_back((life, now));
            while inside.bytes > self.bytes || inside.order.len() > CALLS || inside.is_oldest_hollow(spool) {
                gone.extend(inside.forget());
            }
            spool.taken_elsewhere(inside.bytes);
        }
        // They are taken apart outside the lock.
        evicted("room", gone.len());
        gone.iter_mut().for_each(|rungs| rungs.leave(spool));
    }

    /// Forgets what is too old.
    pub(super) fn expire(&self, spool: &Spool, now: Instant) {
        let mut gone = Vec::new();
        {
            let mut inside = self.inside.lock();
            while inside.order.front().is_some_and(|(_, since)| now.since(*since) > self.time) {
                gone.extend(inside.forget());
            }
        }
        evicted("time", gone.len());
        gone.iter_mut().for_each(|rungs| rungs.leave(spool));
    }

    /// Every life of a call, the first one first.
    pub(super) fn find(&self, spool: &Spool, id: CallId) -> Vec<Shown> {
        let inside = self.inside.lock();
        let mut lives: Vec<Shown> =
            (0..LIVES).filter_map(|life| inside.kept.get(&(id, life))).map(|(rungs, _)| rungs.show(spool)).collect();
        lives.sort_by_key(|shown| shown.began.mono);
        lives
    }

    /// How many are kept, and the bytes that they take beside the spool.
    pub(super) fn size(&self) -> (usize, usize) {
        let inside = self.inside.lock();
        (inside.order.len(), inside.bytes)
    }
}

impl Inside {
    /// Whether the spool has lost all of the oldest.
    fn is_oldest_hollow(&self, spool: &Spool) -> bool {
        let oldest = self.order.front().and_then(|(life, _)| self.kept.get(life));
        oldest.is_some_and(|(rungs, _)| rungs.is_hollow(spool))
    }

    /// Takes the oldest out.
    fn forget(&mut self) -> Option<Box<Rungs>> {
        let (life, _) = self.order.pop_front()?;
        let (rungs, size) = self.kept.remove(&life)?;
        self.bytes -= size;
        Some(rungs)
    }
}

fn evicted(reason: &'static str, count: usize) {
    if count > 0 {
        metrics::counter!("tandem_ladders_evicted_total", "reason" => reason).increment(count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::What;
    use super::super::spool::Held;
    use super::*;
    use ::call::effect::MediaSide;
    use sip::clock::Now;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn id(call: u64) -> CallId {
        CallId { shard: 1, epoch: 1, call }
    }

    fn rungs(spool: &Spool, seconds: u64) -> Box<Rungs> {
        let mut rungs = Rungs::new(Now { mono: at(seconds), ..Now::default() });
        rungs.note(spool, at(seconds), &What::Heard(MediaSide::A), 8);
        Box::new(rungs)
    }

    fn large() -> Spool {
        Spool::new(1 << 20)
    }

    #[test]
    fn the_oldest_goes_when_the_room_or_its_time_is_over() {
        let spool = large();
        let size = rungs(&spool, 0).size();
        let archive = Archive::new(3 * size, Duration::from_secs(10));
        (0..5).for_each(|call| archive.keep(&spool, at(call), id(call), rungs(&spool, call)));
        let found = |archive: &Archive| (0..5).map(|call| archive.find(&spool, id(call)).len()).collect::<Vec<_>>();
        assert_eq!((found(&archive), archive.size()), (vec![0, 0, 1, 1, 1], (3, 3 * size)));
        archive.expire(&spool, at(13));
        assert_eq!((found(&archive), archive.size()), (vec![0, 0, 0, 1, 1], (2, 2 * size)));
        archive.expire(&spool, at(100));
        assert_eq!(archive.size(), (0, 0));
    }

    #[test]
    fn what_the_spool_has_lost_is_not_kept() {
        let (spool, archive) = (Spool::new(0), Archive::new(1 << 20, Duration::from_secs(10)));
        (0..3).for_each(|call| archive.keep(&spool, at(call), id(call), rungs(&spool, call)));
        let fill = |room: &mut [u8]| Some(room.len());
        (0..2).for_each(|_| assert!(spool.append(&mut Held::default(), fill)));
        archive.keep(&spool, at(3), id(3), rungs(&spool, 3));
        let kept: Vec<_> = (0..4).map(|call| archive.find(&spool, id(call)).len()).collect();
        assert_eq!((kept, archive.size().0), (vec![0, 0, 0, 1], 1));
    }

    #[test]
    fn a_call_that_was_here_twice_is_found_as_often_and_not_for_ever() {
        let (spool, archive) = (large(), Archive::new(1 << 20, Duration::from_secs(10)));
        (0..10).for_each(|life| archive.keep(&spool, at(life), id(1), rungs(&spool, life)));
        let began = || -> Vec<_> { archive.find(&spool, id(1)).iter().map(|shown| shown.began.mono).collect() };
        assert_eq!(began(), [at(0), at(1), at(2), at(3)]);
        archive.expire(&spool, at(11));
        archive.keep(&spool, at(11), id(1), rungs(&spool, 11));
        assert_eq!(began(), [at(1), at(2), at(3), at(11)]);
    }
}
