//! Why the switch cannot start or go on. What SIP can say is never an error here.

use std::net::SocketAddr;
use std::path::PathBuf;

/// See the variants.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address is taken or not ours.
    #[error("cannot listen on {transport} {address}: {source}")]
    Listen {
        /// `udp` or `tcp`.
        transport: &'static str,
        /// The address of node.toml.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The node's folder cannot be made or written.
    #[error("data_dir {}: {source}", path.display())]
    DataDir {
        /// The folder of node.toml.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process has the node's folder.
    #[error("data_dir {}: another node is running on it; stop that one or name another folder", path.display())]
    DataDirTaken {
        /// The folder of node.toml.
        path: PathBuf,
    },
    /// The outbox of call records cannot be opened or written.
    #[error("call records: {0}")]
    Records(String),
    /// The relay cannot start.
    #[error("media relay: {0}")]
    Relay(#[from] relay::Error),
    /// The tables cannot be opened.
    #[error("tables: {0}")]
    Tables(#[from] tables::Error),
    /// The other nodes cannot be joined.
    #[error("cluster: {0}")]
    Mesh(#[from] mesh::Error),
    /// An actor did not start.
    #[error("actor: {0}")]
    Spawn(#[from] ractor::SpawnErr),
    /// The resolver cannot be set up.
    #[error("DNS: {0}")]
    Resolver(String),
    /// Anything the system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}
