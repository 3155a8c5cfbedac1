//! What of a call that is not answered yet outlives its node: the caller's INVITE, the attempt under way, and what is left
//! of the plan.

use super::{LegPart, TargetPart, leg_part, target_part};
use crate::attempt::{Route, Try};
use crate::core::Core;
use crate::effect::MediaSide;
use crate::input::Hop;
use crate::state::State;
use bytes::Bytes;
use routing::{Attempt, E164, Prefix};
use serde::{Deserialize, Serialize};
use sip::clock::{Now, Wall};
use std::sync::Arc;
use std::time::Duration;

/// A call that is not answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The caller's, with its Via stack.
    pub(crate) invite: Bytes,
    pub(crate) anchored: bool,
    /// Channels that are taken, by attempt.
    pub(crate) targets: Vec<(u32, TargetPart)>,
    /// The attempt under way; absent while the caller's channel is asked for.
    pub(crate) attempt: Option<TryPart>,
    pub(crate) route: RoutePart,
    /// Our tags in what the caller was told, the early dialogs of the attempt.
    pub(crate) told: Vec<Box<str>>,
    /// The caller was told of media, or reliably, in them: they cannot be gone on with.
    pub(crate) bound: bool,
    /// The same dialogs as the callee has them.
    pub(crate) early: Vec<LegPart>,
}

impl Setup {
    /// Time has passed since it was written.
    pub(crate) fn grow_older(&mut self, age: Duration) {
        if let Some(attempt) = &mut self.attempt {
            attempt.started.1 += age;
            attempt.ringing.iter_mut().for_each(|(_, ago)| *ago += age);
        }
    }

    /// The number of the attempt under way.
    pub(crate) fn attempt(&self) -> Option<u32> {
        self.attempt.as_ref().map(|attempt| attempt.number)
    }
}

/// What is left of the plan.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RoutePart {
    pub(crate) attempts: Vec<AttemptPart>,
    pub(crate) made: u32,
    pub(crate) redirects: u32,
}

/// The attempt under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TryPart {
    pub(crate) number: u32,
    pub(crate) plan: AttemptPart,
    pub(crate) hops: Vec<Hop>,
    /// By both clocks: when, and how long ago.
    pub(crate) started: (Wall, Duration),
    pub(crate) ringing: Option<(Wall, Duration)>,
}

/// One thing to try, its target by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AttemptPart {
    pub(crate) target: TargetPart,
    pub(crate) called: Arc<str>,
    pub(crate) plan: Option<Arc<str>>,
    pub(crate) prefix: Prefix,
    pub(crate) ring_seconds: Option<u32>,
    pub(crate) forwarded_by: Option<E164>,
}

pub(super) fn setup(core: &Core, state: &State, now: Now) -> Option<Setup> {
    let attempt = match state {
        State::Seizing(state) => Some(&state.attempt),
        State::Anchoring(state) => Some(&state.attempt),
        State::Trying(state) => Some(state.attempt()),
        State::Arriving
        | State::Admitting(_)
        | State::Answering(_)
        | State::Connected(_)
        | State::Transferring(_)
        | State::Moving(_)
        | State::Clearing(_)
        | State::Over => None,
    };
    let reliable = core.caller.as_ref().is_some_and(|caller| caller.options.contains(&"100rel"));
    let former = core.caller.iter().flat_map(|caller| caller.told.iter().cloned());
    let paths = core.paths.iter().map(|path| Box::from(path.leg(MediaSide::A).dialog.local_tag()));
    Some(Setup {
        invite: core.invite.as_ref()?.bytes().clone(),
        anchored: core.ledger.is_anchored(),
        targets: core.ledger.seized_targets().iter().map(|(number, to)| (*number, target_part(to))).collect(),
        attempt: attempt.map(|attempt| try_part(attempt, now)),
        route: core.route.as_deref().map_or_else(RoutePart::default, route_part),
        told: former.chain(paths).collect(),
        bound: core.paths.iter().any(|path| path.early.is_some() || reliable),
        early: core.paths.iter().map(|path| leg_part(path.leg(MediaSide::B), now)).collect(),
    })
}

fn route_part(route: &Route) -> RoutePart {
    let attempts = route.attempts.iter().map(attempt_part).collect();
    RoutePart { attempts, made: route.made, redirects: route.redirects }
}

fn try_part(attempt: &Try, now: Now) -> TryPart {
    let since = |then: Now| (then.wall, now.mono.since(then.mono));
    TryPart {
        number: attempt.number,
        plan: attempt_part(&attempt.plan),
        hops: attempt.hops.iter().cloned().collect(),
        started: since(attempt.started),
        ringing: attempt.ringing.map(since),
    }
}

fn attempt_part(attempt: &Attempt) -> AttemptPart {
    AttemptPart {
        target: target_part(&attempt.target),
        called: attempt.called.clone(),
        plan: attempt.plan.clone(),
        prefix: attempt.prefix,
        ring_seconds: attempt.ring_seconds,
        forwarded_by: attempt.forwarded_by.as_ref().map(|number| number.number),
    }
}
