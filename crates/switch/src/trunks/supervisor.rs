//! One actor a trunk: starts and stops them as the tables change, and starts one again that failed.

use super::trunk_actor::{Ask, TrunkActor};
use crate::error::Error;
use crate::shell::Shell;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use routing::model::Trunk;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::time::Duration;

/// How soon a change of the tables reaches the actors. Calls see it at once: they read the tables themselves.
const FOLLOW: Duration = Duration::from_millis(200);

struct Supervisor;

enum Follow {
    /// Look whether there is a new revision.
    Look,
}

struct State {
    shell: Arc<Shell>,
    revision: Option<u64>,
    running: FxHashMap<Arc<str>, (Arc<Trunk>, ActorRef<Ask>)>,
}

/// Starts the supervisor of all trunks.
///
/// # Errors
/// [`Error::Spawn`].
pub async fn spawn(shell: Arc<Shell>, supervisor: ActorCell) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Supervisor, shell, supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Supervisor {
    type Msg = Follow;
    type State = State;
    type Arguments = Arc<Shell>;

    async fn pre_start(&self, myself: ActorRef<Follow>, shell: Arc<Shell>) -> Result<State, ActorProcessingErr> {
        let mut state = State { shell, revision: None, running: FxHashMap::default() };
        state.follow(&myself)?;
        myself.send_interval(FOLLOW, || Follow::Look);
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<Follow>, _: Follow, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.follow(&myself)
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Follow>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(who, why) = event else { return Ok(()) };
        let failed = state.running.iter().find(|(_, (_, actor))| actor.get_id() == who.get_id());
        let Some(name) = failed.map(|(name, _)| Arc::clone(name)) else { return Ok(()) };
        tracing::error!(trunk = %name, reason = %why, "trunk actor failed, restarting");
        metrics::counter!("tandem_actor_restarts_total", "actor" => "trunk").increment(1);
        state.running.remove(&name);
        // It starts again with the next look, so that a row that makes it fail does not keep a core busy.
        state.revision = None;
        Ok(())
    }
}

impl State {
    /// Makes the actors those of the tables.
    fn follow(&mut self, myself: &ActorRef<Follow>) -> Result<(), ActorProcessingErr> {
        let view = self.shell.tables.view();
        if self.revision == Some(view.revision) {
            return Ok(());
        }
        self.revision = Some(view.revision);
        self.running.retain(|name, (_, actor)| {
            let stays = view.trunk(name).is_some();
            if !stays {
                actor.stop(Some("trunk removed".to_owned()));
            }
            stays
        });
        for trunk in view.trunks() {
            match self.running.get_mut(&trunk.name) {
                Some((known, _)) if Arc::ptr_eq(known, trunk) => {}
                Some((known, actor)) => {
                    *known = Arc::clone(trunk);
                    self.shell.trunks.reconfigure(&self.shell, trunk);
                    // One that has just failed is started anew with the new row.
                    let _ = actor.cast(Ask::Changed(Arc::clone(trunk)));
                }
                None => self.start(Arc::clone(trunk), myself)?,
            }
        }
        Ok(())
    }

    fn start(&mut self, trunk: Arc<Trunk>, myself: &ActorRef<Follow>) -> Result<(), ActorProcessingErr> {
        self.shell.trunks.reconfigure(&self.shell, &trunk);
        let arguments = (Arc::clone(&self.shell), Arc::clone(&trunk));
        let (actor, _) = ActorRuntime::spawn_linked_instant(None, TrunkActor, arguments, myself.get_cell())?;
        self.running.insert(Arc::clone(&trunk.name), (trunk, actor));
        Ok(())
    }
}
