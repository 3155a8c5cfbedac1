//! A call that another node goes on with, from outside: what its shell asks before, and the moment itself.

use crate::call::Call;
use crate::context::Context;
use crate::core::Env;
use crate::effect::{Direction, Effect, Event, MediaSide};
use crate::resumption;
use crate::state::{Moving, State};
use routing::model::Trunk;
use sip::clock::{Instant, Now, Wall};
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

impl Call {
    /// The trunks of which the call holds a channel, one entry a channel: that of its caller and those that were seized.
    pub fn channels(&self) -> impl Iterator<Item = &Arc<Trunk>> {
        self.core.ledger.channels()
    }

    /// The caller's INVITE, while it waits for its final response: what comes of its transaction belongs to this call.
    #[must_use]
    pub fn invite(&self) -> Option<&[u8]> {
        self.core.invite.as_ref().map(|invite| &**invite.bytes())
    }

    /// Whether it calls for help.
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.core.caller.as_ref().is_some_and(|caller| caller.emergency)
    }

    /// Whether it is answered, and neither party nor we wait for an answer: it can move to another node at this moment.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let core = &self.core;
        let settled = core.rejoin.is_none() && core.parting.is_none() && core.media.open_offer().is_none();
        matches!(self.state, State::Connected(_)) && settled && !core.tx.is_needed()
    }

    /// Whether somebody has answered it and it goes on.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        matches!(self.state, State::Answering(_) | State::Connected(_) | State::Transferring(_) | State::Moving(_))
    }

    /// One event for each answered leg that is up: the call has come to this node, or has left it.
    pub fn carried(&self, here: bool) -> SmallVec<[Event; 2]> {
        self.answered_legs().map(|(_, trunk, direction)| Event::Carried { trunk, direction, here }).collect()
    }

    /// Counts the legs of which nothing was heard since the answer.
    pub(crate) fn count_unheard(&mut self, heard: Option<MediaSide>) {
        let unheard = self.answered_legs().filter(|(side, ..)| Some(*side) != heard);
        let event = |(_, trunk, direction)| Effect::Event(Event::Unheard { trunk, direction, both: heard.is_none() });
        let events: SmallVec<[Effect; 2]> = unheard.map(event).collect();
        self.core.out.extend(events);
    }

    /// The answered legs that are up, and how metrics count each.
    fn answered_legs(&self) -> impl Iterator<Item = (MediaSide, Arc<str>, Direction)> {
        let core = &self.core;
        let call = match &self.state {
            State::Connected(call) => Some(&**call),
            State::Moving(state) => Some(state.call()),
            State::Transferring(state) => Some(state.call()),
            State::Arriving
            | State::Admitting(_)
            | State::Seizing(_)
            | State::Anchoring(_)
            | State::Trying(_)
            | State::Answering(_)
            | State::Clearing(_)
            | State::Over => None,
        };
        let sides = [MediaSide::A, MediaSide::B].into_iter();
        let legs = sides.filter_map(|side| Some((side, core.paths.first()?.leg(side)))).filter(|(_, leg)| !leg.gone);
        call.into_iter().flat_map(move |call| {
            legs.clone().filter_map(move |(side, leg)| {
                let (trunk, direction, _) = core.counted(leg, side, call)?;
                Some((side, trunk, direction))
            })
        })
    }

    /// Whom [`Self::take_over`] will write to.
    #[must_use]
    pub fn peers(&self) -> SmallVec<[SocketAddr; 2]> {
        match self.core.paths.first() {
            Some(path) => path.legs.iter().filter(|leg| !leg.gone).map(|leg| leg.reachable_at()).collect(),
            None => {
                let invites = self.core.undone.iter().flat_map(|undone| &undone.invites).map(|out| out.flow.remote);
                self.core.caller.iter().map(|caller| caller.flow.remote).chain(invites).collect()
            }
        }
    }

    /// Takes the call over on this node: once, right after [`Self::restore`], before any input. The channels of
    /// [`Self::channels`] must be taken here already. `silent_for` is how long ago the former owner was last known to carry
    /// the media of the call.
    pub fn take_over(&mut self, cx: &Context<'_>, now: Now, silent_for: Duration) {
        let env = Env::new(cx, now);
        self.core.takeovers += 1;
        let heard = before(now, silent_for);
        self.core.diverge(&env);
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Connected(call) => Moving::begin(&mut self.core, &env, *call, heard),
            State::Admitting(state) => resumption::begin(&mut self.core, &env, state),
            state @ (State::Arriving
            | State::Seizing(_)
            | State::Anchoring(_)
            | State::Trying(_)
            | State::Answering(_)
            | State::Transferring(_)
            | State::Moving(_)
            | State::Clearing(_)
            | State::Over) => state,
        };
        self.run(&env);
    }
}

/// Both clocks so long ago.
fn before(now: Now, ago: Duration) -> Now {
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    Now {
        mono: Instant::from_micros(now.mono.as_micros().saturating_sub(micros)),
        wall: Wall(now.wall.0.saturating_sub(micros / 1_000)),
    }
}
