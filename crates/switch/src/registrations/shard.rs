//! One shard: wakes the actor of an AOR when a message for it comes, supervises it, and expires rows.

use super::aor_actor::{Act, AorActor, Arguments};
use crate::clock;
use crate::door::Door;
use crate::error::Error;
use crate::shell::Shell;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use rustc_hash::FxHashMap;
use sip::{Flow, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often rows are looked at that may have run out. Calls never see an expired binding, however late this is.
const SWEEP: Duration = Duration::from_secs(1);

/// A place in a shard's queue; given back when dropped.
pub(crate) struct Permit(pub(super) Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A REGISTER on its way.
pub(crate) struct Registering {
    pub(super) aor: Arc<str>,
    pub(super) request: Message,
    pub(super) flow: Flow,
    #[allow(dead_code, reason = "held until the REGISTER is answered")]
    pub(super) permit: Permit,
}

/// What a shard is asked.
pub(crate) enum Ask {
    Register(Box<Registering>),
    /// Expire what has run out.
    Sweep,
}

struct Shard;

struct State {
    shell: Arc<Shell>,
    index: usize,
    awake: FxHashMap<Arc<str>, ActorRef<Act>>,
    names: FxHashMap<ActorId, Arc<str>>,
}

pub(super) async fn spawn(shell: Arc<Shell>, door: Door<Ask>, index: usize, up: ActorCell) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Shard, (shell, index), up).await?;
    door.open(actor.clone());
    Ok(actor.get_cell())
}

impl Actor for Shard {
    type Msg = Ask;
    type State = State;
    type Arguments = (Arc<Shell>, usize);

    async fn pre_start(
        &self,
        myself: ActorRef<Ask>,
        (shell, index): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.send_interval(SWEEP, || Ask::Sweep);
        Ok(State { shell, index, awake: FxHashMap::default(), names: FxHashMap::default() })
    }

    async fn handle(&self, myself: ActorRef<Ask>, ask: Ask, state: &mut State) -> Result<(), ActorProcessingErr> {
        match ask {
            Ask::Sweep => {
                state.shell.contacts.expire(state.index, clock::now());
                state.shell.contacts.publish();
            }
            Ask::Register(registering) => state.register(&myself, registering)?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Ask>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let who = match event {
            SupervisionEvent::ActorFailed(who, why) => {
                // Its bindings are in the row; the phone sends its REGISTER again.
                tracing::error!(reason = %why, "a registration failed");
                metrics::counter!("tandem_actor_restarts_total", "actor" => "registration").increment(1);
                who
            }
            SupervisionEvent::ActorTerminated(who, ..) => who,
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        if let Some(name) = state.names.remove(&who.get_id())
            && state.awake.get(&name).is_some_and(|actor| actor.get_id() == who.get_id())
        {
            state.awake.remove(&name);
        }
        Ok(())
    }
}

impl State {
    fn register(&mut self, myself: &ActorRef<Ask>, registering: Box<Registering>) -> Result<(), ActorProcessingErr> {
        let name = Arc::clone(&registering.aor);
        let mut act = Act::Register(registering);
        if let Some(awake) = self.awake.get(&name) {
            // An actor that has just gone back to sleep refuses; another is woken.
            match awake.send_message(act) {
                Ok(()) => return Ok(()),
                Err(ractor::MessagingErr::SendErr(back)) => act = back,
                Err(_) => return Ok(()),
            }
        }
        let arguments = Arguments { shell: Arc::clone(&self.shell), name: Arc::clone(&name) };
        let (actor, _) = ActorRuntime::spawn_linked_instant(None, AorActor, arguments, myself.get_cell())?;
        self.names.insert(actor.get_id(), Arc::clone(&name));
        actor.cast(act)?;
        self.awake.insert(name, actor);
        Ok(())
    }
}
