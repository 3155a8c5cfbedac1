//! What a state hears: an input with its transaction already found, or something that became due.

use crate::effect::MediaSide;
use crate::input::{Hop, MediaStats, Refused};
use crate::transactions::Purpose;
use sip::{Flow, Message};
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;

/// A request of ours that a response or a failure is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) client: u32,
    pub(crate) purpose: Purpose,
    pub(crate) attempt: u32,
}

/// Why a request of ours got no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loss {
    Timeout,
    Unreachable,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The INVITE that makes the call.
    Invite {
        message: Arc<Message>,
        flow: Flow,
    },
    /// A request within a dialog, in order and seen for the first time.
    Request {
        server: u32,
        side: MediaSide,
        path: usize,
        message: Arc<Message>,
    },
    /// A response that is not a retransmission.
    Response {
        about: About,
        message: Box<Message>,
    },
    /// A request of ours was not answered.
    Lost {
        about: About,
        loss: Loss,
    },
    /// The ACK of a 2xx of ours. `late` is the INVITE on the other leg whose ACK waits for its body.
    Acknowledged {
        side: MediaSide,
        late: Option<u32>,
        message: Arc<Message>,
    },
    /// A 2xx of ours was never acknowledged.
    Unacknowledged {
        side: MediaSide,
    },
    /// CANCEL for an INVITE that has no final response; the CANCEL is answered.
    Cancelled {
        server: u32,
        reason: Option<Box<str>>,
    },
    Admitted(Result<(), Refused>),
    Seized {
        attempt: u32,
        result: Result<SmallVec<[Hop; 1]>, Refused>,
    },
    Anchored(Option<SmallVec<[[SocketAddr; 2]; 1]>>),
    MediaSilent,
    MediaFreed(Box<MediaStats>),
    Hangup {
        reason: &'static str,
    },
    /// Time has passed.
    Alarm,
}
