//! Why the console does not start.

use std::net::SocketAddr;

/// Everything that can go wrong at start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Anybody on the network could change the tables.
    #[error(
        "[http] listen = \"{0}\" is no loopback address, and no token is set; add `tokens` to [http], or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// A token that is easily guessed.
    #[error(
        "token {0} of [http] is shorter than 16 characters; make a longer one, for example with `openssl rand -hex 16`"
    )]
    ShortToken(usize),
    /// A token that may do nothing, or a scope that does not exist.
    #[error("token {at} of [http]: {what}; scopes are {known}")]
    Scope {
        /// Which token, counted from 1.
        at: usize,
        /// What is wrong.
        what: String,
        /// The scopes that exist.
        known: String,
    },
    /// The port cannot be taken.
    #[error("[http] listen = \"{listen}\": {source}")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another recorder of metrics is installed in this process, or a setting of ours is wrong.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(String),
}
