//! The order of SRV records (RFC 2782): by priority, and by lot among equals, weighted.

use super::Srv;

/// A small seeded generator (splitmix64): for spreading load, never for secrets.
#[derive(Clone, Debug)]
pub(super) struct Shuffle(u64);

impl Shuffle {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `most`, both included.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most.saturating_add(1)
    }
}

pub(super) fn by_priority(mut records: Vec<Srv>, shuffle: &mut Shuffle) -> Vec<Srv> {
    // Weight zero stands first in its group, so that it is drawn only when the lot falls on zero itself.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = records.iter().take_while(|record| record.priority == priority).count();
        let total: u64 = records[..group].iter().map(|record| u64::from(record.weight)).sum();
        let lot = shuffle.up_to(total);
        let mut sum = 0;
        let drawn = records[..group].iter().position(|record| {
            sum += u64::from(record.weight);
            sum >= lot
        });
        ordered.push(records.remove(drawn.unwrap_or(0)));
    }
    ordered
}
