//! A call that was not answered yet, on another node: the callee's INVITE is taken back, and the call is routed again, the
//! same attempt first. The caller's transaction goes on from here: it is the same INVITE, and gets one final response.

use crate::attempt::{Route, Try};
use crate::caller::Caller;
use crate::checkpoint::{AttemptPart, Out, Setup, TryPart};
use crate::core::{Core, Env, response_flow};
use crate::effect::{Effect, MediaSide, Point};
use crate::leg::Leg;
use crate::revival::{Place, moved, past, recall, revive_leg, revive_target, surrender_spare};
use crate::state::{Admitting, Seizing, State};
use crate::transactions::Client;
use routing::Attempt;
use sip::clock::{Now, Wall};
use sip::{Flow, Message, Method, Name};
use std::net::SocketAddr;
use std::time::Duration;

/// Goes on with it.
pub(crate) fn begin(core: &mut Core, env: &Env<'_>, state: Admitting) -> State {
    let Some(undone) = core.undone.take() else { return State::Admitting(state) };
    let Some(setup) = undone.setup else { return State::Admitting(state) };
    core.ledger.forget_ports();
    core.out.push_back(Effect::Checkpoint(Point::C1));
    adopt_caller(core, env, &setup);
    repeat_provisional(core, env, &setup);
    let current = setup.attempt().unwrap_or(0);
    surrender_spare(core, &undone.invites, Some(current));
    for out in undone.invites {
        // The channel of the attempt under way stays with it.
        let attempt = if out.attempt == current { 0 } else { out.attempt };
        recall(core, env, Out { attempt, ..out }, Place::Elsewhere);
    }
    for part in setup.early {
        end_early(core, env, revive_leg(part, Duration::ZERO, env.now.mono));
    }
    let attempts = setup.route.attempts.iter().map(|part| revive_attempt(env, part)).collect();
    let (made, redirects) = (setup.route.made, setup.route.redirects);
    match setup.attempt {
        Some(part) => {
            core.route = Some(Box::new(Route { attempts, made, redirects }));
            Seizing::resume(core, env, revive_try(env, part))
        }
        None => admit(core, env, state),
    }
}

/// Nothing had been sent for it: it is met as one that has just come.
fn admit(core: &mut Core, env: &Env<'_>, state: Admitting) -> State {
    let trunk = core.caller.as_ref().and_then(|caller| caller.source.trunk().cloned());
    match trunk.filter(|_| core.ledger.admitted_trunk().is_none()) {
        Some(trunk) => {
            core.ledger.admit(&mut core.out, trunk);
            State::Admitting(state)
        }
        None => Seizing::plan(core, env, Ok(())),
    }
}

/// The caller as its INVITE describes it, and the way back to it from this node.
fn adopt_caller(core: &mut Core, env: &Env<'_>, setup: &Setup) {
    let (Some(former), Some(invite)) = (core.caller.take(), core.invite.clone()) else { return };
    let flow = way_back(env, former.flow, &invite);
    let tag = if setup.bound { core.tag(MediaSide::A) } else { former.tag };
    if let Some(server) = core.tx.server(former.server) {
        server.to = response_flow(&flow, &invite);
    }
    let caller = Caller::of_invite(env, former.source, former.server, &invite, &flow, tag);
    core.caller = Some(Box::new(Caller {
        started: former.started,
        lrn: former.lrn,
        emergency: former.emergency,
        pinned: former.pinned,
        told: setup.told.as_slice().into(),
        ..caller
    }));
}

/// RFC 3261 §18.2.2: where the connection of a request is gone, a new one goes to the address that it came from, at the
/// port that its Via names.
fn way_back(env: &Env<'_>, flow: Flow, invite: &Message) -> Flow {
    let mut flow = moved(flow, env.locals);
    if flow.transport.is_reliable()
        && flow.edge == 0
        && let Some(via) = invite.top_via()
    {
        flow.remote = SocketAddr::new(flow.remote.ip(), via.port.unwrap_or(flow.transport.default_port()));
    }
    flow
}

/// Says once more how far the call is, from where it is now. Whoever wants provisional responses to be reliable hears only
/// what the next callee says.
fn repeat_provisional(core: &mut Core, env: &Env<'_>, setup: &Setup) {
    let Some(caller) = &core.caller else { return };
    let (server, flow, tag) = (caller.server, caller.flow, caller.tag.clone());
    let rang = setup.attempt.as_ref().is_some_and(|attempt| attempt.ringing.is_some());
    if !rang || caller.required.contains(&"100rel") {
        if let Some(reply) = core.reply(server, 100, "") {
            core.respond(env, server, 100, reply.finish());
        }
        return;
    }
    let Some(mut reply) = core.reply(server, 180, &tag) else { return };
    if let Some(invite) = &core.invite {
        reply.copy_ref(invite, &[Name::RecordRoute]);
    }
    reply.add(Name::Contact, core.contact(env, &flow));
    reply.add(Name::Allow, crate::headers::ALLOW);
    Core::sign(env, &mut reply, Name::Server);
    core.respond(env, server, 180, reply.finish());
}

/// BYE beside the CANCEL: it meets a callee that has answered meanwhile, whose 2xx went to the former node.
fn end_early(core: &mut Core, env: &Env<'_>, mut leg: Leg) {
    leg.take_over(env.locals, core.spare());
    let number = core.number();
    let flow = leg.flow;
    let mut bye = leg.dialog.request(Method::Bye, core.via(env, &flow, number), None, env.settings.max_forwards);
    Core::sign(env, &mut bye, Name::UserAgent);
    let bye = bye.finish();
    let timers = &env.settings.timers;
    let client = Client::other(env.now.mono, number, Method::Bye, MediaSide::B, flow, bye.clone(), timers);
    core.tx.clients.push(Box::new(client));
    core.send(bye, flow, number);
}

/// Whether a request belongs to an early dialog that a former node has told the caller of.
pub(crate) fn was_told(caller: &Caller, request: &Message) -> bool {
    let tag = request.to_tag().unwrap_or("");
    request.call_id() == &*caller.call_id && caller.told.iter().any(|told| **told == *tag)
}

fn revive_try(env: &Env<'_>, part: TryPart) -> Try {
    let then = |(wall, ago): (Wall, Duration)| Now { mono: past(env.now.mono, ago), wall };
    let mut attempt = Try::new(part.number, revive_attempt(env, &part.plan), then(part.started));
    attempt.hops = part.hops.into();
    attempt.ringing = part.ringing.map(then);
    attempt
}

fn revive_attempt(env: &Env<'_>, part: &AttemptPart) -> Attempt {
    Attempt {
        target: revive_target(&part.target, env),
        called: part.called.clone(),
        plan: part.plan.clone(),
        prefix: part.prefix,
        ring_seconds: part.ring_seconds,
        forwarded_by: part.forwarded_by.and_then(|number| env.view.number(number).cloned()),
    }
}
