//! The re-INVITE that moves one leg to the node that has taken the call over, and what the party says to it. Never an
//! UPDATE, which some user agents refuse.
//!
//! Each leg is moved by itself, beside the exchanges of [`crate::media::Media`]: nothing is negotiated anew.

use crate::caller::Source;
use crate::core::{Core, Env, Request};
use crate::effect::{Effect, Event as Count, MediaSide, Moved, Point};
use crate::event::Loss;
use crate::transactions::Purpose;
use crate::{orphan, refer, timers};
use bytes::Bytes;
use sip::clock::Instant;
use sip::digest::answer;
use sip::session_timer::{Policy, SessionTimer};
use sip::{Message, Method, Name};
use std::time::Duration;

/// How often a leg is asked, whatever it answers.
const MAX_TRIES: u8 = 8;

/// How often the network may refuse before nobody is there.
const MAX_UNREACHABLE: u8 = 3;

/// Wait before the next try where the party names none.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest wait that a party may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// How long the way by another node's connection may stay silent before a way of our own is tried.
const DETOUR: Duration = Duration::from_secs(4);

/// One leg on its way.
#[derive(Clone, Debug)]
pub(crate) struct Relocation {
    side: MediaSide,
    stage: Stage,
    tries: u8,
    unreachable: u8,
    /// A challenge was answered; the header and its value.
    credentials: Option<(Name, String)>,
    /// A 422 was heeded.
    interval: Option<Policy>,
    /// The codecs that were agreed did not do: everything that the other side offered is repeated.
    broad: bool,
    /// The body of an ACK that the party may not have had, with the number of its INVITE. It goes out before each try, since
    /// a party without it takes no other INVITE.
    owed: Option<(u32, Bytes)>,
    /// What it answered to the offer of the other side.
    pub(crate) answered: Option<Bytes>,
    /// The party named another address for its media, and the other one sends there itself.
    pub(crate) turned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It waits for the other leg.
    Waiting,
    /// It goes out then.
    Due(Instant),
    /// It is out, and answered by then.
    Out { client: u32, until: Instant, heard: bool },
    /// The leg has followed.
    Done,
}

/// What an answer or a silence comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing yet, or once more later.
    Wait,
    /// The leg has followed, or had nothing to be told.
    Done,
    /// The party has ended the call meanwhile.
    Gone,
    /// It says nothing.
    Silent,
    /// It will not follow.
    Refused,
}

impl Relocation {
    pub(crate) const fn new(side: MediaSide, at: Instant) -> Self {
        Self {
            side,
            stage: Stage::Due(at),
            tries: 0,
            unreachable: 0,
            credentials: None,
            interval: None,
            broad: false,
            owed: None,
            answered: None,
            turned: false,
        }
    }

    /// The ACK of an INVITE of the former owner is not known to have gone out.
    pub(crate) fn owe(&mut self, invite: u32, body: Bytes) {
        self.owed = Some((invite, body));
    }

    /// Nothing can be asked of the party before the other one has answered its offer.
    pub(crate) const fn wait(&mut self) {
        self.stage = Stage::Waiting;
    }

    /// The answer that it waits for has come.
    pub(crate) const fn go_on(&mut self, now: Instant) {
        self.stage = Stage::Due(now);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// Whether a response or a silence is about the re-INVITE that is out.
    pub(crate) fn awaits(&self, client: u32) -> bool {
        matches!(self.stage, Stage::Out { client: out, .. } if out == client)
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Due(at) => Some(at),
            Stage::Out { until, .. } => Some(until),
            Stage::Waiting | Stage::Done => None,
        }
    }

    /// The caller has acknowledged a 200. One that has read this node's is here; one that had the former node's, and sends its ACK once
    /// more, has read nothing in it and may have hung up: it is asked.
    pub(crate) fn acknowledged(&mut self, core: &mut Core, now: Instant, has_read: bool) {
        match self.stage {
            Stage::Due(_) if has_read => {
                self.count(core, Moved::Answered);
                self.stage = Stage::Done;
            }
            Stage::Due(_) => self.stage = Stage::Due(now),
            Stage::Waiting | Stage::Out { .. } | Stage::Done => {}
        }
    }

    /// Time has passed.
    pub(crate) fn on_alarm(&mut self, core: &mut Core, env: &Env<'_>) -> Step {
        match self.stage {
            Stage::Due(at) if env.now.mono >= at => self.send(core, env),
            Stage::Out { client, until, .. } if env.now.mono >= until => {
                orphan::send_cancel(core, env, client, None);
                self.on_silence(core, env)
            }
            Stage::Waiting | Stage::Due(_) | Stage::Out { .. } | Stage::Done => Step::Wait,
        }
    }

    fn send(&mut self, core: &mut Core, env: &Env<'_>) -> Step {
        let allowed = core.codecs_to[self.side.index()].clone();
        let Some(body) = core.media.repeat(self.side, !self.broad, &allowed) else {
            // Nothing was ever described to it.
            self.stage = Stage::Done;
            return Step::Done;
        };
        self.tries += 1;
        self.acknowledge_owed(core, env);
        let request = Request {
            path: 0,
            method: Method::Invite.token(),
            purpose: Purpose::Relocate(self.side),
            max_forwards: env.settings.max_forwards,
            content_type: "application/sdp",
            body: &body,
        };
        let leg = core.paths.first().map(|path| path.leg(self.side));
        let timer = leg.and_then(|leg| leg.timer);
        let detours = leg.is_some_and(|leg| leg.flow.edge != 0);
        let min_se = self.interval.map_or(env.settings.min_se, |policy| policy.min_seconds);
        let sent = core.request(env, self.side, request, |builder| {
            builder.add(Name::Supported, "timer");
            builder.add(Name::Allow, crate::headers::ALLOW);
            if let Some(timer) = timer {
                let refresher = if timer.we_refresh() { "uac" } else { "uas" };
                builder.add(Name::SessionExpires, format_args!("{};refresher={refresher}", timer.seconds()));
                builder.add(Name::MinSe, min_se);
            }
            if let Some((name, value)) = &self.credentials {
                builder.add(*name, value);
            }
            Core::sign(env, builder, Name::UserAgent);
        });
        let patience = if detours { DETOUR } else { env.settings.timers.give_up() };
        let out = |client| Stage::Out { client, until: env.now.mono + patience, heard: false };
        self.stage = sent.map_or(Stage::Done, out);
        Step::Wait
    }

    fn acknowledge_owed(&self, core: &mut Core, env: &Env<'_>) {
        let Some((invite, body)) = &self.owed else { return };
        let number = core.number();
        let Some(leg) = core.paths.first().map(|path| path.leg(self.side)) else { return };
        let flow = leg.flow;
        let ack = leg.dialog.ack(*invite, core.via(env, &flow, number), env.settings.max_forwards);
        let ack = ack.finish_with("application/sdp", body);
        core.send(ack, flow, 0);
    }

    /// A response to the re-INVITE that is out.
    pub(crate) fn on_response(&mut self, core: &mut Core, env: &Env<'_>, message: &Message) -> Step {
        let code = message.code().unwrap_or(0);
        match code {
            0..200 => {
                // Once more time, and only once, whatever the party goes on to say.
                if let Stage::Out { client, heard: false, .. } = self.stage {
                    let until = env.now.mono + env.settings.timers.give_up();
                    self.stage = Stage::Out { client, until, heard: true };
                }
                Step::Wait
            }
            200..300 => self.accepted(core, env, message),
            401 | 407 if self.credentials.is_none() && self.authorize(core, message) => self.send(core, env),
            422 if self.interval.is_none() && self.lengthen(core, env, message) => self.send(core, env),
            408 | 481 => self.settle(core, Moved::Gone, Step::Gone),
            415 | 488 | 606 if !self.broad => {
                self.broad = true;
                self.send(core, env)
            }
            491 | 500 | 503 => self.postpone(core, env, message, code),
            _ => self.settle(core, Moved::Gone, Step::Refused),
        }
    }

    fn accepted(&mut self, core: &mut Core, env: &Env<'_>, message: &Message) -> Step {
        let Stage::Out { client, .. } = self.stage else { return Step::Wait };
        if let Some(entry) = core.tx.client(client) {
            entry.won = Some(message.to_tag().unwrap_or("").into());
        }
        self.count(core, Moved::Answered);
        // Who answers this has had its 200 from the former node.
        core.tx.answers.retain(|answer| answer.side != self.side);
        timers::refreshed(core, env, self.side, message);
        orphan::acknowledge(core, env, client, 0, "", b"");
        if let Some(body) = message.sdp() {
            self.turned |= core.media.bypasses() && core.media.moves(self.side, &body);
            // An answer that does not fit changes nothing: the party goes on as it was.
            self.answered = core.media.repeated(&mut core.out, self.side, &body).ok().flatten();
        }
        core.out.push_back(Effect::Checkpoint(Point::C4));
        self.stage = Stage::Done;
        Step::Done
    }

    /// The carrier asks for our credentials (RFC 3261 §22.3): whether we have some.
    fn authorize(&mut self, core: &mut Core, message: &Message) -> bool {
        let Stage::Out { client, .. } = self.stage else { return false };
        let party = refer::party(core, self.side);
        let trunk = party.as_ref().and_then(Source::trunk);
        let register = trunk.and_then(|trunk| trunk.egress.as_ref()?.register.clone());
        let seed = core.chance.next();
        let request = core.tx.client(client).and_then(|client| client.request.clone());
        self.credentials = register.zip(request).and_then(|(register, request)| {
            answer(message, &register.username, &register.password, Method::Invite.token(), request.uri(), seed)
        });
        self.credentials.is_some()
    }

    /// 422: the interval that the other side wants (RFC 4028 §7.3), if it names one.
    fn lengthen(&mut self, core: &mut Core, env: &Env<'_>, message: &Message) -> bool {
        let Some(leg) = core.paths.first_mut().map(|path| path.leg_mut(self.side)) else { return false };
        let Some(timer) = leg.timer else { return false };
        let policy = Policy { seconds: timer.seconds(), min_seconds: env.settings.min_se };
        self.interval = policy.after_422(message);
        if let Some(longer) = self.interval {
            leg.start_timer(env.now.mono, Some(SessionTimer::new(env.now.mono, longer.seconds, timer.we_refresh())));
        }
        self.interval.is_some()
    }

    /// Not now: once more a little later, within limits.
    fn postpone(&mut self, core: &mut Core, env: &Env<'_>, message: &Message, code: u16) -> Step {
        if code == 503 {
            self.count(core, Moved::Busy);
        }
        if self.tries >= MAX_TRIES {
            return if code == 503 { Step::Refused } else { self.settle(core, Moved::Gone, Step::Refused) };
        }
        let Some(leg) = core.paths.first_mut().map(|path| path.leg_mut(self.side)) else { return Step::Refused };
        if code == 500 {
            // Perhaps another node has taken the call over before us, and its numbers are behind ours.
            leg.dialog.take_over(0);
        }
        // A later try is a request of its own: what answered the last challenge has been used.
        self.credentials = None;
        let owns = leg.attempt > 0;
        let jitter = Duration::from_millis(core.chance.next() % 1_900);
        let asked = message.retry_after().map(|seconds| Duration::from_secs(u64::from(seconds)));
        let wait = match code {
            // RFC 3261 §14.1: 2.1–4 s for the owner of the Call-ID, up to 2 s for the other side.
            491 if owns => Duration::from_millis(2_100) + jitter,
            491 => jitter,
            _ => asked.unwrap_or(PAUSE).min(LONGEST_PAUSE) + jitter / 4,
        };
        self.stage = Stage::Due(env.now.mono + wait);
        Step::Wait
    }

    /// The re-INVITE that is out got no answer.
    pub(crate) fn on_lost(&mut self, core: &mut Core, env: &Env<'_>, loss: Loss) -> Step {
        self.unreachable += u8::from(loss == Loss::Unreachable);
        let detours = core.paths.first().is_some_and(|path| path.leg(self.side).flow.edge != 0);
        if loss == Loss::Unreachable && !detours && self.unreachable < MAX_UNREACHABLE {
            self.stage = Stage::Due(env.now.mono + PAUSE);
            return Step::Wait;
        }
        self.on_silence(core, env)
    }

    /// The connection of a third node may be gone like the owner: then there is a way of our own.
    fn on_silence(&mut self, core: &mut Core, env: &Env<'_>) -> Step {
        let leg = core.paths.first_mut().map(|path| path.leg_mut(self.side));
        match leg.filter(|leg| leg.flow.edge != 0) {
            Some(leg) => {
                leg.flow.edge = 0;
                leg.detach(env.locals);
                self.send(core, env)
            }
            None => self.settle(core, Moved::Silent, Step::Silent),
        }
    }

    fn settle(&mut self, core: &mut Core, outcome: Moved, step: Step) -> Step {
        self.count(core, outcome);
        self.stage = Stage::Done;
        step
    }

    fn count(&self, core: &mut Core, outcome: Moved) {
        if let Some(path) = core.paths.first() {
            let remote = path.leg(self.side).flow.remote;
            core.out.push_back(Effect::Event(Count::Moved { remote, outcome }));
        }
    }
}
