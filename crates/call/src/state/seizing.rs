//! The plan, and the channel of its next attempt.

use super::{Anchoring, Clearing, State};
use crate::admission;
use crate::attempt::{Route, Try, failure_of, reason_of};
use crate::core::{Core, Env};
use crate::effect::{Effect, Point};
use crate::event::Event;
use crate::input::Refused;
use crate::note::Note;
use crate::record::EndedBy;
use crate::records::Ending;
use routing::{Attempt, Query};
use sip::clock::Instant;
use std::collections::VecDeque;
use std::sync::Arc;
use trunk::Failure;

/// Waiting for a channel.
#[derive(Clone, Debug)]
pub(crate) struct Seizing {
    pub(super) until: Instant,
    pub(crate) attempt: Try,
}

impl Seizing {
    /// Plans the call and asks for the first channel. `admitted` says whether the ingress trunk had one: only an emergency
    /// call goes on without.
    pub(crate) fn plan(core: &mut Core, env: &Env<'_>, admitted: Result<(), Refused>) -> State {
        let seed = core.chance.next();
        let Some(caller) = &mut core.caller else { return State::Over };
        let shown = caller.identity.asserted.as_deref().or(caller.identity.from.as_deref()).unwrap_or("");
        let query = Query {
            origin: admission::origin(&caller.source),
            called: &caller.called,
            caller: shown,
            at: env.now.wall,
            seed,
            explain: false,
        };
        let planned = env.view.plan(&query);
        if let Err(refused) = admitted
            && !planned.as_ref().is_ok_and(|plan| plan.emergency)
        {
            let (q850, reason) = match refused {
                Refused::Rate => (42, "over the rate"),
                Refused::NoLeader => (41, "the trunk's limits cannot be asked"),
                Refused::Channels | Refused::NotRegistered | Refused::Unresolvable | Refused::Gone => {
                    (34, "no channel free")
                }
            };
            return Clearing::refused(core, env, 503, q850, reason);
        }
        match planned {
            Ok(plan) => {
                caller.lrn = plan.lrn.map_or_else(Arc::default, |lrn| lrn.to_string().into());
                caller.emergency = plan.emergency;
                let attempts: VecDeque<Attempt> = plan.attempts.into_iter().collect();
                let (lrn, emergency) = (caller.lrn.clone(), plan.emergency);
                let planned = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
                core.note(Note::Planned { attempts: planned, lrn, emergency });
                core.route = Some(Box::new(Route { attempts, ..Route::default() }));
                Self::next(core, env).unwrap_or_else(|| Clearing::refused(core, env, 404, 3, "no route"))
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                Clearing::refused(core, env, refusal.sip_code(), u16::from(refusal.q850()), &reason)
            }
        }
    }

    /// Begins the next attempt, if one is left.
    pub(super) fn next(core: &mut Core, env: &Env<'_>) -> Option<State> {
        let attempt = core.begin_attempt(env)?;
        let until = env.now.mono + env.settings.max_wait;
        Some(State::Seizing(Box::new(Self { until, attempt })))
    }

    /// Goes on with an attempt of a former node, whose channel is taken here already if it was there. Places that are reached
    /// by a connection of that node have to be asked for again.
    pub(crate) fn resume(core: &mut Core, env: &Env<'_>, attempt: Try) -> State {
        let number = attempt.number;
        let is_seized = core.ledger.seized_target(number).is_some();
        if is_seized && !attempt.hops.is_empty() && attempt.hops.iter().all(|hop| hop.flow.is_none()) {
            return Anchoring::enter(core, env, attempt);
        }
        core.ledger.surrender(&mut core.out, number);
        let seed = core.chance.next();
        core.ledger.seize(&mut core.out, number, attempt.plan.target.clone(), seed);
        State::Seizing(Box::new(Self { until: env.now.mono + env.settings.max_wait, attempt }))
    }

    /// An attempt failed by a final response: the next one, or the caller hears of it.
    pub(super) fn after_refusal(
        core: &mut Core,
        env: &Env<'_>,
        attempt: &Try,
        failure: Failure,
        message: &sip::Message,
    ) -> State {
        let reason = failure.reject().reason;
        let ending = Ending::new(failure.code(), u16::from(failure.q850()), EndedBy::Callee, reason);
        Self::after(core, env, attempt, failure, Some(message), ending)
    }

    /// An attempt failed without a word of the callee's that says so: the switch has ended it, and this is why.
    pub(super) fn after_failure(
        core: &mut Core,
        env: &Env<'_>,
        attempt: &Try,
        failure: Failure,
        reason: &str,
    ) -> State {
        let ending = Ending::new(failure.code(), u16::from(failure.q850()), EndedBy::Switch, reason);
        Self::after(core, env, attempt, failure, None, ending)
    }

    fn after(
        core: &mut Core,
        env: &Env<'_>,
        attempt: &Try,
        failure: Failure,
        message: Option<&sip::Message>,
        ending: Ending,
    ) -> State {
        let next = core.route.as_ref().and_then(|route| route.attempts.front());
        if next.is_some_and(|next| attempt.reroutes(failure, next))
            && let Some(state) = Self::next(core, env)
        {
            // Whoever takes the call over does not make this attempt again.
            core.out.push_back(Effect::Checkpoint(Point::C1));
            core.close_attempt(env, attempt, &ending);
            core.count_failure(attempt.metric(), crate::effect::Direction::Egress, ending.code);
            core.forget_paths(env);
            return state;
        }
        Clearing::failed(core, env, attempt, failure, message, ending)
    }

    pub(super) fn on_event(mut self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Seized { attempt, result } if attempt == self.attempt.number => match result {
                Ok(hops) => {
                    self.attempt.set_hops(hops);
                    Anchoring::enter(core, env, self.attempt)
                }
                Err(refused) => Self::after_failure(core, env, &self.attempt, failure_of(refused), reason_of(refused)),
            },
            Event::Cancelled { .. } => Clearing::cancelled(core, env),
            Event::Hangup { reason } => Clearing::ended_early(core, env, 503, 41, EndedBy::Switch, reason),
            Event::Alarm if env.now.mono >= self.until => {
                core.ledger.forget_seizing(self.attempt.number);
                Self::after_failure(core, env, &self.attempt, Failure::Transport, "trunk did not answer")
            }
            Event::Alarm
            | Event::Invite { .. }
            | Event::Request { .. }
            | Event::Response { .. }
            | Event::Lost { .. }
            | Event::Acknowledged { .. }
            | Event::Unacknowledged { .. }
            | Event::Admitted(_)
            | Event::Seized { .. }
            | Event::Anchored(_)
            | Event::MediaSilent
            | Event::MediaFreed(_) => State::Seizing(Box::new(self)),
        }
    }
}

impl Core {
    /// Early dialogs of an attempt that failed are gone; what comes next is a fork of its own to the caller.
    pub(crate) fn forget_paths(&mut self, env: &Env<'_>) {
        self.refuse_open(env);
        if self.paths.is_empty() {
            return;
        }
        self.paths.clear();
        let tag = self.tag(crate::effect::MediaSide::A);
        if let Some(caller) = &mut self.caller {
            caller.tag = tag;
        }
    }
}
