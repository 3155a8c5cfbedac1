//! What stands in a ladder: messages as they passed, and what was decided between them.

use ::call::effect::{MediaSide, Moved, Outcome};
use ::call::input::MediaStats;
use ::call::note::Note;
use bytes::Bytes;
use routing::cluster::NodeId;
use serde::{Deserialize, Serialize};
use sip::clock::Instant;
use sip::{Flow, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The unit of [`Tick`], in microseconds.
const TICK_MICROS: u64 = 100;

/// Time since a ladder began, in tenths of a millisecond: small, and enough for five days.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
pub struct Tick(u32);

impl Tick {
    pub(super) fn of(began: Instant, now: Instant) -> Self {
        let micros = u64::try_from(now.since(began).as_micros()).unwrap_or(u64::MAX);
        Self(u32::try_from(micros / TICK_MICROS).unwrap_or(u32::MAX))
    }

    /// As a number.
    pub(super) const fn to_bits(self) -> u32 {
        self.0
    }

    /// Of such a number.
    pub(super) const fn of_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The same as a span.
    #[must_use]
    pub const fn span(self) -> Duration {
        Duration::from_micros(self.0 as u64 * TICK_MICROS)
    }
}

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Way {
    /// To this node.
    In,
    /// From this node.
    Out,
    /// It should have gone out, and could not be handed to the network.
    Unsent,
}

/// Between which addresses a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// This node's address.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

impl Hop {
    pub(super) const fn of(flow: &Flow) -> Self {
        Self { transport: flow.transport, local: flow.local, remote: flow.remote }
    }
}

/// One message, and how often it came again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Passed {
    /// Which way.
    pub way: Way,
    /// Between which addresses: an index among those of its part.
    pub(super) hop: u8,
    /// Retransmissions of it.
    pub repeats: u16,
    /// The last of these.
    pub last: Tick,
    /// How long it was, where `bytes` is only its beginning.
    pub length: u32,
    /// Without secrets.
    pub bytes: Bytes,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum What {
    /// A message passed.
    Passed(Passed),
    /// The call decided something.
    Note(Note),
    /// An attempt, or the call, is over: its row of the call records as the outbox has it.
    Row(#[serde(with = "serde_bytes")] Box<[u8]>),
    /// A gateway does not do what it should.
    Gateway {
        /// Its trunk.
        trunk: Arc<str>,
        /// As the tables name it.
        gateway: Arc<str>,
        /// What it does instead.
        fault: Fault,
    },
    /// Audio of a side is heard for the first time on this node.
    Heard(MediaSide),
    /// The media figures of the whole call, as far as this node relayed it.
    Media(Box<MediaStats>),
    /// The call came from another node.
    Came {
        /// From which.
        from: NodeId,
        /// Why.
        why: Why,
    },
    /// The call went to another node.
    Went {
        /// To which, where that is known.
        to: Option<NodeId>,
    },
    /// A party was asked to follow the call to this node.
    Followed {
        /// Where it was asked.
        remote: SocketAddr,
        /// What it said.
        said: Said,
    },
}

/// What a gateway does instead of answering.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// It answers 503, perhaps with Retry-After in seconds.
    Unavailable(Option<u32>),
    /// It says nothing.
    Silent,
    /// The network refuses.
    Unreachable,
}

impl Fault {
    /// Of what a call says of a gateway; nothing where that is well.
    pub(super) const fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Alive => None,
            Outcome::Unavailable(seconds) => Some(Self::Unavailable(seconds)),
            Outcome::Timeout => Some(Self::Silent),
            Outcome::Unreachable => Some(Self::Unreachable),
        }
    }
}

/// Why a call came from another node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Why {
    /// That node is lost.
    NodeLost,
    /// It is being emptied.
    Drain,
}

/// What a party says that is asked to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It follows.
    Yes,
    /// Not now: 503.
    NotNow,
    /// Nothing.
    Nothing,
    /// It does not know the call any more, or will not follow.
    No,
}

impl Said {
    pub(super) const fn of(outcome: Moved) -> Self {
        match outcome {
            Moved::Answered => Self::Yes,
            Moved::Busy => Self::NotNow,
            Moved::Silent => Self::Nothing,
            Moved::Gone => Self::No,
        }
    }
}

/// One thing that happened, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Tick,
    /// What.
    pub what: What,
}

impl Entry {
    /// Bytes of a message, if it is one.
    pub(super) fn message_bytes(&self) -> usize {
        match &self.what {
            What::Passed(passed) => passed.bytes.len(),
            What::Note(_)
            | What::Row(_)
            | What::Gateway { .. }
            | What::Heard(_)
            | What::Media(_)
            | What::Came { .. }
            | What::Went { .. }
            | What::Followed { .. } => 0,
        }
    }
}

/// Entries in their order, with the addresses that their messages name.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    hops: Vec<Hop>,
    pub(super) entries: Vec<Entry>,
}

impl Part {
    /// The index of a way; one more than can be counted has none, and is not shown.
    fn hop(&mut self, hop: Hop) -> u8 {
        if let Some(at) = self.hops.iter().position(|known| *known == hop) {
            return u8::try_from(at).unwrap_or(u8::MAX);
        }
        if self.hops.len() >= usize::from(u8::MAX) {
            return u8::MAX;
        }
        self.hops.push(hop);
        u8::try_from(self.hops.len() - 1).unwrap_or(u8::MAX)
    }

    /// Adds an entry, and the way that it went if it is a message.
    pub(super) fn push(&mut self, mut entry: Entry, hop: Option<Hop>) {
        if let (What::Passed(passed), Some(hop)) = (&mut entry.what, hop) {
            passed.hop = self.hop(hop);
        }
        self.entries.push(entry);
    }

    pub(super) fn hop_of(&self, passed: &Passed) -> Option<Hop> {
        self.hops.get(usize::from(passed.hop)).copied()
    }

    /// Puts another part behind this one.
    pub(super) fn append(&mut self, other: Self) {
        let places: Vec<u8> = other.hops.iter().map(|hop| self.hop(*hop)).collect();
        self.entries.extend(other.entries.into_iter().map(|mut entry| {
            if let What::Passed(passed) = &mut entry.what {
                passed.hop = places.get(usize::from(passed.hop)).copied().unwrap_or_default();
            }
            entry
        }));
    }

    /// Bytes of all its messages.
    pub(super) fn message_bytes(&self) -> usize {
        self.entries.iter().map(Entry::message_bytes).sum()
    }
}
