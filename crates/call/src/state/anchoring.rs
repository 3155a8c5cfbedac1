//! Ports of the relay, asked for once a channel is there; then leg B's INVITE.

use super::{Clearing, Seizing, State, Trying};
use crate::attempt::Try;
use crate::core::{Core, Env};
use crate::effect::{Effect, Point};
use crate::egress;
use crate::event::Event;
use crate::media::LATE_OFFER_STREAMS;
use crate::record::EndedBy;
use sip::clock::Instant;
use trunk::Failure;

/// Waiting for ports.
#[derive(Clone, Debug)]
pub(crate) struct Anchoring {
    pub(super) until: Instant,
    pub(crate) attempt: Try,
}

impl Anchoring {
    /// Asks for ports if the attempt needs them and the call has none.
    pub(super) fn enter(core: &mut Core, env: &Env<'_>, mut attempt: Try) -> State {
        egress::prepare(core, env, &mut attempt);
        let relays = core.caller.as_ref().is_some_and(|caller| egress::is_relayed(caller.source.trunk(), &attempt));
        if !relays || core.ledger.is_anchored() {
            return start(core, env, attempt);
        }
        let streams = core.invite.as_ref().map_or(0, |invite| streams_of(invite));
        if streams == 0 {
            return start(core, env, attempt);
        }
        core.ledger.anchor(&mut core.out, streams);
        let until = env.now.mono + env.settings.max_wait;
        State::Anchoring(Box::new(Self { until, attempt }))
    }

    pub(super) fn on_event(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Anchored(Some(ports)) => {
                core.media.anchor(ports);
                start(core, env, self.attempt)
            }
            // Another trunk would need ports as well.
            Event::Anchored(None) => {
                Clearing::refused_at(core, env, Some(&self.attempt), 503, 47, "no media port free")
            }
            Event::Cancelled { .. } => Clearing::cancelled_at(core, env, &self.attempt),
            Event::Hangup { reason } => {
                Clearing::ended_early_at(core, env, Some(&self.attempt), 503, 41, EndedBy::Switch, reason)
            }
            Event::Alarm if env.now.mono >= self.until => {
                Clearing::refused_at(core, env, Some(&self.attempt), 503, 47, "relay did not answer")
            }
            Event::Alarm
            | Event::Invite { .. }
            | Event::Request { .. }
            | Event::Response { .. }
            | Event::Lost { .. }
            | Event::Acknowledged { .. }
            | Event::Unacknowledged { .. }
            | Event::Admitted(_)
            | Event::Seized { .. }
            | Event::MediaSilent
            | Event::MediaFreed(_) => State::Anchoring(Box::new(self)),
        }
    }
}

/// How many streams the relay has to carry.
fn streams_of(invite: &sip::Message) -> usize {
    match invite.sdp() {
        Some(body) => sip::sdp::Session::from_bytes(body).map_or(0, |session| session.media_count()),
        // A late offer is yet to come.
        None => LATE_OFFER_STREAMS,
    }
}

fn start(core: &mut Core, env: &Env<'_>, mut attempt: Try) -> State {
    core.out.push_back(Effect::Checkpoint(Point::C0));
    match egress::invite(core, env, &mut attempt) {
        Ok(()) => Trying::enter(env, attempt),
        Err(Failure::Response { code, .. }) => {
            core.ledger.surrender(&mut core.out, attempt.number);
            Clearing::refused_at(core, env, Some(&attempt), code, 0, "offer cannot be passed on")
        }
        Err(failure) => {
            core.ledger.surrender(&mut core.out, attempt.number);
            Seizing::after_failure(core, env, &attempt, failure, failure.reject().reason)
        }
    }
}
