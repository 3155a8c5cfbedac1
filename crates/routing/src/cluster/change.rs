//! Changes of the cluster, applied alike by every node in the order of the Raft log.
//!
//! Each names what it was decided on (an incarnation, an epoch); if that has moved on meanwhile it does nothing. A change
//! that is refused leaves no trace, not even in the version.

#[cfg(test)]
mod tests;

use super::{Cluster, Liveness, MAX_MEMBERS, MAX_NAME_BYTES, Member, NodeId, RESCUE, SHARDS};
use serde::{Deserialize, Serialize};

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClusterChange {
    /// The first change of every cluster: its name and secret, and its first node, which owns every shard.
    Found {
        /// See [`Cluster::id`].
        id: String,
        /// See [`Cluster::secret`].
        secret: [u8; 32],
        /// The founder; its number is 1 whatever it says.
        founder: Member,
    },
    /// A new node. Its number is given here, whatever it says.
    Join(Member),
    /// The process of a known node has started, or it comes back after it was fenced: a new incarnation, perhaps with other
    /// addresses or in another site. Its name must be the one that it joined with.
    /// Its incarnation is the last one that it knows of itself, 0 if that does not matter: of several starts that lay in a
    /// log undecided only one is made, else each would end the life that the one before has begun.
    Start(Member),
    /// A node's lease has run out: its shards may be taken from now on.
    Fence {
        /// Which node.
        node: NodeId,
        /// In which life of it.
        incarnation: u64,
    },
    /// Shards change hands, [`RESCUE`] at most. Steps that were decided on what has passed are left out; where that is all of
    /// them the change is refused.
    Place(Vec<Move>),
    /// A node takes no more work, or takes work again.
    Drain {
        /// Which node.
        node: NodeId,
        /// Whether it is to be emptied.
        draining: bool,
    },
    /// A node is gone for good. It must not own a shard any more.
    Remove(NodeId),
}

/// One shard's new place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// Which shard.
    pub shard: u16,
    /// Its epoch when this was decided.
    pub epoch: u32,
    /// The owner from now on.
    pub owner: Option<NodeId>,
    /// The backup from now on.
    pub backup: Option<NodeId>,
}

/// What a change did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It was made; for a node that joined or started, its number and incarnation.
    Done {
        /// The node that it was about, 0 for none.
        node: NodeId,
        /// Its incarnation, 0 for none.
        incarnation: u64,
    },
    /// It was not made.
    Stale(Stale),
}

/// Why a change did nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Stale {
    /// There is a cluster already.
    #[error("the cluster is founded already")]
    Founded,
    /// Another node has the name.
    #[error(
        "the name {0} belongs to another node of this cluster; give this one a name of its own, or remove the other first"
    )]
    NameTaken(String),
    /// No such node.
    #[error("node {0} is not a member of this cluster; it may have been removed")]
    Unknown(NodeId),
    /// It has started anew meanwhile.
    #[error("node {0} has started anew meanwhile")]
    Incarnation(NodeId),
    /// It still owns shards.
    #[error("node {0} still owns {1} shards")]
    Owns(NodeId, usize),
    /// It is fenced: only a start brings it back.
    #[error("node {0} is fenced; it takes part again when it starts")]
    Fenced(NodeId),
    /// There is no cluster yet.
    #[error("the cluster is not founded yet")]
    Unfounded,
    /// As many nodes as may be are members.
    #[error("the cluster has {0} nodes, more it may not have; remove one first")]
    Full(usize),
    /// What it says of a node or of the cluster is out of bounds.
    #[error("{0}")]
    Malformed(String),
    /// More steps than one change may have.
    #[error("{0} shards in one change; at most {RESCUE} may change hands at once")]
    Steps(usize),
    /// Every step of it was decided on an epoch that has passed, or for a node that may not own.
    #[error("the shards or the nodes have changed meanwhile")]
    Moved,
}

impl Cluster {
    /// Applies one change. Whatever happens is a function of the state and the change alone.
    pub fn apply(&mut self, change: &ClusterChange) -> Outcome {
        match self.try_apply(change) {
            Ok((node, incarnation)) => {
                self.version += 1;
                Outcome::Done { node, incarnation }
            }
            Err(stale) => Outcome::Stale(stale),
        }
    }

    fn try_apply(&mut self, change: &ClusterChange) -> Result<(NodeId, u64), Stale> {
        match change {
            ClusterChange::Found { id, secret, founder } => self.found(id, *secret, founder),
            ClusterChange::Join(member) => self.join(member),
            ClusterChange::Start(member) => self.start(member),
            ClusterChange::Fence { node, incarnation } => self.fence(*node, *incarnation),
            ClusterChange::Place(moves) => self.place(moves),
            ClusterChange::Drain { node, draining } => self.drain(*node, *draining),
            ClusterChange::Remove(node) => self.remove(*node),
        }
    }

    fn found(&mut self, id: &str, secret: [u8; 32], founder: &Member) -> Result<(NodeId, u64), Stale> {
        if !self.id.is_empty() {
            return Err(Stale::Founded);
        }
        if id.is_empty() || id.len() > MAX_NAME_BYTES {
            return Err(Stale::Malformed(format!("a cluster's id has 1 to {MAX_NAME_BYTES} bytes")));
        }
        founder.check().map_err(Stale::Malformed)?;
        (self.id, self.secret) = (id.to_owned(), secret);
        let founder = self.admit(founder);
        let owner = self.members[&founder].carries().then_some(founder);
        for shard in self.shards.iter_mut().filter(|_| owner.is_some()) {
            shard.give(owner);
        }
        Ok((founder, 1))
    }

    fn join(&mut self, member: &Member) -> Result<(NodeId, u64), Stale> {
        if self.id.is_empty() {
            return Err(Stale::Unfounded);
        }
        member.check().map_err(Stale::Malformed)?;
        if self.member_named(&member.name).is_some() {
            return Err(Stale::NameTaken(member.name.to_string()));
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(Stale::Full(self.members.len()));
        }
        Ok((self.admit(member), 1))
    }

    /// A member that was looked at, under a number of its own.
    fn admit(&mut self, member: &Member) -> NodeId {
        self.last_id += 1;
        let member = Member { id: self.last_id, incarnation: 1, liveness: Liveness::Up, ..member.clone() };
        self.members.insert(member.id, member);
        self.last_id
    }

    fn start(&mut self, member: &Member) -> Result<(NodeId, u64), Stale> {
        member.check().map_err(Stale::Malformed)?;
        let known = self.members.get_mut(&member.id).ok_or(Stale::Unknown(member.id))?;
        if known.name != member.name {
            return Err(Stale::NameTaken(member.name.to_string()));
        }
        if member.incarnation != 0 && member.incarnation != known.incarnation {
            return Err(Stale::Incarnation(member.id));
        }
        let draining = known.liveness == Liveness::Draining;
        let liveness = if draining { Liveness::Draining } else { Liveness::Up };
        let incarnation = known.incarnation + 1;
        *known = Member { incarnation, liveness, ..member.clone() };
        Ok((member.id, incarnation))
    }

    fn fence(&mut self, node: NodeId, incarnation: u64) -> Result<(NodeId, u64), Stale> {
        let member = self.members.get_mut(&node).ok_or(Stale::Unknown(node))?;
        if member.incarnation != incarnation {
            return Err(Stale::Incarnation(node));
        }
        member.liveness = Liveness::Fenced;
        Ok((node, incarnation))
    }

    fn place(&mut self, moves: &[Move]) -> Result<(NodeId, u64), Stale> {
        if moves.len() > RESCUE {
            return Err(Stale::Steps(moves.len()));
        }
        let made = moves.iter().filter(|step| self.step(step)).count();
        if made == 0 { Err(Stale::Moved) } else { Ok((0, 0)) }
    }

    /// Whether a step was made. One that was decided on an epoch that has passed, or for a node that may not own, or that
    /// would change nothing, is not.
    fn step(&mut self, step: &Move) -> bool {
        let may = |node: Option<NodeId>| node.is_none_or(|node| self.members.get(&node).is_some_and(Member::carries));
        if step.shard >= SHARDS || !may(step.owner) || !may(step.backup) {
            return false;
        }
        let shard = &mut self.shards[usize::from(step.shard)];
        let backup = step.backup.filter(|backup| Some(*backup) != step.owner);
        if shard.epoch != step.epoch || (shard.owner == step.owner && shard.backup == backup) {
            return false;
        }
        if shard.owner != step.owner {
            shard.give(step.owner);
        }
        shard.backup = backup;
        true
    }

    fn drain(&mut self, node: NodeId, draining: bool) -> Result<(NodeId, u64), Stale> {
        let member = self.members.get_mut(&node).ok_or(Stale::Unknown(node))?;
        member.liveness = match (member.liveness, draining) {
            (Liveness::Fenced, _) => return Err(Stale::Fenced(node)),
            (_, true) => Liveness::Draining,
            (_, false) => Liveness::Up,
        };
        Ok((node, member.incarnation))
    }

    fn remove(&mut self, node: NodeId) -> Result<(NodeId, u64), Stale> {
        if !self.members.contains_key(&node) {
            return Err(Stale::Unknown(node));
        }
        let owned = self.shards.iter().filter(|shard| shard.owner == Some(node)).count();
        if owned > 0 {
            return Err(Stale::Owns(node, owned));
        }
        self.members.remove(&node);
        for shard in &mut self.shards {
            shard.backup = shard.backup.filter(|backup| *backup != node);
            shard.past.retain(|(_, owner)| *owner != node);
        }
        Ok((node, 0))
    }
}
