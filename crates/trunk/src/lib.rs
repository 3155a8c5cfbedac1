//! What belongs to one trunk and outlives a call: its capacity, on one node or over a cluster, the health of its gateways, how numbers and callers are
//! written on each side of it, what it may not do, and our registration with its carrier.
//!
//! Pure: no socket, no clock, no randomness. Time comes in as [`sip::clock::Instant`], chance as a seed. Nothing here
//! sends a message; the machines emit what to send.

mod bucket;
pub mod caller;
pub mod capacity;
pub mod cause;
pub mod gateway;
pub mod pacing;
pub mod quota;
pub mod registration;
pub mod screening;
mod seed;
pub mod translate;

pub use caller::Identity;
pub use capacity::Capacity;
pub use cause::Failure;
pub use gateway::{Gateway, GatewaySet};
pub use quota::Refusal;
pub use registration::Registration;

/// A refusal that SIP knows: the final response and the cause that goes with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reject {
    /// Status code (RFC 3261 §21).
    pub code: u16,
    /// Cause (Q.850), for the Reason header (RFC 3326) and the call record.
    pub q850: u8,
    /// Why, in a few words for the call record: never a number.
    pub reason: &'static str,
}
