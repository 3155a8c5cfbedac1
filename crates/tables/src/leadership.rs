//! Who leads, and which data folder belongs to whom.

use routing::cluster::NodeId;
use serde::{Deserialize, Serialize};

/// What a node knows of Raft, for decisions of the mesh and for metrics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leadership {
    /// The leader and its address, as far as this node knows.
    pub leader: Option<(NodeId, String)>,
    /// Raft's term.
    pub term: u64,
    /// Whether this node leads, or did so when it last heard of the others; [`Handle::leads`](crate::Handle::leads) says
    /// it for sure.
    pub me: bool,
    /// The last entry in this node's log.
    pub log: u64,
    /// The last entry that this node knows to be on a quorum.
    pub committed: u64,
    /// The last entry that this node's tables have taken.
    pub applied: u64,
    /// On the leader: for each other node the last entry that it is known to have.
    pub matched: Vec<(NodeId, Option<u64>)>,
}

/// Whose a data folder is: written once, when the node founds or joins a cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// [`routing::cluster::Cluster::id`].
    pub cluster: String,
    /// The node's number.
    pub node: NodeId,
    /// The node's name.
    pub name: String,
}
