//! Session timers (RFC 4028): whether a session still lives is asked of the other side now and then.
//!
//! [`Policy`] negotiates, [`SessionTimer`] counts. Neither sends: the owner writes the headers, the refresh and the BYE.

use crate::clock::Instant;
use crate::header::{Refresher, SessionExpires};
use crate::message::Message;
use crate::name::Name;
use std::time::Duration;

/// The least interval that RFC 4028 §4 allows, in seconds.
pub const LEAST_SECONDS: u32 = 90;
/// What an agent without wishes asks for, in seconds.
pub const USUAL_SECONDS: u32 = 1_800;
/// Longest interval that we believe, in seconds; a longer one is as none.
const MOST_SECONDS: u32 = 7 * 24 * 3_600;

/// What we want of session timers on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The interval that we ask for, in seconds.
    pub seconds: u32,
    /// The least that we agree to, in seconds.
    pub min_seconds: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { seconds: USUAL_SECONDS, min_seconds: LEAST_SECONDS }
    }
}

/// The request asked for an interval that is too short: 422 with this Min-SE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooSmall {
    /// The value of Min-SE, in seconds.
    pub min_seconds: u32,
}

/// What goes into our 2xx, and what runs from then on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Interval and refresher: the value of Session-Expires.
    pub session_expires: SessionExpires,
    /// Whether the 2xx carries `Require: timer`, which it must when the UAC refreshes (RFC 4028 §9).
    pub require: bool,
    /// The clock.
    pub timer: SessionTimer,
}

impl Policy {
    /// The Session-Expires and Min-SE values, in seconds, that our request carries beside `Supported: timer`.
    #[must_use]
    pub fn offer(&self) -> (SessionExpires, u32) {
        let min = self.min_seconds.max(LEAST_SECONDS);
        (SessionExpires { seconds: self.seconds.max(min), refresher: None }, min)
    }

    /// A 422 came: what the next attempt asks for (RFC 4028 §7.3). `None` if it names no greater minimum than ours.
    #[must_use]
    pub fn after_422(&self, response: &Message) -> Option<Self> {
        let min = response.min_se().filter(|min| *min <= MOST_SECONDS)?;
        let (asked, ours) = self.offer();
        (min > ours || min > asked.seconds)
            .then(|| Self { seconds: asked.seconds.max(min), min_seconds: ours.max(min) })
    }

    /// Answers a request as its UAS (RFC 4028 §9 and its table 2). `now` is when the 2xx goes out.
    ///
    /// # Errors
    /// [`TooSmall`] when the UAC understands timers and asks for less than our minimum.
    pub fn answer(&self, now: Instant, request: &Message) -> Result<Agreed, TooSmall> {
        let ours = self.min_seconds.max(LEAST_SECONDS);
        let supports = request.lists(Name::Supported, "timer") || request.lists(Name::Require, "timer");
        let asked = request.session_expires().filter(|asked| asked.seconds <= MOST_SECONDS);
        // A proxy on the way may have raised the minimum.
        let least = request.min_se().filter(|min| *min <= MOST_SECONDS).unwrap_or(0).max(ours);
        let seconds = match asked {
            Some(asked) if asked.seconds < ours && supports => return Err(TooSmall { min_seconds: ours }),
            // An interval may be lowered by the UAS down to the minimum, and never raised, unless it is below the minimum
            // of a UAC that cannot be told so.
            Some(asked) => asked.seconds.min(self.seconds.max(least)).max(ours),
            None => self.seconds.max(least),
        };
        let refresher = match asked.and_then(|asked| asked.refresher) {
            Some(refresher) if supports => refresher,
            // A UAC that can do it itself is left to do it; another cannot.
            None if supports => Refresher::Uac,
            Some(_) | None => Refresher::Uas,
        };
        Ok(Agreed {
            session_expires: SessionExpires { seconds, refresher: Some(refresher) },
            require: refresher == Refresher::Uac,
            timer: SessionTimer::new(now, seconds, refresher == Refresher::Uas),
        })
    }

    /// A 2xx to our request came: what runs from now on, if anything (RFC 4028 §7.2).
    #[must_use]
    pub fn answered(&self, now: Instant, response: &Message) -> Option<SessionTimer> {
        let agreed = response.session_expires()?;
        let sane = (LEAST_SECONDS..=MOST_SECONDS).contains(&agreed.seconds);
        // Without a refresher the UAC, which is us, does it.
        sane.then(|| SessionTimer::new(now, agreed.seconds, agreed.refresher != Some(Refresher::Uas)))
    }
}

/// What the owner of a [`SessionTimer`] has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the timer has already moved on"]
pub enum Expiry {
    /// Nothing is due.
    Nothing,
    /// Send a refresh: UPDATE, or re-INVITE where UPDATE is not allowed.
    Refresh,
    /// The session is dead: BYE.
    Expired,
}

/// The clock of one leg's session. Every 2xx to an INVITE or UPDATE brings a new one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionTimer {
    started: Instant,
    seconds: u32,
    we_refresh: bool,
    /// When we refresh next; `None` once it was sent, or where the other side does it.
    refresh_at: Option<Instant>,
}

impl SessionTimer {
    /// Starts to count; also after a takeover, from the two values of the checkpoint.
    #[must_use]
    pub fn new(now: Instant, seconds: u32, we_refresh: bool) -> Self {
        let half = now + Duration::from_millis(u64::from(seconds) * 500);
        Self { started: now, seconds, we_refresh, refresh_at: we_refresh.then_some(half) }
    }

    /// The interval, in seconds.
    #[must_use]
    pub const fn seconds(&self) -> u32 {
        self.seconds
    }

    /// Whether the refreshes are ours to send.
    #[must_use]
    pub const fn we_refresh(&self) -> bool {
        self.we_refresh
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let end = self.expires_at();
        Some(self.refresh_at.map_or(end, |refresh| refresh.min(end)))
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Expiry {
        if now >= self.expires_at() {
            return Expiry::Expired;
        }
        if self.refresh_at.is_some_and(|refresh| now >= refresh) {
            self.refresh_at = None;
            return Expiry::Refresh;
        }
        Expiry::Nothing
    }

    /// The refresh could not go out or was refused for now (491, 503): [`Expiry::Refresh`] comes again after `wait`.
    pub fn retry_after(&mut self, now: Instant, wait: Duration) {
        self.refresh_at = Some(now + wait);
    }

    /// RFC 4028 §10: the BYE goes out the lesser of 32 s and a third of the interval before the end.
    fn expires_at(&self) -> Instant {
        let total = u64::from(self.seconds) * 1_000;
        self.started + Duration::from_millis(total - (total / 3).min(32_000))
    }
}

#[cfg(test)]
mod tests;
