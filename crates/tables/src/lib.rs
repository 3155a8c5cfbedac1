//! The replicated tables: one Raft group over all nodes, everything of it in one RocksDB a node, one atomic and durable
//! revision a change, and the published [`View`](routing::View) that calls read.
//!
//! What a row is, which rows fit each other and how a view is built is decided in `routing`; this crate orders the changes,
//! keeps them and publishes. A reader never waits: [`Handle::view`] is one atomic load, quorum or not. Nothing per call is
//! ever written here, and no socket is opened: messages to other nodes go through a [`Transport`].

mod actor;
mod ask;
pub mod backup;
mod calm;
mod command;
mod delta;
mod error;
mod front;
mod handle;
mod history;
mod identity;
mod import;
mod lead;
mod leadership;
mod piece;
mod plan;
mod proposal;
mod publisher;
mod raft;
mod replica;
mod store;
mod sweep;
mod transport;

pub use actor::{Message, Tables};
pub use calm::{Calm, breathe};
pub use error::Error;
pub use handle::Handle;
pub use history::{Revision, RevisionInfo};
pub use import::{Import, Progress};
pub use leadership::{Identity, Leadership};
pub use piece::PACKED;
pub use proposal::{Applied, Apply, Proposal, Signature};
pub use raft::NO_VOTE;
pub use store::Shelf;
pub use transport::{Alone, Answering, RaftCall, Transport, Unreachable};

use routing::cluster::{Liveness, Member};
use std::path::PathBuf;

/// Where everything is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Storage {
    /// In RocksDB in this folder; it is created, and used by nothing else.
    Disk(PathBuf),
    /// In memory, without a thread of its own, and gone with the node: for tests.
    Memory,
    /// The same, and there again when the node comes back: for simulations of crashes.
    Shelf(Shelf),
}

impl Storage {
    /// Whether what is done to it may block.
    pub(crate) const fn blocks(&self) -> bool {
        matches!(self, Self::Disk(_))
    }
}

/// Where the tables live and how much of the past they keep.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept.
    pub storage: Storage,
    /// How many revisions can be listed and returned to; the oldest go. At least 1. The same on every node of a cluster.
    pub revisions_kept: usize,
    /// How many proposals may wait; one more is refused as [`Error::Busy`]. At least 1.
    pub queue: usize,
    /// Set for a node without a mesh: it founds a cluster of one by itself, and starts as this member. `None`: whoever opens
    /// it calls [`Handle::found`], [`Handle::start`] or [`Handle::join_as`].
    pub alone: Option<Member>,
    /// Seeds what Raft leaves to chance, the times of elections; `None` for real chance.
    pub seed: Option<u64>,
}

impl Options {
    /// A node alone on a folder, with the usual limits: 1,000 revisions, 64 waiting proposals.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { alone: Some(member("node", "here", "")), ..Self::meshed(Storage::Disk(dir.into())) }
    }

    /// A node that a mesh connects with others, with the usual limits.
    #[must_use]
    pub const fn meshed(storage: Storage) -> Self {
        Self { storage, revisions_kept: 1000, queue: 64, alone: None, seed: None }
    }
}

/// A member with the least that it needs: its name, its site, and host and port of its gRPC.
#[must_use]
pub fn member(name: &str, site: &str, mesh: &str) -> Member {
    Member {
        id: 0,
        name: name.into(),
        site: site.into(),
        mesh: mesh.into(),
        http: "".into(),
        sip: Vec::new(),
        witness: false,
        incarnation: 0,
        liveness: Liveness::Up,
        protocol: PACKED,
    }
}
