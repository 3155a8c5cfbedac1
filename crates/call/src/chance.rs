//! The seeded source of a call's random values: tags, branches, session identifiers. Never the clock, never the system.

use serde::{Deserialize, Serialize};

/// SplitMix64: eight bytes of state, and every seed is a good one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another node goes on: it draws other values than the former one may have drawn since.
    pub(crate) const fn diverge(&mut self, by: u64) {
        self.0 = self.next() ^ by;
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
