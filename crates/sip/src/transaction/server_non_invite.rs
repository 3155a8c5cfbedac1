//! The non-INVITE server transaction (RFC 3261 §17.2.2).

use super::{Action, Timers};
use crate::clock::Instant;
use bytes::Bytes;
use std::time::Duration;

/// One request that came to us, neither INVITE nor ACK.
#[derive(Clone, Debug)]
pub struct ServerNonInvite {
    state: State,
    /// Timer J; zero over a reliable transport.
    linger_ms: u32,
}

#[derive(Clone, Debug)]
enum State {
    /// Trying or proceeding.
    Open {
        last: Option<Bytes>,
    },
    /// The final response answers retransmissions until timer J.
    Completed {
        last: Bytes,
        until: Instant,
    },
    Over,
}

impl ServerNonInvite {
    /// Begins with a request that the owner has just seen for the first time.
    #[must_use]
    pub fn new(reliable: bool, timers: &Timers) -> Self {
        let linger_ms = if reliable { 0 } else { timers.t1_ms.saturating_mul(64) };
        Self { state: State::Open { last: None }, linger_ms }
    }

    /// The same request came again.
    pub fn handle_request(&mut self) -> Action {
        match &self.state {
            State::Open { last: Some(bytes) } | State::Completed { last: bytes, .. } => Action::Send(bytes.clone()),
            State::Open { last: None } | State::Over => Action::Nothing,
        }
    }

    /// Sends a response: answers [`Action::Send`], or [`Action::Nothing`] if a final one went before.
    pub fn respond(&mut self, now: Instant, code: u16, bytes: Bytes) -> Action {
        match (&mut self.state, code) {
            (State::Open { last }, 100..200) => {
                *last = Some(bytes.clone());
                Action::Send(bytes)
            }
            (State::Open { .. }, 200..700) => {
                self.state = if self.linger_ms == 0 {
                    State::Over
                } else {
                    let until = now + Duration::from_millis(u64::from(self.linger_ms));
                    State::Completed { last: bytes.clone(), until }
                };
                Action::Send(bytes)
            }
            _ => Action::Nothing,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Completed { until, .. } => Some(*until),
            State::Open { .. } | State::Over => None,
        }
    }

    /// Time has come. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        match &self.state {
            State::Completed { until, .. } if now >= *until => {
                self.state = State::Over;
                Action::Over
            }
            State::Open { .. } | State::Completed { .. } | State::Over => Action::Nothing,
        }
    }

    /// Whether no final response was sent yet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Ends at once: the transport failed, or the owner lost interest.
    pub fn abandon(&mut self) {
        self.state = State::Over;
    }

    /// Whether the machine can be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}
