//! The doubling interval by which bytes go out again until somebody answers.

use super::Timers;
use crate::clock::Instant;
use bytes::Bytes;
use std::time::Duration;

/// Bytes that are sent again and again, until they are dropped or time is up.
#[derive(Clone, Debug)]
pub(super) struct Resend {
    pub(super) bytes: Bytes,
    /// When they go out next; `None` over a reliable transport.
    next: Option<Instant>,
    interval_ms: u32,
    /// The interval stops doubling here.
    cap_ms: u32,
    give_up: Instant,
}

/// What a timeout of [`Resend`] came to.
pub(super) enum Due {
    Nothing,
    Send(Bytes),
    GiveUp,
}

impl Resend {
    /// `doubling_to` is the longest interval, in milliseconds.
    pub(super) fn new(now: Instant, bytes: Bytes, reliable: bool, timers: &Timers, doubling_to: u32) -> Self {
        let next = (!reliable).then(|| now + timers.t1());
        Self { bytes, next, interval_ms: timers.t1_ms, cap_ms: doubling_to, give_up: now + timers.give_up() }
    }

    /// From now on at the longest interval (RFC 3261 §17.1.2.2: a non-INVITE request after a provisional response).
    pub(super) fn slow_down(&mut self) {
        self.interval_ms = self.cap_ms;
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.next.map_or(self.give_up, |next| next.min(self.give_up))
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Due {
        if now >= self.give_up {
            return Due::GiveUp;
        }
        match self.next {
            Some(next) if now >= next => {
                self.interval_ms = self.interval_ms.saturating_mul(2).min(self.cap_ms);
                // From the due time and not from now: a late alarm does not stretch the schedule, but a very late one
                // does not send a burst either.
                let interval = Duration::from_millis(u64::from(self.interval_ms));
                let due = next + interval;
                self.next = Some(if due > now { due } else { now + interval });
                Due::Send(self.bytes.clone())
            }
            Some(_) | None => Due::Nothing,
        }
    }
}
