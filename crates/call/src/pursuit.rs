//! One attempt whose INVITE is out: what its responses and its silence come to. It decides what follows at the place that
//! was called (another INVITE, the trunk's next place, the next attempt), never what the caller hears of it.

use crate::attempt::{Try, trunk_of};
use crate::core::{Core, Env};
use crate::effect::{Effect, Outcome};
use crate::event::Loss;
use crate::{orphan, redirect};
use routing::Target;
use sip::clock::Instant;
use sip::digest::answer;
use sip::{Message, Method};
use std::time::Duration;
use trunk::Failure;

/// One attempt under way.
#[derive(Clone, Debug)]
pub(crate) struct Pursuit {
    pub(crate) attempt: Try,
    /// Until a provisional response has to be here.
    silent_until: Option<Instant>,
    ring_until: Instant,
    /// The place has answered something.
    heard: bool,
}

/// What follows. Where the attempt is over, its channel has been given back, or goes back with the orphan that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// A provisional response beyond 100.
    Rings,
    /// A 2xx.
    Answered,
    /// The same attempt is sent once more, as it now stands.
    Again,
    /// A 3xx is followed: the attempts that it asks for come next.
    Redirected,
    /// A final response that ends the attempt.
    Refused(Failure),
    /// The attempt ends without one, for this reason.
    Failed(Failure, &'static str),
}

impl Pursuit {
    /// An INVITE has just gone out.
    pub(crate) fn new(env: &Env<'_>, attempt: Try) -> Self {
        let now = env.now.mono;
        let seconds = attempt.egress().map(|egress| Duration::from_secs(u64::from(egress.timeout_seconds)));
        let ring = attempt.plan.ring_seconds.map_or(env.settings.max_ring, |seconds| {
            Duration::from_secs(u64::from(seconds)).min(env.settings.max_ring)
        });
        let silent_until = Some(now + seconds.unwrap_or(env.settings.max_wait));
        Self { attempt, silent_until, ring_until: now + ring, heard: false }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.silent_until.map_or(self.ring_until, |until| until.min(self.ring_until))
    }

    /// A response to its INVITE came.
    pub(crate) fn on_response(&mut self, core: &mut Core, env: &Env<'_>, message: &Message) -> Step {
        let code = message.code().unwrap_or(0);
        self.silent_until = None;
        if !self.heard && code > 100 && code != 503 {
            self.heard = true;
            report(core, &self.attempt, Outcome::Alive);
        }
        match code {
            100 => Step::Wait,
            101..200 => Step::Rings,
            200..300 => Step::Answered,
            300..=399 if redirect::follow(core, env, &self.attempt, message) => {
                core.ledger.surrender(&mut core.out, self.attempt.number);
                Step::Redirected
            }
            401 | 407 if self.attempt.credentials.is_none() && self.authorize(core, message) => Step::Again,
            422 if !self.attempt.raised && self.lengthen(message) => Step::Again,
            _ => self.on_failure(core, message),
        }
    }

    /// The carrier asks for our credentials (RFC 3261 §22.3): whether we have some.
    fn authorize(&mut self, core: &mut Core, message: &Message) -> bool {
        let register = self.attempt.egress().and_then(|egress| egress.register.clone());
        let seed = core.chance.next();
        let uri = core
            .tx
            .client(self.attempt.client)
            .and_then(|client| client.request.as_ref().map(|request| request.uri().to_owned()));
        self.attempt.credentials = register.zip(uri).and_then(|(register, uri)| {
            answer(message, &register.username, &register.password, Method::Invite.token(), &uri, seed)
        });
        self.attempt.credentials.is_some()
    }

    /// 422: the interval that the other side wants (RFC 4028 §7.3), if it names one.
    fn lengthen(&mut self, message: &Message) -> bool {
        let Some(session) = self.attempt.session.after_422(message) else { return false };
        self.attempt.session = session;
        self.attempt.raised = true;
        true
    }

    fn on_failure(&mut self, core: &mut Core, message: &Message) -> Step {
        let code = message.code().unwrap_or(500);
        let q850 = message.q850().and_then(|cause| u8::try_from(cause).ok());
        if code == 503 {
            report(core, &self.attempt, Outcome::Unavailable(message.retry_after()));
        }
        // Another contact of a line may be there where this one is not; but busy and declined are answers of the person.
        let is_contact = !matches!(self.attempt.plan.target, Target::Trunk(_));
        let is_personal = matches!(code, 486 | 487 | 600..=699);
        if self.attempt.hops.len() > 1 && (code == 503 || (is_contact && !is_personal)) {
            return self.next_hop();
        }
        core.ledger.surrender(&mut core.out, self.attempt.number);
        Step::Refused(Failure::Response { code, q850 })
    }

    /// Its INVITE got no answer.
    pub(crate) fn on_lost(&mut self, core: &mut Core, loss: Loss) -> Step {
        let (outcome, failure) = match loss {
            Loss::Timeout => (Outcome::Timeout, Failure::Timeout),
            Loss::Unreachable => (Outcome::Unreachable, Failure::Transport),
        };
        report(core, &self.attempt, outcome);
        self.unanswered(core, failure)
    }

    /// This place says nothing: the trunk's next place, or the next attempt.
    fn unanswered(&mut self, core: &mut Core, failure: Failure) -> Step {
        if self.attempt.hops.len() > 1 {
            return self.next_hop();
        }
        core.ledger.surrender(&mut core.out, self.attempt.number);
        Step::Failed(failure, failure.reject().reason)
    }

    fn next_hop(&mut self) -> Step {
        self.attempt.hops.pop_front();
        Step::Again
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

    /// Time has passed.
    pub(crate) fn on_alarm(&mut self, core: &mut Core, env: &Env<'_>) -> Step {
        let now = env.now.mono;
        if self.silent_until.is_some_and(|until| now >= until) {
            report(core, &self.attempt, Outcome::Timeout);
            self.abandon(core, env);
            return self.unanswered(core, Failure::Timeout);
        }
        if now >= self.ring_until {
            orphan::give_up(core, env, self.attempt.client, Some("Q.850;cause=19"));
            return Step::Failed(Failure::Response { code: 480, q850: Some(19) }, "no answer");
        }
        Step::Wait
    }
}

/// Tells the gateway's health what became of a request.
fn report(core: &mut Core, attempt: &Try, outcome: Outcome) {
    if let (Some(trunk), Some(gateway)) = (trunk_of(&attempt.plan.target), attempt.gateway()) {
        core.out.push_back(Effect::Outcome { trunk: trunk.name.clone(), gateway, outcome });
    }
}
