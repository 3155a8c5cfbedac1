//! The adapter to openraft: the only folder that knows its API, which moves between versions.

mod codec;
mod core;
mod inbox;
mod log;
mod machine;
mod network;
mod runtime;
mod writer;

pub(crate) use codec::{read as read_frame, write as write_frame};
pub use core::NO_VOTE;
pub(crate) use core::{Core, Failure, Running};
pub(crate) use runtime::seed;

use crate::command::{Answer, Command};

openraft::declare_raft_types!(
    /// Which types Raft works with here.
    pub(crate) Types:
        D = Command,
        R = Answer,
        AsyncRuntime = runtime::Runtime,
);

/// The place of an entry in the log.
pub(crate) type Id = openraft::alias::LogIdOf<Types>;
/// Who votes and who listens, and the entry that said so.
pub(crate) type Members = openraft::alias::StoredMembershipOf<Types>;
type Vote = openraft::alias::VoteOf<Types>;
type Entry = openraft::alias::EntryOf<Types>;
type Raft = openraft::Raft<Types, machine::Machine>;
