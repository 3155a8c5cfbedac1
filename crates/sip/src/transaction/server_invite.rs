//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1).

use super::resend::{Due, Resend};
use super::{Action, Timers};
use crate::clock::Instant;
use crate::method::Method;
use bytes::Bytes;

/// One INVITE that came to us.
#[derive(Clone, Debug)]
pub struct ServerInvite {
    state: State,
    timers: Timers,
    reliable: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// No final response yet; the last provisional one answers retransmissions.
    Proceeding {
        last: Option<Bytes>,
    },
    /// A failure was sent and is not acknowledged: timers G and H.
    Completed(Resend),
    /// The ACK of a failure came: timer I absorbs more of them.
    Confirmed {
        until: Instant,
    },
    /// A 2xx was sent: timer L absorbs INVITE retransmissions. [`super::AnswerRetransmit`] repeats the 2xx.
    Accepted {
        until: Instant,
    },
    Over,
}

impl ServerInvite {
    /// Begins with an INVITE that the owner has just seen for the first time.
    #[must_use]
    pub fn new(reliable: bool, timers: &Timers) -> Self {
        Self { state: State::Proceeding { last: None }, timers: *timers, reliable }
    }

    /// An INVITE or ACK with the same branch came.
    ///
    /// [`Action::Deliver`] only for the ACK of a 2xx that uses the INVITE's branch (some do, against RFC 3261 §13.2.2.4).
    pub fn handle_request(&mut self, now: Instant, method: Method) -> Action {
        match (&mut self.state, method) {
            (State::Proceeding { last: Some(bytes) }, Method::Invite) => Action::Send(bytes.clone()),
            (State::Completed(resend), Method::Invite) => Action::Send(resend.bytes.clone()),
            (State::Completed(_), Method::Ack) => {
                if self.reliable {
                    return self.end(Action::Over);
                }
                self.state = State::Confirmed { until: now + self.timers.t4() };
                Action::Nothing
            }
            (State::Accepted { .. }, Method::Ack) => Action::Deliver,
            _ => Action::Nothing,
        }
    }

    /// Sends a response: answers [`Action::Send`], or [`Action::Nothing`] if it comes too late to be lawful.
    pub fn respond(&mut self, now: Instant, code: u16, bytes: Bytes) -> Action {
        match (&mut self.state, code) {
            (State::Proceeding { last }, 100..200) => {
                *last = Some(bytes.clone());
                Action::Send(bytes)
            }
            (State::Proceeding { .. }, 200..300) => {
                self.state = State::Accepted { until: now + self.timers.give_up() };
                Action::Send(bytes)
            }
            (State::Proceeding { .. }, 300..700) => {
                // Timer G runs over unreliable transports only, timer H over all.
                let resend = Resend::new(now, bytes.clone(), self.reliable, &self.timers, self.timers.t2_ms);
                self.state = State::Completed(resend);
                Action::Send(bytes)
            }
            (State::Accepted { .. }, 200..300) => Action::Send(bytes),
            _ => Action::Nothing,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Completed(resend) => Some(resend.poll_timeout()),
            State::Confirmed { until } | State::Accepted { until } => Some(*until),
            State::Proceeding { .. } | State::Over => None,
        }
    }

    /// Time has come. [`Action::Timeout`] means that the ACK of a failure never came. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        match &mut self.state {
            State::Completed(resend) => match resend.handle_timeout(now) {
                Due::Nothing => Action::Nothing,
                Due::Send(bytes) => Action::Send(bytes),
                Due::GiveUp => self.end(Action::Timeout),
            },
            State::Confirmed { until } | State::Accepted { until } if now >= *until => self.end(Action::Over),
            State::Proceeding { .. } | State::Confirmed { .. } | State::Accepted { .. } | State::Over => {
                Action::Nothing
            }
        }
    }

    /// Whether no final response was sent yet: a CANCEL still has an effect (RFC 3261 §9.2).
    #[must_use]
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Ends at once: the transport failed, or the owner lost interest.
    pub fn abandon(&mut self) {
        self.state = State::Over;
    }

    fn end(&mut self, action: Action) -> Action {
        self.state = State::Over;
        action
    }

    /// Whether the machine can be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}
