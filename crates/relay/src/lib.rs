//! The RTP relay: sessions that join the audio of two call legs, and the worker threads that move the packets.
//!
//! [`session`] is pure: it decides where a packet goes, learns addresses and measures quality, and touches no socket
//! and no clock. The workers own the sockets and only obey it. The switch holds a [`Handle`]: it reserves ports, says
//! what the SDP of each side negotiated, and gets the statistics back when the call ends.
//!
//! A packet never passes an actor, a lock or an allocation; RTCP of a session that is tapped costs what its taker does.
//! What this crate never does: read SDP, transcode, or know what a call is.

mod command;
mod counters;
mod error;
mod event;
mod handle;
mod media;
mod options;
mod port_pool;
mod reason;
pub mod session;
mod shard;
mod slots;
mod socket;
mod start;
mod still;
mod sys;
mod worker;

pub use counters::Gauges;
pub use error::Error;
pub use event::{Event, Events, Rtcp, SideStats, Stats, Tap};
pub use handle::{Allocation, Handle};
pub use media::{Component, Payload, PayloadKind, SessionId, Side, Update};
pub use options::{Options, monotonic};
pub use reason::{Drops, Reason};
pub use shard::{ShardMessage, spawn_shard};
pub use start::Relay;
