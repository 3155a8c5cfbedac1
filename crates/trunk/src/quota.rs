//! The limits of one trunk over the whole cluster: channels in use and calls started a second.
//!
//! One [`Leader`] a trunk, on the owner of the trunk's shard, lends channels and call starts to one [`Member`] on every
//! node. A call takes from what its node holds and asks nobody; only a member that has nothing left asks. Pure: both
//! emit what to send and read no clock. They rest on these rules of their shell:
//!
//! - A leader is made once for each [`Term`]: a node that starts again, or a leader that is made anew, has a greater one.
//! - Who has joined, who is fenced and who leads is committed in one order, and each node learns it in that order. So a
//!   leader of the past does not know members that joined after it was replaced. A member is made when the tables hold
//!   the join of its own incarnation.
//! - A node is fenced only when it can use nothing any more. Whoever is made leader hears of each fencing that is
//!   not older than [`SETTLE`] once more: what it does not know of the dead it waits for.

pub mod leader;
pub mod member;
mod message;

pub use leader::Leader;
pub use member::{Acquire, Member, Ticket};
pub use message::{Amount, Notice, Reply, Request};

use routing::model::Trunk;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A message without an answer is sent again so often.
pub const RETRY: Duration = Duration::from_millis(150);
/// A leader that does not answer for so long is out of reach. Until then calls wait: a dead one is replaced, and a new one
/// may have to say nothing for 1.2 s, until nobody before it can be acting.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// A leader out of reach is asked again so often.
pub const PROBE: Duration = Duration::from_secs(1);
/// Longest wait of a call for the leader's answer: longer than [`SETTLE`] and the making of a leader together, so that no
/// call is refused only because somebody has died.
pub const MAX_WAIT: Duration = Duration::from_secs(5);
/// Calls of one node that may wait for the leader at a time.
pub const MAX_WAITING: usize = 4096;
/// Call starts expire so long after the member asked for them.
pub const VALID: Duration = Duration::from_millis(500);
/// Starts are told to the leader so soon after the first of them.
pub const TELL: Duration = Duration::from_millis(50);
/// Channels that were idle for so long are returned.
pub const IDLE: Duration = Duration::from_secs(5);
/// What a fenced node held stays counted for so long; then all are asked twice what they hold, so that who takes its calls over is
/// waited for, even if it cannot be heard.
pub const SETTLE: Duration = Duration::from_secs(1);
/// A member that has never to ask holds at most this share of the limit in stock, …
const STOCK_SHARE: u32 = 16;
/// … and at most so many.
const MAX_STOCK: u32 = 64;

/// Which limit refused a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Every channel is in use.
    Channels,
    /// More calls a second than allowed.
    Rate,
    /// The leader of the limits is out of reach, or has not decided in [`MAX_WAIT`].
    Leader,
    /// [`MAX_WAITING`] calls wait already.
    Crowded,
}

/// The limits of a trunk over the whole cluster, `None` for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Concurrent calls.
    pub channels: Option<u32>,
    /// New calls a second.
    pub cps: Option<u32>,
}

impl Limits {
    /// Of a row of the tables, where 0 is no limit.
    #[must_use]
    pub fn of(trunk: &Trunk) -> Self {
        let limit = |figure: u32| (figure > 0).then_some(figure);
        Self { channels: limit(trunk.channels), cps: limit(trunk.cps) }
    }

    /// Whether nothing is limited, so that nobody is asked.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.channels.is_none() && self.cps.is_none()
    }

    /// What a member may hold beyond what it needs.
    fn stock(self) -> Amount {
        let share = |limit: Option<u32>| (limit.unwrap_or(0) / STOCK_SHARE).min(MAX_STOCK);
        Amount { channels: share(self.channels), starts: share(self.cps) }
    }
}

/// The time in office of one leader; a greater one replaces a smaller one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Term {
    /// The epoch of the trunk's shard.
    pub epoch: u64,
    /// The incarnation of the leader's node, since a node that starts again knows nothing of what it lent.
    pub incarnation: u64,
}

/// A node in one of its lives, as the tables have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The node.
    pub node: u64,
    /// Rises with each start of its process.
    pub incarnation: u64,
    /// False while it is held to be dead and not yet fenced: nobody waits for its answer.
    pub alive: bool,
}
