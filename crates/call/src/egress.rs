//! Leg B's INVITE: our own dialog, the caller's headers byte for byte where they name no hop, the identity by policy
//! (RFC 3323, RFC 3325). It never shows the callee anything of the caller's network.

use crate::attempt::{Try, trunk_of};
use crate::body;
use crate::caller::{Caller, codecs_of};
use crate::core::{Core, Env, advertised, push_hex};
use crate::effect::Direction;
use crate::effect::{Effect, Event as Count, MediaSide};
use crate::headers;
use crate::input::Hop;
use crate::media::Codecs;
use crate::note::Note;
use crate::transactions::{Client, Purpose};
use bytes::Bytes;
use routing::Target;
use routing::model::Trunk;
use sip::session_timer::Policy;
use sip::{Builder, Flow, Message, Method, Name};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use trunk::{Failure, translate};

/// Prepares an attempt whose places are known: numbers, dialog identifiers, session timer and codecs.
pub(crate) fn prepare(core: &mut Core, env: &Env<'_>, attempt: &mut Try) {
    let Some(caller) = core.caller.take() else { return };
    core.codecs_to = prepare_for(core, env, &caller, MediaSide::B, attempt);
    core.caller = Some(caller);
    let seed = core.chance.next();
    core.media.renew_callee(seed);
}

/// Prepares an attempt on behalf of `caller` for the leg on `side`; answers the codecs that may be offered to leg A and B.
pub(crate) fn prepare_for(
    core: &mut Core,
    env: &Env<'_>,
    caller: &Caller,
    side: MediaSide,
    attempt: &mut Try,
) -> [Codecs; 2] {
    let prefix = match &attempt.plan.target {
        Target::Trunk(trunk) => trunk.egress.as_ref().map_or("", |egress| &*egress.tech_prefix),
        Target::Registered(_) | Target::User(_) => "",
    };
    attempt.called_out = translate::egress(&attempt.plan.called, prefix).into();
    attempt.caller_out =
        caller.identity.from.clone().or_else(|| caller.identity.asserted.clone()).unwrap_or_default().into();
    let asked = trunk_of(&attempt.plan.target).map_or(env.settings.session_expires, |trunk| trunk.session_expires);
    attempt.asks_session = asked > 0;
    let seconds = if asked > 0 { asked } else { env.settings.session_expires.max(env.settings.min_se) };
    attempt.session = Policy { seconds, min_seconds: env.settings.min_se };
    // The high bits are set so that no digit is left out.
    let mut call_id = String::with_capacity(24);
    push_hex(&mut call_id, core.chance.next() | 1 << 63);
    push_hex(&mut call_id, core.chance.next() >> 32 | 1 << 31);
    attempt.call_id = call_id.into();
    attempt.tag = core.tag(side);
    let theirs = codecs_of(trunk_of(&attempt.plan.target).map(|trunk| &**trunk));
    let to_caller = common(&caller.codecs, &theirs);
    let to_callee = common(&theirs, &caller.codecs);
    match side {
        MediaSide::A => [to_callee, to_caller],
        MediaSide::B => [to_caller, to_callee],
    }
}

/// The codecs that both trunks allow, in the order of the first.
pub(crate) fn common(first: &Codecs, second: &Codecs) -> Codecs {
    match (first, second) {
        (None, other) | (other, None) => other.clone(),
        (Some(first), Some(second)) => Some(
            first.iter().filter(|name| second.iter().any(|other| other.eq_ignore_ascii_case(name))).cloned().collect(),
        ),
    }
}

/// Sends the INVITE of an attempt to the first of its places, with what the caller's INVITE says.
pub(crate) fn invite(core: &mut Core, env: &Env<'_>, attempt: &mut Try) -> Result<(), Failure> {
    let refused = |code| Failure::Response { code, q850: None };
    let (Some(invite), Some(_)) = (core.invite.clone(), attempt.hops.front()) else { return Err(Failure::Transport) };
    let forwards = invite.max_forwards().unwrap_or(env.settings.max_forwards).checked_sub(1).ok_or(refused(483))?;
    let offer = offer_for(core, &invite).map_err(|error| refused(error.status()))?;
    let (content_type, body) = body::dress(&invite, offer.as_deref());
    let content = Content { side: MediaSide::B, forwards, content_type, body: &body };
    let Some(caller) = core.caller.take() else { return Err(Failure::Transport) };
    let display = invite.from().map_or("", |from| from.display);
    let sent = send(core, env, &caller, display, attempt, &content, |builder| {
        for field in invite.fields().iter().filter(|field| headers::passes_setup(field.name)) {
            builder.field_ref(&invite, field);
        }
    });
    core.caller = Some(caller);
    sent
}

/// What goes into an INVITE beside its parties.
pub(crate) struct Content<'a> {
    /// The leg that it opens.
    pub(crate) side: MediaSide,
    /// Max-Forwards.
    pub(crate) forwards: u8,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
}

/// Sends the INVITE of an attempt on behalf of `caller`; `fill` adds what passes from elsewhere.
pub(crate) fn send(
    core: &mut Core,
    env: &Env<'_>,
    caller: &Caller,
    display: &str,
    attempt: &mut Try,
    content: &Content<'_>,
    fill: impl FnOnce(&mut Builder),
) -> Result<(), Failure> {
    let hop = attempt.hops.front().cloned().ok_or(Failure::Transport)?;
    let flow = flow_to(env, &hop).ok_or(Failure::Transport)?;
    let number = core.number();
    let uri = request_uri(&hop, &attempt.called_out);
    let mut builder = Builder::request(Method::Invite, &uri);
    builder.add(Name::Via, core.via(env, &flow, number));
    if let Some(route) = &hop.route {
        builder.add(Name::Route, route);
    }
    builder.add(Name::MaxForwards, content.forwards);
    let here = advertised(env, &flow);
    write_parties(&mut builder, caller, attempt, display, &here, &hop);
    builder.add(Name::Contact, core.contact(env, &flow));
    write_capabilities(&mut builder, env, caller, attempt);
    fill(&mut builder);
    Core::sign(env, &mut builder, Name::UserAgent);
    if let Some((name, value)) = &attempt.credentials {
        builder.add(*name, value);
    }
    let bytes = builder.finish_with(content.content_type, content.body);
    let timers = &env.settings.timers;
    let mut client = Client::invite(env.now.mono, number, content.side, flow, bytes.clone(), timers);
    client.purpose = Purpose::Setup;
    client.attempt = attempt.number;
    attempt.client = number;
    core.tx.clients.push(Box::new(client));
    core.out.push_back(Effect::Event(Count::Attempt { trunk: attempt.metric(), direction: Direction::Egress }));
    core.note(Note::Calling { attempt: attempt.number, gateway: hop.gateway });
    core.send(bytes, flow, number);
    Ok(())
}

/// The flow to a place: that of a registration, or a new one from the listener that reaches it.
fn flow_to(env: &Env<'_>, hop: &Hop) -> Option<Flow> {
    if let Some(flow) = hop.flow {
        return Some(flow);
    }
    let local = env.locals.pick(hop.transport, hop.remote)?;
    Some(Flow::new(hop.transport, local.bound, hop.remote))
}

/// The offer for the callee, if the caller makes one.
fn offer_for(core: &mut Core, invite: &Message) -> Result<Option<Bytes>, sip::sdp::Error> {
    let Some(offer) = invite.sdp() else { return Ok(None) };
    let codecs = core.codecs_to[MediaSide::B.index()].clone();
    core.media.offer(MediaSide::A, &offer, &codecs).map(Some)
}

fn request_uri(hop: &Hop, called: &str) -> String {
    match &hop.uri {
        Some(uri) => uri.to_string(),
        None if called.starts_with("urn:") => called.to_owned(),
        None => ["sip:", &*escaped(called), "@", &*hop.host].concat(),
    }
}

/// The number as the user part of a URI: `#` may not stand there (RFC 3261 §25.1).
fn escaped(user: &str) -> Cow<'_, str> {
    if user.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+') {
        return Cow::Borrowed(user);
    }
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}

fn write_parties(builder: &mut Builder, caller: &Caller, attempt: &Try, display: &str, here: &str, hop: &Hop) {
    let tag = &attempt.tag;
    match &caller.identity.from {
        Some(user) => {
            let blank = if display.is_empty() { "" } else { " " };
            let user = escaped(user);
            builder.add_pieces(Name::From, &[display, blank, "<sip:", &user, "@", here, ">;tag=", tag]);
        }
        None => {
            builder.add(Name::From, format_args!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={tag}"));
        }
    }
    if attempt.called_out.starts_with("urn:") {
        builder.add_pieces(Name::To, &["<", &attempt.called_out, ">"]);
    } else {
        builder.add_pieces(Name::To, &["<sip:", &escaped(&attempt.called_out), "@", &hop.host, ">"]);
    }
    builder.add_pieces(Name::CallId, &[&attempt.call_id]);
    builder.add_cseq(attempt.seq, Method::Invite.token());
    write_identity(builder, caller, attempt, here);
}

/// P-Asserted-Identity goes to partners, who are trusted to honour Privacy, and to a line only if nothing is hidden
/// (RFC 3325 §5).
fn write_identity(builder: &mut Builder, caller: &Caller, attempt: &Try, here: &str) {
    let trusted = !matches!(attempt.plan.target, Target::User(_));
    let hidden = caller.identity.privacy || caller.identity.from.is_none();
    if let Some(number) = caller.identity.asserted.as_ref().filter(|_| trusted || !hidden) {
        builder.add_pieces(Name::PAssertedIdentity, &["<sip:", &escaped(number), "@", here, ">"]);
    }
    if caller.identity.privacy && trusted {
        builder.add(Name::Privacy, "id");
    }
    if let Some(number) = &attempt.plan.forwarded_by {
        let reason = if attempt.number == 1 { "unconditional" } else { "no-answer" };
        builder.add(Name::Diversion, format_args!("<sip:{}@{here}>;reason={reason}", number.number));
    }
}

fn write_capabilities(builder: &mut Builder, env: &Env<'_>, caller: &Caller, attempt: &Try) {
    builder.add_pieces(Name::Allow, &[headers::ALLOW]);
    let mut supported = String::from("timer");
    for option in &caller.options {
        supported.push_str(", ");
        supported.push_str(option);
    }
    builder.add(Name::Supported, supported);
    for required in &caller.required {
        builder.add(Name::Require, required);
    }
    if attempt.asks_session || attempt.raised {
        let (expires, min) = attempt.session.offer();
        builder.add(Name::SessionExpires, expires.seconds);
        builder.add(Name::MinSe, min.max(env.settings.min_se));
    }
}

/// Whether the media between these two passes through the relay: it does unless both ends let it bypass.
pub(crate) fn is_relayed(other: Option<&Arc<Trunk>>, attempt: &Try) -> bool {
    let bypasses = |trunk: Option<&Arc<Trunk>>| trunk.is_some_and(|trunk| trunk.media == routing::model::Media::Bypass);
    !(bypasses(other) && bypasses(trunk_of(&attempt.plan.target)))
}
