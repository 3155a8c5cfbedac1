//! What can go wrong when the relay starts or reserves ports.

use std::io;

/// Why the relay could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The options make no sense; the text says which and how to mend it.
    #[error("relay options: {0}")]
    Options(&'static str),
    /// No free pair of ports is left, or none of those tried could be bound.
    #[error("no free media ports")]
    PortsExhausted,
    /// The process has no file descriptors left: see [`crate::Options::descriptors`].
    #[error("no file descriptors left for media sockets")]
    DescriptorsExhausted,
    /// A session has between one and [`crate::session::MAX_STREAMS`] streams.
    #[error("a media session cannot have {0} streams")]
    Streams(usize),
    /// The command queue of the worker is full; the worker does not keep up.
    #[error("the relay worker's queue is full")]
    Busy,
    /// The operating system refused.
    #[error("media socket: {0}")]
    Io(#[from] io::Error),
}
