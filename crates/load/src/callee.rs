//! The called side: INVITE server transaction, ringing, the answer and its repeats.

use std::net::SocketAddr;

use crate::call::{Call, Context, Retry, Role, State, T2};
use crate::caller::micros;
use crate::compose::Echo;
use crate::dialog::Dialog;
use crate::options::{Codec, Scenario};
use crate::tally::End;
use crate::wire::{self, Message};

/// A callee whose caller neither cancels nor goes on gives up after this.
const PATIENCE: u64 = 180_000_000;

/// Takes an initial INVITE.
pub(crate) fn start(serial: u64, run: u64, cx: &mut Context<'_>, invite: &Message<'_>, source: SocketAddr) -> Call {
    let wire::Start::Request { uri, .. } = invite.start else { unreachable!("the engine hands over requests only") };
    let index = cx.options.called_numbers.index(wire::user(uri));
    let scenario = index.map_or(Scenario::Answered, |index| cx.options.mix.scenario(index));
    let tag = format!("s{run:x}{serial:x}");
    let local = if invite.to_tag().is_some() { invite.to.into() } else { format!("{};tag={tag}", invite.to).into() };
    let mut dialog = Dialog {
        call_id: invite.call_id.into(),
        local,
        remote: invite.from.into(),
        target: "".into(),
        routes: Vec::new(),
        next_hop: source,
        cseq: 0,
        branch: format!("z9hG4bK{run:x}s{serial:x}").into(),
    };
    dialog.establish(invite, false);
    let codec = crate::sdp::read(invite.body).map_or(Codec::Pcma, |far| far.codec);
    let mut call = Call {
        role: Role::Callee,
        serial,
        index,
        scenario,
        state: State::Ringing,
        dialog,
        invite_cseq: invite.cseq,
        heard_cseq: 0,
        started: cx.now,
        rang: false,
        rang_at: None,
        dismissed: None,
        retry: None,
        due: None,
        alarm: None,
        authorization: String::new(),
        echo: Some(Echo::of(invite, &tag, source)),
        reinvite: None,
        leg: None,
        codecs: [codec, codec],
        passed_over: 0,
        moved: false,
        answered: false,
        left: Vec::new(),
    };
    cx.tally.callee.offered += 1;
    cx.tally.open_callees += 1;
    ring(&mut call, cx, invite.body);
    call
}

fn ring(call: &mut Call, cx: &mut Context<'_>, offer: &str) {
    if call.scenario == Scenario::Busy {
        return refuse(call, cx, 486);
    }
    send_ringing(call, cx);
    let ring = micros(cx.options.ring);
    let wait = if call.scenario == Scenario::Cancelled { PATIENCE } else { ring };
    call.due = Some(cx.now + wait);
    if call.scenario == Scenario::Answered {
        call.open_leg(cx);
        call.hear(cx, offer);
        if ring == 0 {
            call.due = None;
            accept(call, cx);
        }
    }
}

/// The scenario's next step before the call is established.
pub(crate) fn on_due(call: &mut Call, cx: &mut Context<'_>) {
    match (call.state, call.scenario) {
        (State::Ringing, Scenario::Answered) => accept(call, cx),
        (State::Ringing, Scenario::Busy | Scenario::Cancelled | Scenario::NoAnswer) => refuse(call, cx, 480),
        _ => {}
    }
}

fn accept(call: &mut Call, cx: &mut Context<'_>) {
    call.state = State::Accepting;
    call.retry = Some(Retry::new(cx, T2));
    call.speak(cx);
    send_accept(call, cx);
}

/// Ends the INVITE with a refusal.
pub(crate) fn refuse(call: &mut Call, cx: &mut Context<'_>, code: u16) {
    call.state = State::Refusing(code);
    call.retry = Some(Retry::new(cx, T2));
    call.due = None;
    send_refusal(call, cx, code);
}

pub(crate) fn send_accept(call: &Call, cx: &mut Context<'_>) {
    call.answer_reinvite(cx);
}

pub(crate) fn send_refusal(call: &Call, cx: &mut Context<'_>, code: u16) {
    respond(call, cx, code);
}

fn send_ringing(call: &Call, cx: &mut Context<'_>) {
    respond(call, cx, 180);
}

fn respond(call: &Call, cx: &mut Context<'_>, code: u16) {
    let Some(echo) = &call.echo else { return };
    let contact = (code < 300).then_some(cx.own);
    cx.out.push(echo.reply_to, |out| echo.write(out, code, contact, ""));
}

/// The INVITE came again: so does the last answer (RFC 3261 §17.2.1).
pub(crate) fn on_repeated_invite(call: &Call, cx: &mut Context<'_>) {
    cx.tally.seen_again += 1;
    match call.state {
        State::Ringing => send_ringing(call, cx),
        State::Accepting => send_accept(call, cx),
        State::Refusing(code) => send_refusal(call, cx, code),
        State::Calling | State::Proceeding | State::Cancelling => {}
        State::Established | State::Leaving | State::Ended => {}
    }
}

/// The first ACK.
pub(crate) fn on_ack(call: &mut Call, cx: &mut Context<'_>) {
    match call.state {
        State::Accepting => {
            call.state = State::Established;
            call.retry = None;
            cx.tally.callee.answered += 1;
            if cx.options.hangup == crate::Hangup::Callee {
                call.due = Some(cx.now + micros(cx.options.hold));
            }
        }
        State::Refusing(code) => call.end(cx, refusal_end(call.scenario, code)),
        State::Calling | State::Proceeding | State::Cancelling | State::Ringing => {}
        State::Established | State::Leaving | State::Ended => {}
    }
}

fn refusal_end(scenario: Scenario, code: u16) -> End {
    match (scenario, code) {
        (Scenario::Busy, 486) => End::Busy,
        (Scenario::Cancelled, 487) => End::Cancelled,
        (Scenario::NoAnswer, 480 | 487) => End::NotAnswered,
        (_, 487) => End::Failed("cancelled unexpectedly".into()),
        _ => End::Failed(code.to_string()),
    }
}
