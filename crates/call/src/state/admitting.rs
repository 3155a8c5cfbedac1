//! The ingress trunk's channel was asked for.

use super::{Clearing, Seizing, State};
use crate::core::{Core, Env};
use crate::event::Event;
use crate::record::EndedBy;
use sip::clock::Instant;

/// Waiting for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Admitting {
    pub(crate) until: Instant,
}

impl Admitting {
    pub(super) fn on_event(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Admitted(result) => Seizing::plan(core, env, result),
            Event::Cancelled { .. } => Clearing::cancelled(core, env),
            Event::Hangup { reason } => Clearing::ended_early(core, env, 503, 41, EndedBy::Switch, reason),
            Event::Alarm if env.now.mono >= self.until => Clearing::refused(core, env, 503, 41, "trunk did not answer"),
            Event::Alarm
            | Event::Invite { .. }
            | Event::Request { .. }
            | Event::Response { .. }
            | Event::Lost { .. }
            | Event::Acknowledged { .. }
            | Event::Unacknowledged { .. }
            | Event::Seized { .. }
            | Event::Anchored(_)
            | Event::MediaSilent
            | Event::MediaFreed(_) => State::Admitting(self),
        }
    }
}
