//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2).

use super::resend::{Due, Resend};
use super::{Action, Timers, ack_for, cancel_for};
use crate::clock::Instant;
use crate::message::Message;
use bytes::Bytes;

/// One INVITE that we sent.
#[derive(Clone, Debug)]
pub struct ClientInvite {
    state: State,
    timers: Timers,
    reliable: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// No response yet: timers A and B.
    Calling(Resend),
    /// A provisional response came. The request is kept for ACK and CANCEL; `give_up` is set once we cancelled.
    Proceeding {
        request: Bytes,
        give_up: Option<Instant>,
    },
    /// A failure came: timer D, and the ACK for its retransmissions.
    Completed {
        ack: Bytes,
        until: Instant,
    },
    /// A 2xx came: timer M, for its retransmissions and those of other forks.
    Accepted {
        until: Instant,
    },
    Over,
}

impl ClientInvite {
    /// Begins with an INVITE that the caller sends now.
    #[must_use]
    pub fn new(now: Instant, request: Bytes, reliable: bool, timers: &Timers) -> Self {
        // Timer A doubles without a ceiling; timer B ends it.
        let state = State::Calling(Resend::new(now, request, reliable, timers, u32::MAX));
        Self { state, timers: *timers, reliable }
    }

    /// A response with our branch and CSeq INVITE came.
    ///
    /// Failures are acknowledged here ([`Action::SendAndDeliver`]); the ACK of a 2xx belongs to the dialog. A 2xx in the
    /// accepted state is delivered again: it is a retransmission, which needs its ACK again, or another fork's.
    pub fn handle_response(&mut self, now: Instant, response: &Message) -> Action {
        let code = response.code().unwrap_or(0);
        match &mut self.state {
            State::Calling(resend) => {
                let request = resend.bytes.clone();
                self.advance(now, code, request, None, response)
            }
            State::Proceeding { request, give_up } => {
                let (request, give_up) = (request.clone(), *give_up);
                self.advance(now, code, request, give_up, response)
            }
            State::Completed { ack, .. } if code >= 300 => Action::Send(ack.clone()),
            State::Accepted { .. } if (200..300).contains(&code) => Action::Deliver,
            State::Completed { .. } | State::Accepted { .. } | State::Over => Action::Nothing,
        }
    }

    fn advance(
        &mut self,
        now: Instant,
        code: u16,
        request: Bytes,
        give_up: Option<Instant>,
        response: &Message,
    ) -> Action {
        match code {
            100..200 => {
                self.state = State::Proceeding { request, give_up };
                Action::Deliver
            }
            200..300 => {
                self.state = State::Accepted { until: now + self.timers.give_up() };
                Action::Deliver
            }
            300..700 => {
                let Ok(request) = Message::parse(request) else {
                    self.state = State::Over;
                    return Action::Deliver;
                };
                let ack = ack_for(&request, response);
                // Over a reliable transport timer D is zero: nothing will be retransmitted to us.
                self.state = if self.reliable {
                    State::Over
                } else {
                    State::Completed { ack: ack.clone(), until: now + self.timers.d() }
                };
                Action::SendAndDeliver(ack)
            }
            _ => Action::Nothing,
        }
    }

    /// Builds the CANCEL, which goes out in a [`super::ClientNonInvite`] of its own, to where the INVITE went.
    ///
    /// `None` before the first provisional response (RFC 3261 §9.1: the caller waits for it) and after the final one. Once
    /// cancelled, the machine waits 64·T1 for the final response and then ends with [`Action::Timeout`].
    #[must_use]
    pub fn cancel(&mut self, now: Instant, reason: Option<&str>) -> Option<Bytes> {
        let until = now + self.timers.give_up();
        let State::Proceeding { request, give_up } = &mut self.state else { return None };
        let cancel = cancel_for(&Message::parse(request.clone()).ok()?, reason);
        give_up.get_or_insert(until);
        Some(cancel)
    }

    /// Whether a provisional response came and no final one: CANCEL may go out.
    #[must_use]
    pub fn is_proceeding(&self) -> bool {
        matches!(self.state, State::Proceeding { .. })
    }

    /// Whether no response at all came yet.
    #[must_use]
    pub fn is_calling(&self) -> bool {
        matches!(self.state, State::Calling(_))
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling(resend) => Some(resend.poll_timeout()),
            State::Proceeding { give_up, .. } => *give_up,
            State::Completed { until, .. } | State::Accepted { until } => Some(*until),
            State::Over => None,
        }
    }

    /// Time has come. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        match &mut self.state {
            State::Calling(resend) => match resend.handle_timeout(now) {
                Due::Nothing => Action::Nothing,
                Due::Send(bytes) => Action::Send(bytes),
                Due::GiveUp => self.end(Action::Timeout),
            },
            State::Proceeding { give_up: Some(until), .. } if now >= *until => self.end(Action::Timeout),
            State::Completed { until, .. } | State::Accepted { until } if now >= *until => self.end(Action::Over),
            State::Proceeding { .. } | State::Completed { .. } | State::Accepted { .. } | State::Over => {
                Action::Nothing
            }
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

    /// Whether the machine can be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}
