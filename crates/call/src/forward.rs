//! Requests within the dialogs: from leg to leg, each with a transaction of its own on either side.
//!
//! An offer passes only if no other one is open; who gets 491 waits by RFC 3261 §14.1, which is left to its user agent.

use crate::body;
use crate::core::{Core, Env, Request};
use crate::effect::{Effect, MediaSide, Point};
use crate::event::{About, Loss};
use crate::ingress::{agree_session, await_ack, session_of};
use crate::orphan;
use crate::transactions::{Cancelling, Purpose};
use bytes::Bytes;
use sip::header::RAck;
use sip::{Builder, Message, Method, Name};
use std::sync::Arc;

/// Passes a request on to the other leg of its path.
pub(crate) fn request(
    core: &mut Core,
    env: &Env<'_>,
    server: u32,
    side: MediaSide,
    path: usize,
    message: &Arc<Message>,
) {
    let method = message.method();
    let refreshes = matches!(method, Method::Invite | Method::Update);
    if refreshes && let Some(code) = glare(core, side, path, message) {
        return refuse_glare(core, env, server, code);
    }
    if refreshes && is_too_short(core, env, server, message) {
        return;
    }
    if method == Method::Invite
        && let Some(reply) = core.reply(server, 100, "")
    {
        core.respond(env, server, 100, reply.finish());
    }
    if method != Method::Bye {
        core.paths[path].leg_mut(side).refresh(message, env.locals);
    }
    let Ok(sdp) = describe(core, side, message) else {
        return core.refuse(env, server, 488);
    };
    let (content_type, body) = body::dress(message, sdp.as_deref());
    let Some(forwards) = message.max_forwards().unwrap_or(env.settings.max_forwards).checked_sub(1) else {
        return core.refuse(env, server, 483);
    };
    let rack = (method == Method::Prack).then(|| rack_for(core, side, path, message)).flatten();
    let request = Request {
        path,
        method: message.method_text(),
        purpose: Purpose::Bridge { server },
        max_forwards: forwards,
        content_type,
        body: &body,
    };
    let session = refreshes.then(|| core.paths[path].leg(side.other()).timer).flatten();
    let min_se = env.settings.min_se;
    core.request(env, side.other(), request, |builder| {
        Core::pass_headers(builder, message);
        if let Some(rack) = rack {
            builder.add(Name::RAck, rack);
        }
        if refreshes {
            builder.add(Name::Allow, crate::headers::ALLOW);
            builder.add(Name::Supported, "timer");
        }
        if let Some(timer) = session {
            let refresher = if timer.we_refresh() { "uac" } else { "uas" };
            builder.add(Name::SessionExpires, format_args!("{};refresher={refresher}", timer.seconds()));
            builder.add(Name::MinSe, min_se);
        }
        Core::sign(env, builder, Name::UserAgent);
    });
}

/// What the other side is told of the media in a request.
fn describe(core: &mut Core, side: MediaSide, message: &Message) -> Result<Option<Bytes>, sip::sdp::Error> {
    let Some(body) = message.sdp() else { return Ok(None) };
    // The PRACK of a reliable offer carries its answer (RFC 3262 §5); every other description is an offer.
    if message.method() == Method::Prack && core.media.open_offer() == Some(side.other()) {
        return core.media.answer(&mut core.out, side, &body, true, true).map(Some);
    }
    let codecs = core.codecs_to[side.other().index()].clone();
    core.media.offer(side, &body, &codecs).map(Some)
}

/// Whether a request that may carry an offer comes at a bad time: 491 or 500 (RFC 3261 §14.2, RFC 3311 §5.2).
fn glare(core: &Core, side: MediaSide, path: usize, message: &Message) -> Option<u16> {
    // The INVITE of a transfer belongs to another dialog.
    let invite_pending = core.tx.clients.iter().any(|client| {
        let apart = matches!(client.purpose, Purpose::Orphan | Purpose::Setup);
        client.method == Method::Invite && !apart && client.is_needed()
    });
    let late_pending = core.tx.answers.iter().any(|answer| !answer.machine.is_over() && answer.late.is_some());
    let is_invite = message.method() == Method::Invite;
    if !is_invite && !message.has_sdp() {
        return None;
    }
    if core.paths.get(path).is_some_and(|path| path.leg(side).dialog.is_early()) && is_invite {
        return Some(500);
    }
    match core.media.open_offer() {
        Some(from) if from == side => Some(500),
        Some(_) => Some(491),
        None if is_invite && (invite_pending || late_pending) => Some(491),
        None if refreshing(core) => Some(491),
        None => None,
    }
}

/// Whether a re-INVITE of our own, which repeats our description, is under way.
fn refreshing(core: &Core) -> bool {
    core.tx.clients.iter().any(|client| {
        client.method == Method::Invite && matches!(client.purpose, Purpose::Refresh(_)) && client.is_needed()
    })
}

fn refuse_glare(core: &mut Core, env: &Env<'_>, server: u32, code: u16) {
    let seconds = core.chance.next() % 10;
    let Some(mut reply) = core.reply(server, code, "") else { return };
    if code == 500 {
        reply.add(Name::RetryAfter, seconds);
    }
    core.respond(env, server, code, reply.finish());
}

/// Refuses a session interval below our minimum (RFC 4028 §9).
fn is_too_short(core: &mut Core, env: &Env<'_>, server: u32, message: &Message) -> bool {
    let policy = sip::session_timer::Policy { seconds: env.settings.min_se, min_seconds: env.settings.min_se };
    if message.session_expires().is_none() || policy.answer(env.now.mono, message).is_ok() {
        return false;
    }
    if let Some(mut reply) = core.reply(server, 422, "") {
        reply.add(Name::MinSe, env.settings.min_se);
        core.respond(env, server, 422, reply.finish());
    }
    true
}

/// RAck names the INVITE by the number that it has on the other leg.
fn rack_for(core: &Core, side: MediaSide, path: usize, message: &Message) -> Option<String> {
    let rack = RAck::parse(message.get(Name::RAck)?)?;
    let attempt = core.paths.get(path)?.attempt;
    let invite =
        core.tx.clients.iter().find(|client| {
            client.method == Method::Invite && client.side == side.other() && client.attempt == attempt
        })?;
    let number = invite.request.as_ref()?.number();
    Some(format!("{} {number} INVITE", rack.rseq))
}

/// Passes the answer to a request that was passed on.
pub(crate) fn response(core: &mut Core, env: &Env<'_>, about: About, server: u32, message: &Message) {
    let code = message.code().unwrap_or(0);
    if code < 200 {
        if core.tx.client(about.client).is_some_and(|client| client.cancelling == Cancelling::Wanted) {
            orphan::send_cancel(core, env, about.client, None);
        }
        return;
    }
    let Some((side, method, request)) = core.tx.server(server).map(|s| (s.side, s.method, s.request.clone())) else {
        return decline_stray(core, env, about, message);
    };
    let Some(request) = request else { return decline_stray(core, env, about, message) };
    let Some(path) = path_at(core, &request) else { return };
    let offers = matches!(method, Method::Invite | Method::Update | Method::Prack);
    if code >= 300 {
        if offers && request.has_sdp() {
            core.media.close_offer();
            // The description that was refused has used up a version.
            core.out.push_back(Effect::Checkpoint(Point::C4));
        }
        return pass(core, env, server, code, message, None, |_, _| {});
    }
    let other = side.other();
    if matches!(method, Method::Invite | Method::Update) {
        core.paths[path].leg_mut(other).refresh(message, env.locals);
        let leg = core.paths[path].leg_mut(other);
        let policy = sip::session_timer::Policy { seconds: env.settings.min_se, min_seconds: env.settings.min_se };
        if let Some(timer) = policy.answered(env.now.mono, message) {
            leg.start_timer(env.now.mono, Some(timer));
        }
    }
    if method == Method::Invite {
        return accepted(core, env, about, server, path, &request, message);
    }
    let sdp = message.sdp().and_then(|body| core.media.answer(&mut core.out, other, &body, true, true).ok());
    let wishes = session_of(env, None, &request);
    pass(core, env, server, code, message, sdp, |core, reply| {
        if method == Method::Update {
            agree_session(env, reply, &mut core.paths[path], side, wishes.as_ref());
        }
    });
    if method == Method::Update {
        core.out.push_back(Effect::Checkpoint(Point::C4));
    }
}

/// A re-INVITE was accepted: ACK at once, unless the ACK has to carry the answer to a late offer.
fn accepted(
    core: &mut Core,
    env: &Env<'_>,
    about: About,
    server: u32,
    path: usize,
    request: &Message,
    message: &Message,
) {
    let Some(side) = core.tx.server(server).map(|server| server.side) else { return };
    let other = side.other();
    let code = message.code().unwrap_or(200);
    if let Some(client) = core.tx.client(about.client) {
        client.won = Some(message.to_tag().unwrap_or("").into());
    }
    let said = message.sdp();
    let late = !request.has_sdp() && said.is_some();
    let sdp = match &said {
        Some(body) if late => {
            let codecs = core.codecs_to[side.index()].clone();
            core.media.offer(other, body, &codecs).ok()
        }
        Some(body) => core.media.answer(&mut core.out, other, body, true, true).ok(),
        None => {
            core.media.close_offer();
            None
        }
    };
    if !late {
        orphan::acknowledge(core, env, about.client, path, "", b"");
    }
    let Some(mut reply) = core.reply_as(server, code, message.reason_phrase(), "") else { return };
    let flow = core.paths[path].leg(side).flow;
    reply.add(Name::Contact, core.contact(env, &flow));
    reply.add(Name::Allow, crate::headers::ALLOW);
    reply.add(Name::Supported, "timer");
    let wishes = session_of(env, None, request);
    agree_session(env, &mut reply, &mut core.paths[path], side, wishes.as_ref());
    Core::pass_headers(&mut reply, message);
    let bytes = body::finish(reply, message, sdp.as_ref());
    let cseq = request.cseq().map_or(0, |cseq| cseq.number);
    await_ack(core, env, server, code, bytes, cseq, side, late.then_some(about.client));
    core.out.push_back(Effect::Checkpoint(Point::C4));
}

/// The path that a request within a dialog belongs to.
fn path_at(core: &Core, request: &Message) -> Option<usize> {
    let tag = request.to_tag()?;
    core.paths.iter().position(|path| path.legs.iter().any(|leg| leg.dialog.local_tag() == tag))
}

/// Nobody waits for this answer any more, but a 2xx to an INVITE wants its ACK.
fn decline_stray(core: &mut Core, env: &Env<'_>, about: About, message: &Message) {
    let is_invite = core.tx.client(about.client).is_some_and(|client| client.method == Method::Invite);
    if is_invite && message.code().is_some_and(|code| (200..300).contains(&code)) && !core.paths.is_empty() {
        orphan::acknowledge(core, env, about.client, 0, "", b"");
    }
}

/// Sends the response on, with what goes from end to end.
fn pass(
    core: &mut Core,
    env: &Env<'_>,
    server: u32,
    code: u16,
    message: &Message,
    sdp: Option<Bytes>,
    fill: impl FnOnce(&mut Core, &mut Builder),
) {
    // A challenge of one side is no question to the other (RFC 3261 §22): it holds no credentials for it.
    let code = if matches!(code, 401 | 407) { 403 } else { code };
    let phrase = if message.code() == Some(code) { message.reason_phrase() } else { b"Forbidden" };
    let Some(mut reply) = core.reply_as(server, code, phrase, "") else { return };
    if code < 300
        && let Some(request) = core.tx.server(server).filter(|server| server.method == Method::Update)
    {
        let to = request.to;
        reply.add(Name::Contact, core.contact(env, &to));
    }
    fill(core, &mut reply);
    Core::pass_headers(&mut reply, message);
    if code == 422 {
        reply.copy_ref(message, &[Name::MinSe]);
    }
    let bytes = body::finish(reply, message, sdp.as_ref());
    core.respond(env, server, code, bytes);
}

/// A request that was passed on got no answer.
pub(crate) fn lost(core: &mut Core, env: &Env<'_>, server: u32, loss: Loss) {
    let Some((method, has_sdp)) = core
        .tx
        .server(server)
        .map(|server| (server.method, server.request.as_ref().is_some_and(|request| request.has_sdp())))
    else {
        return;
    };
    if has_sdp && matches!(method, Method::Invite | Method::Update) {
        core.media.close_offer();
    }
    let code = match loss {
        Loss::Timeout => 408,
        Loss::Unreachable => 503,
    };
    core.refuse(env, server, code);
}

/// The ACK of a 2xx to an offerless INVITE brings the answer for the leg that offered.
pub(crate) fn late_answer(core: &mut Core, env: &Env<'_>, side: MediaSide, client: u32, message: &Message) {
    let body = match message.sdp() {
        Some(body) => core.media.answer(&mut core.out, side, &body, true, true).unwrap_or_default(),
        None => {
            core.media.close_offer();
            Bytes::new()
        }
    };
    orphan::acknowledge(core, env, client, 0, "application/sdp", &body);
}

/// CANCEL of a re-INVITE: the one that stands for it on the other leg is cancelled too, and its 487 comes back.
pub(crate) fn cancel(core: &mut Core, env: &Env<'_>, server: u32, reason: Option<&str>) {
    let client =
        core.tx.clients.iter().find(|client| client.purpose == Purpose::Bridge { server }).map(|client| client.id);
    if let Some(client) = client {
        orphan::send_cancel(core, env, client, reason);
    }
}
