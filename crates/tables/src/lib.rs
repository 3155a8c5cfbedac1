//! The replicated tables in their local form: rows in RocksDB, one atomic and durable revision a change, and the published
//! [`View`](routing::View) that calls read.
//!
//! What a row is, which rows fit each other and how a view is built is decided in `routing`; this crate orders the changes,
//! keeps them and publishes. A reader never waits: [`Handle::view`] is one atomic load. Nothing per call is ever written here.

mod actor;
mod error;
mod handle;
mod history;
mod proposal;
mod publisher;
mod revisions;
mod store;

pub use actor::{Message, Tables};
pub use error::Error;
pub use handle::Handle;
pub use history::{Revision, RevisionInfo};
pub use proposal::{Applied, Apply, Proposal, Signature};

use std::path::PathBuf;

/// Where the tables live and how much of the past they keep.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; it is created, and used by nothing else.
    pub dir: PathBuf,
    /// How many revisions can be listed and returned to; the oldest go. At least 1.
    pub revisions_kept: usize,
    /// How many proposals may wait; one more is refused as [`Error::Busy`]. At least 1.
    pub queue: usize,
}

impl Options {
    /// The usual limits: 1,000 revisions, 64 waiting proposals.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), revisions_kept: 1000, queue: 64 }
    }
}
