//! An INVITE is out on leg B: provisional responses, the answer, failures, and the caller who changes its mind.

use super::{Answering, Clearing, Seizing, State};
use crate::attempt::{Try, trunk_of};
use crate::core::{Core, Env};
use crate::effect::{Effect, MediaSide, Outcome, Point};
use crate::event::{About, Event, Loss};
use crate::record::EndedBy;
use crate::records::Ending;
use crate::transactions::Purpose;
use crate::{egress, fork, forward, orphan, provisional, redirect};
use routing::Target;
use sip::clock::Instant;
use sip::digest::answer;
use sip::{Message, Method};
use std::sync::Arc;
use std::time::Duration;
use trunk::Failure;

/// One attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Trying {
    attempt: Try,
    /// Until a provisional response has to be here.
    silent_until: Option<Instant>,
    ring_until: Instant,
    /// The place has answered something.
    heard: bool,
}

impl Trying {
    /// An INVITE has just gone out.
    pub(super) fn enter(env: &Env<'_>, attempt: Try) -> State {
        let now = env.now.mono;
        let seconds = attempt.egress().map(|egress| Duration::from_secs(u64::from(egress.timeout_seconds)));
        let ring = attempt.plan.ring_seconds.map_or(env.settings.max_ring, |seconds| {
            Duration::from_secs(u64::from(seconds)).min(env.settings.max_ring)
        });
        let silent_until = Some(now + seconds.unwrap_or(env.settings.max_wait));
        State::Trying(Box::new(Self { attempt, silent_until, ring_until: now + ring, heard: false }))
    }

    pub(crate) const fn attempt(&self) -> &Try {
        &self.attempt
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        Some(self.silent_until.map_or(self.ring_until, |until| until.min(self.ring_until)))
    }

    pub(super) fn on_event(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Response { about, message } if about.client == self.attempt.client => {
                self.on_response(core, env, about, &message)
            }
            Event::Lost { about, loss } if about.client == self.attempt.client => self.on_lost(core, env, loss),
            Event::Cancelled { reason, .. } => {
                self.give_up(core, env, 487, EndedBy::Caller, "cancelled", reason.as_deref())
            }
            Event::Hangup { reason } => self.give_up(core, env, 503, EndedBy::Switch, reason, None),
            Event::Request { server, side, path, message } => self.on_request(core, env, server, side, path, &message),
            Event::Alarm => self.on_alarm(core, env),
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

    fn on_response(mut self, core: &mut Core, env: &Env<'_>, about: About, message: &Message) -> State {
        let code = message.code().unwrap_or(0);
        self.silent_until = None;
        if !self.heard && code > 100 && code != 503 {
            self.heard = true;
            report(core, &self.attempt, Outcome::Alive);
        }
        match code {
            100 => State::Trying(Box::new(self)),
            101..200 => {
                provisional::relay(core, env, &mut self.attempt, message);
                State::Trying(Box::new(self))
            }
            200..300 => self.on_answer(core, env, about, message),
            300..=399 if redirect::follow(core, env, &self.attempt, message) => self.redirected(core, env, code),
            401 | 407 if self.attempt.credentials.is_none() => self.on_challenge(core, env, message),
            422 if !self.attempt.raised => self.on_short_session(core, env, message),
            _ => self.on_failure(core, env, message),
        }
    }

    fn on_answer(self, core: &mut Core, env: &Env<'_>, about: About, message: &Message) -> State {
        if let Some(client) = core.tx.client(about.client) {
            client.won = Some(message.to_tag().unwrap_or("").into());
        }
        let Some(path) = fork::path_of(core, env, &self.attempt, message) else {
            // Without a dialog there is nothing to acknowledge and nothing to talk through.
            let failure = Failure::Response { code: 502, q850: Some(111) };
            core.ledger.surrender(&mut core.out, self.attempt.number);
            return Seizing::after_failure(core, env, &self.attempt, failure, "answer forms no dialog");
        };
        Answering::enter(core, env, self.attempt, path, message)
    }

    /// The carrier asks for our credentials (RFC 3261 §22.3): once more, with them.
    fn on_challenge(mut self, core: &mut Core, env: &Env<'_>, message: &Message) -> State {
        let register = self.attempt.egress().and_then(|egress| egress.register.clone());
        let seed = core.chance.next();
        let uri = core
            .tx
            .client(self.attempt.client)
            .and_then(|client| client.request.as_ref().map(|request| request.uri().to_owned()));
        let credentials = register.zip(uri).and_then(|(register, uri)| {
            answer(message, &register.username, &register.password, Method::Invite.token(), &uri, seed)
        });
        if credentials.is_none() {
            return self.on_failure(core, env, message);
        }
        self.attempt.credentials = credentials;
        self.again(core, env)
    }

    /// 422: once more, with the interval that the other side wants (RFC 4028 §7.3).
    fn on_short_session(mut self, core: &mut Core, env: &Env<'_>, message: &Message) -> State {
        let Some(session) = self.attempt.session.after_422(message) else {
            return self.on_failure(core, env, message);
        };
        self.attempt.session = session;
        self.attempt.raised = true;
        self.again(core, env)
    }

    /// The same attempt with another INVITE.
    fn again(mut self, core: &mut Core, env: &Env<'_>) -> State {
        self.attempt.seq += 1;
        core.forget_paths(env);
        core.out.push_back(Effect::Checkpoint(Point::C0));
        match egress::invite(core, env, &mut self.attempt) {
            Ok(()) => Self::enter(env, self.attempt),
            Err(failure) => {
                core.ledger.surrender(&mut core.out, self.attempt.number);
                Seizing::after_failure(core, env, &self.attempt, failure, failure.reject().reason)
            }
        }
    }

    fn redirected(self, core: &mut Core, env: &Env<'_>, code: u16) -> State {
        core.ledger.surrender(&mut core.out, self.attempt.number);
        let ending = Ending::new(code, 0, EndedBy::Callee, "redirected");
        match Seizing::next(core, env) {
            Some(state) => {
                core.close_attempt(env, &self.attempt, &ending);
                core.forget_paths(env);
                state
            }
            None => Clearing::refused_at(core, env, Some(&self.attempt), 482, 25, "too many redirections"),
        }
    }

    fn on_failure(self, core: &mut Core, env: &Env<'_>, message: &Message) -> State {
        let code = message.code().unwrap_or(500);
        let q850 = message.q850().and_then(|cause| u8::try_from(cause).ok());
        if code == 503 {
            report(core, &self.attempt, Outcome::Unavailable(message.retry_after()));
        }
        // Another contact of a line may be there where this one is not; but busy and declined are answers of the person.
        let is_contact = !matches!(self.attempt.plan.target, Target::Trunk(_));
        let is_personal = matches!(code, 486 | 487 | 600..=699);
        if self.attempt.hops.len() > 1 && (code == 503 || (is_contact && !is_personal)) {
            return self.next_hop(core, env);
        }
        core.ledger.surrender(&mut core.out, self.attempt.number);
        Seizing::after_refusal(core, env, &self.attempt, Failure::Response { code, q850 }, message)
    }

    fn on_lost(self, core: &mut Core, env: &Env<'_>, loss: Loss) -> State {
        let (outcome, failure) = match loss {
            Loss::Timeout => (Outcome::Timeout, Failure::Timeout),
            Loss::Unreachable => (Outcome::Unreachable, Failure::Transport),
        };
        report(core, &self.attempt, outcome);
        self.unanswered(core, env, failure)
    }

    /// This place says nothing: the trunk's next place, or the next attempt.
    fn unanswered(self, core: &mut Core, env: &Env<'_>, failure: Failure) -> State {
        if self.attempt.hops.len() > 1 {
            return self.next_hop(core, env);
        }
        core.ledger.surrender(&mut core.out, self.attempt.number);
        Seizing::after_failure(core, env, &self.attempt, failure, failure.reject().reason)
    }

    /// An INVITE that nobody answered at all lives on as an orphan, so that a late answer is met. The channel stays with
    /// the attempt where another place is left.
    fn abandon(&self, core: &mut Core, env: &Env<'_>) {
        if self.attempt.hops.len() > 1
            && let Some(client) = core.tx.client(self.attempt.client)
        {
            client.attempt = 0;
        }
        orphan::give_up(core, env, self.attempt.client, None);
    }

    fn next_hop(mut self, core: &mut Core, env: &Env<'_>) -> State {
        self.attempt.hops.pop_front();
        self.again(core, env)
    }

    fn on_alarm(self, core: &mut Core, env: &Env<'_>) -> State {
        let now = env.now.mono;
        if self.silent_until.is_some_and(|until| now >= until) {
            report(core, &self.attempt, Outcome::Timeout);
            self.abandon(core, env);
            return self.unanswered(core, env, Failure::Timeout);
        }
        if now >= self.ring_until {
            orphan::give_up(core, env, self.attempt.client, Some("Q.850;cause=19"));
            let failure = Failure::Response { code: 480, q850: Some(19) };
            return Seizing::after_failure(core, env, &self.attempt, failure, "no answer");
        }
        State::Trying(Box::new(self))
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
        orphan::give_up(core, env, self.attempt.client, cancel_reason);
        Clearing::ended_early_at(core, env, Some(&self.attempt), code, if code == 487 { 16 } else { 41 }, by, reason)
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

/// Tells the gateway's health what became of a request.
fn report(core: &mut Core, attempt: &Try, outcome: Outcome) {
    if let (Some(trunk), Some(gateway)) = (trunk_of(&attempt.plan.target), attempt.gateway()) {
        core.out.push_back(Effect::Outcome { trunk: trunk.name.clone(), gateway, outcome });
    }
}
