//! Everything that a call asks its shell to do, in order. The whole vocabulary is on this page.

use crate::note::Note;
use crate::record::Record;
use bytes::Bytes;
use routing::Target;
use routing::model::Trunk;
use serde::{Deserialize, Serialize};
use sip::Flow;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One thing to do. Effects are performed in the order in which they come out; what answers is said with each.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a message. `to.connection == 0` on a stream transport means: open or re-use a connection to `to.remote`.
    /// May be answered by [`crate::Input::Unreachable`] with the same mark.
    Send {
        /// The whole message.
        bytes: Bytes,
        /// How.
        to: Flow,
        /// Chosen by the call.
        mark: u32,
    },
    /// Take a channel of the ingress trunk, within its rate. Answered by [`crate::Input::Admitted`].
    Admit {
        /// The trunk.
        trunk: Arc<Trunk>,
    },
    /// Take a channel at the target of an attempt and say where it can be sent. Answered by [`crate::Input::Seized`].
    Seize {
        /// Which attempt.
        attempt: u32,
        /// Trunk, registered trunk or user.
        target: Target,
        /// For shuffling by weight.
        seed: u64,
    },
    /// Give the channel of the ingress trunk back.
    Leave {
        /// The trunk.
        trunk: Arc<Trunk>,
    },
    /// Give the channel of an attempt back.
    Surrender {
        /// Where it was seized.
        target: Target,
    },
    /// What became of a request to a gateway: feeds its health.
    Outcome {
        /// The trunk's name.
        trunk: Arc<str>,
        /// The gateway as the tables name it.
        gateway: Arc<str>,
        /// What happened.
        outcome: Outcome,
    },
    /// Reserve relay ports for this many streams on both sides. Answered by [`crate::Input::Anchored`].
    Anchor {
        /// Number of m= lines.
        streams: usize,
    },
    /// Steer one side of one stream.
    Steer(Steer),
    /// Release the relay's ports. Answered by [`crate::Input::MediaFreed`].
    FreeMedia,
    /// A record. [`Record::Open`] must be durable against the death of the process before the next effect is performed.
    Record(Record),
    /// State worth protecting has changed; the shell asks [`crate::Call::checkpoint`] if it has a backup.
    Checkpoint(Point),
    /// For metrics.
    Event(Event),
    /// For whoever asks afterwards how the call went.
    Note(Note),
    /// Nothing more will come; every channel and port was given back.
    Ended,
}

/// Which side of the relay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum MediaSide {
    /// Towards the caller's leg.
    A,
    /// Towards the callee's leg.
    B,
}

/// What one side of one stream does from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steer {
    /// Index of the m= line.
    pub stream: usize,
    /// Which side.
    pub side: MediaSide,
    /// Where its RTP goes, as its SDP says; `None` when unknown or rejected.
    pub remote: Option<SocketAddr>,
    /// Where its RTCP goes; `None` for the port after RTP's.
    pub rtcp: Option<SocketAddr>,
    /// RTP and RTCP on one port (RFC 5761).
    pub rtcp_mux: bool,
    /// Media may be sent to this side.
    pub receives: bool,
    /// Media is taken from this side.
    pub sends: bool,
    /// What was negotiated; empty: any.
    pub payloads: SmallVec<[Payload; 8]>,
}

/// One negotiated payload type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// 0–127.
    pub number: u8,
    /// Ticks a second.
    pub clock_rate: u32,
    /// RFC 4733 events rather than audio.
    pub is_event: bool,
}

/// What became of a request to a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It answered, with anything that does not say it is down.
    Alive,
    /// It answered 503, perhaps with Retry-After in seconds.
    Unavailable(Option<u32>),
    /// Silence.
    Timeout,
    /// The network refused.
    Unreachable,
}

/// The moments at which the state of a call is worth protecting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Point {
    /// An INVITE of leg B is about to leave.
    C0,
    /// A provisional response with a tag or a description went on, or an attempt gave way to the next one.
    C1,
    /// The answer is about to go to the caller.
    C2,
    /// The caller's ACK came and brought nothing: beside the state before it, its 2xx waits no more ([`Checkpoint::acknowledged`]).
    ///
    /// [`Checkpoint::acknowledged`]: crate::Checkpoint::acknowledged
    C3,
    /// The session changed: re-INVITE, UPDATE, refresh, the answer to a late offer.
    C4,
    /// The call has ended.
    C6,
}

impl Point {
    /// Whether the call will soon come to another point: it is being set up.
    #[must_use]
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::C0 | Self::C1 | Self::C2)
    }
}

/// Which way a call passes a trunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Direction {
    /// From it.
    Ingress,
    /// To it.
    Egress,
}

/// What metrics count. Trunk names only: never a number or a Call-ID.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A call was offered by, or an attempt was sent to, a trunk (or `user` for phones).
    Attempt {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
    },
    /// It was answered.
    Answered {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
    },
    /// The far end rang: from the INVITE to the first 180 or 183, or to the answer.
    Rang {
        /// The egress trunk's name.
        trunk: Arc<str>,
        /// Post-dial delay.
        delay: Duration,
    },
    /// It failed.
    Failed {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
        /// The final status, 0 for none.
        code: u16,
    },
    /// An answered leg ended.
    Ended {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
        /// From answer to end.
        duration: Duration,
    },
    /// How what came from a side sounded, over the whole call.
    Heard {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
        /// Listening quality, 1.0–4.5 (ITU-T G.107).
        mos: f32,
    },
    /// Nothing was heard of an answered leg since the answer, though nobody was on hold.
    Unheard {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
        /// Nothing of the other leg either.
        both: bool,
    },
    /// An answered leg goes on here, after it was on another node; or goes on there.
    Carried {
        /// The trunk's name.
        trunk: Arc<str>,
        /// Which way.
        direction: Direction,
        /// Whether it came.
        here: bool,
    },
    /// A party was asked to follow the call to this node.
    Moved {
        /// Where it was asked.
        remote: SocketAddr,
        /// What it said.
        outcome: Moved,
    },
}

/// What a party says to the node that takes its call over: the pace of further takeovers goes by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Moved {
    /// It has followed.
    Answered,
    /// Not now: 503.
    Busy,
    /// Nothing.
    Silent,
    /// It does not know the call any more (408, 481), or will not follow.
    Gone,
}
