//! An actor around one long-running task: it lives as long as the task and takes no messages.

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use std::future::Future;
use std::pin::Pin;
use tokio::task::JoinHandle;

/// The task; its end, however it comes, is the actor's failure.
pub(crate) type Task = Pin<Box<dyn Future<Output = String> + Send>>;

/// The actor; see the module.
struct Tasked;

/// Tells why the task has ended.
struct Ended(String);

/// Runs the task under a supervisor until the actor is stopped.
pub(crate) async fn spawn(task: Task, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (actor, _) = Actor::spawn_linked(None, Tasked, task, supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Tasked {
    type Msg = Ended;
    type State = Running;
    type Arguments = Task;

    async fn pre_start(&self, myself: ActorRef<Ended>, task: Task) -> Result<Running, ActorProcessingErr> {
        Ok(Running(tokio::spawn(async move {
            // Dropped in a panic as well, so that the actor never outlives its task.
            let mut telling = Telling { actor: myself, why: "it panicked".to_owned() };
            telling.why = task.await;
        })))
    }

    async fn handle(&self, _: ActorRef<Ended>, ended: Ended, _: &mut Running) -> Result<(), ActorProcessingErr> {
        Err(ended.0.into())
    }

    async fn post_stop(&self, _: ActorRef<Ended>, task: &mut Running) -> Result<(), ActorProcessingErr> {
        task.0.abort();
        // Either it was aborted or it had ended; both are what was wanted.
        let _ = (&mut task.0).await;
        Ok(())
    }
}

/// The task ends with the actor, also where the actor is killed.
struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Telling {
    actor: ActorRef<Ended>,
    why: String,
}

impl Drop for Telling {
    fn drop(&mut self) {
        // The actor may be stopping already.
        let _ = self.actor.cast(Ended(std::mem::take(&mut self.why)));
    }
}
