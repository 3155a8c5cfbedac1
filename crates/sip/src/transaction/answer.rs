//! What the UAS core itself repeats: a 2xx until its ACK (RFC 3261 §13.3.1.4), a reliable provisional response until its
//! PRACK (RFC 3262 §3). Both run over reliable transports as well, since a proxy behind may not have one.

use super::resend::{Due, Resend};
use super::{Action, Timers};
use crate::clock::Instant;
use crate::header::{CSeq, RAck};
use bytes::Bytes;

/// A 2xx to an INVITE that waits for its ACK.
#[derive(Clone, Debug)]
pub struct AnswerRetransmit {
    cseq: u32,
    resend: Option<Resend>,
}

impl AnswerRetransmit {
    /// Begins with a 2xx to the INVITE of CSeq `cseq` that the caller sends now.
    #[must_use]
    pub fn new(now: Instant, response: Bytes, cseq: u32, timers: &Timers) -> Self {
        Self { cseq, resend: Some(Resend::new(now, response, false, timers, timers.t2_ms)) }
    }

    /// The 2xx, while it waits.
    #[must_use]
    pub fn response(&self) -> Option<&Bytes> {
        self.resend.as_ref().map(|resend| &resend.bytes)
    }

    /// An ACK came in the dialog: whether it is the first for this answer.
    pub fn acknowledge(&mut self, cseq: u32) -> bool {
        cseq == self.cseq && self.resend.take().is_some()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.resend.as_ref().map(Resend::poll_timeout)
    }

    /// Time has come. [`Action::Timeout`] after 64·T1 without ACK: the dialog stands and has to be ended with BYE.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        expire(&mut self.resend, now)
    }

    /// Whether the ACK came or we gave up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.resend.is_none()
    }
}

/// A provisional response with `RSeq` that waits for its PRACK. Only one may wait at a time in a dialog.
#[derive(Clone, Debug)]
pub struct ReliableProvisional {
    rseq: u32,
    cseq: CSeq,
    resend: Option<Resend>,
}

impl ReliableProvisional {
    /// Begins with a response, carrying `RSeq: rseq` and answering `cseq`, that the caller sends now.
    #[must_use]
    pub fn new(now: Instant, response: Bytes, rseq: u32, cseq: CSeq, timers: &Timers) -> Self {
        // RFC 3262 §3 knows no ceiling for the interval.
        Self { rseq, cseq, resend: Some(Resend::new(now, response, false, timers, u32::MAX)) }
    }

    /// The number that it carries; the next in the same transaction carries one more.
    #[must_use]
    pub const fn rseq(&self) -> u32 {
        self.rseq
    }

    /// A PRACK came: whether it acknowledges this response. If not, PRACK is answered with 481.
    pub fn acknowledge(&mut self, rack: &RAck) -> bool {
        rack.rseq == self.rseq && rack.cseq == self.cseq && self.resend.take().is_some()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.resend.as_ref().map(Resend::poll_timeout)
    }

    /// Time has come. [`Action::Timeout`] after 64·T1 without PRACK: the INVITE is refused with a 5xx.
    pub fn handle_timeout(&mut self, now: Instant) -> Action {
        expire(&mut self.resend, now)
    }

    /// Whether the PRACK came or we gave up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.resend.is_none()
    }
}

fn expire(resend: &mut Option<Resend>, now: Instant) -> Action {
    match resend.as_mut().map(|resend| resend.handle_timeout(now)) {
        Some(Due::Send(bytes)) => Action::Send(bytes),
        Some(Due::GiveUp) => {
            *resend = None;
            Action::Timeout
        }
        Some(Due::Nothing) | None => Action::Nothing,
    }
}
