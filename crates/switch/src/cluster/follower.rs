//! Follows members, shards and liveness, and tells those of this node's parts that are placed by them.

use crate::error::Error;
use crate::registrations::Registrations;
use crate::shell::Shell;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What no change announces, such as a time that passes, is looked at so often.
const LOOK: Duration = Duration::from_millis(200);

struct Follower;

/// Something may have changed.
struct Look;

struct State {
    shell: Arc<Shell>,
    registrations: Registrations,
    watching: JoinHandle<()>,
}

/// Starts it.
///
/// # Errors
/// [`Error::Spawn`].
pub(crate) async fn spawn(
    shell: Arc<Shell>,
    registrations: Registrations,
    supervisor: ActorCell,
) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Follower, (shell, registrations), supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Follower {
    type Msg = Look;
    type State = State;
    type Arguments = (Arc<Shell>, Registrations);

    async fn pre_start(
        &self,
        myself: ActorRef<Look>,
        (shell, registrations): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let mut changes = shell.cluster.mesh().map(mesh::Handle::watch);
        let watching = tokio::spawn(async move {
            loop {
                let changed = async {
                    match &mut changes {
                        Some(changes) => changes.changed().await.is_ok(),
                        None => std::future::pending().await,
                    }
                };
                // Several changes in a row are one look.
                let _ = tokio::time::timeout(LOOK, changed).await;
                if myself.cast(Look).is_err() {
                    return;
                }
                tokio::time::sleep(LOOK / 20).await;
            }
        });
        Ok(State { shell, registrations, watching })
    }

    async fn handle(&self, _: ActorRef<Look>, _: Look, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.shell.cluster.refresh();
        state.shell.trunks.follow(&state.shell);
        state.shell.protect.follow(&state.shell);
        state.registrations.follow();
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Look>, state: &mut State) -> Result<(), ActorProcessingErr> {
        state.watching.abort();
        Ok(())
    }
}
