//! SIP as pure code: bytes in, bytes out, time handed in.
//!
//! From the bottom: [`message`] indexes raw bytes and [`build`] writes them; [`uri`], [`addr`], [`via`], [`header`] and
//! [`multipart`] read single values on demand; [`peek`] finds what a dispatcher needs without allocating; [`frame`] cuts a
//! stream into messages. Above stand the machines: [`transaction`], [`dialog`], [`session_timer`], [`digest`], [`locate`]
//! and, with [`sdp`], offer and answer.
//!
//! This crate never opens a socket, reads a clock or draws a random number. It alone may name `rsip`.

pub mod addr;
pub mod build;
pub mod clock;
pub mod dialog;
pub mod digest;
pub mod flow;
pub mod frame;
pub mod header;
pub mod locate;
pub mod message;
pub mod method;
pub mod multipart;
pub mod name;
pub mod param;
pub mod peek;
pub mod sdp;
mod sent;
pub mod session_timer;
pub mod status;
pub mod transaction;
mod typed;
pub mod uri;
pub mod via;

pub use build::Builder;
pub use flow::{Flow, Transport};
pub use message::{Message, Start};
pub use method::Method;
pub use name::Name;
pub use sent::Sent;
