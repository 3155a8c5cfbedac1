//! A call as one side holds it: its state, its timers, and what both sides do alike.

use std::net::SocketAddr;

use crate::audio::{Audio, LegId, Tone};
use crate::compose::Echo;
use crate::dialog::{Dialog, Line};
use crate::net::Outbox;
use crate::options::{Codec, Options, Scenario};
use crate::tally::{End, Tally};
use crate::{callee, caller, sdp};

/// RFC 3261 §17.1.2.2, in units of T1.
pub(crate) const T2: u64 = 8;
/// An ended call is kept this long to answer what the far end repeats (T4 of RFC 3261, table 4).
const LINGER: u64 = 5_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Caller,
    Callee,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Caller: INVITE sent, nothing heard.
    Calling,
    /// Caller: a provisional response came.
    Proceeding,
    /// Caller: CANCEL sent.
    Cancelling,
    /// Callee: 180 sent.
    Ringing,
    /// Callee: 200 sent, no ACK yet.
    Accepting,
    /// Callee: a refusal sent, no ACK yet.
    Refusing(u16),
    /// Both: answered and acknowledged.
    Established,
    /// Both: BYE sent.
    Leaving,
    /// Both: only repeats are answered.
    Ended,
}

/// A message that is sent again until something stops it (timers A/B, E/F, G/H).
pub(crate) struct Retry {
    pub(crate) at: u64,
    every: u64,
    most: u64,
    until: u64,
}

impl Retry {
    /// Starts at T1 and doubles up to `most` times T1, for 64 times T1.
    pub(crate) fn new(cx: &Context<'_>, most: u64) -> Self {
        let t1 = caller::micros(cx.options.t1);
        Self { at: cx.now + t1, every: t1, most: most.saturating_mul(t1), until: cx.now + 64 * t1 }
    }
}

/// What a call needs from the engine while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: u64,
    pub(crate) own: SocketAddr,
    pub(crate) options: &'a Options,
    pub(crate) out: &'a mut Outbox,
    pub(crate) tally: &'a mut Tally,
    pub(crate) audio: &'a mut Option<Audio>,
}

pub(crate) struct Call {
    pub(crate) role: Role,
    pub(crate) serial: u64,
    pub(crate) index: Option<u64>,
    pub(crate) scenario: Scenario,
    pub(crate) state: State,
    pub(crate) dialog: Dialog,
    pub(crate) invite_cseq: u32,
    /// The highest number of a request from the switch within the call.
    pub(crate) heard_cseq: u32,
    pub(crate) started: u64,
    pub(crate) rang: bool,
    /// Which placing of it rang: the start of its branch.
    pub(crate) rang_at: Option<Box<str>>,
    /// The tag of an answer that came beside the one that counts.
    pub(crate) dismissed: Option<Box<str>>,
    pub(crate) retry: Option<Retry>,
    /// When the scenario takes its next step.
    pub(crate) due: Option<u64>,
    /// The earliest alarm that the wheel holds for this call.
    pub(crate) alarm: Option<u64>,
    pub(crate) authorization: String,
    /// The INVITE that we answer: the first one at the callee, later a re-INVITE at either side.
    pub(crate) echo: Option<Echo>,
    pub(crate) reinvite: Option<Retry>,
    pub(crate) leg: Option<LegId>,
    pub(crate) codecs: [Codec; 2],
    /// Entrances that have said nothing.
    pub(crate) passed_over: u8,
    /// The switch has gone on with the call from another address.
    pub(crate) moved: bool,
    pub(crate) answered: bool,
    /// Addresses that the switch has left with this call.
    pub(crate) left: Vec<std::net::IpAddr>,
}

impl Call {
    /// The next moment at which this call wants to be woken.
    pub(crate) fn wakes_at(&self) -> Option<u64> {
        let retries = [&self.retry, &self.reinvite].into_iter().flatten().map(|retry| retry.at);
        retries.chain(self.due).min()
    }

    /// Handles every timer that is due; `false` when the call can be forgotten.
    pub(crate) fn on_time(&mut self, cx: &mut Context<'_>) -> bool {
        if expired(&mut self.reinvite, cx).is_some_and(|over| !over) {
            self.answer_reinvite(cx);
        }
        match expired(&mut self.retry, cx) {
            Some(true) => self.give_up(cx),
            Some(false) => self.send_again(cx),
            None => {}
        }
        if self.due.is_some_and(|due| due <= cx.now) {
            self.due = None;
            match (self.state, self.role) {
                (State::Ended, _) => return false,
                (State::Established, _) => self.leave(cx),
                (_, Role::Caller) => caller::on_due(self, cx),
                (_, Role::Callee) => callee::on_due(self, cx),
            }
        }
        true
    }

    fn send_again(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Calling => caller::send_invite(self, cx),
            State::Cancelling => caller::send_cancel(self, cx),
            State::Leaving => self.send_bye(cx),
            State::Accepting => callee::send_accept(self, cx),
            State::Refusing(code) => callee::send_refusal(self, cx, code),
            State::Proceeding | State::Ringing | State::Established | State::Ended => {}
        }
    }

    fn give_up(&mut self, cx: &mut Context<'_>) {
        let reason = match self.state {
            State::Calling => "no response to INVITE",
            State::Cancelling => "no response to CANCEL",
            State::Leaving => "no response to BYE",
            State::Accepting | State::Refusing(_) => "no ACK",
            State::Proceeding | State::Ringing | State::Established | State::Ended => return,
        };
        self.end(cx, End::Failed(reason.into()));
    }

    /// Sends BYE and waits for its answer.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) {
        self.dialog.cseq += 1;
        self.state = State::Leaving;
        self.retry = Some(Retry::new(cx, T2));
        self.due = None;
        self.close_leg(cx);
        self.send_bye(cx);
    }

    /// The answer to our BYE ends the call.
    pub(crate) fn on_bye_response(&mut self, cx: &mut Context<'_>, code: u16) {
        if self.state != State::Leaving || code < 200 {
            return;
        }
        let end = if code < 300 { End::Completed } else { End::Failed(format!("BYE refused with {code}")) };
        self.end(cx, end);
    }

    fn send_bye(&self, cx: &mut Context<'_>) {
        self.send(cx, Line { method: "BYE", cseq: self.dialog.cseq, suffix: "", extra: "", body: "" });
    }

    pub(crate) fn send(&self, cx: &mut Context<'_>, line: Line<'_>) {
        let own = cx.own;
        cx.out.push(self.dialog.next_hop, |out| self.dialog.write(out, own, line));
    }

    /// Answers the INVITE in `echo` with 200 and our description.
    pub(crate) fn answer_reinvite(&self, cx: &mut Context<'_>) {
        let Some(echo) = &self.echo else { return };
        let body = self.description(cx);
        let own = cx.own;
        cx.out.push(echo.reply_to, |out| echo.write(out, 200, Some(own), &body));
    }

    /// Counts the end, once, and keeps the call only for repeats.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>, end: End) {
        if self.state == State::Ended {
            return;
        }
        self.close_leg(cx);
        self.state = State::Ended;
        (self.retry, self.reinvite) = (None, None);
        self.due = Some(cx.now + LINGER);
        match self.role {
            Role::Caller => {
                cx.tally.target(cx.options, self.serial).failed += u64::from(matches!(end, End::Failed(_)));
                if matches!(end, End::Failed(_)) {
                    cx.tally.caller_failed(self.started, self.rang, self.answered);
                }
                cx.tally.caller_ended(end);
            }
            Role::Callee => cx.tally.callee_ended(end),
        }
    }

    /// Opens the RTP socket of this side where calls carry audio.
    pub(crate) fn open_leg(&mut self, cx: &mut Context<'_>) {
        if let Some(audio) = cx.audio {
            self.leg = audio.open(cx.own.ip()).ok();
        }
    }

    /// From now on our tone is sent.
    pub(crate) fn speak(&self, cx: &mut Context<'_>) {
        if let (Some(audio), Some(leg)) = (cx.audio.as_mut(), self.leg) {
            audio.speak(leg, cx.now);
        }
    }

    fn close_leg(&mut self, cx: &mut Context<'_>) {
        if let (Some(audio), Some(leg)) = (cx.audio.as_mut(), self.leg.take()) {
            audio.close(leg, cx.now);
        }
    }

    /// The switch goes on with the call from another address.
    pub(crate) fn follow(&mut self, cx: &mut Context<'_>, from: SocketAddr) {
        self.left.retain(|left| *left != from.ip());
        self.left.push(self.dialog.next_hop.ip());
        if !std::mem::replace(&mut self.moved, true) {
            match self.role {
                Role::Caller => cx.tally.moved += 1,
                Role::Callee => cx.tally.callee.moved += 1,
            }
        }
        if let (Some(audio), Some(leg)) = (cx.audio.as_mut(), self.leg) {
            audio.moves(leg);
        }
    }

    /// Starts to send our tone to where `body` says, or goes on from where it is to a new place.
    pub(crate) fn hear(&mut self, cx: &mut Context<'_>, body: &str) {
        let Some(far) = sdp::read(body) else { return };
        self.codecs = [far.codec, far.codec];
        let (Some(audio), Some(leg)) = (cx.audio.as_mut(), self.leg) else { return };
        let index = self.index.unwrap_or(0);
        let (from_caller, from_callee) = (Tone::new(index * 2), Tone::new(index * 2 + 1));
        match self.role {
            Role::Caller => audio.start(leg, far.rtp, far.codec, from_caller, from_callee, cx.now),
            Role::Callee => audio.start(leg, far.rtp, far.codec, from_callee, from_caller, cx.now),
        }
    }

    /// Our session description.
    pub(crate) fn description(&self, cx: &Context<'_>) -> String {
        // Without audio the port is one that nobody listens on, different for calls that are open together.
        let silent = 16_384 + u16::try_from(self.serial % 20_000).unwrap_or(0) * 2;
        let port = cx.audio.as_ref().zip(self.leg).map_or(silent, |(audio, leg)| audio.port(leg));
        let codecs = if self.codecs[0] == self.codecs[1] { &self.codecs[..1] } else { &self.codecs[..] };
        sdp::describe(SocketAddr::new(cx.own.ip(), port), self.serial, codecs)
    }
}

/// `None`: not due. `Some(false)`: send again. `Some(true)`: time is up.
fn expired(retry: &mut Option<Retry>, cx: &mut Context<'_>) -> Option<bool> {
    let running = retry.as_mut().filter(|retry| retry.at <= cx.now)?;
    if cx.now >= running.until {
        *retry = None;
        return Some(true);
    }
    running.every = (running.every * 2).min(running.most);
    running.at = (cx.now + running.every).min(running.until);
    cx.tally.sent_again += 1;
    Some(false)
}
