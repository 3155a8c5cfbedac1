//! A call that is over but for what comes again: retransmissions, and the late answer of another fork.
//!
//! For nine seconds after its end a call still answers. Most of what it was made of is not needed for that, above all not
//! an actor with its mailboxes, and at a thousand calls a second nine thousand of them would lie in memory and be fetched
//! back into the caches only to be taken apart. So the actor goes at once, while it is still warm, and the pure call stays
//! here, driven by whoever brings it a message or its alarm. It holds nothing, so it can ask for nothing.

use super::actor::CallMessage;
use super::directory::{CallCell, Rung};
use super::seat::{Driver, Turned};
use crate::clock;
use crate::shell::Shell;
use ::call::CallId;
use std::sync::Arc;

/// Handles a message for a call without an actor, on the thread that brings it.
///
/// A panic stays within the call, as it would with an actor: the call is forgotten. Its record is closed already.
pub(super) fn take(shell: &Arc<Shell>, id: CallId, cell: &Arc<CallCell>, message: CallMessage) {
    if let Turned::Failed(why) = (Driver { id, cell, actor: None, shell }).turn(message) {
        tracing::error!(call = %id, reason = %why, "a call that was over failed; it is forgotten");
        metrics::counter!("tandem_actor_restarts_total", "actor" => "call").increment(1);
    }
}

/// The wheel has rung for a call: wakes it if something is due.
pub(super) fn ring(shell: &Arc<Shell>, id: CallId) {
    let Some(place) = shell.calls.directory.find(id) else { return };
    match place.cell().rung(clock::now().mono) {
        Rung::Due => place.drive(shell, id, CallMessage::Alarm),
        Rung::Later(at) => shell.calls.alarms.arm(at, id),
        Rung::Never => {}
    }
}
