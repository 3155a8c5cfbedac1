//! Who owns a message: from call names and initial INVITEs to call actors, and to calls that linger without one.
//!
//! Bounded by the number of live calls, of which [`super::Calls`] holds the limit. Never a network look-up.

use super::actor::CallMessage;
use super::lingering;
use super::seat::{Driver, Seat, Turned};
use crate::clock;
use crate::ladder::Ladder;
use crate::protect::guard::Guard;
use crate::shell::Shell;
use bytes::Bytes;
use call::{Call, CallId, Checkpoint};
use parking_lot::Mutex;
use ractor::{ActorRef, MessagingErr};
use rustc_hash::{FxBuildHasher, FxHashMap};
use sip::Flow;
use sip::clock::{Instant, Now};
use sip::peek::Peek;
use smallvec::SmallVec;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// Messages that may wait at one call; more are dropped and counted, SIP sends them again.
const PENDING: u32 = 64;
const STRIPES: usize = 64;
/// A call that is quiet for so long has most likely been set up, and is not worth its bytes twice.
const QUIET: Duration = Duration::from_secs(4);

/// What outlives a call's actor: the call itself, its gate, and what its supervisor needs to clean up after a panic.
#[derive(Default)]
pub struct CallCell {
    /// Messages that wait or are being handled.
    pending: AtomicU32,
    /// Locked for a turn, and by nobody who holds another lock.
    pub(super) seat: Mutex<Seat>,
    /// How to bring the call back, only to end it.
    pub remains: Mutex<Remains>,
    /// Trunks of which it holds a channel, one entry each. What is not here is given back by nobody.
    channels: Mutex<SmallVec<[Arc<str>; 2]>>,
    /// The relay session, once there is one.
    pub media: Mutex<Option<relay::SessionId>>,
    /// The key of the initial INVITE.
    pub key: Option<InviteKey>,
    alarm: Mutex<Alarm>,
    /// How well another node knows it.
    pub(crate) guard: Guard,
    /// What explains it afterwards.
    pub(crate) ladder: Ladder,
}

/// When a call wants to be woken, and what the wheel knows of that.
#[derive(Default)]
struct Alarm {
    /// What the call wants.
    deadline: Option<Instant>,
    /// The earliest alarm that is set.
    armed: Option<Instant>,
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
        self.try_tell(message).is_ok()
    }

    /// [`Self::tell`]; the message comes back where the actor takes none any more.
    fn try_tell(&self, message: CallMessage) -> Result<(), Option<CallMessage>> {
        let bounded = matches!(message, CallMessage::Sip { .. } | CallMessage::Show(_));
        if self.cell.pending.fetch_add(1, Ordering::Relaxed) >= PENDING && bounded {
            self.cell.pending.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("tandem_queue_full_total", "queue" => "call").increment(1);
            return Err(None);
        }
        self.actor.cast(message).map_err(|error| match error {
            MessagingErr::SendErr(message) => Some(message),
            MessagingErr::ChannelClosed | MessagingErr::InvalidActorType => None,
        })
    }
}

/// Where a call lives.
#[derive(Clone)]
pub enum Place {
    /// With its actor.
    Actor(CallRef),
    /// Without: it is over but for what comes again.
    Lingering(Arc<CallCell>),
}

impl Place {
    /// Its actor, if it has one.
    #[must_use]
    pub fn actor(&self) -> Option<&CallRef> {
        match self {
            Self::Actor(call) => Some(call),
            Self::Lingering(_) => None,
        }
    }

    /// What outlives its actor.
    pub(crate) fn cell(&self) -> &CallCell {
        match self {
            Self::Actor(call) => &call.cell,
            Self::Lingering(cell) => cell,
        }
    }

    /// Hands a message over; see [`CallRef::tell`]. A call that has just given its actor back takes it all the same.
    pub fn tell(&self, shell: &Arc<Shell>, id: CallId, message: CallMessage) -> bool {
        let refused = match self {
            Self::Lingering(cell) => {
                lingering::take(shell, id, cell, message);
                return true;
            }
            Self::Actor(call) => call.try_tell(message),
        };
        let Err(message) = refused else { return true };
        match (message, shell.calls.directory.find(id)) {
            (Some(message), Some(Self::Lingering(cell))) => {
                lingering::take(shell, id, &cell, message);
                true
            }
            (_, Some(_) | None) => false,
        }
    }

    /// Takes the call's turn here and now, if it is idle; hands the message over otherwise. For whoever is in no turn of any call
    /// and holds no lock.
    pub fn drive(&self, shell: &Arc<Shell>, id: CallId, message: CallMessage) {
        let Self::Actor(call) = self else {
            self.tell(shell, id, message);
            return;
        };
        let pending = &call.cell.pending;
        if pending.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            self.tell(shell, id, message);
            return;
        }
        let turned = Driver { id, cell: &call.cell, actor: Some(&call.actor), shell }.turn(message);
        call.cell.taken();
        match turned {
            Turned::Done => {}
            // Its actor has not seated it yet, or it has just failed, ended or moved: as the actor has it.
            Turned::Vacant(message) => drop(self.tell(shell, id, message)),
            Turned::Failed(why) => {
                if !call.tell(CallMessage::Failed(why)) {
                    shell.forget(id, &call.cell);
                }
            }
        }
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
    /// Its last checkpoint, not written down: either the next one comes soon, or its backup is told a moment later.
    Snapshot(Box<Checkpoint>, Instant),
    /// Its last checkpoint, and when it was written.
    Checkpoint(Bytes, Instant),
    /// The call itself, where it sits, whose last checkpoint was at this time: as long as it takes no turn, nothing can have broken it.
    Seated(Instant),
}

impl Remains {
    /// The last checkpoint as bytes, written down if it is not yet.
    pub(crate) fn checkpoint(&mut self) -> Option<(Bytes, Instant)> {
        if let Self::Snapshot(state, written) = self {
            *self = Self::Checkpoint(Bytes::from(state.encode()), *written);
        }
        match self {
            Self::Checkpoint(bytes, written) => Some((bytes.clone(), *written)),
            Self::Nothing | Self::Invite(..) | Self::Snapshot(..) | Self::Seated(_) => None,
        }
    }
}

impl CallCell {
    /// The call as it may be brought back, and when that was written; nothing of one that has not come as far or is over. For whoever
    /// is in no turn of any call and holds no lock.
    pub(crate) fn checkpoint(&self, now: Now) -> Option<(Bytes, Instant)> {
        let is_seated = |remains: &Remains| matches!(remains, Remains::Seated(_));
        if let Some(mut known) = Some(self.remains.lock()).filter(|remains| !is_seated(remains)) {
            return known.checkpoint();
        }
        let seat = self.seat.lock();
        let mut remains = self.remains.lock();
        // It may have taken a turn meanwhile.
        if let Remains::Seated(written) = *remains {
            *remains = seat.remains(written, now);
        }
        remains.checkpoint()
    }

    /// Forgets what is written down of a call that has been quiet since long: it is whole where it sits.
    pub(crate) fn let_go(&self, now: Instant) {
        // In a turn it may be anything.
        let Some(_seat) = self.seat.try_lock() else { return };
        let mut remains = self.remains.lock();
        if let Remains::Checkpoint(_, written) = *remains
            && now.since(written) > QUIET
        {
            *remains = Remains::Seated(written);
        }
    }

    /// A turn begins, after which the call may be broken. Answers when its last checkpoint was, if that is nowhere but in the seat.
    pub(super) fn rise(&self, seat: &Seat) -> Option<Instant> {
        let mut remains = self.remains.lock();
        let Remains::Seated(written) = *remains else { return None };
        *remains = seat.remains(written, clock::now());
        Some(written)
    }

    /// A turn has ended, and the call is whole again: what was kept since this checkpoint is needed no more.
    pub(super) fn rest(&self, since: Instant) {
        let mut remains = self.remains.lock();
        if matches!(*remains, Remains::Snapshot(_, written) if written == since) {
            *remains = Remains::Seated(since);
        }
    }

    /// Notes a channel that was taken.
    pub fn took(&self, trunk: &Arc<str>) {
        self.channels.lock().push(Arc::clone(trunk));
    }

    /// Whether its call is not over: one that has ended, and waits only for an ACK or a retransmission, has given everything back.
    pub(crate) fn holds_any(&self) -> bool {
        self.media.lock().is_some() || !self.channels.lock().is_empty()
    }

    /// How many channels of a trunk it holds.
    pub(crate) fn holds(&self, trunk: &str) -> usize {
        self.channels.lock().iter().filter(|held| ***held == *trunk).count()
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

    /// Of a call that an INVITE of this key began elsewhere.
    #[must_use]
    pub fn new(key: InviteKey) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// Of this call, which an INVITE of this key is about to begin.
    pub(super) fn seating(key: InviteKey, call: Call) -> Self {
        Self { key: Some(key), seat: Mutex::new(Seat::of(call)), ..Self::default() }
    }

    /// Notes when the call wants to be woken. Answers when the wheel has to ring for that, if it would not in time.
    ///
    /// The wheel is told once: a deadline that has moved back by the time that it rings costs the call nothing.
    #[must_use]
    pub fn wants(&self, deadline: Option<Instant>) -> Option<Instant> {
        let mut alarm = self.alarm.lock();
        alarm.deadline = deadline;
        let sooner = deadline.filter(|deadline| alarm.armed.is_none_or(|armed| *deadline < armed))?;
        alarm.armed = Some(sooner);
        Some(sooner)
    }

    /// The wheel has rung: whether something is due, or else when to ring again.
    pub(super) fn rung(&self, now: Instant) -> Rung {
        let mut alarm = self.alarm.lock();
        alarm.armed = alarm.deadline.filter(|deadline| *deadline > now);
        match (alarm.armed, alarm.deadline) {
            (Some(later), _) => Rung::Later(later),
            (None, Some(_)) => Rung::Due,
            (None, None) => Rung::Never,
        }
    }

    /// A message has been handled.
    pub fn taken(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What an alarm meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rung {
    /// The deadline has passed.
    Due,
    /// It has moved to here.
    Later(Instant),
    /// The call wants none any more.
    Never,
}

/// Names an initial INVITE and its retransmissions and CANCEL (RFC 3261 §17.2.3): a keyed hash, so that nobody can aim at
/// a collision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InviteKey(u64, u64);

type Stripe<K, V> = Mutex<std::collections::HashMap<K, V, FxBuildHasher>>;

/// The table.
pub struct Directory {
    by_id: Vec<Stripe<CallId, Place>>,
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
        let parts = (peek.branch(), peek.sent_by(), peek.call_id(), peek.from_tag(), peek.cseq());
        let hash = |state: &RandomState| state.hash_one(parts);
        InviteKey(hash(&self.keys[0]), hash(&self.keys[1]))
    }

    /// The call of that name.
    #[must_use]
    pub fn find(&self, id: CallId) -> Option<Place> {
        self.stripe(id).lock().get(&id).cloned()
    }

    /// The call that an INVITE of that key began.
    #[must_use]
    pub fn find_invite(&self, key: InviteKey) -> Option<(CallId, Place)> {
        let id = *self.by_invite[stripe_of(key.0)].lock().get(&key)?;
        Some((id, self.find(id)?))
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
    ) -> Result<(CallId, Place, bool), E> {
        let mut invites = self.by_invite[stripe_of(key.0)].lock();
        if let Some((id, found)) = invites.get(&key).and_then(|id| Some((*id, self.find(*id)?))) {
            return Ok((id, found, false));
        }
        let call = Place::Actor(spawn()?);
        self.stripe(id).lock().insert(id, call.clone());
        invites.insert(key, id);
        self.live.fetch_add(1, Ordering::Relaxed);
        Ok((id, call, true))
    }

    /// Replaces the actor of a call whose first one failed.
    pub fn replace(&self, id: CallId, call: CallRef) {
        self.stripe(id).lock().insert(id, Place::Actor(call));
    }

    /// From now on the call is here without its actor.
    pub(super) fn linger(&self, id: CallId, cell: Arc<CallCell>) {
        self.stripe(id).lock().insert(id, Place::Lingering(cell));
    }

    /// Forgets a call.
    pub fn remove(&self, id: CallId) {
        let removed = self.stripe(id).lock().remove(&id);
        let Some(call) = removed else { return };
        self.live.fetch_sub(1, Ordering::Relaxed);
        if let Some(key) = call.cell().key {
            self.by_invite[stripe_of(key.0)].lock().remove(&key);
        }
    }

    /// Calls, those that linger included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Into how many parts the calls fall.
    pub(crate) const fn parts(&self) -> usize {
        STRIPES
    }

    /// The calls of one part that have an actor.
    pub(crate) fn part(&self, part: usize) -> Vec<(CallId, CallRef)> {
        let stripe = self.by_id[part % STRIPES].lock();
        stripe.iter().filter_map(|(id, place)| Some((*id, place.actor()?.clone()))).collect()
    }

    /// Takes in a call that was not begun here, made with `spawn`; `None` if it is here already.
    ///
    /// # Errors
    /// What `spawn` says.
    pub(super) fn adopt<E>(
        &self,
        id: CallId,
        key: Option<InviteKey>,
        spawn: impl FnOnce() -> Result<CallRef, E>,
    ) -> Result<Option<CallRef>, E> {
        let mut stripe = self.stripe(id).lock();
        if stripe.contains_key(&id) {
            return Ok(None);
        }
        let call = spawn()?;
        stripe.insert(id, Place::Actor(call.clone()));
        drop(stripe);
        if let Some(key) = key {
            self.by_invite[stripe_of(key.0)].lock().insert(key, id);
        }
        self.live.fetch_add(1, Ordering::Relaxed);
        Ok(Some(call))
    }

    /// Up to `limit` calls that have an actor, in no order.
    #[must_use]
    pub fn some(&self, limit: usize) -> Vec<(CallId, CallRef)> {
        let mut out = Vec::new();
        for stripe in &self.by_id {
            let stripe = stripe.lock();
            let live = stripe.iter().filter_map(|(id, place)| Some((*id, place.actor()?.clone())));
            out.extend(live.take(limit - out.len()));
            if out.len() == limit {
                break;
            }
        }
        out
    }

    fn stripe(&self, id: CallId) -> &Stripe<CallId, Place> {
        &self.by_id[stripe_of(id.call)]
    }
}

/// Keys and names are random, so their low bits spread by themselves.
fn stripe_of(bits: u64) -> usize {
    usize::try_from(bits % STRIPES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_is_written_of_a_quiet_call_is_let_go_and_of_one_in_its_turn_never() {
        let cell = CallCell::default();
        *cell.remains.lock() = Remains::Checkpoint(Bytes::from_static(b"state"), at(10));
        cell.let_go(at(14));
        assert!(matches!(*cell.remains.lock(), Remains::Checkpoint(..)), "it has not been quiet for long");
        let turn = cell.seat.lock();
        cell.let_go(at(15));
        assert!(matches!(*cell.remains.lock(), Remains::Checkpoint(..)), "it may break in this turn");
        drop(turn);
        cell.let_go(at(15));
        assert!(matches!(*cell.remains.lock(), Remains::Seated(written) if written == at(10)));
        assert!(cell.checkpoint(clock::now()).is_none(), "nobody sits there any more");
        assert!(matches!(*cell.remains.lock(), Remains::Nothing));
    }
}
