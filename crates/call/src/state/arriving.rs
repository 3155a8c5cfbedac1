//! The INVITE that makes the call: who sends it, what it may, whom it wants.

use super::{Admitting, Clearing, Seizing, State};
use crate::admission::{self, Verdicted};
use crate::caller::Caller;
use crate::core::{Core, Env};
use crate::effect::{Direction, Effect, Event as Count, MediaSide};
use crate::event::Event;
use crate::note::{Note, Party};
use crate::settings::UnknownSource;
use sip::session_timer::Policy;
use sip::{Flow, Message, Name};
use std::sync::Arc;

/// The name under which metrics count those that nobody knows.
const STRANGER: &str = "unknown";

pub(super) fn on_event(core: &mut Core, env: &Env<'_>, event: Event) -> State {
    match event {
        Event::Invite { message, flow } => arrive(core, env, &message, &flow),
        Event::Hangup { .. } => Clearing::silent(core, env),
        Event::Request { .. }
        | Event::Response { .. }
        | Event::Lost { .. }
        | Event::Acknowledged { .. }
        | Event::Unacknowledged { .. }
        | Event::Cancelled { .. }
        | Event::Admitted(_)
        | Event::Seized { .. }
        | Event::Anchored(_)
        | Event::MediaSilent
        | Event::MediaFreed(_)
        | Event::Alarm => State::Arriving,
    }
}

fn arrive(core: &mut Core, env: &Env<'_>, invite: &Arc<Message>, flow: &Flow) -> State {
    let source = match admission::identify_source(env, invite, flow) {
        Verdicted::Known(source, by) => {
            core.note(Note::Recognised { from: Party::of(&source), by });
            source
        }
        Verdicted::Stranger if env.settings.unknown_source == UnknownSource::Silent => {
            core.count_failure(STRANGER.into(), Direction::Ingress, 0);
            core.note(Note::TurnedAway { code: 0 });
            return Clearing::silent(core, env);
        }
        Verdicted::Stranger => return turn_away(core, env, invite, flow, 403),
        Verdicted::Refused(code) => return turn_away(core, env, invite, flow, code),
        Verdicted::Challenge(stale) => return challenge(core, env, invite, flow, stale),
    };
    let server = core.serve(env, MediaSide::A, flow, invite);
    if let Some(reply) = core.reply(server, 100, "") {
        core.respond(env, server, 100, reply.finish());
    }
    let tag = core.tag(MediaSide::A);
    let caller = Caller::of_invite(env, source, server, invite, flow, tag);
    let metric = caller.source.metric();
    let trunk = caller.source.trunk().cloned();
    core.caller = Some(Box::new(caller));
    core.invite = Some(invite.clone());
    core.out.push_back(Effect::Event(Count::Attempt { trunk: metric, direction: Direction::Ingress }));
    if let Some(state) = refuse_unfit(core, env, invite) {
        return state;
    }
    match trunk {
        Some(trunk) => {
            core.ledger.admit(&mut core.out, trunk);
            State::Admitting(Admitting { until: env.now.mono + env.settings.max_wait })
        }
        None => Seizing::plan(core, env, Ok(())),
    }
}

/// Refuses what cannot become a call of ours whoever sends it.
fn refuse_unfit(core: &mut Core, env: &Env<'_>, invite: &Message) -> Option<State> {
    if invite.max_forwards() == Some(0) {
        return Some(Clearing::refused(core, env, 483, 25, "too many hops"));
    }
    if let Some(tags) = admission::unsupported(invite) {
        let (server, tag) = core.caller.as_ref().map(|caller| (caller.server, caller.tag.clone()))?;
        let mut reply = core.reply(server, 420, &tag)?;
        reply.add(Name::Unsupported, tags);
        core.respond(env, server, 420, reply.finish());
        return Some(Clearing::refused(core, env, 420, 127, "extension not supported"));
    }
    let session = core.caller.as_ref().and_then(|caller| caller.session);
    let policy = session.unwrap_or(Policy { seconds: env.settings.min_se, min_seconds: env.settings.min_se });
    if invite.session_expires().is_some() && policy.answer(env.now.mono, invite).is_err() {
        let (server, tag) = core.caller.as_ref().map(|caller| (caller.server, caller.tag.clone()))?;
        let mut reply = core.reply(server, 422, &tag)?;
        reply.add(Name::MinSe, env.settings.min_se);
        core.respond(env, server, 422, reply.finish());
        return Some(Clearing::refused(core, env, 422, 127, "session interval too small"));
    }
    if invite.contact().is_none() {
        return Some(Clearing::refused(core, env, 400, 127, "no contact"));
    }
    None
}

/// Refuses one that is nobody to us: no record, no channel.
fn turn_away(core: &mut Core, env: &Env<'_>, invite: &Arc<Message>, flow: &Flow, code: u16) -> State {
    core.count_failure(STRANGER.into(), Direction::Ingress, code);
    core.note(Note::TurnedAway { code });
    let server = core.serve(env, MediaSide::A, flow, invite);
    let tag = core.tag(MediaSide::A);
    core.invite = Some(invite.clone());
    if let Some(mut reply) = core.reply(server, code, &tag) {
        Core::sign(env, &mut reply, Name::Server);
        core.respond(env, server, code, reply.finish());
    }
    Clearing::silent(core, env)
}

fn challenge(core: &mut Core, env: &Env<'_>, invite: &Arc<Message>, flow: &Flow, stale: bool) -> State {
    core.note(Note::TurnedAway { code: 401 });
    let server = core.serve(env, MediaSide::A, flow, invite);
    let tag = core.tag(MediaSide::A);
    core.invite = Some(invite.clone());
    if let Some(mut reply) = core.reply(server, 401, &tag) {
        for value in env.settings.challenger.challenges(env.now.wall, stale) {
            reply.add(Name::WwwAuthenticate, value);
        }
        Core::sign(env, &mut reply, Name::Server);
        core.respond(env, server, 401, reply.finish());
    }
    Clearing::silent(core, env)
}
