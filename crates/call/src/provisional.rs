//! Provisional responses of the callee on their way to the caller.
//!
//! Reliability (RFC 3262) is passed from end to end: each early dialog of the callee has one of its own towards the
//! caller, so RSeq stays as it is, the callee's retransmissions drive ours, and PRACK goes back through [`crate::forward`].

use crate::attempt::Try;
use crate::body;
use crate::core::{Core, Env};
use crate::effect::{Effect, Event as Count, MediaSide, Point};
use crate::fork;
use bytes::Bytes;
use sip::{Message, Name};

/// Passes a 18x on.
pub(crate) fn relay(core: &mut Core, env: &Env<'_>, attempt: &mut Try, message: &Message) {
    let code = message.code().unwrap_or(180);
    if matches!(code, 180 | 183) && attempt.ringing.is_none() {
        attempt.ringing = Some(env.now);
        let delay = env.now.mono.since(attempt.started.mono);
        core.out.push_back(Effect::Event(Count::Rang { trunk: attempt.metric(), delay }));
    }
    let path = fork::path_of(core, env, attempt, message);
    let Some(caller) = &core.caller else { return };
    let (server, flow) = (caller.server, caller.flow);
    let understands = caller.options.contains(&"100rel");
    let primary = caller.tag.clone();
    let reliable =
        understands && path.is_some() && message.lists(Name::Require, "100rel") && message.get(Name::RSeq).is_some();
    let sdp = describe(core, message, reliable);
    if let Some(path) = path
        && sdp.is_some()
    {
        core.paths[path].early = message.sdp();
    }
    let tag = path.map_or(&*primary, |path| core.paths[path].leg(MediaSide::A).dialog.local_tag());
    let tag: Box<str> = tag.into();
    let Some(mut reply) = core.reply_as(server, code, message.reason_phrase(), &tag) else { return };
    if let Some(invite) = &core.invite {
        reply.copy_ref(invite, &[Name::RecordRoute]);
    }
    reply.add(Name::Contact, core.contact(env, &flow));
    reply.add(Name::Allow, crate::headers::ALLOW);
    if reliable {
        reply.add(Name::Require, "100rel");
        reply.copy_ref(message, &[Name::RSeq]);
    }
    Core::pass_headers(&mut reply, message);
    Core::sign(env, &mut reply, Name::Server);
    let bytes = body::finish(reply, message, sdp.as_ref());
    if path.is_some() || sdp.is_some() {
        core.out.push_back(Effect::Checkpoint(Point::C1));
    }
    core.respond(env, server, code, bytes);
}

/// What the caller is told of the callee's media.
fn describe(core: &mut Core, message: &Message, reliable: bool) -> Option<Bytes> {
    let body = message.sdp()?;
    let caller_offered = core.invite.as_ref().is_some_and(|invite| invite.has_sdp());
    if caller_offered {
        return core.media.answer(&mut core.out, MediaSide::B, &body, reliable, false).ok();
    }
    // Only a reliable response may carry an offer (RFC 3262 §5).
    let codecs = core.codecs_to[MediaSide::A.index()].clone();
    reliable.then(|| core.media.offer(MediaSide::B, &body, &codecs).ok()).flatten()
}
