//! A shard: a thousandth of everything that is placed.

use super::NodeId;
use serde::{Deserialize, Serialize};

/// How many there are, for ever: the number rides in the name of every call.
pub const SHARDS: u16 = 1024;

/// How many earlier owners of a shard are remembered, so that messages of their calls find them.
pub const PAST: usize = 8;

/// Who acts for a shard.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shard {
    /// Who acts for it.
    pub owner: Option<NodeId>,
    /// Who takes over: in another site than the owner where there is one.
    pub backup: Option<NodeId>,
    /// Rises with every change of the owner.
    pub epoch: u32,
    /// Earlier owners with their epochs, the newest last.
    pub past: Vec<(u32, NodeId)>,
}

impl Shard {
    /// Who owned it in this epoch.
    #[must_use]
    pub fn owner_at(&self, epoch: u32) -> Option<NodeId> {
        if epoch == self.epoch {
            return self.owner;
        }
        self.past.iter().rev().find(|(then, _)| *then == epoch).map(|(_, owner)| *owner)
    }

    /// Who has owned this shard in an epoch and in those since, the first first: a call of that epoch is with one of them, since
    /// whoever takes it over owns its shard then, and keeps it when the shard moves on.
    pub fn owners_since(&self, epoch: u32) -> impl Iterator<Item = NodeId> + '_ {
        let all = self.past.iter().copied().chain(self.owner.map(|owner| (self.epoch, owner)));
        all.filter(move |(then, _)| *then >= epoch).map(|(_, owner)| owner)
    }

    /// A new owner in a new epoch; the former one is remembered.
    pub(super) fn give(&mut self, owner: Option<NodeId>) {
        if let Some(former) = self.owner {
            if self.past.len() == PAST {
                self.past.remove(0);
            }
            self.past.push((self.epoch, former));
        }
        self.owner = owner;
        self.epoch += 1;
    }
}

/// The shard of a name. The same in every version: nodes of different releases must agree.
#[must_use]
pub fn shard_of(name: &str) -> u16 {
    // FNV-1a, then a finaliser, since names differ mostly in their last characters.
    let mut hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    u16::try_from(hash % u64::from(SHARDS)).unwrap_or(0)
}
