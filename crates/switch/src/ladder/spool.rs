//! Where what is fresh in all ladders is written, one behind the other.
//!
//! A message that was kept where it was read left its buffer cold and the next one without a warm one: keeping cost a call
//! ten times the instructions that it took. Memory written in its order is fetched ahead, and is given back in whole blocks:
//! a block goes once no ladder begins in it or before it, and the oldest in any case when there are too many.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a block.
const BLOCK: usize = 256 << 10;
/// Blocks that are kept however little room is allowed: the one that is written, and what was written just before.
const LEAST: usize = 2;
/// Before what was written: where the entry before it of the same ladder is, and the length.
const HEAD: usize = 12;

/// Where an entry is: bytes from the beginning of the spool, those included that are gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place(u64);

/// The block that a ladder begins in, and holds until it leaves.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Hold(u64);

impl Place {
    /// What a ladder holds whose first entry this is.
    pub(super) const fn hold(self) -> Hold {
        Hold(self.0 / BLOCK as u64)
    }
}

/// See the module.
pub(super) struct Spool {
    inside: Mutex<Inside>,
    limit: usize,
    /// Bytes that others take of the same room.
    elsewhere: AtomicUsize,
}

#[derive(Default)]
struct Inside {
    /// The number of the oldest block.
    first: u64,
    blocks: VecDeque<Block>,
    spare: Option<Box<[u8]>>,
    /// Ladders that began in blocks that had to go.
    lost: u64,
}

struct Block {
    bytes: Box<[u8]>,
    used: usize,
    /// Ladders that begin here.
    holds: usize,
}

impl Spool {
    /// Of so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { inside: Mutex::default(), limit, elsewhere: AtomicUsize::new(0) }
    }

    /// Appends what `write` makes of the room that it is given; `last` is the entry before it of the same ladder. Nothing is
    /// appended if it needs more than a block.
    pub(super) fn append(
        &self,
        last: Option<Place>,
        mut write: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Option<Place> {
        let mut inside = self.inside.lock();
        for _ in 0..2 {
            let number = inside.first + inside.blocks.len() as u64;
            if let Some(block) = inside.blocks.back_mut()
                && let Some((head, body)) = block.bytes[block.used..].split_at_mut_checked(HEAD)
                && let Some(length) = write(body)
            {
                // A first entry points to where none will ever be.
                head[..8].copy_from_slice(&last.map_or(u64::MAX, |place| place.0).to_le_bytes());
                head[8..].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
                let at = (number - 1) * BLOCK as u64 + block.used as u64;
                block.used += HEAD + length;
                if last.is_none() {
                    block.holds += 1;
                }
                return Some(Place(at));
            }
            self.open(&mut inside);
        }
        None
    }

    /// Begins a block; the oldest may have to go for it.
    fn open(&self, inside: &mut Inside) {
        inside.give_back();
        let room = self.limit.saturating_sub(self.elsewhere.load(Ordering::Relaxed)) / BLOCK;
        while inside.blocks.len() >= room.max(LEAST) {
            inside.lost += inside.blocks.front().map_or(0, |block| block.holds as u64);
            inside.forget();
        }
        let bytes = inside.spare.take().unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice());
        inside.blocks.push_back(Block { bytes, used: 0, holds: 0 });
    }

    /// The entries of a ladder from the newest back to the first, or to the last that is still here.
    pub(super) fn walk(&self, newest: Place, mut visit: impl FnMut(&[u8])) {
        let inside = self.inside.lock();
        let mut next = newest.0;
        while let Some(entry) = inside.entry(next) {
            let Some((head, rest)) = entry.split_first_chunk::<8>() else { return };
            let Some((length, rest)) = rest.split_first_chunk::<4>() else { return };
            let Some(body) = rest.get(..u32::from_le_bytes(*length) as usize) else { return };
            visit(body);
            next = u64::from_le_bytes(*head);
        }
    }

    /// A ladder needs what it wrote no more.
    pub(super) fn leave(&self, hold: Hold) {
        let mut inside = self.inside.lock();
        let Some(at) = hold.0.checked_sub(inside.first) else { return };
        if let Some(block) = usize::try_from(at).ok().and_then(|at| inside.blocks.get_mut(at)) {
            block.holds = block.holds.saturating_sub(1);
        }
        inside.give_back();
    }

    /// Whether the block that a ladder begins in is gone.
    pub(super) fn has_lost(&self, hold: &Hold) -> bool {
        hold.0 < self.inside.lock().first
    }

    /// Whether the block that a ladder begins in is among those that go next, should it go on like this.
    pub(super) fn is_pressing(&self, hold: &Hold) -> bool {
        let inside = self.inside.lock();
        let behind = (inside.first + inside.blocks.len() as u64).saturating_sub(hold.0);
        let room = self.limit.saturating_sub(self.elsewhere.load(Ordering::Relaxed)) / BLOCK;
        behind > (room.max(LEAST) as u64) / 2
    }

    /// Bytes of the same room are taken elsewhere.
    pub(super) fn taken_elsewhere(&self, bytes: usize) {
        self.elsewhere.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.inside.lock().blocks.len() * BLOCK
    }

    /// Ladders that lost their beginning since this was last asked.
    pub(super) fn lost(&self) -> u64 {
        std::mem::take(&mut self.inside.lock().lost)
    }
}

impl Inside {
    fn forget(&mut self) {
        if let Some(block) = self.blocks.pop_front() {
            self.first += 1;
            self.spare = Some(block.bytes);
        }
    }

    /// Lets the oldest blocks go that nobody needs.
    fn give_back(&mut self) {
        while self.blocks.len() > 1 && self.blocks.front().is_some_and(|block| block.holds == 0) {
            self.forget();
        }
    }

    /// What was written from a place on.
    fn entry(&self, place: u64) -> Option<&[u8]> {
        let at = usize::try_from((place / BLOCK as u64).checked_sub(self.first)?).ok()?;
        let block = self.blocks.get(at)?;
        block.bytes[..block.used].get(usize::try_from(place % BLOCK as u64).ok()?..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(spool: &Spool, last: Option<Place>, text: &[u8]) -> (Place, Hold) {
        let write = |room: &mut [u8]| {
            room.get_mut(..text.len())?.copy_from_slice(text);
            Some(text.len())
        };
        let place = spool.append(last, write).expect("it fits");
        (place, place.hold())
    }

    fn read(spool: &Spool, newest: Place) -> Vec<usize> {
        let mut found = Vec::new();
        spool.walk(newest, |text| found.push(text.len()));
        found
    }

    #[test]
    fn ladders_that_are_written_in_turn_are_read_apart() {
        let spool = Spool::new(8 * BLOCK);
        let (mut a, _a) = put(&spool, None, b"1");
        let (mut b, _b) = put(&spool, None, b"22");
        for _ in 0..3 {
            a = put(&spool, Some(a), b"333").0;
            b = put(&spool, Some(b), b"4444").0;
        }
        assert_eq!((read(&spool, a), read(&spool, b)), (vec![3, 3, 3, 1], vec![4, 4, 4, 2]));
        assert!(spool.append(None, |_| None).is_none(), "what fits into no block");
    }

    #[test]
    fn a_block_is_given_back_when_no_ladder_begins_in_it_or_before_it() {
        let spool = Spool::new(100 * BLOCK);
        let large = vec![7; BLOCK / 2];
        let mut holds: Vec<Hold> = (0..8).map(|_| put(&spool, None, &large).1).collect();
        assert_eq!(spool.size(), 8 * BLOCK, "one and its head is more than half of a block");
        holds.drain(1..6).for_each(|hold| spool.leave(hold));
        assert_eq!(spool.size(), 8 * BLOCK, "the first is still there");
        spool.leave(holds.remove(0));
        assert_eq!(spool.size(), 2 * BLOCK);
        holds.into_iter().for_each(|hold| spool.leave(hold));
        assert_eq!((spool.size(), spool.lost()), (BLOCK, 0));
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_and_what_others_take_counts() {
        let spool = Spool::new(4 * BLOCK);
        let large = vec![7; BLOCK / 2];
        let (first, hold) = put(&spool, None, &large);
        let mut newest = first;
        for _ in 0..3 {
            newest = put(&spool, Some(newest), &large).0;
        }
        assert_eq!(read(&spool, newest).len(), 4);
        assert!(spool.is_pressing(&hold) && !spool.has_lost(&hold));
        newest = put(&spool, Some(newest), &large).0;
        assert_eq!((read(&spool, newest).len(), spool.size(), spool.lost()), (4, 4 * BLOCK, 1));
        assert!(spool.has_lost(&hold) && read(&spool, first).is_empty());
        spool.leave(hold);
        spool.taken_elsewhere(3 * BLOCK);
        newest = put(&spool, Some(newest), &large).0;
        assert_eq!((read(&spool, newest).len(), spool.size()), (2, 2 * BLOCK), "so much stays in any case");
    }
}
