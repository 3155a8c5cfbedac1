//! Lends the limits of a trunk to the members. It never knows a call, and grants nothing that could be in use elsewhere.
//!
//! For each member it keeps what that member may hold *at most*. A request that is newer than all before replaces that
//! figure, an answer adds to it, a fencing removes it. A leader begins with a census: it lends nothing until everybody
//! who is not fenced has told what it holds, twice: who is handed calls of the dead may have answered before, but who hands
//! them on answers after.

mod ledger;
mod sharing;

use super::{Limits, Peer, Reply, Request, Term};
use crate::bucket::Bucket;
use ledger::{Entry, Key, Settling};
use sip::clock::Instant;
use std::collections::{BTreeMap, VecDeque};

/// What a leader learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A message of a member.
    Request(Request),
    /// All that have joined and are not fenced. Who is missing here without being fenced still counts, as dead.
    Members(Vec<Peer>),
    /// This life of a node is over, and it uses nothing any more.
    Fenced {
        /// The node.
        node: u64,
        /// Which life.
        incarnation: u64,
        /// Since when, by the leader's clock: not before it was fenced.
        at: Instant,
    },
}

/// What a leader asks its shell to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a message; it may be lost.
    Send {
        /// To the member of this trunk on this node.
        to: u64,
        /// What.
        reply: Reply,
    },
    /// A member obeys another leader: this one lends nothing any more and can go.
    Superseded(Term),
}

/// The leader of one trunk's limits.
#[derive(Clone, Debug)]
pub struct Leader {
    node: u64,
    term: Term,
    limits: Limits,
    members: BTreeMap<Key, Entry>,
    /// Who waits for an answer, in order.
    queue: VecDeque<Key>,
    /// The last question. Every question after the first census recalls what is idle.
    round: u64,
    /// Nothing is lent until everybody has answered the last question.
    counting: bool,
    /// Somebody died holding what this leader does not know; nothing is lent before.
    unsettled_until: Option<Instant>,
    settling: Option<Settling>,
    /// Whether no call can have started in the second before the census ended.
    rested: bool,
    /// There is none before the first census has ended.
    bucket: Option<Bucket>,
    over: bool,
    retry_at: Option<Instant>,
    superseded: bool,
    effects: VecDeque<Effect>,
}

impl Leader {
    /// Takes office on `node` in `term`. `members` are all that have joined and are not fenced.
    #[must_use]
    pub fn new(now: Instant, node: u64, term: Term, limits: Limits, members: &[Peer]) -> Self {
        let mut leader = Self {
            node,
            term,
            limits,
            members: BTreeMap::new(),
            queue: VecDeque::new(),
            round: 1,
            counting: !limits.is_none(),
            unsettled_until: None,
            settling: (!limits.is_none()).then_some(Settling::FIRST),
            rested: true,
            bucket: None,
            over: false,
            retry_at: None,
            superseded: false,
            effects: VecDeque::new(),
        };
        leader.list(now, members);
        leader.share(now);
        leader
    }

    /// Takes in what the leader learns.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.forget(now);
        match input {
            Input::Request(request) => self.on_request(now, &request),
            Input::Members(members) => self.list(now, &members),
            Input::Fenced { node, incarnation, at } => self.on_fenced(now, (node, incarnation), at),
        }
        self.share(now);
    }

    /// The row of the trunk has changed.
    pub fn resize(&mut self, now: Instant, limits: Limits) {
        let before = std::mem::replace(&mut self.limits, limits);
        if before.channels.is_none() && limits.channels.is_some() || before.is_none() && !limits.is_none() {
            // Nobody told what it uses while there was no limit.
            self.counting = true;
            self.open_round(now, |_, _| true);
        }
        self.rested |= before.cps.is_none();
        self.bucket = match (self.bucket.take(), limits.cps) {
            (Some(mut bucket), Some(cps)) => {
                bucket.resize(now, cps);
                Some(bucket)
            }
            (None, _) | (_, None) => None,
        };
        self.share(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.ask_owing(now);
        }
        self.share(now);
    }

    /// When [`Leader::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settling = self.members.values().filter_map(Entry::settles_at).min();
        // Whoever waits for starts gets an answer when those that others hold have expired.
        let expiry = self.members.values().filter(|entry| entry.lent > 0).map(|entry| entry.lent_until).min();
        let expiry = expiry.filter(|_| !self.queue.is_empty());
        self.retry_at.into_iter().chain(settling).chain(expiry).chain(self.unsettled_until).min()
    }

    /// The next thing to do, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Its term.
    #[must_use]
    pub const fn term(&self) -> Term {
        self.term
    }

    /// Channels that members hold, used or free, as far as is known.
    #[must_use]
    pub fn granted(&self) -> u32 {
        self.members.values().fold(0, |sum, entry| sum.saturating_add(entry.held))
    }

    /// Channels in use, as members told last.
    #[must_use]
    pub fn used(&self) -> u32 {
        self.members.values().fold(0, |sum, entry| sum.saturating_add(entry.used))
    }

    /// Whether the census goes on, so that nothing is lent yet.
    #[must_use]
    pub const fn is_counting(&self) -> bool {
        self.counting
    }

    fn list(&mut self, now: Instant, members: &[Peer]) {
        for (key, entry) in &mut self.members {
            entry.alive &= members.iter().any(|peer| (peer.node, peer.incarnation) == *key);
        }
        for peer in members {
            let newer = members.iter().any(|other| other.node == peer.node && other.incarnation > peer.incarnation);
            // After the census only this leader can have given anything to a life that begins: it holds nothing.
            let answered = if self.counting { 0 } else { self.round };
            let entry = self.members.entry((peer.node, peer.incarnation)).or_insert_with(|| Entry::new(answered));
            let alive = peer.alive && !newer;
            if alive && !std::mem::replace(&mut entry.alive, alive) || self.counting {
                entry.asked = self.round;
            }
            entry.alive = alive;
        }
        self.ask_owing(now);
    }
}
