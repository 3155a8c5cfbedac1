//! Moves the calls of this node while it drains: each goes to the owner of its shard, which takes it over as if this node had
//! died, only that this node still carries the media until the parties have followed.
//!
//! A call moves when nothing is under way in it. From the moment that its state is packed it says nothing here any more; it
//! speaks again only if it is certain that nobody else has it.

use super::lane::PATIENCE;
use super::records;
use super::said::{Kept, Piece, Said, What};
use crate::calls::actor::CallMessage;
use crate::calls::directory::CallRef;
use crate::shell::Shell;
use ::call::CallId;
use bytes::Bytes;
use mesh::Kind;
use routing::cluster::{Liveness, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Calls that are on their way at a time.
const AT_ONCE: usize = 20;
/// Between two of these: two hundred calls a second at the most.
const PAUSE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Default)]
pub(super) struct Drain {
    is_moving: AtomicBool,
}

impl Drain {
    /// Looks whether this node drains.
    pub(super) fn follow(&self, shell: &Arc<Shell>) {
        if !is_draining(shell) || shell.calls.directory.is_empty() || self.is_moving.swap(true, Ordering::AcqRel) {
            return;
        }
        let shell = Arc::clone(shell);
        tokio::spawn(async move {
            move_all(&shell).await;
            shell.protect.drain.is_moving.store(false, Ordering::Release);
        });
    }
}

fn is_draining(shell: &Shell) -> bool {
    let (me, replicated) = (shell.cluster.me(), shell.cluster.replicated());
    replicated.member(me).is_some_and(|member| member.liveness == Liveness::Draining)
}

/// One round over all calls.
async fn move_all(shell: &Arc<Shell>) {
    for part in 0..shell.calls.directory.parts() {
        let calls = shell.calls.directory.part(part);
        for calls in calls.chunks(AT_ONCE) {
            if !is_draining(shell) {
                return;
            }
            if move_some(shell, calls).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Moves those of some calls that can move now; whether any did.
async fn move_some(shell: &Arc<Shell>, calls: &[(CallId, CallRef)]) -> bool {
    let (me, replicated) = (shell.cluster.me(), shell.cluster.replicated());
    let mut by_owner: BTreeMap<NodeId, Vec<(CallId, CallRef, Bytes)>> = BTreeMap::new();
    for (id, call) in calls {
        let owner = replicated.shard(id.shard).owner.filter(|owner| *owner != me && shell.cluster.is_up(*owner));
        let Some(owner) = owner else { continue };
        if let Some(state) = pack(call).await {
            by_owner.entry(owner).or_default().push((*id, call.clone(), state));
        }
    }
    let moved = !by_owner.is_empty();
    for (owner, calls) in by_owner {
        hand(shell, owner, calls).await;
    }
    moved
}

/// The state of a call in which nothing is under way; it is silent from then on.
async fn pack(call: &CallRef) -> Option<Bytes> {
    let (reply, packed) = tokio::sync::oneshot::channel();
    if !call.tell(CallMessage::Pack(reply.into())) {
        return None;
    }
    packed.await.ok().flatten()
}

async fn hand(shell: &Arc<Shell>, owner: NodeId, calls: Vec<(CallId, CallRef, Bytes)>) {
    let piece = |(call, _, bytes): &(CallId, CallRef, Bytes)| {
        // Each state was written a moment ago, and is the last that this node writes.
        let what = What::State { number: u32::MAX, age_ms: 0, silent_ms: 0, bytes: bytes.clone() };
        Piece { call: *call, what }
    };
    let said = Said::Hand { life: shell.protect.life(shell), pieces: calls.iter().map(piece).collect() };
    let answer = shell.cluster.ask(owner, Kind::Checkpoint, said.encode(), PATIENCE).await;
    let known = answer.as_deref().and_then(Kept::decode).map(|kept| kept.not);
    for (id, call, _) in calls {
        let has_left = match &known {
            Some(not) => !not.contains(&id),
            None => has_left(shell, id).await,
        };
        call.tell(if has_left { CallMessage::Left } else { CallMessage::Stay });
    }
}

/// Asks everybody until it is certain. This call can wait: nobody speaks for it twice.
async fn has_left(shell: &Arc<Shell>, id: CallId) -> bool {
    loop {
        if let Some((taken, undecided)) = records::ask_all(shell, &[id]).await
            && undecided.is_empty()
        {
            return taken.contains(&id);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
