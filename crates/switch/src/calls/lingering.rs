//! A call that is over but for what comes again: retransmissions, and the late answer of another fork.
//!
//! For nine seconds after its end a call still answers. Most of what it was made of is not needed for that, above all not
//! an actor with its mailboxes, and at a thousand calls a second nine thousand of them would lie in memory and be fetched
//! back into the caches only to be taken apart. So the actor goes at once, while it is still warm, and the pure call stays
//! here, driven by whoever brings it a message or its alarm. It holds nothing, so it can ask for nothing.

use super::actor::{CallMessage, Turn};
use super::directory::{CallCell, Rung};
use crate::clock;
use crate::shell::Shell;
use ::call::{Call, CallId};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// See the module.
pub struct Lingering {
    id: CallId,
    call: Arc<Mutex<Call>>,
    cell: Arc<CallCell>,
}

impl Lingering {
    pub(super) fn new(id: CallId, call: Arc<Mutex<Call>>, cell: Arc<CallCell>) -> Self {
        Self { id, call, cell }
    }

    pub(super) fn cell(&self) -> &CallCell {
        &self.cell
    }

    /// Handles a message here and now, on the thread that brings it.
    ///
    /// A panic stays within the call, as it would with an actor: the call is forgotten. Its record is closed already.
    pub(super) fn take(&self, shell: &Arc<Shell>, message: CallMessage) -> bool {
        let done = catch_unwind(AssertUnwindSafe(|| {
            let mut turn = Turn {
                id: self.id,
                call: &self.call,
                cell: &self.cell,
                actor: None,
                shell,
                stash: &mut None,
                begun: true,
                asked: false,
                over: false,
            };
            turn.take(clock::now(), message);
            turn.over
        }));
        if done.is_err() {
            tracing::error!(id = %self.id, "a call that was over failed; it is forgotten");
            metrics::counter!("tandem_actor_restarts_total", "actor" => "call").increment(1);
        }
        if done.unwrap_or(true) {
            shell.forget(self.id, &self.cell);
        }
        true
    }
}

/// The wheel has rung for a call: wakes it if something is due.
pub(super) fn ring(shell: &Arc<Shell>, id: CallId) {
    let Some(place) = shell.calls.directory.find(id) else { return };
    match place.cell().rung(clock::now().mono) {
        Rung::Due => {
            place.tell(shell, id, CallMessage::Alarm);
        }
        Rung::Later(at) => shell.calls.alarms.arm(at, id),
        Rung::Never => {}
    }
}
