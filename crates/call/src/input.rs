//! Everything that can happen to a call. Time and context come beside it, never in it.

use crate::effect::MediaSide;
use serde::{Deserialize, Serialize};
use sip::{Flow, Message, Transport};
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;

/// One event.
#[derive(Clone, Debug)]
pub enum Input {
    /// A checked SIP message of this call.
    Message {
        /// The message; [`sip::Message::check`] has passed.
        message: Message,
        /// How it came.
        flow: Flow,
    },
    /// Answers [`crate::Effect::Admit`].
    Admitted(Result<(), Refused>),
    /// Answers [`crate::Effect::Seize`].
    Seized {
        /// Which attempt.
        attempt: u32,
        /// Where to send it, best first (never empty), or why not.
        result: Result<SmallVec<[Hop; 1]>, Refused>,
    },
    /// Answers [`crate::Effect::Anchor`]: our media address for each stream towards leg A and leg B, or no port was left.
    Anchored(Option<SmallVec<[[SocketAddr; 2]; 1]>>),
    /// Media of a side was heard for the first time.
    MediaHeard(MediaSide),
    /// Both sides should have sent since the answer, and only this one was heard, or neither.
    MediaUnheard {
        /// Who was heard.
        heard: Option<MediaSide>,
    },
    /// No media on any side that should send, for the relay's limit.
    MediaSilent,
    /// Answers [`crate::Effect::FreeMedia`]: the last figures.
    MediaFreed(Box<MediaStats>),
    /// A message could not be handed to the network (ICMP, connection refused or broken).
    Unreachable {
        /// The mark of its [`crate::Effect::Send`].
        mark: u32,
    },
    /// An operator, a drain or a shutdown ends the call.
    Hangup {
        /// For the record, such as `operator` or `shutdown`.
        reason: &'static str,
    },
}

/// Why a trunk does not take a call now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refused {
    /// All channels are in use.
    Channels,
    /// Too many calls in this second.
    Rate,
    /// Whoever leads the trunk's limits in the cluster cannot be asked.
    NoLeader,
    /// Nothing is registered there.
    NotRegistered,
    /// Its name does not resolve.
    Unresolvable,
    /// The trunk or user is not there any more.
    Gone,
}

/// One place where an attempt can be sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hop {
    /// The gateway as the tables name it, for its health; `None` for a registered contact.
    pub gateway: Option<Arc<str>>,
    /// The host part of the Request-URI, with its port if one was written.
    pub host: Arc<str>,
    /// The whole Request-URI instead, when a registered contact prescribes it.
    pub uri: Option<Arc<str>>,
    /// Path of a registration, to be written as Route.
    pub route: Option<Arc<str>>,
    /// The transport.
    pub transport: Transport,
    /// The resolved address.
    pub remote: SocketAddr,
    /// The flow of a registration, to be used instead of a new one.
    pub flow: Option<Flow>,
}

/// Media figures of one side of a call (of its first audio stream).
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SideStats {
    /// Packets taken from this side.
    pub packets: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// Packets lost on the way to us.
    pub lost: u64,
    /// Interarrival jitter in milliseconds (RFC 3550 §6.4.1).
    pub jitter_ms: f32,
    /// Estimated listening quality, 1.0–4.5 (ITU-T G.107), 0 if unknown.
    pub mos: f32,
    /// The payload type last seen.
    pub payload_type: Option<u8>,
}

/// Media figures of a call.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MediaStats {
    /// From leg A.
    pub a: SideStats,
    /// From leg B.
    pub b: SideStats,
}
