//! The non-INVITE client transaction (RFC 3261 §17.1.2).

use super::resend::{Due, Resend};
use super::{Action, Timers};
use crate::clock::Instant;
use bytes::Bytes;

/// One request that we sent, neither INVITE nor ACK.
#[derive(Clone, Debug)]
pub struct ClientNonInvite {
    state: State,
    t4_ms: u32,
    reliable: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// Trying, or proceeding at T2: timers E and F.
    Waiting(Resend),
    /// Timer K absorbs retransmitted finals.
    Completed {
        until: Instant,
    },
    Over,
}

impl ClientNonInvite {
    /// Begins with a request that the caller sends now.
    #[must_use]
    pub fn new(now: Instant, request: Bytes, reliable: bool, timers: &Timers) -> Self {
        let state = State::Waiting(Resend::new(now, request, reliable, timers, timers.t2_ms));
        Self { state, t4_ms: timers.t4_ms, reliable }
    }

    /// A response with our branch and method came.
    pub fn handle_response(&mut self, now: Instant, code: u16) -> Action {
        match (&mut self.state, code) {
            (State::Waiting(resend), 100..200) => {
                resend.slow_down();
                Action::Deliver
            }
            (State::Waiting(_), 200..700) => {
                self.state = if self.reliable {
                    State::Over
                } else {
                    State::Completed { until: now + std::time::Duration::from_millis(u64::from(self.t4_ms)) }
                };
                Action::Deliver
            }
            _ => Action::Nothing,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Waiting(resend) => Some(resend.poll_timeout()),
            State::Completed { until } => Some(*until),
            State::Over => None,
        }
    }

    /// Time has come. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        match &mut self.state {
            State::Waiting(resend) => match resend.handle_timeout(now) {
                Due::Nothing => Action::Nothing,
                Due::Send(bytes) => Action::Send(bytes),
                Due::GiveUp => self.end(Action::Timeout),
            },
            State::Completed { until } if now >= *until => self.end(Action::Over),
            State::Completed { .. } | State::Over => Action::Nothing,
        }
    }

    /// Ends at once: the transport failed, or the owner lost interest.
    pub fn abandon(&mut self) {
        self.state = State::Over;
    }

    fn end(&mut self, action: Action) -> Action {
        self.state = State::Over;
        action
    }

    /// Whether the final response came (or the machine is over).
    #[must_use]
    pub fn is_answered(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    /// Whether the machine can be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}
