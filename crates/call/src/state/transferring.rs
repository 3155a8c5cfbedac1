//! One party of an answered call is being transferred (RFC 3515, RFC 5589): the call goes on, while beside it a leg is
//! called that is to take the place of the one who asked. What happens to the call happens as in a connected one.

use super::{Connected, State};
use crate::attempt::{Route, Try, failure_of, reason_of};
use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::event::Event;
use crate::input::Hop;
use crate::pursuit::{Pursuit, Step};
use crate::record::EndedBy;
use crate::records::Ending;
use crate::refer::{self, Refused};
use crate::transfer::Transfer;
use crate::{admission, orphan};
use routing::Query;
use sip::clock::Instant;
use sip::{Message, Method, Name};
use smallvec::SmallVec;
use std::sync::Arc;
use trunk::Failure;

/// A transfer beside a call.
#[derive(Clone, Debug)]
pub(crate) struct Transferring {
    call: Connected,
    transfer: Transfer,
    stage: Stage,
}

/// How far the new leg has come.
#[derive(Clone, Debug)]
enum Stage {
    /// A channel is asked for.
    Seizing { attempt: Box<Try>, until: Instant },
    /// Ports are asked for.
    Anchoring { attempt: Box<Try>, until: Instant },
    /// Its INVITE is out.
    Trying(Box<Pursuit>),
}

impl Stage {
    fn attempt(&self) -> &Try {
        match self {
            Self::Seizing { attempt, .. } | Self::Anchoring { attempt, .. } => attempt,
            Self::Trying(pursuit) => &pursuit.attempt,
        }
    }
}

impl Transferring {
    /// Takes a REFER that is to be followed: 202 and a first NOTIFY, or a refusal.
    pub(super) fn begin(
        call: Connected,
        core: &mut Core,
        env: &Env<'_>,
        server: u32,
        by: MediaSide,
        message: &Arc<Message>,
    ) -> State {
        match accept(core, env, server, by, message) {
            Ok((transfer, attempt)) => {
                let until = env.now.mono + env.settings.max_wait;
                let stage = Stage::Seizing { attempt: Box::new(attempt), until };
                State::Transferring(Box::new(Self { call, transfer, stage }))
            }
            Err(refused) => {
                refuse(core, env, server, refused);
                State::Connected(Box::new(call))
            }
        }
    }

    pub(crate) const fn call(&self) -> &Connected {
        &self.call
    }

    pub(crate) const fn transfer(&self) -> &Transfer {
        &self.transfer
    }

    pub(super) fn poll_timeout(&self, core: &Core) -> Option<Instant> {
        let own = match &self.stage {
            Stage::Seizing { until, .. } | Stage::Anchoring { until, .. } => *until,
            Stage::Trying(pursuit) => pursuit.poll_timeout(),
        };
        self.call.poll_timeout(core).into_iter().chain([own]).min()
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "whatever else happens, happens as in a connected call")]
    pub(super) fn on_event(mut self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match (event, &mut self.stage) {
            (Event::Seized { attempt: number, result }, Stage::Seizing { attempt, .. }) if number == attempt.number => {
                match result {
                    Ok(hops) => self.seized(core, env, hops),
                    Err(refused) => self.failed(core, env, failure_of(refused), reason_of(refused)),
                }
            }
            (Event::Anchored(ports), Stage::Anchoring { .. }) => match ports {
                Some(ports) => {
                    self.transfer.handover.anchor(ports);
                    self.send(core, env)
                }
                None => self.failed(core, env, Failure::Capacity, "no media port free"),
            },
            (Event::Response { about, message }, Stage::Trying(pursuit)) if about.client == pursuit.attempt.client => {
                let step = pursuit.on_response(core, env, &message);
                self.follow(core, env, step, Some(&message))
            }
            (Event::Lost { about, loss }, Stage::Trying(pursuit)) if about.client == pursuit.attempt.client => {
                let step = pursuit.on_lost(core, loss);
                self.follow(core, env, step, None)
            }
            (Event::Request { server, side, path, message }, _) => {
                self.on_request(core, env, server, side, path, message)
            }
            (Event::Alarm, _) => self.on_alarm(core, env),
            (event @ (Event::Hangup { .. } | Event::MediaSilent), _) => self.end_with(core, env, event),
            (other, _) => self.pass(core, env, other),
        }
    }

    /// Lets the call take an event. When it ends by it, the new leg ends too.
    fn pass(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        let Self { call, transfer, stage } = self;
        let before = core.out.len();
        let state = call.on_event(core, env, event);
        if let State::Connected(call) = state {
            return State::Transferring(Box::new(Self { call: *call, transfer, stage }));
        }
        // The row of the new leg comes before the final one; what is sent stays in the order of its numbers.
        let end = core.out.split_off(before);
        close(core, env, &transfer, &stage);
        core.out.extend(end);
        give_up(core, env, &transfer, &stage);
        state
    }

    /// The call ends by this event: the new leg first, so that its sender hears of it before the BYE.
    fn end_with(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        close(core, env, &self.transfer, &self.stage);
        give_up(core, env, &self.transfer, &self.stage);
        self.call.on_event(core, env, event)
    }

    fn on_request(
        mut self,
        core: &mut Core,
        env: &Env<'_>,
        server: u32,
        side: MediaSide,
        path: usize,
        message: Arc<Message>,
    ) -> State {
        let method = message.method();
        let gone = self.call.left.map(|(side, _)| side);
        let code = if method == Method::Bye {
            (side == self.transfer.by).then_some(200)
        } else if gone == Some(side) {
            Some(481)
        } else if method == Method::Refer {
            // One transfer at a time.
            Some(491)
        } else {
            // Once one has left there is nobody to hear it yet.
            gone.map(|_| if matches!(method, Method::Invite | Method::Update) { 491 } else { 480 })
        };
        let Some(code) = code else {
            let event = Event::Request { server, side, path, message };
            return if method == Method::Bye { self.end_with(core, env, event) } else { self.pass(core, env, event) };
        };
        core.refuse(env, server, code);
        if method == Method::Bye && gone.is_none() {
            core.left(env, side);
            self.call.left = Some((side, env.now));
        }
        State::Transferring(Box::new(self))
    }

    fn on_alarm(mut self, core: &mut Core, env: &Env<'_>) -> State {
        let state = match &mut self.stage {
            Stage::Seizing { attempt, until } if env.now.mono >= *until => {
                core.ledger.forget_seizing(attempt.number);
                self.failed(core, env, Failure::Transport, "trunk did not answer")
            }
            Stage::Anchoring { until, .. } if env.now.mono >= *until => {
                self.failed(core, env, Failure::Capacity, "relay did not answer")
            }
            Stage::Seizing { .. } | Stage::Anchoring { .. } => State::Transferring(Box::new(self)),
            Stage::Trying(pursuit) => {
                let step = pursuit.on_alarm(core, env);
                self.follow(core, env, step, None)
            }
        };
        // A transfer holds up neither the limits of the call nor its refreshes.
        if let State::Transferring(state) = state { state.pass(core, env, Event::Alarm) } else { state }
    }

    fn seized(mut self, core: &mut Core, env: &Env<'_>, hops: SmallVec<[Hop; 1]>) -> State {
        let mut attempt = self.stage.attempt().clone();
        attempt.set_hops(hops);
        let needs_ports = self.transfer.prepare(core, env, &mut attempt);
        let until = env.now.mono + env.settings.max_wait;
        self.stage = Stage::Anchoring { attempt: Box::new(attempt), until };
        if !needs_ports {
            return self.send(core, env);
        }
        core.ledger.anchor(&mut core.out, self.transfer.handover.streams());
        State::Transferring(Box::new(self))
    }

    /// Sends the INVITE of the attempt to the first of its places.
    fn send(mut self, core: &mut Core, env: &Env<'_>) -> State {
        let mut attempt = self.stage.attempt().clone();
        let sent = self.transfer.invite(core, env, &mut attempt);
        self.stage = Stage::Trying(Box::new(Pursuit::new(env, attempt)));
        match sent {
            Ok(()) => State::Transferring(Box::new(self)),
            Err(failure) => self.failed(core, env, failure, failure.reject().reason),
        }
    }

    fn follow(mut self, core: &mut Core, env: &Env<'_>, step: Step, message: Option<&Message>) -> State {
        let code = message.and_then(Message::code).unwrap_or(0);
        match (step, message) {
            (Step::Rings, Some(_)) => {
                if let Stage::Trying(pursuit) = &mut self.stage
                    && matches!(code, 180 | 183)
                {
                    pursuit.attempt.ringing.get_or_insert(env.now);
                }
                self.transfer.progress(core, env, code);
                State::Transferring(Box::new(self))
            }
            (Step::Answered, Some(message)) => self.answered(core, env, message),
            (Step::Wait | Step::Rings | Step::Answered, _) => State::Transferring(Box::new(self)),
            (Step::Again, _) => {
                if let Stage::Trying(pursuit) = &mut self.stage {
                    pursuit.attempt.seq += 1;
                }
                self.send(core, env)
            }
            (Step::Redirected, _) => self.over(core, env, Failure::Response { code, q850: None }, "redirected", true),
            (Step::Refused(failure), _) => self.failed(core, env, failure, ""),
            (Step::Failed(failure, reason), _) => self.failed(core, env, failure, reason),
        }
    }

    fn answered(self, core: &mut Core, env: &Env<'_>, message: &Message) -> State {
        let attempt = self.stage.attempt().clone();
        match self.transfer.join(core, env, self.call, &attempt, message) {
            Ok(call) => State::Connected(Box::new(call)),
            Err(back) => {
                let (transfer, call) = *back;
                let failure = Failure::Response { code: 488, q850: Some(88) };
                Self { call, transfer, stage: self.stage }.failed(core, env, failure, "answer cannot be used")
            }
        }
    }

    /// The attempt came to nothing: the next one, or the end of the transfer.
    fn failed(self, core: &mut Core, env: &Env<'_>, failure: Failure, reason: &str) -> State {
        let next = core.route.as_ref().and_then(|route| route.attempts.front());
        let goes_on = next.is_some_and(|next| self.stage.attempt().reroutes(failure, next));
        self.over(core, env, failure, reason, goes_on)
    }

    /// Closes the row of the attempt and begins the next one, if there is one and it may be tried.
    fn over(mut self, core: &mut Core, env: &Env<'_>, failure: Failure, reason: &str, goes_on: bool) -> State {
        let attempt = self.stage.attempt().clone();
        core.ledger.surrender(&mut core.out, attempt.number);
        let by = if reason.is_empty() { EndedBy::Callee } else { EndedBy::Switch };
        let ending = Ending::new(failure.code(), u16::from(failure.q850()), by, reason);
        self.transfer.close_attempt(core, env, &attempt, &ending);
        if goes_on && let Some(next) = core.begin_attempt(env) {
            let until = env.now.mono + env.settings.max_wait;
            self.stage = Stage::Seizing { attempt: Box::new(next), until };
            return State::Transferring(Box::new(self));
        }
        let code = if reason == "redirected" { 482 } else { failure.reject().code };
        self.end(core, env, code)
    }

    /// The transfer failed: its sender hears of it, and the call is as it was, unless the sender has left it.
    fn end(self, core: &mut Core, env: &Env<'_>, code: u16) -> State {
        core.route = None;
        core.free_spare_ports();
        if let Some(subscription) = self.transfer.subscription {
            subscription.finish(core, env, code);
        }
        match self.call.left {
            Some((side, _)) => {
                let ending = Ending::new(200, 16, EndedBy::Switch, "bye");
                super::Clearing::release(core, env, self.call, Some(side), ending, None)
            }
            None => State::Connected(Box::new(self.call)),
        }
    }
}

/// The row of a new leg that nobody waits for any more.
fn close(core: &mut Core, env: &Env<'_>, transfer: &Transfer, stage: &Stage) {
    transfer.close_attempt(core, env, stage.attempt(), &Ending::new(487, 16, EndedBy::Caller, "cancelled"));
}

/// The call has ended: nobody is left to be joined with the new leg.
fn give_up(core: &mut Core, env: &Env<'_>, transfer: &Transfer, stage: &Stage) {
    let attempt = stage.attempt();
    match stage {
        Stage::Seizing { .. } => core.ledger.forget_seizing(attempt.number),
        Stage::Anchoring { .. } => {}
        Stage::Trying(_) => orphan::give_up(core, env, attempt.client, None),
    }
    if let Some(subscription) = transfer.subscription {
        subscription.finish(core, env, 487);
    }
}

/// Reads and plans what a REFER asks for, answers it, and begins the first attempt.
fn accept(
    core: &mut Core,
    env: &Env<'_>,
    server: u32,
    by: MediaSide,
    message: &Message,
) -> Result<(Transfer, Try), Refused> {
    let asked = refer::read(message)?;
    if core.parting.is_some() || core.rejoin.is_some() || core.tx.answers.iter().any(|answer| !answer.machine.is_over())
    {
        return Err(Refused::Code(491));
    }
    let mut transfer = Transfer::new(core, env, by, &asked, message).map_err(Refused::Code)?;
    plan(core, env, &mut transfer)?;
    core.paths[0].leg_mut(by).refresh(message, env.locals);
    let attempt = core.begin_attempt(env).ok_or(Refused::Code(404))?;
    let flow = core.paths[0].leg(by).flow;
    if let Some(mut reply) = core.reply(server, 202, "") {
        reply.add(Name::Contact, core.contact(env, &flow));
        reply.add(Name::Allow, crate::headers::ALLOW);
        if !asked.subscribes {
            reply.add_as("Refer-Sub", "false");
        }
        core.respond(env, server, 202, reply.finish());
    }
    transfer.progress(core, env, 100);
    Ok((transfer, attempt))
}

/// Plans the call on the account of whoever asked for it: what that one may not call, nobody is transferred to.
fn plan(core: &mut Core, env: &Env<'_>, transfer: &mut Transfer) -> Result<(), Refused> {
    let seed = core.chance.next();
    let payer = transfer.payer();
    let shown = payer.identity.asserted.as_deref().or(payer.identity.from.as_deref()).unwrap_or("");
    let query = Query {
        origin: admission::origin(&payer.source),
        called: &payer.called,
        caller: shown,
        at: env.now.wall,
        seed,
        explain: false,
    };
    let plan = env.view.plan(&query).map_err(|refusal| Refused::Code(refusal.sip_code()))?;
    payer.lrn = plan.lrn.map_or_else(Arc::default, |lrn| lrn.to_string().into());
    payer.emergency = plan.emergency;
    core.route = Some(Box::new(Route { attempts: plan.attempts.into_iter().collect(), ..Route::default() }));
    Ok(())
}

fn refuse(core: &mut Core, env: &Env<'_>, server: u32, refused: Refused) {
    match refused {
        Refused::Code(code) => core.refuse(env, server, code),
        Refused::Unsupported(options) => {
            let Some(mut reply) = core.reply(server, 420, "") else { return };
            reply.add(Name::Unsupported, options);
            core.respond(env, server, 420, reply.finish());
        }
    }
}
