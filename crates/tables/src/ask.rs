//! What only the leader can do, as it travels to it, and its answers.

use crate::command::RequestId;
use crate::history::Revision;
use crate::proposal::Signature;
use crate::raft::Failure;
use crate::{Applied, Error};
use bytes::Bytes;
use routing::cluster::{ClusterChange, NodeId, Outcome};
use routing::{Change, Document, RowKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    Propose {
        change: Change,
        by: Signature,
        expect: Option<Revision>,
    },
    Apply {
        document: Document,
        prune: bool,
        by: Signature,
        expect: Option<Revision>,
    },
    Rollback {
        to: Revision,
        by: Signature,
    },
    Cluster(ClusterChange),
    /// A piece of an import. Its body travels behind.
    Stage {
        import: RequestId,
        piece: u32,
        #[serde(skip)]
        body: Bytes,
    },
    Commit {
        import: RequestId,
        pieces: u32,
        replace: Vec<RowKey>,
        by: Signature,
        expect: Option<Revision>,
    },
    Discard {
        import: RequestId,
    },
    ReadIndex,
    AddLearner {
        node: NodeId,
        address: String,
    },
    SetVoters(BTreeSet<NodeId>),
    RemoveLearner(NodeId),
}

impl Ask {
    /// Whether it changes the rows, so that it is decided one after the other.
    pub(crate) const fn is_revision(&self) -> bool {
        matches!(self, Self::Propose { .. } | Self::Apply { .. } | Self::Rollback { .. } | Self::Commit { .. })
    }

    /// Whether it is decided on what is stored, so that nothing may be decided before it in the same batch.
    pub(crate) const fn stands_alone(&self) -> bool {
        matches!(self, Self::Rollback { .. } | Self::Commit { .. })
    }

    /// What travels behind the header.
    pub(crate) fn body(&self) -> &[u8] {
        if let Self::Stage { body, .. } = self { body } else { &[] }
    }

    pub(crate) fn with_body(mut self, bytes: Bytes) -> Self {
        if let Self::Stage { body, .. } = &mut self {
            *body = bytes;
        }
        self
    }
}

/// What was done, and the entry that whoever asked must have applied to see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) index: u64,
    pub(crate) done: Done,
}

/// What was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Done {
    /// The revision after it, and the difference as lines if it is of interest.
    Revision {
        revision: Revision,
        lines: Vec<String>,
    },
    Cluster(Outcome),
    Nothing,
}

/// Why it was not done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// Ask another node, or this one later.
    NotLeader(String),
    /// It is under way: ask again.
    Pending,
    Busy,
    Refused(Vec<routing::Error>),
    Moved {
        expected: Revision,
        found: Revision,
    },
    NoRevision {
        asked: Revision,
        oldest: Revision,
        newest: Revision,
    },
    Membership(String),
    /// The leader's disk does not take it.
    Write(String),
    Fault(String),
}

impl Done {
    pub(crate) fn revision(self) -> Result<Revision, Error> {
        self.applied().map(|applied| applied.revision)
    }

    pub(crate) fn applied(self) -> Result<Applied, Error> {
        match self {
            Self::Revision { revision, lines } => Ok(Applied { revision, lines }),
            Self::Cluster(_) | Self::Nothing => Err(Error::Fault("the leader answered something else".into())),
        }
    }

    pub(crate) fn outcome(self) -> Result<Outcome, Error> {
        match self {
            Self::Cluster(outcome) => Ok(outcome),
            Self::Revision { .. } | Self::Nothing => Err(Error::Fault("the leader answered something else".into())),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(errors) => Self::Refused(errors),
            Error::Moved { expected, found } => Self::Moved { expected, found },
            Error::NoRevision { asked, oldest, newest } => Self::NoRevision { asked, oldest, newest },
            Error::Busy => Self::Busy,
            Error::Membership(what) => Self::Membership(what),
            Error::Stopped | Error::NotFounded | Error::NoQuorum { .. } => Self::NotLeader(error.to_string()),
            Error::Write(what) => Self::Write(what),
            Error::Database { .. } | Error::File { .. } | Error::Broken { .. } => Self::Write(error.to_string()),
            Error::Fault(what) => Self::Fault(what),
            Error::Locked { .. } | Error::Foreign { .. } | Error::Newer { .. } => Self::Fault(error.to_string()),
            Error::Identity { .. } | Error::Message { .. } => Self::Fault(error.to_string()),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotLeader(what) => Self::NotLeader(what),
            Failure::Broken(what) => Self::Write(what),
            Failure::Refused(what) => Self::Membership(what),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader(what) => Self::NoQuorum { what },
            Refusal::Pending => Self::NoQuorum { what: "the leader has not finished it".into() },
            Refusal::Busy => Self::Busy,
            Refusal::Refused(errors) => Self::Refused(errors),
            Refusal::Moved { expected, found } => Self::Moved { expected, found },
            Refusal::NoRevision { asked, oldest, newest } => Self::NoRevision { asked, oldest, newest },
            Refusal::Membership(what) => Self::Membership(what),
            Refusal::Write(what) => Self::Write(what),
            Refusal::Fault(what) => Self::Fault(what),
        }
    }
}
