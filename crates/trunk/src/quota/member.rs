//! What one node holds of a trunk's limits. It never knows which call has a channel.
//!
//! Granted = used + free at any time. Calls that find nothing free wait in order while one request is under way for all
//! of them.

mod asking;

use super::{Amount, IDLE, Limits, MAX_WAIT, MAX_WAITING, RETRY, Refusal, Reply, Request, TELL, Term, VALID};
use asking::Open;
use routing::model::WithoutLeader;
use sip::clock::Instant;
use std::collections::VecDeque;

/// Stands for a call that waits. It is unique within its member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Ticket(u64);

/// What [`Member::try_acquire`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Acquire {
    /// The call has its channel.
    Taken,
    /// It gets none.
    Refused(Refusal),
    /// It waits until [`Effect::Granted`] or [`Effect::Denied`].
    Ask(Ticket),
}

/// What a member learns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A message of a leader.
    Reply(Reply),
    /// By the tables this node leads now.
    Leader {
        /// The node.
        node: u64,
        /// Its term.
        term: Term,
    },
}

/// What a member asks its shell to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a message; it may be lost.
    Send {
        /// To the leader of this trunk on this node.
        to: u64,
        /// What.
        request: Request,
    },
    /// The call has its channel; if it is gone meanwhile, the channel is to be released.
    Granted(Ticket),
    /// It gets none.
    Denied(Ticket, Refusal),
    /// The leader answers, or does not any more: for the metric and the log.
    Reach(bool),
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    ticket: Ticket,
    until: Instant,
}

/// A node's part of a trunk's limits. Each call that got its channel, or was adopted, is matched by one
/// [`Member::release`].
#[derive(Clone, Debug)]
pub struct Member {
    node: u64,
    incarnation: u64,
    limits: Limits,
    policy: WithoutLeader,
    leader: Option<u64>,
    term: Term,
    /// The leader has not answered for too long.
    lost: bool,
    /// By the leader's word more is held than the limit allows.
    over: bool,
    /// Channels of adopted calls that no leader has counted yet: they may be above the limit.
    adopted: u32,
    used: u32,
    granted: u32,
    starts: u32,
    /// Until when these may be spent.
    starts_until: Instant,
    started: u64,
    last_start: Option<Instant>,
    waiting: VecDeque<Waiter>,
    tickets: u64,
    sequence: u64,
    round: u64,
    open: Option<Open>,
    /// The leader should hear of us then, whether we need something or not.
    tell_at: Option<Instant>,
    /// The pool was found empty: until then nothing is asked for stock.
    no_stock_until: Instant,
    /// The end of a span in which at least so many channels were free all the time.
    idle: Option<(Instant, u32)>,
    effects: VecDeque<Effect>,
}

impl Member {
    /// The part of a node that has just started: it holds nothing and knows no leader.
    #[must_use]
    pub fn new(node: u64, incarnation: u64, limits: Limits, policy: WithoutLeader) -> Self {
        Self {
            node,
            incarnation,
            limits,
            policy,
            leader: None,
            term: Term::default(),
            lost: false,
            over: false,
            adopted: 0,
            used: 0,
            granted: 0,
            starts: 0,
            starts_until: Instant::ORIGIN,
            started: 0,
            last_start: None,
            waiting: VecDeque::new(),
            tickets: 0,
            sequence: 0,
            round: 0,
            open: None,
            tell_at: None,
            no_stock_until: Instant::ORIGIN,
            idle: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes a channel, within the rate, for a new call.
    pub fn try_acquire(&mut self, now: Instant) -> Acquire {
        let cut_off = self.is_cut_off();
        if cut_off && self.policy == WithoutLeader::Refuse {
            return Acquire::Refused(Refusal::Leader);
        }
        if self.waiting.is_empty() && self.can_take(now) {
            self.take(now);
            self.settle(now);
            return Acquire::Taken;
        }
        if cut_off {
            return Acquire::Refused(Refusal::Leader);
        }
        if self.waiting.len() >= MAX_WAITING {
            return Acquire::Refused(Refusal::Crowded);
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.push_back(Waiter { ticket, until: now + MAX_WAIT });
        self.settle(now);
        Acquire::Ask(ticket)
    }

    /// A waiting call gives up. False if it does not wait any more: it has a channel then, or was denied one.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiter| waiter.ticket != ticket);
        before != self.waiting.len()
    }

    /// Takes a channel for a call that exists already, restored from a checkpoint: no limit may end it.
    pub fn adopt(&mut self, now: Instant) {
        self.used = self.used.saturating_add(1);
        if self.used > self.granted {
            self.granted = self.used;
            self.adopted = self.adopted.saturating_add(1);
            self.tell_by(now);
        }
        self.settle(now);
    }

    /// Gives a channel back.
    pub fn release(&mut self, now: Instant) {
        debug_assert!(self.used > 0, "a channel is given back twice");
        self.used = self.used.saturating_sub(1);
        if self.limits.channels.is_none() {
            self.granted = self.used;
        } else if self.over || self.adopted > 0 {
            self.adopted = self.adopted.saturating_sub(1);
            self.granted = self.used;
            self.tell_by(now + TELL);
        }
        self.settle(now);
    }

    /// The row of the trunk has changed. Calls above a lower limit go on; what is idle goes back to the leader.
    pub fn resize(&mut self, now: Instant, limits: Limits, policy: WithoutLeader) {
        let before = std::mem::replace(&mut self.limits, limits);
        self.policy = policy;
        if before.channels != limits.channels {
            let lower = |new: u32| before.channels.is_none_or(|old| new < old);
            if limits.channels.is_none_or(lower) {
                self.give_up_idle();
            }
            self.tell_by(now);
        }
        if before.cps.is_none() != limits.cps.is_none() {
            self.starts = 0;
        }
        self.settle(now);
    }

    /// Takes in what the member learns.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Leader { node, term } if term > self.term => self.follow(now, node, term),
            Input::Leader { .. } => {}
            Input::Reply(reply) if reply.incarnation != self.incarnation || reply.term < self.term => return,
            Input::Reply(reply) => {
                if reply.term > self.term {
                    self.follow(now, reply.leader, reply.term);
                }
                self.heard(now);
                self.on_notice(now, reply.notice);
            }
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.check_open(now);
        self.settle(now);
    }

    /// When [`Member::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let asking = match &self.open {
            Some(open) => Some(if self.lost { open.retry_at } else { open.retry_at.min(open.lost_at()) }),
            None if self.leader.is_some() => self.tell_at,
            None => None,
        };
        let starts = (self.starts > 0).then(|| self.starts_back_at());
        let idle = self.idle.map(|(until, _)| until);
        let overdue = self.waiting.front().map(|waiter| waiter.until);
        asking.into_iter().chain(starts).chain(idle).chain(overdue).min()
    }

    /// The next thing to do, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Channels in use.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// Channels that this node holds.
    #[must_use]
    pub const fn granted(&self) -> u32 {
        self.granted
    }

    /// Channels that it holds and does not use.
    #[must_use]
    pub const fn free(&self) -> u32 {
        self.granted - self.used
    }

    /// Calls that wait for the leader.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The limits over the whole cluster.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// True while the leader is unknown or does not answer.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        (self.lost || self.leader.is_none()) && !self.limits.is_none()
    }

    fn can_take(&self, now: Instant) -> bool {
        (self.limits.channels.is_none() || self.free() > 0)
            && (self.limits.cps.is_none() || self.starts > 0 && now < self.starts_until)
    }

    fn take(&mut self, now: Instant) {
        self.used = self.used.saturating_add(1);
        if self.limits.channels.is_none() {
            // Counted, so that a limit that comes later finds them.
            self.granted = self.used;
        }
        if let Some((_, least)) = &mut self.idle {
            *least = (*least).min(self.granted - self.used);
        }
        if self.limits.cps.is_some() {
            self.starts -= 1;
            self.started += 1;
            self.last_start = Some(now);
            self.tell_by(now + TELL);
        }
    }

    fn tell_by(&mut self, at: Instant) {
        if !self.limits.is_none() || self.round > 0 {
            self.tell_at = Some(self.tell_at.map_or(at, |before| before.min(at)));
        }
    }

    /// Gives up what is idle. The request under way says that more is held, so another takes its place.
    fn give_up_idle(&mut self) {
        self.open = None;
        self.granted = self.used;
        self.starts = 0;
        self.idle = None;
    }

    fn settle(&mut self, now: Instant) {
        self.serve(now);
        let cut_off = self.is_cut_off();
        while let Some(waiter) = self.waiting.pop_front_if(|waiter| cut_off || waiter.until <= now) {
            self.effects.push_back(Effect::Denied(waiter.ticket, Refusal::Leader));
        }
        self.rest(now);
        if self.open.is_none() && self.wants_to_ask(now) {
            self.ask(now);
        }
    }

    /// Gives what is there to those who wait, in order.
    fn serve(&mut self, now: Instant) {
        if self.starts > 0 && self.starts_until <= now {
            self.starts = 0;
        }
        while self.can_take(now)
            && let Some(waiter) = self.waiting.pop_front()
        {
            self.take(now);
            self.effects.push_back(Effect::Granted(waiter.ticket));
        }
    }

    /// Returns what nobody needed for a while.
    fn rest(&mut self, now: Instant) {
        if self.starts > 0 && self.starts_back_at() <= now {
            self.starts = 0;
            self.tell_by(now);
        }
        let stock = self.limits.stock().channels;
        let asking = self.open.is_some() || !self.waiting.is_empty();
        if let Some((until, _)) = &mut self.idle
            && *until <= now
            && asking
        {
            // The request under way counts on what is held.
            *until = now + RETRY;
        } else if let Some((until, least)) = self.idle
            && until <= now
        {
            let surplus = least.min(self.free()).saturating_sub(stock);
            self.granted -= surplus;
            if surplus > 0 {
                self.tell_by(now);
            }
            self.idle = None;
        }
        if self.limits.channels.is_none() || self.free() <= stock {
            self.idle = None;
        } else if self.idle.is_none() {
            self.idle = Some((now + IDLE, self.free()));
        }
    }

    /// When starts that nobody spent go back: in time for the leader to lend them to another.
    fn starts_back_at(&self) -> Instant {
        let early = u64::try_from((VALID / 2).as_micros()).unwrap_or(u64::MAX);
        Instant::from_micros(self.starts_until.as_micros().saturating_sub(early))
    }

    fn held(&self) -> Amount {
        Amount { channels: self.granted, starts: self.starts }
    }
}
