//! Longest-prefix match over an immutable set of prefixes.

use crate::digits::Prefix;

/// An immutable set of prefixes, each with a value of 32 bits.
///
/// The prefixes stand sorted in one array, each beside the place of the longest other prefix that begins it. The greatest
/// prefix not above a number, or one of those that begin it, is then the longest match: about twenty bytes a prefix,
/// however long.
#[derive(Clone, Debug, Default)]
pub struct PrefixIndex {
    entries: Vec<Entry>,
    /// Where the entries of each pattern of leading bits begin.
    directory: Vec<u32>,
    directory_shift: u32,
}

/// All of a prefix beside each other: one look into memory gives it whole.
#[derive(Clone, Copy, Debug)]
struct Entry {
    word: u64,
    value: u32,
    /// The place of the longest other prefix that begins this one.
    parent: u32,
}

const NO_PARENT: u32 = u32::MAX;

impl PrefixIndex {
    /// Of prefixes in ascending order, each once.
    ///
    /// # Panics
    /// They are not in order: the caller's mistake, never an operator's.
    #[must_use]
    pub fn build(sorted: impl Iterator<Item = (Prefix, u32)>) -> Self {
        let mut index = Self::default();
        let mut open: Vec<(Prefix, u32)> = Vec::new();
        let mut last = None;
        for (prefix, value) in sorted {
            assert!(last < Some(prefix), "prefixes must ascend");
            last = Some(prefix);
            while open.last().is_some_and(|(longer, _)| !longer.begins(prefix)) {
                open.pop();
            }
            let here = u32::try_from(index.entries.len()).expect("fewer than 2^32 prefixes");
            let parent = open.last().map_or(NO_PARENT, |(_, place)| *place);
            index.entries.push(Entry { word: prefix.word(), value, parent });
            open.push((prefix, here));
        }
        index.entries.shrink_to_fit();
        index.fill_directory();
        index
    }

    /// How many prefixes it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes on the heap.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>() + self.directory.capacity() * 4
    }

    /// The prefixes that begin `number`, the longest first, each with its value.
    pub fn matches(&self, number: Prefix) -> impl Iterator<Item = (Prefix, u32)> + '_ {
        let mut at = self.last_up_to(number.word());
        std::iter::from_fn(move || {
            while let Some(place) = at {
                let entry = self.entries[place];
                let prefix = Prefix::of_packed(entry.word);
                at = (entry.parent != NO_PARENT).then_some(entry.parent as usize);
                if prefix.begins(number) {
                    return Some((prefix, entry.value));
                }
            }
            None
        })
    }

    /// The longest prefix that begins `number`, with its value.
    #[must_use]
    pub fn longest(&self, number: Prefix) -> Option<(Prefix, u32)> {
        self.matches(number).next()
    }

    /// The place of the greatest word that is not above `limit`.
    fn last_up_to(&self, limit: u64) -> Option<usize> {
        let slot = usize::try_from(limit >> self.directory_shift).unwrap_or(usize::MAX);
        let from = *self.directory.get(slot)? as usize;
        let to = *self.directory.get(slot + 1)? as usize;
        let above = from + self.entries[from..to].partition_point(|entry| entry.word <= limit);
        above.checked_sub(1)
    }

    /// Between one and two slots a prefix, at most a million: of sixteen patterns of four bits only ten are digits, so most
    /// slots stay empty, and a large plan still needs few steps.
    fn fill_directory(&mut self) {
        let bits = (self.entries.len() * 2).max(1).ilog2().clamp(4, 20);
        self.directory_shift = 64 - bits;
        let mut place = 0;
        self.directory = (0..=(1u64 << bits))
            .map(|slot| {
                while place < self.entries.len() && self.entries[place].word >> self.directory_shift < slot {
                    place += 1;
                }
                u32::try_from(place).unwrap_or(u32::MAX)
            })
            .collect();
    }
}
