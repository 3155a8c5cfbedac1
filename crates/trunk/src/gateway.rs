//! The health of one gateway: OPTIONS pings, and what calls to it tell. It never sends; it says when to ping.
//!
//! A gateway without pings counts as up whatever its calls say, since nothing would ever find it alive again; a 503 with
//! Retry-After pauses it all the same (RFC 3261 §21.5.4).

mod set;

pub use set::GatewaySet;

use crate::seed::Seed;
use routing::model;
use sip::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// Failures in a row that take a gateway out.
pub const FAILURES: u32 = 3;
/// How long an answer to a ping may take.
pub const PING_TIMEOUT: Duration = Duration::from_secs(4);
/// After a first failure the gateway is asked again so soon, to tell a lost packet from a lost gateway.
pub const RECHECK: Duration = Duration::from_secs(1);
/// A gateway that is down is asked at least so often.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A Retry-After is believed up to this.
pub const MAX_PAUSE: Duration = Duration::from_secs(300);

/// What is known of a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum State {
    /// Neither a ping nor a call has told anything yet; calls may go there.
    Unknown,
    /// It answers.
    Up,
    /// It failed [`FAILURES`] times in a row.
    Down,
}

/// What a machine asks its shell to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send an OPTIONS outside a dialog and report its answer.
    Ping,
    /// The state is another one: for the metric and the log.
    Changed(State),
}

/// How a call attempt or a ping ended, as far as it tells about the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Any response but a 503: whoever answers lives.
    Response,
    /// A 503, with its Retry-After.
    Unavailable {
        /// For how long nothing more should be sent.
        retry_after: Option<Duration>,
    },
    /// No response, or nothing could be sent.
    Silence,
}

impl Outcome {
    /// Of a response.
    #[must_use]
    pub const fn of(code: u16, retry_after: Option<Duration>) -> Self {
        if code == 503 { Self::Unavailable { retry_after } } else { Self::Response }
    }
}

/// One gateway of a trunk.
#[derive(Clone, Debug)]
pub struct Gateway {
    row: model::Gateway,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// Sent, and no answer yet: when it counts as lost.
    ping_lost_at: Option<Instant>,
    next_ping: Option<Instant>,
    paused_until: Option<Instant>,
    effects: VecDeque<Effect>,
}

impl Gateway {
    /// A gateway of which nothing is known. The first ping is due within a second, when exactly `seed` decides, so that a
    /// restart does not ping a thousand gateways at once.
    #[must_use]
    pub fn new(row: model::Gateway, now: Instant, seed: u64) -> Self {
        let spread = Duration::from_millis(Seed(seed).below(1000));
        let pings = row.ping_seconds > 0;
        Self {
            state: if pings { State::Unknown } else { State::Up },
            next_ping: pings.then_some(now + spread),
            row,
            failures: 0,
            ping_lost_at: None,
            paused_until: None,
            effects: VecDeque::new(),
        }
    }

    /// The row of the tables.
    #[must_use]
    pub const fn row(&self) -> &model::Gateway {
        &self.row
    }

    /// What is known of it.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// True if calls should go there: not down, and not paused by its own wish.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        self.state != State::Down && self.paused_until.is_none_or(|until| until <= now)
    }

    /// The answer to a ping, or that it could not be sent. One that comes late still tells that the gateway lives.
    pub fn handle_ping(&mut self, now: Instant, outcome: Outcome) {
        let expected = self.ping_lost_at.take().is_some();
        match outcome {
            Outcome::Response => self.succeed(now),
            Outcome::Unavailable { .. } | Outcome::Silence if expected => self.ping_failed(now),
            Outcome::Unavailable { .. } | Outcome::Silence => {}
        }
    }

    /// How a call attempt ended. A failure brings the next ping forward and never puts it off, since callers who keep
    /// trying would otherwise end all pings.
    pub fn handle_call(&mut self, now: Instant, outcome: Outcome) {
        if let Outcome::Unavailable { retry_after: Some(pause) } = outcome {
            self.paused_until = Some(now + pause.min(MAX_PAUSE));
        }
        match outcome {
            Outcome::Response => self.succeed(now),
            Outcome::Unavailable { .. } | Outcome::Silence
                if self.row.ping_seconds > 0 && self.state != State::Down =>
            {
                self.fail();
                self.next_ping = self.next_ping.map(|planned| planned.min(now + RECHECK));
            }
            Outcome::Unavailable { .. } | Outcome::Silence => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ping_lost_at.is_some_and(|at| at <= now) {
            self.ping_lost_at = None;
            self.ping_failed(now);
        }
        if self.next_ping.is_some_and(|at| at <= now) && self.ping_lost_at.is_none() {
            self.effects.push_back(Effect::Ping);
            let timeout = PING_TIMEOUT.min(self.interval());
            self.ping_lost_at = Some(now + timeout);
            self.next_ping = Some(now + self.interval());
        }
    }

    /// When [`Gateway::handle_timeout`] is due; `None` for a gateway without pings.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        // While a ping is out, nothing else is due before it is answered or lost.
        self.ping_lost_at.or(self.next_ping)
    }

    /// The next thing to do, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A change of the row that leaves the gateway the same: what is known stays, priority and interval may differ.
    fn replace_row(&mut self, row: model::Gateway, now: Instant) {
        if self.row.ping_seconds != row.ping_seconds {
            self.next_ping = (row.ping_seconds > 0).then_some(now);
            self.ping_lost_at = None;
            if row.ping_seconds == 0 {
                self.failures = 0;
                self.become_state(State::Up);
            }
        }
        self.row = row;
    }

    fn succeed(&mut self, now: Instant) {
        self.failures = 0;
        self.become_state(State::Up);
        self.next_ping = self.next_ping.map(|_| now + self.interval());
    }

    fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.become_state(State::Down);
        }
    }

    fn ping_failed(&mut self, now: Instant) {
        self.fail();
        self.next_ping = self.next_ping.map(|_| now + self.backoff());
    }

    /// The pause before the next ping after a failure: short until the gateway counts as down, then doubling.
    fn backoff(&self) -> Duration {
        match self.failures.checked_sub(FAILURES) {
            None => RECHECK.min(self.interval()),
            Some(doublings) => (self.interval() * (1 << doublings.min(6))).min(MAX_BACKOFF.max(self.interval())),
        }
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(u64::from(self.row.ping_seconds.max(1)))
    }

    fn become_state(&mut self, state: State) {
        if std::mem::replace(&mut self.state, state) != state {
            self.effects.push_back(Effect::Changed(state));
        }
    }
}

#[cfg(test)]
mod tests;
