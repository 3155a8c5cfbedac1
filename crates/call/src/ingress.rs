//! Final responses to the caller's INVITE.

use crate::body;
use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::leg::Path;
use crate::transactions::Answer;
use bytes::Bytes;
use sip::header::Refresher;
use sip::session_timer::{Agreed, Policy};
use sip::transaction::AnswerRetransmit;
use sip::{Builder, Flow, Message, Name};
use std::sync::Arc;

/// `Reason: Q.850;cause=…` (RFC 3326).
pub(crate) fn add_cause(builder: &mut Builder, q850: u16) {
    if q850 > 0 {
        builder.add(Name::Reason, format_args!("Q.850;cause={q850}"));
    }
}

/// Refuses the call for a reason of our own.
pub(crate) fn refuse(core: &mut Core, env: &Env<'_>, code: u16, q850: u16) {
    let Some((server, tag)) = core.caller.as_ref().map(|caller| (caller.server, caller.tag.clone())) else { return };
    let Some(mut reply) = core.reply(server, code, &tag) else { return };
    add_cause(&mut reply, q850);
    Core::sign(env, &mut reply, Name::Server);
    core.respond(env, server, code, reply.finish());
}

/// Passes the callee's failure on, perhaps with another code.
pub(crate) fn pass_failure(core: &mut Core, env: &Env<'_>, message: &Message, code: u16, q850: u16) {
    if message.code() != Some(code) {
        return refuse(core, env, code, q850);
    }
    let Some((server, tag)) = core.caller.as_ref().map(|caller| (caller.server, caller.tag.clone())) else { return };
    let Some(mut reply) = core.reply_as(server, code, message.reason_phrase(), &tag) else { return };
    Core::pass_headers(&mut reply, message);
    if message.get(Name::Reason).is_none() {
        add_cause(&mut reply, q850);
    }
    if (300..400).contains(&code) {
        reply.copy_ref(message, &[Name::Contact]);
    }
    Core::sign(env, &mut reply, Name::Server);
    let bytes = body::finish(reply, message, None);
    core.respond(env, server, code, bytes);
}

/// Writes the session timer into a 2xx of ours and starts it (RFC 4028 §9).
pub(crate) fn agree_session(
    env: &Env<'_>,
    reply: &mut Builder,
    path: &mut Path,
    side: MediaSide,
    agreed: Option<&Agreed>,
) {
    let Some(agreed) = agreed else { return };
    let refresher = match agreed.session_expires.refresher {
        Some(Refresher::Uac) => ";refresher=uac",
        Some(Refresher::Uas) => ";refresher=uas",
        None => "",
    };
    reply.add(Name::SessionExpires, format_args!("{}{refresher}", agreed.session_expires.seconds));
    if agreed.require {
        reply.add(Name::Require, "timer");
    }
    path.leg_mut(side).start_timer(env.now.mono, Some(agreed.timer));
}

/// What a request of the other side and our own wishes agree on: nothing, where neither wants a session timer.
pub(crate) fn session_of(env: &Env<'_>, wishes: Option<Policy>, request: &Message) -> Option<Agreed> {
    if wishes.is_none() && request.session_expires().is_none() {
        return None;
    }
    let seconds = env.settings.session_expires.max(env.settings.min_se);
    let policy = wishes.unwrap_or(Policy { seconds, min_seconds: env.settings.min_se });
    policy.answer(env.now.mono, request).ok()
}

/// Sends the 200 for the call's first path and waits for its ACK; `late` is the INVITE on leg B that waits for it too.
pub(crate) fn answer(core: &mut Core, env: &Env<'_>, message: &Message, sdp: Option<Bytes>, late: Option<u32>) {
    let Some(caller) = &core.caller else { return };
    let (server, flow, wishes) = (caller.server, caller.flow, caller.session);
    let Some(invite) = core.invite.clone() else { return };
    let Some(tag) = core.paths.first().map(|path| Box::<str>::from(path.leg(MediaSide::A).dialog.local_tag())) else {
        return;
    };
    let code = message.code().unwrap_or(200);
    let Some(mut reply) = core.reply_as(server, code, message.reason_phrase(), &tag) else { return };
    reply.copy_ref(&invite, &[Name::RecordRoute]);
    reply.add(Name::Contact, core.contact(env, &flow));
    reply.add(Name::Allow, crate::headers::ALLOW);
    reply.add(Name::Supported, "timer");
    let agreed = session_of(env, wishes, &invite);
    agree_session(env, &mut reply, &mut core.paths[0], MediaSide::A, agreed.as_ref());
    Core::pass_headers(&mut reply, message);
    Core::sign(env, &mut reply, Name::Server);
    let bytes = body::finish(reply, message, sdp.as_ref());
    core.paths[0].leg_mut(MediaSide::A).dialog.confirm_as_uas();
    let cseq = invite.cseq().map_or(1, |cseq| cseq.number);
    await_ack(core, env, server, code, bytes, cseq, MediaSide::A, late);
    core.invite = None;
}

/// Sends the 2xx of a former node once more, from this one: with another Contact and description, and else as it was.
pub(crate) fn answer_again(core: &mut Core, env: &Env<'_>, former: &Message, flow: Flow, sdp: Option<Bytes>) {
    let (code, cseq) = (former.code().unwrap_or(200), former.cseq().map_or(1, |cseq| cseq.number));
    let server = core.serve(env, MediaSide::A, &flow, &Arc::new(former.clone()));
    let mut reply = Builder::status_as(code, former.reason_phrase());
    let ours = [Name::Contact, Name::ContentType, Name::ContentLength];
    for field in former.fields().iter().filter(|field| !ours.contains(&field.name)) {
        reply.field_ref(former, field);
    }
    reply.add(Name::Contact, core.contact(env, &flow));
    let bytes = body::finish(reply, former, sdp.as_ref());
    await_ack(core, env, server, code, bytes, cseq, MediaSide::A, None);
}

/// Sends a 2xx to an INVITE and repeats it until its ACK.
#[allow(clippy::too_many_arguments, reason = "one call, and every value is another thing")]
pub(crate) fn await_ack(
    core: &mut Core,
    env: &Env<'_>,
    server: u32,
    code: u16,
    bytes: Bytes,
    cseq: u32,
    side: MediaSide,
    late: Option<u32>,
) {
    let Some(to) = core.tx.server(server).map(|server| server.to) else { return };
    core.respond(env, server, code, bytes.clone());
    let machine = AnswerRetransmit::new(env.now.mono, bytes, cseq, &env.settings.timers);
    core.tx.answers.push(Box::new(Answer { side, to, machine, late }));
}
