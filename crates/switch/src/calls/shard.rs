//! Supervises calls: sixteen of these share them, so that no supervisor's mailbox becomes the node's.

use super::actor::{Arguments, CallActor};
use super::directory::{CallRef, Remains};
use super::lingering::ring;
use super::{Spawned, install};
use crate::alarm::TICK;
use crate::clock;
use crate::shell::Shell;
use ::call::CallId;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, ActorStatus, SupervisionEvent};
use sip::{Builder, Message};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// See the module.
struct Shard;

/// A shard takes no messages; only its children's ends matter.
enum Nothing {}

pub(super) async fn spawn(shell: Arc<Shell>, index: usize, supervisor: ActorCell) -> Spawned {
    let (actor, _) = Actor::spawn_linked(None, Shard, (shell, index), supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Shard {
    type Msg = Nothing;
    type State = Arc<Shell>;
    type Arguments = (Arc<Shell>, usize);

    async fn pre_start(
        &self,
        myself: ActorRef<Nothing>,
        (shell, index): Self::Arguments,
    ) -> Result<Arc<Shell>, ActorProcessingErr> {
        install(&shell.calls, index, myself.get_cell());
        // Calls of a shard that failed died with it.
        for (id, call) in shell.calls.directory.some(usize::MAX) {
            if super::shard_of(id) == index && matches!(call.actor.get_status(), ActorStatus::Stopped) {
                undertake(&shell, &myself, id, &call);
            }
        }
        Ok(shell)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Nothing>,
        event: SupervisionEvent,
        shell: &mut Arc<Shell>,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(who, why) = event else { return Ok(()) };
        let failed = shell.calls.directory.some(usize::MAX).into_iter().find(|(_, c)| c.actor.get_id() == who.get_id());
        let Some((id, call)) = failed else { return Ok(()) };
        tracing::error!(call = %id, reason = %why, "a call failed; its legs are cleared and its record is closed");
        metrics::counter!("tandem_actor_restarts_total", "actor" => "call").increment(1);
        undertake(shell, &myself, id, &call);
        Ok(())
    }
}

/// Clears what a failed call leaves behind. It is tried once: what fails again is only forgotten, its channels and ports
/// given back.
fn undertake(shell: &Arc<Shell>, myself: &ActorRef<Nothing>, id: CallId, call: &CallRef) {
    let known = call.cell.checkpoint(clock::now());
    let remains = std::mem::take(&mut *call.cell.remains.lock());
    if let Some((checkpoint, written)) = known {
        let cell = Arc::clone(&call.cell);
        let arguments =
            Arguments::Undertake { checkpoint, written, id, cell: Arc::clone(&cell), shell: Arc::clone(shell) };
        return match ActorRuntime::spawn_linked_instant(None, CallActor, arguments, myself.get_cell()) {
            Ok((actor, _)) => shell.calls.directory.replace(id, CallRef { actor, cell }),
            Err(_) => shell.forget(id, &call.cell),
        };
    }
    shell.forget(id, &call.cell);
    if let Remains::Invite(bytes, flow) = remains
        && let Ok(invite) = Message::parse(bytes)
    {
        let invite = invite.from_source(flow.remote);
        let tag = format!("s{:x}", shell.seed());
        shell.send_back(Builder::response(&invite, 500, None, &tag).finish(), &invite, &flow);
    }
}

/// Turns the wheel of alarms.
struct Clock;

enum Stopped {}

pub(super) async fn spawn_clock(shell: Arc<Shell>, supervisor: ActorCell) -> Spawned {
    let (actor, _) = Actor::spawn_linked(None, Clock, shell, supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Clock {
    type Msg = Stopped;
    type State = JoinHandle<()>;
    type Arguments = Arc<Shell>;

    async fn pre_start(&self, _: ActorRef<Stopped>, shell: Arc<Shell>) -> Result<JoinHandle<()>, ActorProcessingErr> {
        Ok(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                shell.stall.tick(clock::now().mono);
                for id in shell.calls.alarms.turn(clock::now().mono) {
                    ring(&shell, id);
                }
            }
        }))
    }

    async fn post_stop(&self, _: ActorRef<Stopped>, turning: &mut JoinHandle<()>) -> Result<(), ActorProcessingErr> {
        turning.abort();
        Ok(())
    }
}
