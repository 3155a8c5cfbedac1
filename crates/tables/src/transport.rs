//! How Raft's messages reach other nodes. The bytes are opaque to whoever carries them; no socket is opened here.

use bytes::Bytes;
use routing::cluster::NodeId;
use std::pin::Pin;
use std::time::Duration;

/// Which exchange a body belongs to. The number is its code between nodes and never changes its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum RaftCall {
    /// Entries of the log, or a heartbeat.
    Append = 1,
    /// A vote, or the question whether one would be given.
    Vote = 2,
    /// A piece of a snapshot.
    Snapshot = 3,
    /// The leader hands over.
    Transfer = 4,
    /// Something that only the leader can do.
    Forward = 5,
}

impl RaftCall {
    /// Its code between nodes.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The call of a code. Nothing for one that this version does not know.
    #[must_use]
    pub const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Append),
            2 => Some(Self::Vote),
            3 => Some(Self::Snapshot),
            4 => Some(Self::Transfer),
            5 => Some(Self::Forward),
            _ => None,
        }
    }
}

/// An answer that is under way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Bytes, Unreachable>> + Send>>;

/// Carries Raft's messages to other nodes.
pub trait Transport: Send + Sync + 'static {
    /// Asks the node at `address`, host and port of its gRPC, and gives up after `patience`.
    fn call(&self, to: NodeId, address: &str, call: RaftCall, body: Bytes, patience: Duration) -> Answering;
}

/// Why a node could not be asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// The transport of a node without a mesh: there is nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Transport for Alone {
    fn call(&self, to: NodeId, _: &str, _: RaftCall, _: Bytes, _: Duration) -> Answering {
        Box::pin(async move { Err(Unreachable(format!("node {to} cannot be reached: this node runs without a mesh"))) })
    }
}
