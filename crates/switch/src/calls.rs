//! Calls: the directory that finds them, one actor each, and the shards that supervise them.
//!
//! A call is temporary: it is never restarted in place. When its actor panics, its shard brings the last checkpoint back
//! for one purpose only, to clear both legs, free what it held and close its record with `internal_error`.

pub mod actor;
pub mod directory;
mod lingering;
mod seat;
mod shard;
pub mod span;

use crate::alarm::Alarms;
use crate::clock;
use crate::error::Error;
use crate::ladder;
use crate::shell::Shell;
use crate::supervise::{Child, Plan, Strategy};
use ::call::CallId;
use actor::{Arguments, CallActor, CallMessage};
use bytes::Bytes;
use directory::{CallCell, CallRef, Directory, InviteKey, Place};
use parking_lot::Mutex;
use ractor::{ActorCell, ActorRuntime, RpcReplyPort};
use rand::SeedableRng;
use rand::rngs::StdRng;
use sip::Flow;
use std::sync::Arc;
use std::time::Duration;

/// Supervisors of calls in this node.
const SHARDS: usize = 16;

/// What everyone holds who speaks to calls.
pub struct Calls {
    /// Who owns which message.
    pub directory: Directory,
    /// Wakes them.
    pub alarms: Alarms<CallId>,
    shards: Vec<Mutex<Option<ActorCell>>>,
    random: Mutex<StdRng>,
    limit: usize,
}

/// How soon a message has to be handled by whoever brings it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Haste {
    /// At once, by itself: nothing else waits to be read.
    AtOnce,
    /// Much waits to be read, and other workers may help: by the call's actor.
    Later,
}

impl Haste {
    pub(crate) fn hand(self, shell: &Arc<Shell>, id: CallId, call: &Place, message: CallMessage) {
        match self {
            Self::AtOnce => call.drive(shell, id, message),
            Self::Later => drop(call.tell(shell, id, message)),
        }
    }
}

/// Why an INVITE begins no call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoCall {
    /// As many calls as the node may carry.
    Full,
    /// Its supervisor is just starting anew.
    NoSupervisor,
    /// This node has no shard of the cluster yet, or none any more.
    NoShard,
}

impl Calls {
    /// For at most `limit` calls at once.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            directory: Directory::default(),
            alarms: Alarms::new(clock::now().mono),
            shards: (0..SHARDS).map(|_| Mutex::new(None)).collect(),
            random: Mutex::new(StdRng::from_os_rng()),
            limit,
        }
    }

    /// Gives an initial INVITE to its call, making that if this is the first copy.
    ///
    /// # Errors
    /// [`NoCall`].
    pub fn invite(
        &self,
        shell: &Arc<Shell>,
        key: InviteKey,
        bytes: Bytes,
        flow: Flow,
        how: Haste,
    ) -> Result<bool, NoCall> {
        if self.directory.len() >= self.limit {
            return Err(NoCall::Full);
        }
        let id = shell.cluster.mint(&mut *self.random.lock()).ok_or(NoCall::NoShard)?;
        let (id, call, new) = self.directory.find_or_spawn(key, id, || self.spawn(shell, id, key))?;
        how.hand(shell, id, &call, CallMessage::Sip { bytes, flow });
        Ok(new)
    }

    fn spawn(&self, shell: &Arc<Shell>, id: CallId, key: InviteKey) -> Result<CallRef, NoCall> {
        let supervisor = self.shards[shard_of(id)].lock().clone().ok_or(NoCall::NoSupervisor)?;
        let cell = Arc::new(CallCell::seating(key, ::call::Call::new(id, shell.seed(), clock::now())));
        let arguments = Arguments::New { id, cell: Arc::clone(&cell), shell: Arc::clone(shell) };
        let spawned = ActorRuntime::spawn_linked_instant(None, CallActor, arguments, supervisor);
        let (actor, _) = spawned.map_err(|_| NoCall::NoSupervisor)?;
        Ok(CallRef { actor, cell })
    }

    /// Takes a call over from a node that is gone, which carried it last at `alive`. It comes back as an error where it cannot be
    /// carried here; a call that is here already stays as it is.
    pub(crate) fn adopt(
        &self,
        shell: &Arc<Shell>,
        id: CallId,
        cell: Arc<CallCell>,
        call: Box<::call::Call>,
        alive: sip::clock::Instant,
    ) -> Result<(), Arc<CallCell>> {
        let Some(supervisor) = self.shards[shard_of(id)].lock().clone() else { return Err(cell) };
        let arguments = Arguments::TakeOver { call, alive, id, cell: Arc::clone(&cell), shell: Arc::clone(shell) };
        let key = cell.key;
        let adopted = self.directory.adopt(id, key, || {
            let spawned = ActorRuntime::spawn_linked_instant(None, CallActor, arguments, supervisor);
            spawned.map(|(actor, _)| CallRef { actor, cell: Arc::clone(&cell) })
        });
        match adopted {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(cell),
        }
    }

    /// Up to `limit` calls as they are now. A call that does not answer in time is left out.
    pub async fn show(&self, limit: usize) -> Vec<::call::Summary> {
        let mut out = Vec::new();
        for (_, call) in self.directory.some(limit) {
            if let Some(summary) = ask(&call).await {
                out.push(summary);
            }
        }
        out
    }

    /// One call as it is now.
    pub async fn show_one(&self, id: CallId) -> Option<::call::Summary> {
        ask(self.directory.find(id)?.actor()?).await
    }

    /// Ends a call; `false` if there is none of that name.
    pub fn hangup(&self, id: CallId, reason: &'static str) -> bool {
        let place = self.directory.find(id);
        let call = place.as_ref().and_then(Place::actor);
        call.is_some_and(|call| call.tell(CallMessage::Input(Box::new(::call::Input::Hangup { reason }))))
    }
}

async fn ask(call: &CallRef) -> Option<::call::Summary> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let port: RpcReplyPort<::call::Summary> = reply.into();
    if !call.tell(CallMessage::Show(port)) {
        return None;
    }
    tokio::time::timeout(Duration::from_secs(1), answer).await.ok()?.ok()
}

fn shard_of(id: CallId) -> usize {
    usize::try_from(id.call >> 32).unwrap_or(0) % SHARDS
}

/// The supervision plan: the clock that turns the wheel, and the shards.
pub fn plan(shell: &Arc<Shell>) -> Plan {
    let mut children = Vec::new();
    let shared = Arc::clone(shell);
    children.push(Child::new("alarms", move |supervisor| shard::spawn_clock(Arc::clone(&shared), supervisor)));
    let shared = Arc::clone(shell);
    children.push(Child::new("ladders", move |supervisor| ladder::spawn(Arc::clone(&shared), supervisor)));
    for index in 0..SHARDS {
        let shell = Arc::clone(shell);
        children.push(Child::new("calls", move |supervisor| {
            let shell = Arc::clone(&shell);
            async move { shard::spawn(shell, index, supervisor).await }
        }));
    }
    Plan { name: "calls", strategy: Strategy::OneForOne, children }
}

/// What a shard tells of itself: where new calls are linked.
fn install(calls: &Calls, index: usize, cell: ActorCell) {
    *calls.shards[index].lock() = Some(cell);
}

/// Ends every call, for an orderly stop: each gets its BYE and its record.
pub fn hangup_all(calls: &Calls, reason: &'static str) {
    for (_, call) in calls.directory.some(usize::MAX) {
        call.tell(CallMessage::Input(Box::new(::call::Input::Hangup { reason })));
    }
}

/// Why a call supervisor could not start.
type Spawned = Result<ActorCell, Error>;
