//! A node as the cluster knows it.

use crate::model::Name;
use serde::{Deserialize, Serialize};

/// The number of a node: given when it joins, never given again.
pub type NodeId = u64;

/// Most nodes of a cluster.
pub const MAX_MEMBERS: usize = 256;
/// Longest name of a node, a site or a cluster, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest address, in bytes: the longest host name, and a port.
pub const MAX_ADDRESS_BYTES: usize = 261;
/// Most SIP addresses of a node.
pub const MAX_SIP_ADDRESSES: usize = 16;

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

    /// Whether what a peer says of itself is within bounds; if not, why.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub(super) fn check(&self) -> Result<(), String> {
        for (what, name) in [("name", &self.name), ("site", &self.site)] {
            if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
                return Err(format!("a node's {what} has 1 to {MAX_NAME_BYTES} bytes without control characters"));
            }
        }
        if self.sip.len() > MAX_SIP_ADDRESSES {
            return Err(format!("a node has {MAX_SIP_ADDRESSES} SIP addresses at most"));
        }
        let mut addresses = [&self.mesh, &self.http].into_iter().chain(&self.sip);
        if addresses.any(|address| address.len() > MAX_ADDRESS_BYTES || address.chars().any(char::is_control)) {
            return Err(format!("an address has {MAX_ADDRESS_BYTES} bytes at most, without control characters"));
        }
        Ok(())
    }
}
