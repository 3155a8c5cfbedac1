//! One contact that stands for an address of record.

use crate::request::{Contact, Listed, Register};
use crate::same::same_uri;
use crate::{MAX_USER_AGENT_BYTES, row};
use sip::Flow;
use sip::clock::{Instant, Now, Wall};
use std::fmt;
use std::time::Duration;

/// A contact, the flow over which it is reached, and until when it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// The Contact URI as it came: the Request-URI of calls to it.
    pub contact: Box<str>,
    /// Preference in thousandths, higher first.
    pub q: u16,
    /// When it ends.
    pub expires_at: Instant,
    /// When it was last registered.
    pub refreshed_at: Instant,
    /// The way that the REGISTER came: a call goes back over it, whatever the Contact says, to get through NAT.
    pub flow: Flow,
    /// Path (RFC 3327) as it came: the Route of calls to it.
    pub path: Option<Box<str>>,
    /// `+sip.instance` (RFC 5626).
    pub instance: Option<Box<str>>,
    /// `reg-id` (RFC 5626).
    pub reg_id: Option<u32>,
    /// What it calls itself.
    pub user_agent: Option<Box<str>>,
    /// Call-ID of the last REGISTER.
    pub(crate) call_id: Box<str>,
    /// CSeq of the last REGISTER.
    pub(crate) cseq: u32,
}

/// Shows no address and no name: bindings end up in log lines.
impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("flow", &self.flow)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Binding {
    pub(crate) fn new(now: Instant, request: &Register<'_>, contact: &Contact<'_>, seconds: u32) -> Self {
        Self {
            contact: contact.uri.into(),
            q: contact.q.unwrap_or(1000).min(1000),
            expires_at: now + Duration::from_secs(u64::from(seconds)),
            refreshed_at: now,
            flow: request.flow,
            path: request.path.map(Into::into),
            instance: contact.instance.map(Into::into),
            reg_id: contact.reg_id,
            user_agent: request.user_agent.map(|agent| start_of(agent, MAX_USER_AGENT_BYTES).into()),
            call_id: request.call_id.into(),
            cseq: request.cseq,
        }
    }

    /// Whole seconds that are left, rounded up.
    #[must_use]
    pub fn seconds_left(&self, now: Instant) -> u32 {
        u32::try_from(self.expires_at.since(now).as_micros().div_ceil(1_000_000)).unwrap_or(u32::MAX)
    }

    /// True if the contact is this one: the same URI, or the same flow of the same instance, whose port may have changed
    /// (RFC 5626 §6).
    pub(crate) fn is(&self, contact: &Contact<'_>) -> bool {
        let outbound = contact.reg_id.is_some()
            && contact.instance.is_some()
            && self.reg_id == contact.reg_id
            && self.instance.as_deref() == contact.instance;
        outbound || same_uri(&self.contact, contact.uri)
    }

    /// True if this request may change the binding: within one Call-ID the CSeq has to grow.
    pub(crate) fn yields_to(&self, request: &Register<'_>) -> bool {
        *self.call_id != *request.call_id || request.cseq > self.cseq
    }

    pub(crate) fn listed(&self, now: Instant) -> Listed {
        Listed {
            uri: self.contact.clone(),
            q: self.q,
            expires: self.seconds_left(now).max(1),
            instance: self.instance.clone(),
            reg_id: self.reg_id,
        }
    }

    pub(crate) fn to_row(&self, now: Now) -> row::Entry {
        let left = |at: Instant| u64::try_from(at.since(now.mono).as_millis()).unwrap_or(u64::MAX);
        let age = u64::try_from(now.mono.since(self.refreshed_at).as_millis()).unwrap_or(u64::MAX);
        row::Entry {
            contact: self.contact.clone(),
            q: self.q,
            expires: Wall(now.wall.0.saturating_add(left(self.expires_at))),
            refreshed: Wall(now.wall.0.saturating_sub(age)),
            flow: self.flow,
            path: self.path.clone(),
            instance: self.instance.clone(),
            reg_id: self.reg_id,
            user_agent: self.user_agent.clone(),
            call_id: self.call_id.clone(),
            cseq: self.cseq,
        }
    }

    pub(crate) fn of_row(entry: row::Entry, now: Now) -> Self {
        let left = Duration::from_millis(entry.expires.0.saturating_sub(now.wall.0));
        // The monotonic origin of another node is unknown, so an age may not fit before ours; it only orders bindings.
        let age = now.wall.0.saturating_sub(entry.refreshed.0).saturating_mul(1000);
        Self {
            contact: entry.contact,
            q: entry.q,
            expires_at: now.mono + left,
            refreshed_at: Instant::from_micros(now.mono.as_micros().saturating_sub(age)),
            flow: entry.flow,
            path: entry.path,
            instance: entry.instance,
            reg_id: entry.reg_id,
            user_agent: entry.user_agent,
            call_id: entry.call_id,
            cseq: entry.cseq,
        }
    }
}

/// The start of a text, cut between characters.
fn start_of(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
