//! Takes over the calls of lives that are over: those of this node's shards itself, the others it hands to whoever owns theirs.
//!
//! A call is taken by the owner of its shard and by nobody else, and the owner was moved by Raft after the dead node's lease had
//! run out: so no call has two nodes. Its channels are counted at once, before the leader of a trunk forgets what the dead
//! node held; its peers are written to when the pacer says so.

use super::lane::{Haste, Item, Sent};
use super::said::{Kept, Life, Piece, Said};
use super::spares::Spares;
use super::store::Entry;
use crate::calls::actor::CallMessage;
use crate::calls::directory::CallCell;
use crate::clock;
use crate::ladder::Why;
use crate::shell::Shell;
use ::call::effect::Moved;
use ::call::{Call, CallId};
use ::trunk::pacing::{self, Pacer};
use mesh::Kind;
use parking_lot::Mutex;
use routing::cluster::{Cluster as Replicated, Liveness, NodeId};
use rustc_hash::FxHashSet;
use sip::clock::Instant;
use sip::peek::Peek;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of states that are handed over in one parcel.
const PARCEL: usize = 256 << 10;
/// How long the owner of a shard may take to say that it has taken calls.
const PATIENCE: Duration = Duration::from_secs(1);
/// Several nodes take over from one: their first requests spread over this.
const JITTER_MS: u64 = 40;
/// How often the pacer is asked.
const PACE: Duration = Duration::from_millis(10);

/// A call of which its node has said nothing for so long, while it was heard, had ended: that its backup has not heard of it was
/// a loss. Should it have, its parties say so.
const STALE: Duration = Duration::from_secs(15);
/// One that was not answered, and of which nothing was said for so long before now, is left alone: if it has gone on elsewhere or
/// ended meanwhile, its callee would ring once more.
const STALE_SETUP: Duration = Duration::from_secs(6);

/// What came of a call that is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Took {
    /// It is this node's now.
    Now,
    /// It was this node's before.
    Before,
    /// This node still has what it was in a former life.
    NotYet,
    /// It cannot be taken by anybody.
    Never,
}

/// A call that waits for its turn.
struct Orphan {
    id: CallId,
    call: Box<Call>,
    cell: Arc<CallCell>,
    alive: Instant,
}

/// See the module.
pub(super) struct Heir {
    waiting: Mutex<Pacer<Orphan>>,
    /// The names of those that wait.
    names: Mutex<FxHashSet<CallId>>,
    is_pacing: AtomicBool,
    /// Lives whose calls are being handed on.
    handing: Mutex<FxHashSet<Life>>,
    spares: Mutex<Spares>,
}

impl Heir {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: Mutex::new(Pacer::new(now)),
            names: Mutex::default(),
            is_pacing: AtomicBool::new(false),
            handing: Mutex::default(),
            spares: Mutex::default(),
        }
    }

    /// Whether a call was taken and waits for its turn.
    pub(super) fn has(&self, call: CallId) -> bool {
        self.names.lock().contains(&call)
    }

    /// Looks for lives that are over.
    pub(super) fn follow(&self, shell: &Arc<Shell>) {
        let replicated = shell.cluster.replicated();
        self.spares.lock().retain(|life| is_over(&replicated, *life));
        for life in shell.protect.store.lives() {
            if is_over(&replicated, life) {
                self.share_out(shell, &replicated, life);
            }
        }
    }

    fn share_out(&self, shell: &Arc<Shell>, replicated: &Replicated, life: Life) {
        let (me, now) = (shell.cluster.me(), clock::now().mono);
        let mut others: std::collections::BTreeMap<NodeId, Vec<CallId>> = std::collections::BTreeMap::new();
        let (mut taken, mut spares) = (0_u64, self.spares.lock());
        for (call, first) in shell.protect.store.of(life) {
            if let Some(first) = first
                && !spares.is_due(now, life, replicated.shard(call.shard), call.shard, shell.cluster.is_up(first))
            {
                continue;
            }
            match replicated.shard(call.shard).owner {
                Some(owner) if owner == me && shell.cluster.acts_for(call.shard, now) => {
                    let kept = shell.protect.store.some(life, &[call]).pop();
                    let took = kept.map_or(Took::Never, |(_, entry)| self.take(shell, life, call, &entry));
                    if took != Took::NotYet {
                        shell.protect.store.remove(life, call);
                    }
                    taken += u64::from(took == Took::Now);
                }
                Some(owner) if owner != me && shell.cluster.is_up(owner) => others.entry(owner).or_default().push(call),
                Some(_) | None => {}
            }
        }
        drop(spares);
        if taken > 0 {
            tracing::warn!(node = life.node, calls = taken, "taking over the calls of a node that is gone");
        }
        if !others.is_empty() && self.handing.lock().insert(life) {
            let shell = Arc::clone(shell);
            tokio::spawn(async move {
                for (owner, calls) in others {
                    hand_on(&shell, life, owner, calls).await;
                }
                shell.protect.heir.handing.lock().remove(&life);
            });
        }
    }

    /// Takes calls that another node kept, or gives up; answers those that are not this node's to take.
    pub(super) fn inherit(&self, shell: &Arc<Shell>, life: Life, entries: Vec<(CallId, Entry)>) -> Vec<CallId> {
        let now = clock::now().mono;
        let mut not = Vec::new();
        for (call, entry) in entries {
            // One that cannot be read is nobody's: to offer it again would be in vain.
            if !shell.cluster.acts_for(call.shard, now) || self.take(shell, life, call, &entry) == Took::NotYet {
                not.push(call);
            }
        }
        not
    }

    /// Takes a call, unless this node has it.
    fn take(&self, shell: &Arc<Shell>, life: Life, id: CallId, entry: &Entry) -> Took {
        let now = clock::now();
        if let Some(place) = shell.calls.directory.find(id) {
            // What this node carried in a life that is over is dropped first.
            let life = place.cell().guard.life();
            if life.is_some_and(|life| life != shell.cluster.incarnation()) {
                place.tell(shell, id, CallMessage::Alarm);
                return Took::NotYet;
            }
            return Took::Before;
        }
        if self.has(id) {
            return Took::Before;
        }
        let call = match shell.restore(&entry.state(), now.mono.since(entry.written), now) {
            Ok(call) => Box::new(call),
            Err(error) => {
                tracing::error!(call = %id, %error, "a call of a node that is gone cannot be read; it is lost");
                metrics::counter!("tandem_takeover_calls_total", "result" => "unreadable").increment(1);
                return Took::Never;
            }
        };
        let silent = shell.protect.last_heard(life.node).since(entry.alive);
        if silent > STALE || !call.is_answered() && now.mono.since(entry.alive) > STALE_SETUP {
            tracing::debug!(call = %id, ?silent, "a call of a node that is gone had ended before");
            metrics::counter!("tandem_takeover_calls_total", "result" => "stale").increment(1);
            return Took::Never;
        }
        let key = call.invite().and_then(Peek::of).map(|peek| shell.calls.directory.key(&peek));
        let cell = Arc::new(key.map_or_else(CallCell::default, CallCell::new));
        for trunk in call.channels() {
            cell.took(&trunk.name);
            shell.trunks.adopt(shell, trunk);
        }
        let why = if is_over(&shell.cluster.replicated(), life) { Why::NodeLost } else { Why::Drain };
        shell.ladders.came(&call, &cell.ladder, now, (life.node, why));
        // The call has but this node now: its backup is told before its peers are.
        shell.protect.renew(shell, id, &cell, entry);
        let alive = entry.alive.max(shell.protect.last_heard(life.node)).min(now.mono);
        cell.guard.came(alive);
        let not_before = now.mono + Duration::from_millis(id.call % JITTER_MS);
        let (peers, is_emergency) = (call.peers(), call.is_emergency());
        self.names.lock().insert(id);
        self.waiting.lock().push(Orphan { id, call, cell, alive }, peers, is_emergency, not_before);
        self.pace(shell);
        Took::Now
    }

    /// The parties of calls have ended them with their former owner: nothing of them is kept, and those that were taken end.
    /// Answers those that wait for their turn, and cannot be ended yet.
    pub(super) fn end(&self, shell: &Arc<Shell>, calls: &[CallId]) -> Vec<CallId> {
        let mut not = Vec::new();
        for call in calls.iter().copied() {
            shell.protect.store.drop_call(call);
            if self.has(call) {
                not.push(call);
            } else if shell.calls.hangup(call, "ended elsewhere") {
                metrics::counter!("tandem_takeover_calls_total", "result" => "ended_elsewhere").increment(1);
            }
        }
        not
    }

    /// Lets those go whose turn it is, for as long as any wait.
    fn pace(&self, shell: &Arc<Shell>) {
        if self.is_pacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let shell = Arc::clone(shell);
        tokio::spawn(async move {
            let heir = &shell.protect.heir;
            loop {
                let now = clock::now().mono;
                let due = heir.waiting.lock().due(now);
                for orphan in due {
                    let Orphan { id, call, cell, alive } = orphan;
                    let is_ringing = !call.is_answered();
                    if let Err(cell) = shell.calls.adopt(&shell, id, cell, call, alive) {
                        metrics::counter!("tandem_takeover_calls_total", "result" => "refused").increment(1);
                        if shell.calls.directory.find(id).is_some() {
                            // The call itself is here already, and stays.
                            shell.give_back(&cell);
                        } else {
                            shell.forget(id, &cell);
                        }
                    } else if is_ringing {
                        // No re-INVITE says how it went on: its record does.
                        metrics::counter!("tandem_takeover_calls_total", "result" => "ringing").increment(1);
                    }
                    heir.names.lock().remove(&id);
                }
                if heir.waiting.lock().is_empty() {
                    heir.is_pacing.store(false, Ordering::Release);
                    // One that came between the look and the mark would otherwise wait for the next.
                    if heir.waiting.lock().is_empty() || heir.is_pacing.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
                tokio::time::sleep(PACE).await;
            }
        });
    }

    /// Channels of a trunk that calls hold which wait for their turn.
    pub(super) fn holds(&self, trunk: &str) -> usize {
        self.waiting.lock().iter().map(|orphan| orphan.cell.holds(trunk)).sum()
    }

    /// What the peer of a leg said.
    pub(super) fn said(&self, now: Instant, peer: SocketAddr, outcome: Moved) {
        let said = match outcome {
            Moved::Answered | Moved::Gone => pacing::Said::Well,
            Moved::Busy | Moved::Silent => pacing::Said::Badly,
        };
        self.waiting.lock().said(now, peer, said);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().len()
    }
}

/// Whether a life can do nothing any more.
pub(super) fn is_over(replicated: &Replicated, life: Life) -> bool {
    replicated.member(life.node).is_none_or(|member| {
        member.incarnation > life.incarnation
            || member.incarnation == life.incarnation && member.liveness == Liveness::Fenced
    })
}

/// Gives calls to the owner of their shards. What it does not take stays, and is looked at again.
async fn hand_on(shell: &Arc<Shell>, life: Life, owner: NodeId, calls: Vec<CallId>) {
    let mut rest = &calls[..];
    while !rest.is_empty() {
        let (mut bytes, mut count) = (0, 0);
        let (now, mut pieces) = (clock::now().mono, Vec::new());
        while bytes < PARCEL && count < rest.len() {
            for (call, entry) in shell.protect.store.some(life, &rest[count..=count]) {
                bytes += entry.size();
                pieces.push(entry.piece(call, now));
            }
            count += 1;
        }
        let sent: Vec<CallId> = pieces.iter().map(|piece: &Piece| piece.call).collect();
        let said = Said::Inherit { life, pieces };
        let answer = shell.cluster.ask(owner, Kind::Checkpoint, said.encode(), PATIENCE).await;
        let Some(Kept { not }) = answer.as_deref().and_then(Kept::decode) else { return };
        for call in sent.into_iter().filter(|call| !not.contains(call)) {
            shell.protect.store.remove(life, call);
        }
        rest = &rest[count..];
    }
}

/// What a new backup is given of a call that was just taken.
pub(super) fn renewed(entry: &Entry, number: u32, now: Instant) -> Item {
    let what = Sent::State { number, written: entry.written, bytes: Some(entry.state()) };
    Item { whose: None, what, since: now, haste: Haste::Brief }
}
