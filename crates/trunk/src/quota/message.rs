//! What members and leaders say to each other. Plain data: any serde format carries it.
//!
//! Messages may be lost, come twice, late or in another order. A [`Request`] tells *all* that its member holds and has a
//! number; only the answer to the newest number counts, and it counts once. So the leader may replace what it believes
//! by what the newest request says, and nothing is counted twice.

use super::{Refusal, Term};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// So many channels and call starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Amount {
    /// Channels.
    pub channels: u32,
    /// Call starts.
    pub starts: u32,
}

impl Amount {
    pub(super) const fn is_none(self) -> bool {
        self.channels == 0 && self.starts == 0
    }

    pub(super) const fn less(self, by: Self) -> Self {
        Self { channels: self.channels.saturating_sub(by.channels), starts: self.starts.saturating_sub(by.starts) }
    }

    pub(super) const fn plus(self, by: Self) -> Self {
        Self { channels: self.channels.saturating_add(by.channels), starts: self.starts.saturating_add(by.starts) }
    }

    pub(super) fn min(self, other: Self) -> Self {
        Self { channels: self.channels.min(other.channels), starts: self.starts.min(other.starts) }
    }
}

/// From a member to the leader: what it holds, and what it wants. A repetition differs in `round` only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The leader that is meant.
    pub term: Term,
    /// Who asks.
    pub node: u64,
    /// In which of its lives.
    pub incarnation: u64,
    /// Rises with each new request of this life.
    pub sequence: u64,
    /// The greatest [`Notice::Ask`] that the member has seen in this term.
    pub round: u64,
    /// Channels in use or free, and starts not spent. What the member had and is not here it has returned.
    pub held: Amount,
    /// Channels in use, for listings.
    pub used: u32,
    /// Calls started in this life of the node, those without a limit not counted.
    pub started: u64,
    /// How long ago the last of them was.
    pub last_start: Option<Duration>,
    /// What waiting calls need.
    pub need: Amount,
    /// What the member would like in stock beyond that.
    pub stock: Amount,
}

/// From the leader to a member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The leader's term; a member refuses all but the greatest that it has seen.
    pub term: Term,
    /// The leader's node.
    pub leader: u64,
    /// Which life of the member is meant.
    pub incarnation: u64,
    /// What is said.
    pub notice: Notice,
}

/// What a leader says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// The one answer to a request.
    Answer {
        /// Of the request.
        sequence: u64,
        /// What the member holds now beyond what the request says.
        granted: Amount,
        /// There is no more for the rest of what was needed, and why.
        short: Option<Refusal>,
        /// The last question of the leader when it decided: a later one knows better what follows.
        round: u64,
        /// More channels are held than the limit allows: those that become free are not to be used again. A leader that still counts
        /// cannot tell.
        over: Option<bool>,
    },
    /// The request has come and is not decided yet.
    Wait {
        /// Of the request.
        sequence: u64,
    },
    /// A request is wanted that says what the member holds.
    Ask {
        /// Rises with each question; the request repeats it.
        round: u64,
        /// Whatever is idle is to be returned with it.
        recall: bool,
        /// As in `Answer`; `false` where the leader cannot tell.
        over: bool,
    },
}
