//! The call was taken over from a node that is gone: ports are asked for, then both legs are asked in parallel to follow.
//! What happens to the call meanwhile happens as in a connected one, but for new offers, which come at a bad time.

use super::{Clearing, Connected, State};
use crate::checkpoint::AnswerPart;
use crate::core::{Core, Env};
use crate::effect::{Effect, MediaSide, Point};
use crate::event::Event;
use crate::record::{EndedBy, Record};
use crate::records::{self, Ending};
use crate::refer;
use crate::rejoin::Rejoin;
use crate::relocation::{Relocation, Step};
use crate::revival::Place;
use crate::transactions::Purpose;
use bytes::Bytes;
use routing::model::Referral;
use sip::clock::{Instant, Now};
use sip::{Message, Method};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

const SIDES: [MediaSide; 2] = [MediaSide::A, MediaSide::B];

/// How long the ACK of a repeated 200 is waited for before the caller is asked.
const GRACE: Duration = Duration::from_millis(500);

/// What the record says of a call whose end nobody was there to hear.
const ENDED_WHILE_DOWN: &str = "ended_while_down";

/// Both legs on their way.
#[derive(Clone, Debug)]
pub(crate) struct Moving {
    call: Connected,
    /// Until when ports are waited for, before anything is sent.
    ports_until: Option<Instant>,
    /// When the former owner was last known to carry the media.
    heard: Now,
    legs: [Relocation; 2],
    /// The 200 of the former node, which the caller may not have heard.
    answer: Option<Box<AnswerPart>>,
    /// The callee's INVITE where the caller's 200 was not acknowledged, and whether it waits for the caller's answer.
    owed: Option<(u32, bool)>,
}

impl Moving {
    /// Goes on with an answered call of another node.
    pub(crate) fn begin(core: &mut Core, env: &Env<'_>, call: Connected, heard: Now) -> State {
        open_rows(core, env, &call);
        core.out.push_back(Effect::Checkpoint(Point::C4));
        let answer = core.undone.as_mut().and_then(|undone| undone.answer.take());
        let owed = answer.as_ref().map(|answer| (answer.invite, answer.late));
        let is_late = owed.is_some_and(|(_, late)| late);
        let spare = core.spare();
        let streams = core.media.take_over(is_late, spare);
        core.ledger.forget_ports();
        if let Some(path) = core.paths.first_mut() {
            path.legs.iter_mut().for_each(|leg| leg.take_over(env.locals, spare));
        }
        if let Some(parting) = &mut core.parting {
            parting.leg.take_over(env.locals, spare);
        }
        core.undo(env, Place::Elsewhere);
        crate::parting::end_now(core, env);
        // What it would tell the one who stays, moving tells as well.
        core.rejoin = None;
        if call.is_lost(core) {
            return State::Connected(Box::new(call));
        }
        let mut legs = SIDES.map(|side| Relocation::new(side, env.now.mono));
        if let Some((invite, late)) = owed {
            let callee = &mut legs[MediaSide::B.index()];
            callee.owe(invite, Bytes::new());
            if late {
                callee.wait();
            }
        }
        let mut state = Self { call, ports_until: None, heard, legs, answer: answer.map(Box::new), owed };
        if streams == 0 {
            state.answer_again(core, env);
            return state.on_alarm(core, env);
        }
        core.ledger.anchor(&mut core.out, streams);
        state.ports_until = Some(env.now.mono + env.settings.max_wait);
        State::Moving(Box::new(state))
    }

    pub(crate) const fn call(&self) -> &Connected {
        &self.call
    }

    /// The 200 that was not repeated yet.
    pub(crate) fn answer(&self) -> Option<&AnswerPart> {
        self.answer.as_deref()
    }

    /// The callee's INVITE, and whether it waits for the answer to its offer.
    pub(crate) const fn owed(&self) -> Option<(u32, bool)> {
        self.owed
    }

    fn is_late(&self) -> bool {
        self.owed.is_some_and(|(_, late)| late)
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        let own = match self.ports_until {
            Some(until) => Some(until),
            None => self.legs.iter().filter_map(Relocation::poll_timeout).min(),
        };
        own.map_or(self.call.until, |own| own.min(self.call.until))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "whatever else happens, happens as in a connected call")]
    pub(super) fn on_event(mut self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Anchored(ports) if self.ports_until.is_some() => match ports {
                Some(ports) => {
                    self.ports_until = None;
                    core.media.move_to(&mut core.out, ports);
                    core.out.push_back(Effect::Checkpoint(Point::C4));
                    self.answer_again(core, env);
                    self.on_alarm(core, env)
                }
                None => self.end(core, env, 47, "no media port free"),
            },
            Event::Response { about, message } if self.leg(about.purpose, about.client).is_some() => {
                let step = self.leg(about.purpose, about.client).map(|leg| leg.on_response(core, env, &message));
                self.follow(core, env, about.purpose, step)
            }
            Event::Lost { about, loss } if self.leg(about.purpose, about.client).is_some() => {
                let step = self.leg(about.purpose, about.client).map(|leg| leg.on_lost(core, env, loss));
                self.follow(core, env, about.purpose, step)
            }
            // One that was given up, answered all the same.
            Event::Response { about, message } if matches!(about.purpose, Purpose::Relocate(_)) => {
                core.meet_stray(env, about.client, &message);
                State::Moving(Box::new(self))
            }
            Event::Acknowledged { side: MediaSide::A, message, .. } => {
                let flow = core.paths.first().map(|path| path.leg(MediaSide::A).flow);
                let ours = flow.map(|flow| core.contact(env, &flow));
                let has_read = ours.is_some_and(|ours| ours.trim_matches(['<', '>']) == message.uri());
                self.legs[MediaSide::A.index()].acknowledged(core, env.now.mono, has_read);
                if self.is_late() {
                    let answer = message.sdp().map(|body| core.media.repeated(&mut core.out, MediaSide::A, &body));
                    self.pass_answer(env, answer.and_then(Result::ok).flatten().unwrap_or_default());
                }
                core.out.push_back(Effect::Checkpoint(Point::C4));
                self.on_alarm(core, env)
            }
            Event::Request { server, side, path, message } => self.on_request(core, env, server, side, path, message),
            Event::Alarm => self.on_alarm(core, env),
            other => self.pass(core, env, other),
        }
    }

    /// The caller gets the 200 from here: if it has not heard the former one, it follows by that; else it is asked.
    fn answer_again(&mut self, core: &mut Core, env: &Env<'_>) {
        let Some(former) = self.answer.take().and_then(|answer| Message::parse(answer.bytes).ok()) else { return };
        if let Some(leg) = core.paths.first().map(|path| path.leg(MediaSide::A)) {
            let flow = leg.flow;
            let allowed = core.codecs_to[MediaSide::A.index()].clone();
            let sdp = former.sdp().and_then(|_| core.media.repeat(MediaSide::A, false, &allowed));
            crate::ingress::answer_again(core, env, &former, flow, sdp);
            self.legs[MediaSide::A.index()] = Relocation::new(MediaSide::A, env.now.mono + GRACE);
        }
    }

    /// The caller's answer to the callee's offer, which the callee's ACK brings to it.
    fn pass_answer(&mut self, env: &Env<'_>, body: Bytes) {
        if let Some((invite, late)) = &mut self.owed {
            *late = false;
            let callee = &mut self.legs[MediaSide::B.index()];
            callee.owe(*invite, body);
            callee.go_on(env.now.mono);
        }
    }

    /// The leg whose re-INVITE this is about.
    fn leg(&mut self, purpose: Purpose, client: u32) -> Option<&mut Relocation> {
        let Purpose::Relocate(side) = purpose else { return None };
        Some(&mut self.legs[side.index()]).filter(|leg| leg.awaits(client))
    }

    fn on_request(
        self,
        core: &mut Core,
        env: &Env<'_>,
        server: u32,
        side: MediaSide,
        path: usize,
        message: Arc<Message>,
    ) -> State {
        let method = message.method();
        let offers = method == Method::Invite || (method != Method::Ack && message.has_sdp());
        // Both legs have our own offer, or are about to; the transfer can be asked for again.
        if offers || (method == Method::Refer && refer::policy(core, side) == Referral::Follow) {
            core.refuse(env, server, 491);
            return State::Moving(Box::new(self));
        }
        self.pass(core, env, Event::Request { server, side, path, message })
    }

    /// Lets the call take an event.
    fn pass(mut self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        let state = self.call.on_event(core, env, event);
        let State::Connected(call) = state else { return state };
        self.call = *call;
        State::Moving(Box::new(self))
    }

    /// Session timers rest: a leg that follows begins its session anew, and one that does not is over.
    fn on_alarm(mut self, core: &mut Core, env: &Env<'_>) -> State {
        if env.now.mono >= self.call.until {
            return self.call.end(core, env, 16, "duration limit");
        }
        if let Some(until) = self.ports_until {
            return if env.now.mono >= until {
                self.end(core, env, 47, "relay did not answer")
            } else {
                State::Moving(Box::new(self))
            };
        }
        for side in SIDES {
            let step = self.legs[side.index()].on_alarm(core, env);
            if matches!(step, Step::Gone | Step::Silent | Step::Refused) {
                return self.lose(core, env, side, step);
            }
        }
        self.settle(core)
    }

    fn follow(mut self, core: &mut Core, env: &Env<'_>, purpose: Purpose, step: Option<Step>) -> State {
        if step == Some(Step::Done) && self.is_late() {
            let answer = self.legs[MediaSide::A.index()].answered.take();
            self.pass_answer(env, answer.unwrap_or_default());
            return self.on_alarm(core, env);
        }
        match (purpose, step) {
            (Purpose::Relocate(side), Some(step @ (Step::Gone | Step::Silent | Step::Refused))) => {
                self.lose(core, env, side, step)
            }
            _ => self.settle(core),
        }
    }

    /// Connected again, once both legs have followed.
    fn settle(self, core: &mut Core) -> State {
        if !self.legs.iter().all(Relocation::is_done) {
            return State::Moving(Box::new(self));
        }
        if let Some(side) = SIDES.into_iter().find(|side| self.legs[side.index()].turned) {
            core.rejoin = Some(Rejoin::new(side.other(), Instant::ORIGIN));
        }
        State::Connected(Box::new(self.call))
    }

    /// A party does not follow: the other one is left too. The call was over when its media was last heard of.
    fn lose(mut self, core: &mut Core, env: &Env<'_>, side: MediaSide, step: Step) -> State {
        self.call.over_since = Some(Box::new(self.last_heard()));
        let header = Some("Q.850;cause=41");
        match step {
            // It knows the dialog no more, so it has hung up.
            Step::Gone => {
                let ending = Ending::new(200, 16, EndedBy::Switch, ENDED_WHILE_DOWN);
                Clearing::release(core, env, self.call, Some(side), ending, header)
            }
            Step::Silent | Step::Wait | Step::Done => {
                let ending = Ending::new(200, 102, EndedBy::Switch, ENDED_WHILE_DOWN);
                Clearing::release(core, env, self.call, None, ending, header)
            }
            Step::Refused => {
                let ending = Ending::new(200, 41, EndedBy::Switch, "party does not follow");
                Clearing::release(core, env, self.call, None, ending, header)
            }
        }
    }

    /// No call ends before it was answered.
    fn last_heard(&self) -> Now {
        let answered = self.call.callee.answered.unwrap_or_default();
        Now { mono: self.heard.mono.max(self.call.answered), wall: self.heard.wall.max(answered) }
    }

    /// The call cannot go on here.
    fn end(mut self, core: &mut Core, env: &Env<'_>, q850: u16, reason: &str) -> State {
        self.call.over_since = Some(Box::new(self.last_heard()));
        self.call.end(core, env, q850, reason)
    }
}

/// The rows of an answered call are opened here as well: those of the former owner may never be closed.
fn open_rows(core: &mut Core, env: &Env<'_>, call: &Connected) {
    let Some(caller) = &core.caller else { return };
    let ending = Ending::new(200, 16, EndedBy::Switch, "");
    let other = call.other.as_deref().map(|other| records::row(core, env, caller, other, &ending, false));
    let last = records::row(core, env, caller, &call.callee, &ending, true);
    let rows = other.into_iter().chain([last]).map(|row| Effect::Record(Record::Open(Box::new(row))));
    core.out.extend(rows.collect::<SmallVec<[_; 2]>>());
}
