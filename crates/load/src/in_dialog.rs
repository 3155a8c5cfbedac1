//! Requests within a call, whichever side they reach: ACK, BYE, CANCEL, re-INVITE and the rest.

use std::net::SocketAddr;

use crate::call::{Call, Context, Retry, Role, State, T2};
use crate::callee;
use crate::caller::micros;
use crate::compose::Echo;
use crate::options::Hangup;
use crate::tally::End;
use crate::wire::Message;

/// A BYE may come this much (in microseconds) before the agreed length of the call is over: clocks and queues.
const EARLY: u64 = 100_000;

/// Handles a request that belongs to `call`.
pub(crate) fn on_request(
    call: &mut Call,
    cx: &mut Context<'_>,
    method: &str,
    message: &Message<'_>,
    source: SocketAddr,
) {
    // Whoever takes a call over numbers its requests behind all that were sent, also where the call comes back.
    let comes_back = method == "INVITE" && message.cseq > call.heard_cseq;
    if method != "ACK" && call.left.contains(&source.ip()) && !comes_back {
        cx.tally.stale += 1;
    }
    call.heard_cseq = call.heard_cseq.max(message.cseq);
    match method {
        "ACK" => {
            call.reinvite = None;
            // An offer in the 2xx is answered in the ACK (RFC 3261 §13.2.1).
            call.hear(cx, message.body);
            callee::on_ack(call, cx);
        }
        "BYE" => on_bye(call, cx, message, source),
        "CANCEL" => on_cancel(call, cx, message, source),
        "INVITE" => on_reinvite(call, cx, message, source),
        "UPDATE" => on_update(call, cx, message, source),
        "INFO" | "MESSAGE" | "OPTIONS" | "NOTIFY" | "PRACK" => respond(cx, message, source, 200),
        _ => respond(cx, message, source, 405),
    }
}

/// Answers without a call: the tag only has to be there.
pub(crate) fn respond(cx: &mut Context<'_>, message: &Message<'_>, source: SocketAddr, code: u16) {
    let echo = Echo::of(message, "load", source);
    cx.out.push(source, |out| echo.write(out, code, None, ""));
}

fn on_bye(call: &mut Call, cx: &mut Context<'_>, message: &Message<'_>, source: SocketAddr) {
    respond(cx, message, source, 200);
    match call.state {
        State::Ended => cx.tally.seen_again += 1,
        // Both sent BYE: each still gets its answer.
        State::Leaving => {}
        State::Established | State::Accepting => {
            let ours = match call.role {
                Role::Caller => cx.options.hangup == Hangup::Caller,
                Role::Callee => cx.options.hangup == Hangup::Callee,
            };
            let early = !cx.tally.stopping && cx.now + EARLY < call.started + micros(cx.options.hold);
            let end = if ours || early { End::Failed("ended too early by BYE".into()) } else { End::Completed };
            call.end(cx, end);
        }
        State::Calling | State::Proceeding | State::Cancelling | State::Ringing | State::Refusing(_) => {
            call.end(cx, End::Failed("BYE before the answer".into()));
        }
    }
}

fn on_cancel(call: &mut Call, cx: &mut Context<'_>, message: &Message<'_>, source: SocketAddr) {
    respond(cx, message, source, 200);
    if call.state == State::Ringing {
        callee::refuse(call, cx, 487);
    }
}

fn on_reinvite(call: &mut Call, cx: &mut Context<'_>, message: &Message<'_>, source: SocketAddr) {
    let repeated = call.echo.as_ref().is_some_and(|echo| *echo.branch == *message.branch());
    if repeated && call.reinvite.is_some() {
        cx.tally.seen_again += 1;
        return call.answer_reinvite(cx);
    }
    if repeated {
        return callee::on_repeated_invite(call, cx);
    }
    if call.state == State::Leaving {
        // For whoever has sent BYE the call is over, also where nobody was there to hear it (RFC 3261 §15.1.1).
        respond(cx, message, source, 481);
        return call.end(cx, End::Completed);
    }
    if call.state != State::Established {
        return respond(cx, message, source, if call.state == State::Ended { 481 } else { 491 });
    }
    if source.ip() != call.dialog.next_hop.ip() {
        call.follow(cx, source);
    }
    call.dialog.refresh(message);
    call.echo = Some(Echo::of(message, "load", source));
    call.hear(cx, message.body);
    call.reinvite = Some(Retry::new(cx, T2));
    call.answer_reinvite(cx);
}

fn on_update(call: &mut Call, cx: &mut Context<'_>, message: &Message<'_>, source: SocketAddr) {
    call.dialog.refresh(message);
    let echo = Echo::of(message, "load", source);
    let mut body = String::new();
    if !message.body.is_empty() {
        call.hear(cx, message.body);
        body = call.description(cx);
    }
    let own = cx.own;
    cx.out.push(source, |out| echo.write(out, 200, Some(own), &body));
}
