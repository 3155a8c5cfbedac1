//! Who owns a message: from call names and initial INVITEs to call actors.
//!
//! Bounded by the number of live calls, of which [`super::Calls`] holds the limit. Never a network look-up.

use super::actor::CallMessage;
use bytes::Bytes;
use call::CallId;
use parking_lot::Mutex;
use ractor::ActorRef;
use rustc_hash::{FxBuildHasher, FxHashMap};
use sip::Flow;
use sip::peek::Peek;
use smallvec::SmallVec;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Messages that may wait at one call; more are dropped and counted, SIP sends them again.
const PENDING: u32 = 64;
const STRIPES: usize = 64;

/// What outlives a call's actor: its gate, and what its supervisor needs to clean up after a panic.
#[derive(Default)]
pub struct CallCell {
    pending: AtomicU32,
    /// How to bring the call back, only to end it.
    pub remains: Mutex<Remains>,
    /// Trunks of which it holds a channel, one entry each. What is not here is given back by nobody.
    channels: Mutex<SmallVec<[Arc<str>; 2]>>,
    /// The relay session, once there is one.
    pub media: Mutex<Option<relay::SessionId>>,
    /// The key of the initial INVITE.
    pub key: Option<InviteKey>,
}

/// The way to one call.
#[derive(Clone)]
pub struct CallRef {
    /// The actor.
    pub actor: ActorRef<CallMessage>,
    /// What outlives it.
    pub cell: Arc<CallCell>,
}

impl CallRef {
    /// Hands a message over; `false` if the call is gone, or its mailbox is full of what peers and operators sent.
    /// Alarms and answers to the call's own effects always pass: the call has asked for each of them.
    pub fn tell(&self, message: CallMessage) -> bool {
        let bounded = matches!(message, CallMessage::Sip { .. } | CallMessage::Show(_));
        if self.cell.pending.fetch_add(1, Ordering::Relaxed) >= PENDING && bounded {
            self.cell.pending.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("tandem_queue_full_total", "queue" => "call").increment(1);
            return false;
        }
        self.actor.cast(message).is_ok()
    }
}

/// What a call leaves behind when its actor panics.
#[derive(Default)]
pub enum Remains {
    /// Nothing: it had not begun.
    #[default]
    Nothing,
    /// Its INVITE, which still waits for a final response.
    Invite(Bytes, Flow),
    /// Its last checkpoint.
    Checkpoint(Box<[u8]>),
}

impl CallCell {
    /// Notes a channel that was taken.
    pub fn took(&self, trunk: &Arc<str>) {
        self.channels.lock().push(Arc::clone(trunk));
    }

    /// Crosses out a channel; `false` if this call holds none of that trunk.
    #[must_use]
    pub fn gave(&self, trunk: &str) -> bool {
        let mut channels = self.channels.lock();
        let place = channels.iter().position(|held| **held == *trunk);
        place.map(|place| channels.swap_remove(place)).is_some()
    }

    /// Crosses out every channel that is left.
    #[must_use]
    pub fn gave_all(&self) -> SmallVec<[Arc<str>; 2]> {
        std::mem::take(&mut *self.channels.lock())
    }

    /// Of a call that an INVITE of this key began.
    #[must_use]
    pub fn new(key: InviteKey) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// The actor has taken one message out of its mailbox.
    pub fn taken(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Names an initial INVITE and its retransmissions and CANCEL (RFC 3261 §17.2.3): a keyed hash, so that nobody can aim at
/// a collision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InviteKey(u64, u64);

type Stripe<K, V> = Mutex<std::collections::HashMap<K, V, FxBuildHasher>>;

/// The table.
pub struct Directory {
    by_id: Vec<Stripe<CallId, CallRef>>,
    by_invite: Vec<Stripe<InviteKey, CallId>>,
    keys: [RandomState; 2],
    live: AtomicUsize,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            by_id: (0..STRIPES).map(|_| Mutex::new(FxHashMap::default())).collect(),
            by_invite: (0..STRIPES).map(|_| Mutex::new(FxHashMap::default())).collect(),
            keys: [RandomState::new(), RandomState::new()],
            live: AtomicUsize::new(0),
        }
    }
}

impl Directory {
    /// The key of an INVITE, of its CANCEL and of the ACK to its failure.
    #[must_use]
    pub fn key(&self, peek: &Peek<'_>) -> InviteKey {
        let parts = (peek.branch, peek.sent_by, peek.call_id, peek.from_tag, peek.cseq);
        let hash = |state: &RandomState| state.hash_one(parts);
        InviteKey(hash(&self.keys[0]), hash(&self.keys[1]))
    }

    /// The call of that name.
    #[must_use]
    pub fn find(&self, id: CallId) -> Option<CallRef> {
        self.stripe(id).lock().get(&id).cloned()
    }

    /// The call that an INVITE of that key began.
    #[must_use]
    pub fn find_invite(&self, key: InviteKey) -> Option<CallRef> {
        let id = *self.by_invite[stripe_of(key.0)].lock().get(&key)?;
        self.find(id)
    }

    /// Finds the call of an INVITE, or makes it with `spawn`, exactly once however many copies arrive at once.
    ///
    /// # Errors
    /// What `spawn` says.
    pub fn find_or_spawn<E>(
        &self,
        key: InviteKey,
        id: CallId,
        spawn: impl FnOnce() -> Result<CallRef, E>,
    ) -> Result<(CallRef, bool), E> {
        let mut invites = self.by_invite[stripe_of(key.0)].lock();
        if let Some(found) = invites.get(&key).and_then(|id| self.find(*id)) {
            return Ok((found, false));
        }
        let call = spawn()?;
        self.stripe(id).lock().insert(id, call.clone());
        invites.insert(key, id);
        self.live.fetch_add(1, Ordering::Relaxed);
        Ok((call, true))
    }

    /// Replaces the actor of a call whose first one failed.
    pub fn replace(&self, id: CallId, call: CallRef) {
        self.stripe(id).lock().insert(id, call);
    }

    /// Forgets a call.
    pub fn remove(&self, id: CallId) {
        let Some(call) = self.stripe(id).lock().remove(&id) else { return };
        self.live.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = call.cell.key {
            self.by_invite[stripe_of(key.0)].lock().remove(&key);
        }
    }

    /// Live calls.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether no call lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` calls, in no order.
    #[must_use]
    pub fn some(&self, limit: usize) -> Vec<(CallId, CallRef)> {
        let mut out = Vec::new();
        for stripe in &self.by_id {
            let stripe = stripe.lock();
            out.extend(stripe.iter().take(limit - out.len()).map(|(id, call)| (*id, call.clone())));
            if out.len() == limit {
                break;
            }
        }
        out
    }

    fn stripe(&self, id: CallId) -> &Stripe<CallId, CallRef> {
        &self.by_id[stripe_of(id.call)]
    }
}

/// Keys and names are random, so their low bits spread by themselves.
fn stripe_of(bits: u64) -> usize {
    usize::try_from(bits % STRIPES as u64).unwrap_or(0)
}
