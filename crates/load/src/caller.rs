//! The calling side: INVITE client transaction, CANCEL, authentication, and the ACK of a 2xx.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::call::{Call, Context, Retry, Role, State, T2};
use crate::dialog::{Dialog, Line};
use crate::options::{Codec, Hangup, Scenario};
use crate::tally::End;
use crate::{digest, wire};

/// A call that rings for longer than this beyond the callee's ringing time is cancelled.
const PATIENCE: u64 = 60_000_000;

/// Starts call number `serial` of the run that `run` names.
pub(crate) fn start(serial: u64, run: u64, cx: &mut Context<'_>) -> Call {
    let options = cx.options;
    let index = serial % options.called_numbers.count;
    let (caller, called) = (options.caller_numbers.number(serial), options.called_numbers.number(serial));
    let (own, (_, target)) = (cx.own, options.target_of(serial));
    let other = if options.codec == Codec::Pcma { Codec::Pcmu } else { Codec::Pcma };
    let mut call = Call {
        role: Role::Caller,
        serial,
        index: Some(index),
        scenario: options.mix.scenario(index),
        state: State::Calling,
        dialog: Dialog {
            call_id: format!("{serial:x}-{run:x}@{}", own.ip()).into(),
            local: format!("<sip:{caller}@{}>;tag=c{serial:x}", own.ip()).into(),
            remote: format!("<sip:{called}@{target}>").into(),
            target: format!("sip:{called}@{target}").into(),
            routes: Vec::new(),
            next_hop: target,
            cseq: 1,
            branch: format!("z9hG4bK{run:x}c{serial:x}").into(),
        },
        invite_cseq: 1,
        heard_cseq: 0,
        started: cx.now,
        rang: false,
        rang_at: None,
        dismissed: None,
        retry: Some(Retry::new(cx, u64::MAX)),
        due: None,
        alarm: None,
        authorization: String::new(),
        echo: None,
        reinvite: None,
        leg: None,
        codecs: [options.codec, other],
        passed_over: 0,
        moved: false,
        answered: false,
        left: Vec::new(),
    };
    call.due = options.failover.map(|patience| cx.now + micros(patience));
    call.open_leg(cx);
    send_invite(&call, cx);
    call
}

pub(crate) fn send_invite(call: &Call, cx: &mut Context<'_>) {
    let body = call.description(cx);
    let mut extra = format!("Contact: <sip:load@{}>\r\n", cx.own);
    if !call.authorization.is_empty() {
        let _ = write!(extra, "{}\r\n", call.authorization);
    }
    call.send(cx, Line { method: "INVITE", cseq: call.invite_cseq, suffix: "", extra: &extra, body: &body });
}

pub(crate) fn send_cancel(call: &Call, cx: &mut Context<'_>) {
    call.send(cx, Line { method: "CANCEL", cseq: call.invite_cseq, suffix: "", extra: "", body: "" });
}

/// The scenario's next step before an answer.
pub(crate) fn on_due(call: &mut Call, cx: &mut Context<'_>) {
    if call.state == State::Proceeding {
        call.state = State::Cancelling;
        call.retry = Some(Retry::new(cx, T2));
        send_cancel(call, cx);
    } else if call.state == State::Calling {
        pass_over(call, cx);
    } else if call.state == State::Cancelling {
        call.end(cx, End::Failed("no final response after CANCEL".into()));
    }
}

/// Nobody has answered there: the same call goes to the next entrance, under a branch of its own (RFC 3263 §4.3).
fn pass_over(call: &mut Call, cx: &mut Context<'_>) {
    let options = cx.options;
    if usize::from(call.passed_over) >= options.more_targets.len() {
        return;
    }
    call.passed_over += 1;
    cx.tally.failed_over += u64::from(call.passed_over == 1);
    let (index, _) = options.target_of(call.serial);
    let next = options.entrance(index + usize::from(call.passed_over));
    let called = options.called_numbers.number(call.serial);
    call.dialog.next_hop = next;
    call.dialog.target = format!("sip:{called}@{next}").into();
    call.dialog.branch = format!("{}f{}", call.dialog.branch, call.passed_over).into();
    call.retry = Some(Retry::new(cx, u64::MAX));
    call.due = options.failover.map(|patience| cx.now + micros(patience));
    send_invite(call, cx);
}

/// Handles a response with our Call-ID.
pub(crate) fn on_response(
    call: &mut Call,
    cx: &mut Context<'_>,
    code: u16,
    message: &wire::Message<'_>,
    source: SocketAddr,
) {
    // Another node rings on for a call that is being cancelled: the one that was told is gone.
    if call.state == State::Cancelling && (101..200).contains(&code) && source.ip() != call.dialog.next_hop.ip() {
        call.dialog.next_hop = source;
        call.retry = Some(Retry::new(cx, T2));
        send_cancel(call, cx);
    }

    match message.cseq_method {
        "INVITE" if message.cseq == call.invite_cseq => on_invite_response(call, cx, code, message),
        "INVITE" => {
            cx.tally.seen_again += 1;
            acknowledge_refusal(call, cx, message);
        }
        "CANCEL" if call.state == State::Cancelling && code >= 200 => {
            call.retry = None;
            call.due = Some(cx.now + PATIENCE);
        }
        _ => {}
    }
}

fn on_invite_response(call: &mut Call, cx: &mut Context<'_>, code: u16, message: &wire::Message<'_>) {
    let open = matches!(call.state, State::Calling | State::Proceeding | State::Cancelling);
    match code {
        100..=199 if open => on_provisional(call, cx, code, base_of(message)),
        100..=199 => {}
        200..=299 if open => on_answer(call, cx, message),
        200..=299 if *call.dialog.remote == *message.to => {
            cx.tally.seen_again += 1;
            acknowledge(call, cx);
        }
        200..=299 => {
            if call.dismissed.as_deref() != Some(message.to) {
                cx.tally.dismissed += 1;
                call.dismissed = Some(message.to.into());
            }
            dismiss(call, cx, message);
        }
        _ => {
            acknowledge_refusal(call, cx, message);
            if open && is_elsewhere(call, message) {
                // Another entrance has the call.
            } else if open {
                on_refusal(call, cx, code, message);
            } else {
                cx.tally.seen_again += 1;
            }
        }
    }
}

/// Whether a refusal is from an entrance that was passed over, or one entrance refuses while the call rings at another.
fn is_elsewhere(call: &Call, message: &wire::Message<'_>) -> bool {
    let base = base_of(message);
    base != &*call.dialog.branch || call.rang_at.as_deref().is_some_and(|rang| rang != base)
}

/// The branch without its CSeq: which placing of the call a response to its INVITE is about.
fn base_of<'a>(message: &wire::Message<'a>) -> &'a str {
    message.branch().rsplit_once('.').map_or("", |(base, _)| base)
}

fn on_provisional(call: &mut Call, cx: &mut Context<'_>, code: u16, placing: &str) {
    if call.state == State::Calling {
        call.state = State::Proceeding;
        call.retry = None;
        call.due = Some(cx.now + micros(cx.options.ring) + PATIENCE);
    }
    if code > 100 && !call.rang {
        call.rang = true;
        call.rang_at = Some(placing.into());
        cx.tally.ringing.record(cx.now - call.started);
        if call.scenario == Scenario::Cancelled && call.state == State::Proceeding {
            call.due = Some(cx.now + micros(cx.options.ring) / 2);
        }
    }
}

fn on_answer(call: &mut Call, cx: &mut Context<'_>, message: &wire::Message<'_>) {
    call.answered = true;
    let placed = call.dialog.next_hop.ip();
    let crossed = call.state == State::Cancelling;
    call.dialog.remote = message.to.into();
    call.dialog.establish(message, true);
    cx.tally.rescued += u64::from(call.dialog.next_hop.ip() != placed);
    call.state = State::Established;
    call.retry = None;
    call.due = match cx.options.hangup {
        Hangup::Caller => Some(cx.now + micros(cx.options.hold)),
        // Should the callee never hang up, the call is not to stay for ever.
        Hangup::Callee => Some(cx.now + micros(cx.options.hold) + PATIENCE),
    };
    cx.tally.answered += 1;
    cx.tally.target(cx.options, call.serial).answered += 1;
    cx.tally.setup.record(cx.now - call.started);
    acknowledge(call, cx);
    if call.scenario == Scenario::Answered && !crossed {
        call.hear(cx, message.body);
        call.speak(cx);
    } else {
        call.leave(cx);
    }
}

/// An entrance that was passed over, or another fork, answers all the same: ACK, then BYE (RFC 3261 §13.2.2.4).
fn dismiss(call: &Call, cx: &mut Context<'_>, message: &wire::Message<'_>) {
    let of = &call.dialog;
    let mut fork = Dialog {
        call_id: of.call_id.clone(),
        local: of.local.clone(),
        remote: message.to.into(),
        target: of.target.clone(),
        routes: Vec::new(),
        next_hop: of.next_hop,
        cseq: call.invite_cseq + 1,
        branch: format!("{}k", of.branch).into(),
    };
    fork.establish(message, true);
    let own = cx.own;
    for (method, cseq) in [("ACK", call.invite_cseq), ("BYE", fork.cseq)] {
        let line = Line { method, cseq, suffix: "d", extra: "", body: "" };
        cx.out.push(fork.next_hop, |out| fork.write(out, own, line));
    }
}

fn acknowledge(call: &Call, cx: &mut Context<'_>) {
    call.send(cx, Line { method: "ACK", cseq: call.invite_cseq, suffix: "a", extra: "", body: "" });
}

/// The ACK of a refusal belongs to the INVITE's transaction: same branch, To from the response (RFC 3261 §17.1.1.3).
fn acknowledge_refusal(call: &mut Call, cx: &mut Context<'_>, message: &wire::Message<'_>) {
    let line = Line { method: "ACK", cseq: message.cseq, suffix: "", extra: "", body: "" };
    let remote = std::mem::replace(&mut call.dialog.remote, message.to.into());
    let own = base_of(message).into();
    let branch = std::mem::replace(&mut call.dialog.branch, own);
    call.send(cx, line);
    (call.dialog.remote, call.dialog.branch) = (remote, branch);
}

fn on_refusal(call: &mut Call, cx: &mut Context<'_>, code: u16, message: &wire::Message<'_>) {
    if matches!(code, 401 | 407) && call.authorization.is_empty() && authorize(call, cx, code, message) {
        return;
    }
    if code == 503 && cx.options.retries_503 && usize::from(call.passed_over) < cx.options.more_targets.len() {
        call.state = State::Calling;
        return pass_over(call, cx);
    }
    let end = match (call.scenario, code) {
        (Scenario::Busy, 486) => End::Busy,
        (Scenario::Cancelled, 487) => End::Cancelled,
        (Scenario::NoAnswer, 480 | 408 | 487) => End::NotAnswered,
        _ => End::Failed(code.to_string()),
    };
    call.end(cx, end);
}

fn authorize(call: &mut Call, cx: &mut Context<'_>, code: u16, message: &wire::Message<'_>) -> bool {
    let Some(credentials) = &cx.options.credentials else { return false };
    let Some(value) = digest::answer(&message.challenges, credentials, "INVITE", &call.dialog.target) else {
        return false;
    };
    let name = if code == 401 { "Authorization" } else { "Proxy-Authorization" };
    call.authorization = format!("{name}: {value}");
    call.dialog.cseq += 1;
    call.invite_cseq = call.dialog.cseq;
    call.state = State::Calling;
    call.retry = Some(Retry::new(cx, u64::MAX));
    call.due = None;
    send_invite(call, cx);
    true
}

pub(crate) fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}
