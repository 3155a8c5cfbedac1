//! The cluster's own tables: who its nodes are, and which of them owns which shard. Replicated beside the rows of the
//! operator, and changed only by the cluster itself: no document, revision or rollback touches them.
//!
//! A call, a registration and the leading actor of a trunk belong to a shard; its owner acts for it, its backup is in
//! another site and takes over. Every change of an owner raises the shard's epoch, so that two nodes never own it in one.

mod balance;
mod change;
mod member;
mod observers;
mod shard;
#[cfg(test)]
mod testing;
mod voters;

pub use balance::{RESCUE, STEP, balance};
pub use change::{ClusterChange, Move, Outcome, Stale};
pub use member::{Liveness, MAX_ADDRESS_BYTES, MAX_MEMBERS, MAX_NAME_BYTES, MAX_SIP_ADDRESSES, Member, NodeId};
pub use observers::{OBSERVERS, observers};
pub use shard::{PAST, SHARDS, Shard, shard_of};
pub use voters::{GONE, voters};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The replicated state of the cluster. A clone is cheap enough for every change: some tens of kilobytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Cluster {
    /// Names the cluster for ever; empty before it is founded.
    pub id: String,
    /// What all nodes sign their digest challenges with.
    pub secret: [u8; 32],
    /// Rises with every change.
    pub version: u64,
    members: BTreeMap<NodeId, Member>,
    shards: Vec<Shard>,
    last_id: NodeId,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            id: String::new(),
            secret: [0; 32],
            version: 0,
            members: BTreeMap::new(),
            shards: vec![Shard::default(); usize::from(SHARDS)],
            last_id: 0,
        }
    }
}

impl Cluster {
    /// The nodes by their number.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// One node.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether a node was a member once and is none any more. One that joins later than this state never was.
    #[must_use]
    pub fn was_removed(&self, id: NodeId) -> bool {
        (1..=self.last_id).contains(&id) && !self.members.contains_key(&id)
    }

    /// The node of this name.
    #[must_use]
    pub fn member_named(&self, name: &str) -> Option<&Member> {
        self.members.values().find(|member| &*member.name == name)
    }

    /// The shards by their number.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// One shard; numbers past the last wrap around.
    #[must_use]
    pub fn shard(&self, shard: u16) -> &Shard {
        &self.shards[usize::from(shard % SHARDS)]
    }

    /// Who owned a shard in an epoch: where a call with this name began. Nobody if that is too long ago.
    #[must_use]
    pub fn owner_at(&self, shard: u16, epoch: u32) -> Option<NodeId> {
        self.shard(shard).owner_at(epoch)
    }
}

/// A [`Cluster`] as it is written, before it is believed: a snapshot comes from a peer.
#[derive(Deserialize)]
struct Stored {
    id: String,
    secret: [u8; 32],
    version: u64,
    members: BTreeMap<NodeId, Member>,
    shards: Vec<Shard>,
    last_id: NodeId,
}

impl TryFrom<Stored> for Cluster {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { id, secret, version, members, shards, last_id } = stored;
        if shards.len() != usize::from(SHARDS) || shards.iter().any(|shard| shard.past.len() > PAST) {
            return Err(format!("a cluster has {SHARDS} shards with {PAST} earlier owners each at most"));
        }
        if members.len() > MAX_MEMBERS || members.iter().any(|(id, member)| *id != member.id || *id > last_id) {
            return Err(format!("a cluster has {MAX_MEMBERS} members at most, each under its number"));
        }
        members.values().try_for_each(Member::check)?;
        Ok(Self { id, secret, version, members, shards, last_id })
    }
}
