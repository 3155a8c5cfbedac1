//! The callee answered: the record is opened, the caller gets its 200, and its ACK is waited for.

use super::{Clearing, Connected, Seizing, State};
use crate::attempt::{Try, trunk_of};
use crate::core::{Core, Env};
use crate::effect::{Direction, Effect, Event as Count, MediaSide, Point};
use crate::event::Event;
use crate::record::{EndedBy, Record};
use crate::records::{self, Callee, Ending};
use crate::{ingress, orphan};
use bytes::Bytes;
use sip::Message;
use sip::session_timer::SessionTimer;
use trunk::Failure;

/// Waiting for the caller's ACK.
#[derive(Clone, Debug)]
pub(crate) struct Answering {
    pub(crate) call: Connected,
}

impl Answering {
    /// Takes the 2xx of the callee's dialog at `path`.
    pub(super) fn enter(core: &mut Core, env: &Env<'_>, attempt: Try, path: usize, message: &Message) -> State {
        let kept = core.paths.swap_remove(path);
        core.paths.clear();
        core.paths.push(kept);
        let b = core.paths[0].leg_mut(MediaSide::B);
        b.dialog.confirm_as_uac(message);
        b.aim(env.locals);
        let agreed = attempt.session.answered(env.now.mono, message);
        // One that knows no session timers is asked all the same, where we want to know that it lives (RFC 4028 §7.2).
        let own = attempt.asks_session.then(|| SessionTimer::new(env.now.mono, attempt.session.seconds, true));
        b.start_timer(env.now.mono, agreed.or(own));
        let offered = core.invite.as_ref().is_some_and(|invite| invite.has_sdp());
        let late = (!offered && message.has_sdp()).then_some(attempt.client);
        let described = describe(core, offered, message);
        core.paths[0].early = None;
        let sdp = match described {
            Ok(sdp) => sdp,
            Err(error) => return unusable(core, env, &attempt, error.status()),
        };
        core.route = None;
        let call = open(core, env, &attempt);
        // Not before the call is protected: a callee without ACK ends by itself, one with it waits for a BYE.
        if late.is_none() {
            orphan::acknowledge(core, env, attempt.client, 0, "", b"");
        }
        ingress::answer(core, env, message, sdp, late);
        if let Some(caller) = &mut core.caller {
            caller.forget_setup();
        }
        State::Answering(Box::new(Self { call }))
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "whatever else happens, happens as in a connected call")]
    pub(super) fn on_event(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Acknowledged { side: MediaSide::A, late, message } => {
                let mut point = Point::C3;
                if let Some(client) = late {
                    crate::forward::late_answer(core, env, MediaSide::A, client, &message);
                    point = Point::C4;
                }
                core.out.push_back(Effect::Checkpoint(point));
                State::Connected(Box::new(self.call))
            }
            Event::Unacknowledged { side: MediaSide::A } => {
                let ending = Ending::new(200, 102, EndedBy::Switch, "no ack");
                Clearing::release(core, env, self.call, None, ending, None)
            }
            other => match self.call.on_event(core, env, other) {
                // Until the ACK the state stays this one, whatever passes through the dialog.
                State::Connected(call) => State::Answering(Box::new(Self { call: *call })),
                state => state,
            },
        }
    }
}

/// What the caller is told of the callee's media.
fn describe(core: &mut Core, offered: bool, message: &Message) -> Result<Option<Bytes>, sip::sdp::Error> {
    let Some(body) = message.sdp() else {
        // RFC 3261 §13.2.1: what an early response of this fork said, the 2xx need not repeat; but the caller may not have
        // heard it, and another fork may have steered the relay since.
        let early = core.paths[0].early.take().filter(|_| offered);
        if let Some(Ok(sdp)) = early.map(|body| core.media.answer(&mut core.out, MediaSide::B, &body, true, true)) {
            return Ok(Some(sdp));
        }
        core.media.close_offer();
        return Ok(core.media.last(MediaSide::A).filter(|_| offered && core.media.is_agreed()).cloned());
    };
    if offered {
        return core.media.answer(&mut core.out, MediaSide::B, &body, true, true).map(Some);
    }
    let codecs = core.codecs_to[MediaSide::A.index()].clone();
    core.media.offer(MediaSide::B, &body, &codecs).map(Some)
}

/// The answer cannot be used: the callee is thanked and left.
fn unusable(core: &mut Core, env: &Env<'_>, attempt: &Try, code: u16) -> State {
    orphan::acknowledge(core, env, attempt.client, 0, "", b"");
    core.bye(env, MediaSide::B, Some("SIP;cause=488"));
    core.ledger.surrender(&mut core.out, attempt.number);
    let failure = Failure::Response { code: if code < 500 { 488 } else { code }, q850: Some(88) };
    Seizing::after_failure(core, env, attempt, failure, "answer cannot be used")
}

/// Opens the record, before the caller hears that it is connected.
fn open(core: &mut Core, env: &Env<'_>, attempt: &Try) -> Connected {
    let mut callee = Callee::of(attempt);
    callee.answer(core, env, attempt);
    let mut limit = env.settings.max_call;
    if let Some(caller) = &core.caller {
        let ending = Ending::new(200, 16, EndedBy::Switch, "");
        let row = records::row(core, env, caller, &callee, &ending, true);
        let trunks = [caller.source.trunk(), trunk_of(&attempt.plan.target)];
        for seconds in trunks.into_iter().flatten().map(|trunk| trunk.max_call_seconds).filter(|seconds| *seconds > 0) {
            limit = limit.min(std::time::Duration::from_secs(u64::from(seconds)));
        }
        let ingress = caller.source.metric();
        core.out.push_back(Effect::Record(Record::Open(Box::new(row))));
        core.out.push_back(Effect::Event(Count::Answered { trunk: ingress, direction: Direction::Ingress }));
    }
    core.out.push_back(Effect::Event(Count::Answered { trunk: attempt.metric(), direction: Direction::Egress }));
    core.out.push_back(Effect::Checkpoint(Point::C2));
    Connected::new(callee, env.now.mono, env.now.mono + limit)
}
