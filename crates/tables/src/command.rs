//! What stands in the log: commands that every node applies alike, and what they answer.

use crate::Revision;
use crate::history::RevisionInfo;
use bytes::Bytes;
use routing::Change;
use routing::cluster::{ClusterChange, Outcome};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names what somebody asked for, so that asking again never does it twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct RequestId {
    /// Of the process that asks: drawn at its start.
    pub(crate) process: u64,
    /// Counted there.
    pub(crate) number: u64,
}

/// One entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Revisions one after the other, decided by the leader on the tables of `base`.
    Change { base: Revision, revisions: Vec<Made> },
    /// The cluster's own tables.
    Cluster { id: RequestId, change: ClusterChange },
    /// A piece of an import, which travels beside the entry: see [`crate::piece`].
    Stage {
        import: RequestId,
        piece: u32,
        /// Of the body, which stands behind the entry.
        length: u32,
        #[serde(skip)]
        body: Bytes,
    },
    /// All pieces of an import become one revision.
    CommitStaged { id: RequestId, import: RequestId, pieces: u32, base: Revision, info: RevisionInfo },
    /// An import will not be committed.
    Discard { import: RequestId },
}

/// One revision of a [`Command::Change`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) id: RequestId,
    /// Time and signature come from the leader, so that all nodes have the same history.
    pub(crate) info: RevisionInfo,
    pub(crate) change: Change,
}

/// What applying an entry says to the leader.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Nothing to say.
    #[default]
    Nothing,
    /// The revisions that were made.
    Made(Vec<Revision>),
    /// It was decided on tables that are no longer the current ones; nothing was done.
    Moved(Revision),
    /// What the change of the cluster did.
    Cluster(Outcome),
    /// Pieces of the import are missing; nothing was done.
    Incomplete { there: u32 },
    /// Too many imports are open; nothing was done.
    Crowded,
}

/// What is remembered of an answer, for whoever asks again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Revision(Revision),
    Cluster(Outcome),
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change { base, revisions } => write!(f, "{} revisions on {base}", revisions.len()),
            Self::Cluster { .. } => write!(f, "a change of the cluster"),
            Self::Stage { piece, body, .. } => write!(f, "piece {piece} of an import, {} bytes", body.len()),
            Self::CommitStaged { pieces, base, .. } => write!(f, "an import of {pieces} pieces on {base}"),
            Self::Discard { .. } => write!(f, "the end of an import"),
        }
    }
}
