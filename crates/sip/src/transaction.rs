//! The transactions of RFC 3261 §17, as RFC 6026 corrects them, and the two retransmissions that RFC 3261 and RFC 3262
//! lay upon the UAS core.
//!
//! Each machine is owned by a call, which performs what [`Action`] says and calls back at [`ClientInvite::poll_timeout`]
//! and its like. A machine holds the last bytes it sent for as long as it may have to send them again, and no longer. It
//! never matches messages to itself: whose message it is, the owner has found by branch and method beforehand.

mod answer;
mod client_invite;
mod client_non_invite;
mod hop;
mod resend;
mod server_invite;
mod server_non_invite;
mod timers;

pub use answer::{AnswerRetransmit, ReliableProvisional};
pub use client_invite::ClientInvite;
pub use client_non_invite::ClientNonInvite;
pub use hop::{ack_for, cancel_for};
pub use server_invite::ServerInvite;
pub use server_non_invite::ServerNonInvite;
pub use timers::Timers;

use bytes::Bytes;

/// What the owner of a machine has to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "the machine has already moved on"]
pub enum Action {
    /// Nothing: the message was a retransmission, or came at the wrong time.
    Nothing,
    /// Send these bytes where the transaction's messages go.
    Send(Bytes),
    /// Act on the message that was handed in.
    Deliver,
    /// Send these bytes (the ACK of a failure), then act on the response that was handed in.
    SendAndDeliver(Bytes),
    /// The other side never answered (timers B, F, H, 64·T1): the machine is over, and the owner has to react.
    Timeout,
    /// The machine is over; nothing else happened.
    Over,
}

#[cfg(test)]
mod tests;
