//! A call from outside: inputs and time go in, effects come out.

use crate::context::Context;
use crate::core::{Core, Env};
use crate::effect::Effect;
use crate::event::Event;
use crate::id::CallId;
use crate::input::Input;
use crate::intake;
use crate::revival::Place;
use crate::state::State;
use sip::clock::{Instant, Now};

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) core: Core,
    pub(crate) state: State,
}

impl Call {
    /// A call to which nothing has happened yet. `seed` decides every random value that it will ever draw.
    #[must_use]
    pub fn new(id: CallId, seed: u64, _now: Now) -> Self {
        Self { core: Core::new(id, seed), state: State::Arriving }
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> CallId {
        self.core.id
    }

    /// Something happened.
    pub fn handle_input(&mut self, cx: &Context<'_>, now: Now, input: Input) {
        let env = Env::new(cx, now);
        let core = &mut self.core;
        core.undo(&env, Place::Here);
        let event = match input {
            Input::Message { message, flow } => {
                let message = if message.is_request() { message.from_source(flow.remote) } else { message };
                intake::receive(core, &env, message, &flow)
            }
            Input::Admitted(result) => {
                core.ledger.admitted(result.is_ok());
                Some(Event::Admitted(result))
            }
            Input::Seized { attempt, result } => {
                core.ledger.seized(&mut core.out, attempt, result.is_ok());
                Some(Event::Seized { attempt, result })
            }
            Input::Anchored(ports) => {
                core.ledger.anchored(ports.is_some());
                Some(Event::Anchored(ports))
            }
            Input::MediaHeard(_) => None,
            Input::MediaUnheard { heard } => {
                self.count_unheard(heard);
                None
            }
            Input::MediaSilent => Some(Event::MediaSilent),
            Input::MediaFreed(stats) => {
                core.ledger.freed();
                Some(Event::MediaFreed(stats))
            }
            Input::Unreachable { mark } => {
                intake::unreachable(core, &env, mark);
                None
            }
            Input::Hangup { reason } => Some(Event::Hangup { reason }),
        };
        self.core.events.extend(event);
        self.run(&env);
    }

    /// Time has come. Harmless when nothing is due.
    pub fn handle_timeout(&mut self, cx: &Context<'_>, now: Now) {
        let env = Env::new(cx, now);
        self.core.undo(&env, Place::Here);
        intake::tick(&mut self.core, &env);
        self.core.events.push_back(Event::Alarm);
        self.run(&env);
    }

    pub(crate) fn run(&mut self, env: &Env<'_>) {
        while let Some(event) = self.core.events.pop_front() {
            let state = std::mem::replace(&mut self.state, State::Over);
            self.state = state.on_event(&mut self.core, env, event);
        }
        // Where an outcome has become certain without an event of its own, the state looks once more.
        if let State::Clearing(_) = &self.state {
            let state = std::mem::replace(&mut self.state, State::Over);
            self.state = state.on_event(&mut self.core, env, Event::Alarm);
        }
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let undone = self.core.undone.as_ref().map(|_| Instant::ORIGIN);
        self.core.tx.poll_timeout().into_iter().chain(undone).chain(self.state.poll_timeout(&self.core)).min()
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.core.out.pop_front();
        // A call that is held must not keep the room of its busiest moment.
        if effect.is_none() && matches!(self.state, State::Answering(_) | State::Connected(_) | State::Clearing(_)) {
            self.core.shrink();
        }
        effect
    }

    /// Whether nothing is left of it but to answer what comes again: it holds nothing, and nobody waits for it or owes it
    /// an answer. Whoever drives it may then keep it in a cheaper place.
    #[must_use]
    pub fn is_lingering(&self) -> bool {
        matches!(&self.state, State::Clearing(clearing) if !clearing.waits(&self.core))
            && self.core.ledger.is_balanced()
    }

    /// Whether its parties have ended it, or it was ended for them.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Clearing(_) | State::Over)
    }

    /// Whether [`Effect::Ended`] has been or is about to be polled.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }
}
