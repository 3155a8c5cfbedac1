//! An INVITE is out on leg B: provisional responses, the answer, failures, and the caller who changes its mind.

use super::{Answering, Clearing, Seizing, State};
use crate::attempt::Try;
use crate::core::{Core, Env};
use crate::effect::{Effect, MediaSide, Point};
use crate::event::{About, Event};
use crate::pursuit::{Pursuit, Step};
use crate::record::EndedBy;
use crate::records::Ending;
use crate::transactions::Purpose;
use crate::{egress, fork, forward, orphan, provisional, refer};
use sip::clock::Instant;
use sip::{Message, Method};
use std::sync::Arc;
use trunk::Failure;

/// One attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Trying {
    pursuit: Pursuit,
}

impl Trying {
    /// An INVITE has just gone out.
    pub(super) fn enter(env: &Env<'_>, attempt: Try) -> State {
        State::Trying(Box::new(Self { pursuit: Pursuit::new(env, attempt) }))
    }

    pub(crate) const fn attempt(&self) -> &Try {
        &self.pursuit.attempt
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.pursuit.poll_timeout())
    }

    pub(super) fn on_event(mut self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        let client = self.attempt().client;
        match event {
            Event::Response { about, message } if about.client == client => {
                let step = self.pursuit.on_response(core, env, &message);
                self.follow(core, env, step, Some((about, &message)))
            }
            Event::Lost { about, loss } if about.client == client => {
                let step = self.pursuit.on_lost(core, loss);
                self.follow(core, env, step, None)
            }
            Event::Cancelled { reason, .. } => {
                self.give_up(core, env, 487, EndedBy::Caller, "cancelled", reason.as_deref())
            }
            Event::Hangup { reason } => self.give_up(core, env, 503, EndedBy::Switch, reason, None),
            Event::Request { server, side, path, message } => self.on_request(core, env, server, side, path, &message),
            Event::Alarm => {
                let step = self.pursuit.on_alarm(core, env);
                self.follow(core, env, step, None)
            }
            Event::Response { about, message } => {
                if let Purpose::Bridge { server } = about.purpose {
                    forward::response(core, env, about, server, &message);
                }
                State::Trying(Box::new(self))
            }
            Event::Lost { about, loss } => {
                if let Purpose::Bridge { server } = about.purpose {
                    forward::lost(core, env, server, loss);
                }
                State::Trying(Box::new(self))
            }
            Event::Invite { .. }
            | Event::Acknowledged { .. }
            | Event::Unacknowledged { .. }
            | Event::Admitted(_)
            | Event::Seized { .. }
            | Event::Anchored(_)
            | Event::MediaSilent
            | Event::MediaFreed(_) => State::Trying(Box::new(self)),
        }
    }

    /// Does what a response or a silence asks for.
    fn follow(mut self, core: &mut Core, env: &Env<'_>, step: Step, response: Option<(About, &Message)>) -> State {
        match (step, response) {
            (Step::Rings, Some((_, message))) => {
                provisional::relay(core, env, &mut self.pursuit.attempt, message);
                State::Trying(Box::new(self))
            }
            (Step::Answered, Some((about, message))) => self.on_answer(core, env, about, message),
            (Step::Wait | Step::Rings | Step::Answered, _) => State::Trying(Box::new(self)),
            (Step::Again, _) => self.again(core, env),
            (Step::Redirected, response) => {
                let code = response.and_then(|(_, message)| message.code()).unwrap_or(300);
                self.redirected(core, env, code)
            }
            (Step::Refused(failure), Some((_, message))) => {
                Seizing::after_refusal(core, env, self.attempt(), failure, message)
            }
            (Step::Refused(failure), None) => {
                Seizing::after_failure(core, env, self.attempt(), failure, failure.reject().reason)
            }
            (Step::Failed(failure, reason), _) => Seizing::after_failure(core, env, self.attempt(), failure, reason),
        }
    }

    fn on_answer(self, core: &mut Core, env: &Env<'_>, about: About, message: &Message) -> State {
        let attempt = self.pursuit.attempt;
        if let Some(client) = core.tx.client(about.client) {
            client.won = Some(message.to_tag().unwrap_or("").into());
        }
        let Some(path) = fork::path_of(core, env, &attempt, message) else {
            // Without a dialog there is nothing to acknowledge and nothing to talk through.
            let failure = Failure::Response { code: 502, q850: Some(111) };
            core.ledger.surrender(&mut core.out, attempt.number);
            return Seizing::after_failure(core, env, &attempt, failure, "answer forms no dialog");
        };
        Answering::enter(core, env, attempt, path, message)
    }

    /// The same attempt with another INVITE.
    fn again(self, core: &mut Core, env: &Env<'_>) -> State {
        let mut attempt = self.pursuit.attempt;
        attempt.seq += 1;
        core.forget_paths(env);
        core.out.push_back(Effect::Checkpoint(Point::C0));
        match egress::invite(core, env, &mut attempt) {
            Ok(()) => Self::enter(env, attempt),
            Err(failure) => {
                core.ledger.surrender(&mut core.out, attempt.number);
                Seizing::after_failure(core, env, &attempt, failure, failure.reject().reason)
            }
        }
    }

    fn redirected(self, core: &mut Core, env: &Env<'_>, code: u16) -> State {
        let ending = Ending::new(code, 0, EndedBy::Callee, "redirected");
        match Seizing::next(core, env) {
            Some(state) => {
                core.out.push_back(Effect::Checkpoint(Point::C1));
                core.close_attempt(env, self.attempt(), &ending);
                core.forget_paths(env);
                state
            }
            None => Clearing::refused_at(core, env, Some(self.attempt()), 482, 25, "too many redirections"),
        }
    }

    /// The call ends before the callee has answered.
    fn give_up(
        self,
        core: &mut Core,
        env: &Env<'_>,
        code: u16,
        by: EndedBy,
        reason: &str,
        cancel_reason: Option<&str>,
    ) -> State {
        let attempt = self.attempt();
        orphan::give_up(core, env, attempt.client, cancel_reason);
        Clearing::ended_early_at(core, env, Some(attempt), code, if code == 487 { 16 } else { 41 }, by, reason)
    }

    fn on_request(
        self,
        core: &mut Core,
        env: &Env<'_>,
        server: u32,
        side: MediaSide,
        path: usize,
        message: &Arc<Message>,
    ) -> State {
        if message.method() == Method::Refer
            && let Some(code) = refer::early_refusal(core, side)
        {
            core.refuse(env, server, code);
            return State::Trying(Box::new(self));
        }
        if message.method() != Method::Bye {
            forward::request(core, env, server, side, path, message);
            return State::Trying(Box::new(self));
        }
        core.refuse(env, server, 200);
        match side {
            // RFC 3261 §15.1.2: a BYE in the early dialog ends the call as CANCEL would.
            MediaSide::A => self.give_up(core, env, 487, EndedBy::Caller, "ended early", None),
            MediaSide::B => State::Trying(Box::new(self)),
        }
    }
}
