//! The states of a call, one file each. A state consumes itself and an event and answers the state that follows, so that
//! nothing stale survives a transition.

mod admitting;
mod anchoring;
mod answering;
mod arriving;
mod clearing;
mod connected;
mod moving;
mod seizing;
mod transferring;
mod trying;

pub(crate) use admitting::Admitting;
pub(crate) use anchoring::Anchoring;
pub(crate) use answering::Answering;
pub(crate) use clearing::Clearing;
pub(crate) use connected::Connected;
pub(crate) use moving::Moving;
pub(crate) use seizing::Seizing;
pub(crate) use transferring::Transferring;
pub(crate) use trying::Trying;

use crate::core::{Core, Env};
use crate::event::Event;
use sip::clock::Instant;

/// Where a call stands.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Nothing has come yet.
    Arriving,
    /// The trunk's channel is asked for.
    Admitting(Admitting),
    /// A channel for an attempt is asked for.
    Seizing(Box<Seizing>),
    /// Ports are asked for.
    Anchoring(Box<Anchoring>),
    /// An INVITE is out.
    Trying(Box<Trying>),
    /// The caller has its 200 and has not acknowledged it.
    Answering(Box<Answering>),
    /// Both sides talk.
    Connected(Box<Connected>),
    /// Both sides talk, and one of them is being transferred.
    Transferring(Box<Transferring>),
    /// Both sides talk, and are asked to follow the call to this node.
    Moving(Box<Moving>),
    /// The end is known; transactions and figures are waited for.
    Clearing(Box<Clearing>),
    /// Nothing is left.
    Over,
}

impl State {
    /// Handles one event.
    pub(crate) fn on_event(self, core: &mut Core, env: &Env<'_>, event: Event) -> Self {
        match self {
            Self::Arriving => arriving::on_event(core, env, event),
            Self::Admitting(state) => state.on_event(core, env, event),
            Self::Seizing(state) => state.on_event(core, env, event),
            Self::Anchoring(state) => state.on_event(core, env, event),
            Self::Trying(state) => state.on_event(core, env, event),
            Self::Answering(state) => state.on_event(core, env, event),
            Self::Connected(state) => state.on_event(core, env, event),
            Self::Transferring(state) => state.on_event(core, env, event),
            Self::Moving(state) => state.on_event(core, env, event),
            Self::Clearing(state) => state.on_event(core, env, event),
            Self::Over => Self::Over,
        }
    }

    /// When the state itself wants [`Event::Alarm`].
    pub(crate) fn poll_timeout(&self, core: &Core) -> Option<Instant> {
        match self {
            Self::Arriving | Self::Over => None,
            Self::Admitting(state) => Some(state.until),
            Self::Seizing(state) => Some(state.until),
            Self::Anchoring(state) => Some(state.until),
            Self::Trying(state) => state.poll_timeout(),
            Self::Answering(state) => state.call.poll_timeout(core),
            Self::Connected(state) => state.poll_timeout(core),
            Self::Transferring(state) => state.poll_timeout(core),
            Self::Moving(state) => Some(state.poll_timeout()),
            Self::Clearing(state) => state.poll_timeout(core),
        }
    }
}
