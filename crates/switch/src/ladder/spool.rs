//! Where what is fresh in all ladders is written, one behind the other.
//!
//! A message that was kept where it was read left its buffer cold and the next one without a warm one: keeping cost a call
//! ten times the instructions that it took. Memory written in its order is given back in whole blocks: a block goes once no ladder
//! has anything in it, wherever it is, and the oldest in any case when there are too many. It is cold by the time that it is written
//! again, so each entry has the processor fetch what the next one will be written to.

use super::ahead::fetch;
use parking_lot::Mutex;
use smallvec::SmallVec;
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place(u64);

impl Place {
    const fn block(self) -> u64 {
        self.0 / BLOCK as u64
    }
}

/// What a ladder has in the spool: its newest entry, and the blocks that it has written to, in their order. By the time that it lets go of
/// them its entries have gone cold, so they are not asked.
#[derive(Default, Debug)]
pub(super) struct Held {
    newest: Option<Place>,
    blocks: SmallVec<[u64; 3]>,
}

impl Held {
    /// Whether it has nothing there.
    pub(super) const fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    /// The block that the ladder begins in.
    fn origin(&self) -> Option<u64> {
        self.blocks.first().copied()
    }

    fn add(&mut self, place: Place) {
        self.newest = Some(place);
        if self.blocks.last() != Some(&place.block()) {
            self.blocks.push(place.block());
        }
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

    /// Appends what `write` makes of the room that it is given, behind what the ladder has; whether it did. Nothing is appended if it needs
    /// more than a block.
    pub(super) fn append(&self, held: &mut Held, mut write: impl FnMut(&mut [u8]) -> Option<usize>) -> bool {
        let mut inside = self.inside.lock();
        for _ in 0..2 {
            let number = inside.next.wrapping_sub(1);
            if let Some(block) = &mut inside.newest
                && let Some((head, body)) = block.bytes[block.used..].split_at_mut_checked(HEAD)
                && let Some((length, written)) =
                    write(body).and_then(|length| Some((length, u32::try_from(length).ok()?)))
            {
                // A first entry points to where none will ever be.
                head[..8].copy_from_slice(&held.newest.map_or(NONE, |place| place.0).to_le_bytes());
                head[8..].copy_from_slice(&written.to_le_bytes());
                let at = Place(number * BLOCK as u64 + block.used as u64);
                block.used += HEAD + length;
                block.holds += usize::from(held.blocks.last() != Some(&number));
                block.begun += usize::from(held.is_empty());
                block.fetch_ahead();
                held.add(at);
                return true;
            }
            self.open(&mut inside);
        }
        false
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
    pub(super) fn walk(&self, held: &Held, mut visit: impl FnMut(&[u8])) {
        let inside = self.inside.lock();
        let mut next = held.newest.map(|place| place.0);
        while let Some((before, body)) = next.and_then(|place| inside.entry(place)) {
            visit(body);
            next = Some(before);
        }
    }

    /// A ladder needs what it wrote no more.
    pub(super) fn leave(&self, held: &Held) {
        let mut inside = self.inside.lock();
        for &number in &held.blocks {
            // One that had to go is not there.
            if let Some(block) = inside.block_mut(number) {
                block.begun -= usize::from(held.origin() == Some(number));
                block.holds -= 1;
            }
            inside.give_back(number);
        }
    }

    /// Whether the block that a ladder begins in is gone, if it begins in any.
    pub(super) fn has_lost(&self, held: &Held) -> bool {
        held.origin().is_none_or(|origin| origin < self.inside.lock().first)
    }

    /// Whether the block that a ladder begins in is among those that go next, should it go on like this.
    pub(super) fn is_pressing(&self, held: &Held) -> bool {
        let Some(origin) = held.origin() else { return false };
        let (inside, room) = (self.inside.lock(), self.room());
        // In half of the room there is no haste, and of the rest it is the oldest blocks.
        let more = inside.count().saturating_sub(room / 2);
        let until = inside.blocks.range(..=origin).count() + usize::from(origin + 1 == inside.next);
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

    fn put(spool: &Spool, held: &mut Held, text: &[u8]) {
        let write = |room: &mut [u8]| {
            room.get_mut(..text.len())?.copy_from_slice(text);
            Some(text.len())
        };
        assert!(spool.append(held, write), "it fits");
    }

    fn begun(spool: &Spool, text: &[u8]) -> Held {
        let mut held = Held::default();
        put(spool, &mut held, text);
        held
    }

    /// One and its head is more than half of a block.
    fn large() -> Vec<u8> {
        vec![7; BLOCK / 2]
    }

    fn read(spool: &Spool, held: &Held) -> Vec<usize> {
        let mut found = Vec::new();
        spool.walk(held, |text| found.push(text.len()));
        found
    }

    #[test]
    fn ladders_that_are_written_in_turn_are_read_apart() {
        let spool = Spool::new(8 * BLOCK);
        let (mut a, mut b) = (begun(&spool, b"1"), begun(&spool, b"22"));
        for _ in 0..3 {
            put(&spool, &mut a, b"333");
            put(&spool, &mut b, b"4444");
        }
        assert_eq!((read(&spool, &a), read(&spool, &b)), (vec![3, 3, 3, 1], vec![4, 4, 4, 2]));
        assert!(!spool.append(&mut a, |_| None), "what fits into no block");
        assert_eq!(read(&spool, &a), [3, 3, 3, 1], "nothing of it is there");
    }

    #[test]
    fn a_block_is_given_back_when_no_ladder_has_anything_in_it_wherever_it_is() {
        let spool = Spool::new(100 * BLOCK);
        let mut ladders: Vec<Held> = (0..8).map(|_| begun(&spool, &large())).collect();
        assert_eq!(spool.size(), 8 * BLOCK);
        ladders.drain(1..6).for_each(|held| spool.leave(&held));
        assert_eq!(spool.size(), 3 * BLOCK, "the first and the last two");
        let found = ladders.iter().map(|held| read(&spool, held).len());
        assert_eq!(found.collect::<Vec<_>>(), [1, 1, 1]);
        ladders.iter().for_each(|held| spool.leave(held));
        assert_eq!((spool.size(), spool.lost()), (BLOCK, 0), "the one that is written");
        begun(&spool, &large());
        assert_eq!(spool.size(), BLOCK, "nobody needed it any more");
    }

    #[test]
    fn a_ladder_holds_each_block_that_it_has_written_to_and_lets_go_of_all_of_them() {
        let spool = Spool::new(100 * BLOCK);
        let (other, mut held) = (begun(&spool, b"1"), begun(&spool, b"22"));
        for _ in 0..4 {
            put(&spool, &mut held, &large());
            put(&spool, &mut held, b"333");
        }
        assert_eq!((read(&spool, &held).len(), spool.size()), (9, 4 * BLOCK));
        spool.leave(&held);
        assert_eq!(
            (read(&spool, &other), spool.size()),
            (vec![1], 2 * BLOCK),
            "the other's, and the one that is written"
        );
        spool.leave(&other);
        assert_eq!(spool.size(), BLOCK);
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much_and_what_others_take_counts() {
        let spool = Spool::new(4 * BLOCK);
        assert!(spool.has_lost(&Held::default()) && !spool.is_pressing(&Held::default()), "nothing is there");
        let (first, mut held) = (begun(&spool, b"1"), begun(&spool, &large()));
        for _ in 0..3 {
            put(&spool, &mut held, &large());
        }
        let last = begun(&spool, b"1");
        assert_eq!((read(&spool, &held).len(), read(&spool, &first).len()), (4, 1));
        assert!(spool.is_pressing(&held) && !spool.has_lost(&held));
        assert!(!spool.is_pressing(&last), "it is not its turn");
        put(&spool, &mut held, &large());
        assert_eq!((read(&spool, &held).len(), spool.size(), spool.lost()), (4, 4 * BLOCK, 2));
        assert!(spool.has_lost(&held) && spool.has_lost(&first) && read(&spool, &first).is_empty());
        spool.leave(&first);
        spool.taken_elsewhere(3 * BLOCK);
        put(&spool, &mut held, &large());
        assert_eq!((read(&spool, &held).len(), spool.size()), (2, 2 * BLOCK), "so much stays in any case");
        assert_eq!((spool.lost(), spool.has_lost(&last)), (1, true), "the last one, with its block");
        [last, held].iter().for_each(|held| spool.leave(held));
        assert_eq!((spool.size(), spool.lost()), (BLOCK, 0));
    }
}
