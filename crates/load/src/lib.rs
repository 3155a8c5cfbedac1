//! The load generator: callers and callees in one thread that place SIP calls at a fixed rate through a switch.
//!
//! It is an *open loop*: the next call starts when the schedule says so, however slow the switch is. Every timer of
//! RFC 3261 §17 runs, every retransmission is counted, and with audio on every received sample is compared with the
//! one that the far end sent. It reads and writes SIP with a few hundred lines of its own, because a peer that shares
//! the parser under test proves less. It never follows DNS names, never speaks TCP or TLS, and knows nothing of Tandem.

pub mod audio;
mod call;
mod callee;
mod caller;
mod compose;
mod dialog;
mod digest;
mod engine;
mod histogram;
mod in_dialog;
mod net;
mod options;
mod progress;
mod report;
mod sdp;
mod tally;
mod wheel;
mod wire;

pub use histogram::{Histogram, Quantiles};
pub use net::pin_to_core;
pub use options::{Codec, Credentials, Hangup, Mix, NumberRange, Options, Scenario};
pub use progress::{Progress, Snapshot};
pub use report::{AudioReport, CalleeReport, Report, TargetReport};

use std::io;
use std::net::SocketAddr;

/// Why a run could not be done at all; calls that fail are no error but a figure in the [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be bound.
    #[error("cannot bind {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A system call on a bound socket failed in a way that no retry mends.
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    /// The options contradict each other.
    #[error("{0}")]
    Options(&'static str),
}

/// Places calls as `options` say, answers them too where `callee_bind` is set, and returns when all have ended.
///
/// Blocks the thread that calls it; poll or stop it through `progress` from another one.
///
/// # Errors
/// [`Error`] where a socket cannot be used or the options make no sense.
pub fn run(options: &Options, progress: &Progress) -> Result<Report, Error> {
    options.validate()?;
    engine::Engine::new(options, true)?.run(progress)
}

/// Only answers calls at `callee_bind` until `duration` has passed or `progress` is told to stop.
///
/// # Errors
/// [`Error`] where the socket cannot be used, or `callee_bind` is missing.
pub fn serve(options: &Options, progress: &Progress) -> Result<Report, Error> {
    if options.callee_bind.is_none() {
        return Err(Error::Options("callee_bind is needed to answer calls"));
    }
    let mut options = options.clone();
    if options.hangup == Hangup::Caller {
        // Callers that are not ours hold their calls for as long as they like.
        options.hold = std::time::Duration::ZERO;
    }
    engine::Engine::new(&options, false)?.run(progress)
}
