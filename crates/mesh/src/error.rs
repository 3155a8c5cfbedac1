//! Why a message does not go out, or this node cannot take part.

use routing::cluster::NodeId;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything that can go wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The node is not a member that can be reached now.
    #[error("node {0} cannot be reached")]
    Unreachable(NodeId),
    /// Too much waits for that node already; this message was dropped.
    #[error("too much waits for node {0}")]
    Full(NodeId),
    /// The body is larger than a parcel may be.
    #[error("a parcel of {found} bytes is larger than the {limit} that may be sent")]
    TooLarge {
        /// Its bytes.
        found: usize,
        /// The most that is sent.
        limit: usize,
    },
    /// No answer within the asker's patience; the question may have been taken.
    #[error("node {0} did not answer in time")]
    TimedOut(NodeId),
    /// The node answered that it would not.
    #[error("node {0} refused")]
    Refused(NodeId),
    /// The address of gRPC cannot be listened on.
    #[error("cannot listen for other nodes on {address}: {why}")]
    Listen {
        /// `[cluster] listen` of node.toml.
        address: SocketAddr,
        /// Another process has it.
        taken: bool,
        /// What the system said.
        why: String,
    },
    /// Everything is refused without TLS unless all of it is loopback.
    #[error(
        "{0} is not loopback and [cluster.tls] is missing; make certificates with `tandem cluster certs` and name them there"
    )]
    Bare(String),
    /// A file of `[cluster.tls]` is unreadable or not what it should be.
    #[error("{path}: {what}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and how to mend it.
        what: String,
    },
    /// A certificate was not to be made or written.
    #[error("{path}: {what}")]
    Certificate {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The cluster does not take this node, and will not if it asks again.
    #[error("{by} refuses this node: {why}")]
    NotTaken {
        /// Who said so: an address.
        by: String,
        /// The reason.
        why: String,
    },
    /// The tables say no.
    #[error("tables: {0}")]
    Tables(String),
    /// The mesh is not running.
    #[error("the mesh is not running")]
    Stopped,
}
