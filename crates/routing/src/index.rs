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
    /// Where the entries of each value of the leading digits begin.
    directory: Vec<u32>,
    /// How many leading digits that are.
    leading: u32,
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
        if self.entries.is_empty() {
            return None;
        }
        let slot = slot_of(limit, self.leading);
        let from = *self.directory.get(slot)? as usize;
        let to = *self.directory.get(slot + 1)? as usize;
        let above = from + self.entries[from..to].partition_point(|entry| entry.word <= limit);
        above.checked_sub(1)
    }

    /// Two slots a prefix at most, and a million in all. They count in tens, not by patterns of bits: of sixteen patterns six
    /// are no digit, so a million of those would tell five digits apart, not six, and a large country fill a few slots.
    fn fill_directory(&mut self) {
        self.leading = (self.entries.len() * 2).max(1).ilog10().clamp(1, MOST_LEADING);
        let mut place = 0;
        self.directory = (0..=10usize.pow(self.leading))
            .map(|slot| {
                while self.entries.get(place).is_some_and(|entry| slot_of(entry.word, self.leading) < slot) {
                    place += 1;
                }
                u32::try_from(place).unwrap_or(u32::MAX)
            })
            .collect();
    }
}

/// The most digits that a directory counts in.
const MOST_LEADING: u32 = 6;

/// The first `leading` symbols of a packed word as a decimal number: never less for a greater word. `*` and `#`, greater
/// than any digit, count as nines with all that follows them.
const fn slot_of(word: u64, leading: u32) -> usize {
    let mut nibbles = word >> (64 - 4 * leading);
    let signs = nibbles & ((nibbles << 1) | (nibbles << 2)) & 0x0088_8888;
    if signs != 0 {
        let below = (2 << signs.ilog2()) - 1;
        nibbles = (nibbles & !below) | (0x0099_9999 & below);
    }
    let pairs = (nibbles & 0x000f_0f0f) + 10 * ((nibbles >> 4) & 0x000f_0f0f);
    ((pairs & 0xff) + 100 * ((pairs >> 8) & 0xff) + 10_000 * (pairs >> 16)) as usize
}

#[cfg(test)]
mod tests {
    use super::{MOST_LEADING, slot_of};
    use crate::digits::Prefix;

    fn slot(digits: &str, leading: u32) -> usize {
        slot_of(digits.parse::<Prefix>().unwrap().word(), leading)
    }

    #[test]
    fn a_slot_counts_the_leading_digits() {
        assert_eq!(slot("442071234567", 6), 442_071);
        assert_eq!(slot("442071234567", 1), 4);
        assert_eq!(slot("44", 6), 440_000);
        assert_eq!(slot("", 3), 0);
        assert_eq!(slot("4*2", 4), 4999);
        assert_eq!(slot("#9", 2), 99);
        assert_eq!(slot("999999*", 6), 999_999);
    }

    /// Every prefix of up to three symbols, in their order.
    #[test]
    fn a_slot_never_falls_where_the_word_rises() {
        let mut words: Vec<u64> = (0..12 * 12 * 12)
            .flat_map(|at| (0..=3).map(move |len| (at, len)))
            .map(|(at, len)| {
                let symbols = [at / 144, at / 12 % 12, at % 12].map(|nibble| b"0123456789*#"[nibble]);
                std::str::from_utf8(&symbols[..len]).unwrap().parse::<Prefix>().unwrap().word()
            })
            .collect();
        words.sort_unstable();
        for leading in 1..=MOST_LEADING {
            assert!(words.is_sorted_by_key(|word| slot_of(*word, leading)), "{leading}");
        }
    }
}
