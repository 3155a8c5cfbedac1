//! Where what is fresh in all ladders is written, one behind the other.
//!
//! A message that was kept where it was read left its buffer cold and the next one without a warm one: keeping cost a call
//! ten times the instructions that it took. Memory written in its order is given back in whole blocks: a block goes once no ladder
//! has anything in it, wherever it is, and the oldest in any case when there are too many. It is cold by the time that it is written
//! again, so each entry has the processor fetch what the next one will be written to.

use super::ahead::fetch;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a block.
const BLOCK: usize = 256 << 10;
/// Blocks that are kept however little room is allowed: the one that is written, and what was written just before.
const LEAST: usize = 2;
/// Before what was written: where the entry before it of the same ladder is, and the length.
const HEAD: usize = 12;
/// Where the entry before the first one is.
const NONE: u64 = u64::MAX;
/// Bytes that are fetched ahead: more than most entries take.
const AHEAD: usize = 1 << 10;

/// Where an entry is: bytes from the beginning of the spool, those included that are gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place(u64);

/// The block that a ladder begins in.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Origin(u64);

impl Place {
    /// Where a ladder begins whose first entry this is.
    pub(super) const fn origin(self) -> Origin {
        Origin(self.block())
    }

    const fn block(self) -> u64 {
        self.0 / BLOCK as u64
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
    /// The one that is written; every entry asks for it.
    newest: Option<Block>,
    /// The others, by their numbers, which are given once each.
    blocks: BTreeMap<u64, Block>,
    /// The number of the next block: one more than that of the newest.
    next: u64,
    /// All blocks below went by force or because nobody needed them.
    first: u64,
    spare: Option<Box<[u8]>>,
    /// Ladders that began in blocks that had to go.
    lost: u64,
}

struct Block {
    bytes: Box<[u8]>,
    used: usize,
    /// Bytes that are fetched already.
    fetched: usize,
    /// Ladders that have anything here.
    holds: usize,
    /// Those of them that begin here.
    begun: usize,
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
            let number = inside.next.wrapping_sub(1);
            if let Some(block) = &mut inside.newest
                && let Some((head, body)) = block.bytes[block.used..].split_at_mut_checked(HEAD)
                && let Some(length) = write(body)
            {
                // A first entry points to where none will ever be.
                head[..8].copy_from_slice(&last.map_or(NONE, |place| place.0).to_le_bytes());
                head[8..].copy_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
                let at = number * BLOCK as u64 + block.used as u64;
                block.used += HEAD + length;
                block.holds += usize::from(last.is_none_or(|last| last.block() != number));
                block.begun += usize::from(last.is_none());
                block.fetch_ahead();
                return Some(Place(at));
            }
            self.open(&mut inside);
        }
        None
    }

    /// Blocks that there may be.
    fn room(&self) -> usize {
        (self.limit.saturating_sub(self.elsewhere.load(Ordering::Relaxed)) / BLOCK).max(LEAST)
    }

    /// Begins a block; the oldest may have to go for it.
    fn open(&self, inside: &mut Inside) {
        let number = inside.next;
        match inside.newest.take() {
            Some(block) if block.holds == 0 => inside.spare = Some(block.bytes),
            Some(block) => drop(inside.blocks.insert(number - 1, block)),
            None => {}
        }
        let room = self.room();
        while inside.blocks.len() >= room
            && let Some((&number, block)) = inside.blocks.first_key_value()
        {
            inside.lost += block.begun as u64;
            inside.first = number + 1;
            inside.forget(number);
        }
        let bytes = inside.spare.take().unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice());
        inside.next += 1;
        inside.newest = Some(Block { bytes, used: 0, fetched: 0, holds: 0, begun: 0 });
    }

    /// The entries of a ladder from the newest back to the first, or to the last that is still here.
    pub(super) fn walk(&self, newest: Place, mut visit: impl FnMut(&[u8])) {
        let inside = self.inside.lock();
        let mut next = newest.0;
        while let Some((before, body)) = inside.entry(next) {
            visit(body);
            next = before;
        }
    }

    /// A ladder needs what it wrote no more, all of it up to its newest entry.
    pub(super) fn leave(&self, newest: Place) {
        let mut inside = self.inside.lock();
        let mut next = newest.0;
        let mut left = None;
        while let Some((before, _)) = inside.entry(next) {
            let number = Place(next).block();
            if let Some(block) = inside.block_mut(number) {
                block.begun -= usize::from(before == NONE);
                // Entries of a ladder are in their order: those in a block follow each other.
                block.holds -= usize::from(left != Some(number));
            }
            // The block is let go once the walk has come out of it.
            if let Some(left) = left.replace(number).filter(|left| *left != number) {
                inside.give_back(left);
            }
            next = before;
        }
        if let Some(left) = left {
            inside.give_back(left);
        }
    }

    /// Whether the block that a ladder begins in is gone.
    pub(super) fn has_lost(&self, origin: &Origin) -> bool {
        origin.0 < self.inside.lock().first
    }

    /// Whether the block that a ladder begins in is among those that go next, should it go on like this.
    pub(super) fn is_pressing(&self, origin: &Origin) -> bool {
        let (inside, room) = (self.inside.lock(), self.room());
        // In half of the room there is no haste, and of the rest it is the oldest blocks.
        let more = inside.count().saturating_sub(room / 2);
        let until = inside.blocks.range(..=origin.0).count() + usize::from(origin.0 + 1 == inside.next);
        more > 0 && until <= more
    }

    /// Bytes of the same room are taken elsewhere.
    pub(super) fn taken_elsewhere(&self, bytes: usize) {
        self.elsewhere.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.inside.lock().count() * BLOCK
    }

    /// Ladders that lost their beginning since this was last asked.
    pub(super) fn lost(&self) -> u64 {
        std::mem::take(&mut self.inside.lock().lost)
    }
}

impl Block {
    /// Has what comes next fetched while others do something else: whoever wrote it would wait for it before letting go of the lock.
    fn fetch_ahead(&mut self) {
        let end = (self.used + AHEAD).min(self.bytes.len());
        if let Some(ahead) = self.bytes.get(self.used.max(self.fetched)..end) {
            fetch(ahead);
            self.fetched = end;
        }
    }
}

impl Inside {
    fn count(&self) -> usize {
        self.blocks.len() + usize::from(self.newest.is_some())
    }

    fn block(&self, number: u64) -> Option<&Block> {
        if number + 1 == self.next { self.newest.as_ref() } else { self.blocks.get(&number) }
    }

    fn block_mut(&mut self, number: u64) -> Option<&mut Block> {
        if number + 1 == self.next { self.newest.as_mut() } else { self.blocks.get_mut(&number) }
    }

    fn forget(&mut self, number: u64) {
        if let Some(block) = self.blocks.remove(&number) {
            self.spare = Some(block.bytes);
        }
    }

    /// Lets a block go that nobody needs and that is not the one that is written.
    fn give_back(&mut self, number: u64) {
        if self.blocks.get(&number).is_some_and(|block| block.holds == 0) {
            self.forget(number);
        }
    }

    /// What was written to a place, and where the entry before it of the same ladder is.
    fn entry(&self, place: u64) -> Option<(u64, &[u8])> {
        let block = self.block(place / BLOCK as u64)?;
        let entry = block.bytes[..block.used].get(usize::try_from(place % BLOCK as u64).ok()?..)?;
        let (before, rest) = entry.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        Some((u64::from_le_bytes(*before), rest.get(..u32::from_le_bytes(*length) as usize)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(spool: &Spool, last: Option<Place>, text: &[u8]) -> Place {
        let write = |room: &mut [u8]| {
            room.get_mut(..text.len())?.copy_from_slice(text);
            Some(text.len())
        };
        spool.append(last, write).expect("it fits")
    }

    /// One and its head is more than half of a block.
    fn large() -> Vec<u8> {
        vec![7; BLOCK / 2]
    }

    fn read(spool: &Spool, newest: Place) -> Vec<usize> {
        let mut found = Vec::new();
        spool.walk(newest, |text| found.push(text.len()));
        found
    }

    #[test]
    fn ladders_that_are_written_in_turn_are_read_apart() {
        let spool = Spool::new(8 * BLOCK);
        let mut a = put(&spool, None, b"1");
        let mut b = put(&spool, None, b"22");
        for _ in 0..3 {
            a = put(&spool, Some(a), b"333");
            b = put(&spool, Some(b), b"4444");
        }
        assert_eq!((read(&spool, a), read(&spool, b)), (vec![3, 3, 3, 1], vec![4, 4, 4, 2]));
        assert!(spool.append(None, |_| None).is_none(), "what fits into no block");
    }

    #[test]
    fn a_block_is_given_back_when_no_ladder_has_anything_in_it_wherever_it_is() {
        let spool = Spool::new(100 * BLOCK);
        let mut ladders: Vec<Place> = (0..8).map(|_| put(&spool, None, &large())).collect();
        assert_eq!(spool.size(), 8 * BLOCK);
        ladders.drain(1..6).for_each(|newest| spool.leave(newest));
        assert_eq!(spool.size(), 3 * BLOCK, "the first and the last two");
        let found = ladders.iter().map(|newest| read(&spool, *newest).len());
        assert_eq!(found.collect::<Vec<_>>(), [1, 1, 1]);
        ladders.into_iter().for_each(|newest| spool.leave(newest));
        assert_eq!((spool.size(), spool.lost()), (BLOCK, 0), "the one that is written");
        put(&spool, None, &large());
        assert_eq!(spool.size(), BLOCK, "nobody needed it any more");
    }

    #[test]
    fn a_ladder_holds_each_block_that_it_has_written_to_and_lets_go_of_all_of_them() {
        let spool = Spool::new(100 * BLOCK);
        let other = put(&spool, None, b"1");
        let mut newest = put(&spool, None, b"22");
        for _ in 0..4 {
            newest = put(&spool, Some(newest), &large());
            newest = put(&spool, Some(newest), b"333");
        }
        assert_eq!((read(&spool, newest).len(), spool.size()), (9, 4 * BLOCK));
        spool.leave(newest);
        assert_eq!(
            (read(&spool, other), spool.size()),
            (vec![1], 2 * BLOCK),
            "the other's, and the one that is written"
        );
        spool.leave(other);
        assert_eq!(spool.size(), BLOCK);
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_and_what_others_take_counts() {
        let spool = Spool::new(4 * BLOCK);
        let first = put(&spool, None, &large());
        let origin = first.origin();
        let mut newest = first;
        for _ in 0..3 {
            newest = put(&spool, Some(newest), &large());
        }
        assert_eq!(read(&spool, newest).len(), 4);
        assert!(spool.is_pressing(&origin) && !spool.has_lost(&origin));
        assert!(!spool.is_pressing(&newest.origin()), "it is not its turn");
        newest = put(&spool, Some(newest), &large());
        assert_eq!((read(&spool, newest).len(), spool.size(), spool.lost()), (4, 4 * BLOCK, 1));
        assert!(spool.has_lost(&origin) && read(&spool, first).is_empty());
        spool.taken_elsewhere(3 * BLOCK);
        newest = put(&spool, Some(newest), &large());
        assert_eq!((read(&spool, newest).len(), spool.size()), (2, 2 * BLOCK), "so much stays in any case");
        spool.leave(newest);
        assert_eq!((spool.size(), spool.lost()), (BLOCK, 0));
    }
}
