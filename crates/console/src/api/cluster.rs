//! The cluster as one of its nodes sees it.

use super::Missing;
use serde::{Deserialize, Serialize};

/// The cluster.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cluster {
    /// Names it for ever; empty while the node belongs to none.
    pub id: String,
    /// The node that answers.
    pub me: String,
    /// The node that leads the tables, as far as this one knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The term of the Raft group.
    pub term: u64,
    /// The revision of the tables of the node that answers.
    pub revision: u64,
    /// Whether the tables take changes: a leader is known, and more than half of the voters answer it.
    pub quorum: bool,
    /// By name.
    pub nodes: Vec<Member>,
    /// Nodes that did not answer.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// A node that is to be emptied, or to take part again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Its name.
    pub node: String,
    /// Whether its calls and shards move to the others.
    pub draining: bool,
}

/// A node in the cluster. What only the node itself knows is absent while it does not answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// Unique in the cluster.
    pub name: String,
    /// Its failure domain.
    pub site: String,
    /// `up`, `draining`, `down` (it does not answer), or `fenced` (its shards were given to others).
    pub state: String,
    /// `leader`, `voter`, `learner` or `witness`.
    pub role: String,
    /// Shards that it acts for.
    pub shards_owned: u16,
    /// Shards that it takes over if their owner dies.
    pub shards_backup: u16,
    /// Milliseconds until its lease runs out, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_remaining_ms: Option<u64>,
    /// Milliseconds to it and back; absent for the node that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// Calls that it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Addresses of record of its own shards, not those of which it keeps a copy for another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrations: Option<u64>,
    /// Sessions on its relay, each of two legs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_sessions: Option<u64>,
    /// The revision of its tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Of its software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where other nodes reach it.
    pub address: String,
}
