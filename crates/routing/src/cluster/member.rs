//! A node as the cluster knows it.

use crate::model::Name;
use serde::{Deserialize, Serialize};

/// The number of a node: given when it joins, never given again.
pub type NodeId = u64;

/// Where a node stands in the eyes of the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Liveness {
    /// It takes part.
    Up,
    /// It takes part, but owns no shard any more and takes no new calls.
    Draining,
    /// Its lease has run out and its shards were given to others. It takes part again with a new incarnation.
    Fenced,
}

/// One node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Its name, unique among the members.
    pub name: Name,
    /// Its failure domain.
    pub site: Name,
    /// Host and port of its gRPC.
    pub mesh: Name,
    /// Host and port of its HTTP.
    pub http: Name,
    /// Host and port of each of its SIP addresses on UDP: who doubts that it is dead asks there.
    pub sip: Vec<Name>,
    /// It votes and carries no calls.
    pub witness: bool,
    /// Rises with every start of its process and after each fencing.
    pub incarnation: u64,
    /// Where it stands.
    pub liveness: Liveness,
    /// The newest protocol between nodes that it speaks.
    pub protocol: u32,
}

impl Member {
    /// Whether it may own shards.
    #[must_use]
    pub fn carries(&self) -> bool {
        !self.witness && self.liveness == Liveness::Up
    }
}
