//! Why the tables cannot be opened, or a proposal is not taken.

use crate::Revision;
use std::path::PathBuf;

/// Everything that can go wrong. A proposal that fails has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the folder open.
    #[error("{dir} is in use by another process; stop that node first")]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder holds something that this crate did not write.
    #[error("{dir} holds `{found}`, which is no table store; give an empty folder or the right one")]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// The first thing there that does not belong.
        found: String,
    },
    /// A newer version of the software wrote the folder.
    #[error("{dir} is written in format {found}, and this version reads up to {known}; run the newer version")]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// What is stored cannot be read whole. Nothing is repaired by guessing.
    #[error("the tables in {dir} are damaged: {what}; restore the folder from a backup or from `tandem export`")]
    Broken {
        /// The folder.
        dir: PathBuf,
        /// What does not read.
        what: String,
    },
    /// RocksDB cannot work in the folder, though what it holds may be sound: a full disk, missing rights.
    #[error("the tables in {dir} cannot be opened: {what}")]
    Database {
        /// The folder.
        dir: PathBuf,
        /// What RocksDB says.
        what: String,
    },
    /// The file system refuses.
    #[error("{path}: {source}")]
    File {
        /// What was to be opened or made.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// The tables would not be valid: every reason, with file and line where one is known.
    #[error("{}", lines(.0))]
    Refused(Vec<routing::Error>),
    /// The tables have moved on since the proposal was made.
    #[error("the tables are at revision {found}, not {expected}; look at the difference again")]
    Moved {
        /// The revision that the proposal was made for.
        expected: Revision,
        /// The revision now.
        found: Revision,
    },
    /// There is no such revision, or it is too old to be returned to.
    #[error("there is no revision {asked}; those from {oldest} to {newest} are kept")]
    NoRevision {
        /// What was asked for.
        asked: Revision,
        /// The oldest that can be returned to.
        oldest: Revision,
        /// The current one.
        newest: Revision,
    },
    /// Too many proposals wait already.
    #[error("too many changes are waiting; try again")]
    Busy,
    /// The disk did not take the change, which then did not happen.
    #[error("the change could not be written: {0}")]
    Write(String),
    /// No quorum can be reached: the leader is gone and no other could be elected in time.
    #[error(
        "the change cannot be made now: no quorum of the cluster answers ({what}). Calls go on from the last tables; try \
         again when more than half of the voters reach each other"
    )]
    NoQuorum {
        /// What was tried last.
        what: String,
    },
    /// The folder belongs to no cluster yet.
    #[error("this node belongs to no cluster yet; found one or join one first")]
    NotFounded,
    /// The folder belongs to another node or another cluster.
    #[error(
        "the data folder belongs to {found}, not to {asked}; give the node its own folder, or an empty one to join with"
    )]
    Identity {
        /// Whose it is.
        found: String,
        /// Who was to use it.
        asked: String,
    },
    /// A message from another node that does not read, or comes from a version that is not known.
    #[error("a message from node {from} cannot be read: {what}; run versions that know each other")]
    Message {
        /// Who sent it.
        from: u64,
        /// What is wrong.
        what: String,
    },
    /// A change of the voters or learners that cannot be made.
    #[error("the members of the quorum cannot be changed so: {0}")]
    Membership(String),
    /// The service is not running.
    #[error("the tables are not running")]
    Stopped,
    /// A proposal broke a rule of the software itself; it has changed nothing.
    #[error("a fault in the software stopped the change: {0}")]
    Fault(String),
}

fn lines(errors: &[routing::Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
