//! Goes round the calls: packs the ladders of those that are quiet, a bounded number a second, and forgets what is too old.

use super::rungs::QUIET;
use crate::clock;
use crate::error::Error;
use crate::shell::Shell;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often it looks at a part of the calls.
const LOOK: Duration = Duration::from_millis(100);
/// Ladders packed in one look, so that what packing costs is bounded: a thousand a second.
const PACKED: usize = 100;

/// See the module.
struct Sweeper;

/// It takes no messages.
enum Nothing {}

pub(crate) async fn spawn(shell: Arc<Shell>, supervisor: ActorCell) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Sweeper, shell, supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Sweeper {
    type Msg = Nothing;
    type State = JoinHandle<()>;
    type Arguments = Arc<Shell>;

    async fn pre_start(&self, _: ActorRef<Nothing>, shell: Arc<Shell>) -> Result<JoinHandle<()>, ActorProcessingErr> {
        Ok(tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut next = 0;
            loop {
                looks.tick().await;
                next = look(&shell, next);
            }
        }))
    }

    async fn post_stop(&self, _: ActorRef<Nothing>, sweeping: &mut JoinHandle<()>) -> Result<(), ActorProcessingErr> {
        sweeping.abort();
        Ok(())
    }
}

/// Looks at some parts from `next` on; answers where to go on.
fn look(shell: &Shell, next: usize) -> usize {
    let (ladders, directory, now) = (&shell.ladders, &shell.calls.directory, clock::now().mono);
    publish(ladders.expire(now));
    if !ladders.is_kept() {
        return next;
    }
    let parts = directory.parts();
    let looks = usize::try_from(QUIET.as_millis() / LOOK.as_millis()).unwrap_or(1);
    let mut packed = 0;
    for part in next..next + parts.div_ceil(looks) {
        for (_, call) in directory.part(part % parts) {
            packed += usize::from(ladders.settle(&call.cell.ladder, now));
            if packed == PACKED {
                return part % parts;
            }
        }
    }
    (next + parts.div_ceil(looks)) % parts
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn publish((kept, bytes): (usize, usize)) {
    metrics::gauge!("tandem_ladders_kept").set(kept as f64);
    metrics::gauge!("tandem_ladders_kept_bytes").set(bytes as f64);
}
