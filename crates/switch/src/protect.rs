//! Protection of calls: the state of each goes to a backup in another site, and the calls of a node that is gone are taken over
//! from what is kept of them.
//!
//! Nothing here decides who is dead or who owns a shard (the mesh does), nor what a call says to its peers (the call does). No
//! call waits here for longer than its budget: without a backup that answers it goes on unprotected, and is counted.

mod drain;
pub(crate) mod guard;
mod heir;
mod lane;
mod records;
mod said;
mod spares;
mod store;

use crate::calls::actor::CallMessage;
use crate::calls::directory::{CallCell, CallRef};
use crate::clock;
use crate::cluster::Cluster;
use crate::shell::Shell;
use ::call::CallId;
use ::call::effect::{Moved, Point};
use arc_swap::ArcSwap;
use bytes::Bytes;
use drain::Drain;
use guard::{Wants, Written};
use heir::Heir;
use lane::{Haste, Item, Lane, Sent};
use mesh::{Kind, Reply};
use parking_lot::Mutex;
use records::Records;
use routing::cluster::{NodeId, SHARDS};
pub(crate) use said::Life;
use said::{Kept, Known, Piece, Said};
use sip::clock::{Instant, Now};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::{Entry, Store};
use tokio::task::AbortHandle;

/// A backup may take so long beyond the round trip to it, …
const MARGIN: Duration = Duration::from_millis(10);
/// … and so long in any case, before the message that the state protects goes on without it.
const LEAST: Duration = Duration::from_millis(20);
/// Every call is looked at once in so many looks: its backup hears that it goes on (C5).
const LOOKS: usize = 10;
/// How often the others are told that the parties of a call have ended it here.
const OVER_TRIES: usize = 15;
/// A limit waits at most so long for the calls of the dead to be handed on.
const SHARING: Duration = Duration::from_secs(3);
/// Other nodes of a site that make it worth a second copy: it loses one and is a site still.
const MATES: usize = 2;
/// A node that is called dead was last heard so long before it stopped to count as up.
const UNHEARD: Duration = Duration::from_millis(600);

/// Where the calls of each shard are kept.
type Backups = Vec<Option<Backup>>;

/// Where a call is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Backup {
    node: NodeId,
    /// How long it may take to confirm a state.
    patience: Duration,
    /// In a site of three nodes or more: who keeps it a second time.
    spare: Option<NodeId>,
    /// It understands that an answer was acknowledged without the whole state.
    acknowledges: bool,
}

/// See the module.
pub struct Protect {
    store: Store,
    heir: Heir,
    records: Records,
    drain: Drain,
    lanes: Mutex<BTreeMap<NodeId, (Arc<Lane>, AbortHandle)>>,
    backups: ArcSwap<Backups>,
    /// The life of this node in which what is kept was told.
    life: Mutex<u64>,
    /// Lives that are over and of which calls are still kept here, and since when.
    over: Mutex<BTreeMap<Life, Instant>>,
    /// When each peer was last up.
    heard: Mutex<BTreeMap<NodeId, Instant>>,
    /// The next part of the calls to be looked at.
    next: AtomicUsize,
    /// Unprotected calls in each part.
    unprotected: Mutex<Vec<usize>>,
}

impl Protect {
    /// Of a node without calls.
    #[must_use]
    pub fn new() -> Self {
        Self {
            store: Store::default(),
            heir: Heir::new(clock::now().mono),
            records: Records::default(),
            drain: Drain::default(),
            lanes: Mutex::default(),
            backups: ArcSwap::from_pointee(Vec::new()),
            life: Mutex::new(0),
            over: Mutex::default(),
            heard: Mutex::default(),
            next: AtomicUsize::new(0),
            unprotected: Mutex::default(),
        }
    }

    /// This node's life.
    pub(crate) fn life(&self, shell: &Shell) -> Life {
        Life { node: shell.cluster.me(), incarnation: shell.cluster.incarnation() }
    }

    fn backup(&self, id: CallId) -> Option<Backup> {
        self.backups.load().get(usize::from(id.shard)).copied().flatten()
    }

    /// Whether somebody is there to keep the call.
    pub(crate) fn has_backup(&self, id: CallId) -> bool {
        self.backup(id).is_some()
    }

    /// The state of a call has changed while nobody is there to keep it: whoever comes will lack it.
    pub(crate) fn note(&self, cell: &CallCell, point: Point, now: Now) {
        cell.guard.write(now.mono, None, point, now.mono, |_| ());
    }

    /// The state of a call has changed: its backup is told. Without bytes its newest state is written down when it leaves; an empty one
    /// says that nothing of it is worth keeping any more.
    pub(crate) fn write(
        &self,
        shell: &Arc<Shell>,
        id: CallId,
        (cell, whose): (&Arc<CallCell>, Option<CallRef>),
        (bytes, point): (Option<Bytes>, Point),
        now: Now,
    ) {
        if bytes.as_ref().is_some_and(Bytes::is_empty) {
            return self.release(shell, id, cell);
        }
        let backup = self.backup(id);
        let to = backup.map(|backup| (backup.node, shell.cluster.incarnation()));
        let until = now.mono + backup.map_or(Duration::ZERO, |backup| backup.patience);
        let again =
            (whose.as_ref().filter(|_| backup.is_some_and(|backup| backup.spare.is_some())).cloned(), bytes.clone());
        let number = cell.guard.write(now.mono, to, point, until, |Written { number, former, is_known }| {
            let Some(backup) = backup else { return };
            let is_known = point == Point::C3 && backup.acknowledges && is_known;
            let what = Sent::at(point, is_known, (number, now.mono, bytes));
            let haste = if guard::is_awaited(point) { Haste::Brief } else { Haste::Soon };
            self.lane(shell, backup.node).put(id, Item { whose, what, since: now.mono, haste });
            self.forget_at(shell, id, former.filter(|former| Some(*former) != backup.spare));
        });
        if let Some(backup) = backup {
            self.write_spare(shell, id, (cell, again.0.as_ref()), backup, (number, now.mono, again.1));
        }
    }

    /// The state goes to whoever keeps it a second time, if anybody does; who did before forgets it.
    fn write_spare(
        &self,
        shell: &Arc<Shell>,
        id: CallId,
        (cell, whose): (&CallCell, Option<&CallRef>),
        backup: Backup,
        (number, written, bytes): (u32, Instant, Option<Bytes>),
    ) {
        cell.guard.send_spare(backup.spare, number, |former| {
            self.forget_at(shell, id, former);
            if let Some(spare) = backup.spare {
                let what = Sent::Spare { first: backup.node, number, written, bytes };
                let (whose, since) = (whose.cloned(), clock::now().mono);
                self.lane(shell, spare).put(id, Item { whose, what, since, haste: Haste::Soon });
            }
        });
    }

    /// A node that kept a call is told to forget it.
    fn forget_at(&self, shell: &Arc<Shell>, id: CallId, node: Option<NodeId>) {
        let Some(node) = node else { return };
        let item = Item { whose: None, what: Sent::Forget, since: clock::now().mono, haste: Haste::Soon };
        self.lane(shell, node).put(id, item);
    }

    /// A call is over: whoever keeps it may forget it.
    pub(crate) fn release(&self, shell: &Arc<Shell>, id: CallId, cell: &CallCell) {
        cell.guard.release(|node| self.forget_at(shell, id, Some(node)));
    }

    /// Another node may have taken a call whose parties have ended it here, or may still: all are told, again and again while
    /// any cannot be reached. After that the parties have to say so themselves.
    pub(crate) fn say_over(&self, shell: &Arc<Shell>, id: CallId) {
        let shell = Arc::clone(shell);
        tokio::spawn(async move {
            let said = Said::Over { calls: vec![id] }.encode();
            let (me, mut told) = (shell.cluster.me(), BTreeSet::new());
            for _ in 0..OVER_TRIES {
                let not = shell.protect.heir.end(&shell, &[id]);
                let replicated = shell.cluster.replicated();
                let others = replicated.members().values().filter(|member| member.id != me && !member.witness);
                let (mut all, others) = (not.is_empty(), others.map(|member| member.id).collect::<Vec<_>>());
                for node in others {
                    if !told.contains(&node) {
                        let answer = shell.cluster.ask(node, Kind::Checkpoint, said.clone(), lane::PATIENCE).await;
                        let kept = answer.as_deref().and_then(Kept::decode);
                        if kept.is_some_and(|kept| kept.not.is_empty()) {
                            told.insert(node);
                        } else {
                            all = false;
                        }
                    }
                }
                if all {
                    return;
                }
                tokio::time::sleep(lane::PATIENCE).await;
            }
        });
    }

    /// A call that was taken over goes to its new backup, as it came.
    fn renew(&self, shell: &Arc<Shell>, id: CallId, cell: &CallCell, entry: &Entry) {
        let (backup, now) = (self.backup(id), clock::now().mono);
        let to = backup.map(|backup| (backup.node, shell.cluster.incarnation()));
        cell.guard.write(entry.written, to, Point::C4, now, |Written { number, .. }| {
            if let Some(Backup { node, .. }) = backup {
                self.lane(shell, node).put(id, heir::renewed(entry, number, now));
            }
        });
    }

    /// Channels of a trunk that are held by calls of nodes that are gone, whose parties have not said yet that they go on: some of
    /// those calls may have ended when their node did.
    pub fn unsure(&self, shell: &Shell, trunk: &str) -> usize {
        let calls = shell.calls.directory.some(usize::MAX).into_iter().map(|(_, call)| call.cell);
        let unsure = calls.filter(|cell| cell.guard.is_unsure()).map(|cell| cell.holds(trunk)).sum::<usize>();
        unsure + self.heir.holds(trunk)
    }

    /// A leg of a call that was taken over has heard from its peer.
    pub(crate) fn moved(&self, cell: &CallCell, now: Instant, remote: SocketAddr, outcome: Moved) {
        self.heir.said(now, remote, outcome);
        match outcome {
            Moved::Answered => {
                if let Some(took) = cell.guard.moved(now) {
                    metrics::counter!("tandem_takeover_calls_total", "result" => "kept").increment(1);
                    metrics::histogram!("tandem_takeover_seconds").record(took.as_secs_f64());
                }
            }
            Moved::Gone | Moved::Silent => {
                if cell.guard.gone() {
                    let result = if outcome == Moved::Gone { "ended" } else { "silent" };
                    metrics::counter!("tandem_takeover_calls_total", "result" => result).increment(1);
                }
            }
            Moved::Busy => {}
        }
    }

    /// Whether calls of nodes that are gone may be about to go from here to those who take them over, or be taken here. What cannot
    /// be given to anybody for [`SHARING`] is not waited for, nor what is kept elsewhere first.
    pub(crate) fn is_sharing_out(&self, shell: &Shell, now: Instant) -> bool {
        let (replicated, is_gone) = (shell.cluster.replicated(), |node| !shell.cluster.is_up(node));
        let lives = self.store.lives().into_iter().filter(|life| heir::is_over(&replicated, *life));
        let lives: Vec<Life> = lives.filter(|life| self.store.is_first_of(*life, is_gone)).collect();
        let mut over = self.over.lock();
        over.retain(|life, _| lives.contains(life));
        lives.iter().any(|life| now.since(*over.entry(*life).or_insert(now)) < SHARING)
    }

    /// What another node says; `false` if it cannot be read.
    pub(crate) fn receive(&self, shell: &Arc<Shell>, from: NodeId, body: &[u8], reply: Option<Reply>) -> bool {
        let Some(said) = Said::decode(body) else { return false };
        let now = clock::now().mono;
        let answer = match said {
            Said::Keep { life, pieces } => {
                let believed = life.node == from && !heir::is_over(&shell.cluster.replicated(), life);
                let not = if believed {
                    self.store.take(now, life, pieces)
                } else {
                    pieces.into_iter().map(|piece| piece.call).collect()
                };
                Kept { not }.encode()
            }
            Said::Inherit { life, pieces } => {
                let may = heir::is_over(&shell.cluster.replicated(), life);
                self.inherit(shell, life, pieces, may).encode()
            }
            Said::Hand { life, pieces } => {
                let may = life.node == from && !heir::is_over(&shell.cluster.replicated(), life);
                self.inherit(shell, life, pieces, may).encode()
            }
            Said::Over { calls } => Kept { not: self.heir.end(shell, &calls) }.encode(),
            Said::Ask { life, calls } => {
                let (mut known, replicated) = (self.known(shell, life, &calls), shell.cluster.replicated());
                known.undecided.extend(calls.into_iter().filter(|call| shell.cdr.is_in_limbo(&replicated, *call)));
                known.encode()
            }
        };
        if let Some(reply) = reply {
            reply.send(answer);
        }
        true
    }

    fn inherit(&self, shell: &Arc<Shell>, life: Life, pieces: Vec<Piece>, may: bool) -> Kept {
        if !may {
            return Kept { not: pieces.into_iter().map(|piece| piece.call).collect() };
        }
        let now = clock::now().mono;
        let entries = pieces.into_iter().filter_map(|piece| Some((piece.call, Entry::read(piece.what, now)?)));
        Kept { not: self.heir.inherit(shell, life, entries.collect()) }
    }

    /// Whether a call may be on its way here, or from here to whoever takes it: it waits for its turn, or its state is kept.
    pub(crate) fn may_have(&self, call: CallId) -> bool {
        self.heir.has(call) || self.store.has(call)
    }

    /// Whether a call that this node carried in an earlier life is this node's once more.
    fn has_again(&self, shell: &Shell, call: CallId) -> bool {
        self.heir.has(call) || shell.calls.directory.find(call).is_some() || shell.cdr.has_retaken(call)
    }

    fn known(&self, shell: &Shell, asker: Life, calls: &[CallId]) -> Known {
        let mut known = Known::default();
        for call in calls.iter().copied() {
            if self.heir.has(call) || shell.calls.directory.find(call).is_some() || shell.cdr.has_taken(call) {
                known.taken.push(call);
            } else if self.store.knows(call, asker) {
                known.undecided.push(call);
            }
        }
        known
    }

    /// Members, shards or liveness may have changed, or some time has passed.
    pub(crate) fn follow(&self, shell: &Arc<Shell>) {
        let Some(mesh) = shell.cluster.mesh() else { return };
        let (now, peers) = (clock::now().mono, mesh.peers());
        if std::mem::replace(&mut *self.life.lock(), shell.cluster.incarnation()) != shell.cluster.incarnation() {
            self.store.clear();
        }
        {
            let mut heard = self.heard.lock();
            heard.retain(|node, _| peers.iter().any(|peer| peer.id == *node));
            heard.extend(peers.iter().filter(|peer| peer.is_up()).map(|peer| (peer.id, now)));
        }
        let backups = backups(&shell.cluster, &peers);
        let moved = **self.backups.load() != backups;
        if moved {
            self.backups.store(Arc::new(backups));
        }
        self.heir.follow(shell);
        self.records.follow(shell, now);
        self.drain.follow(shell);
        let lost = self.lanes.lock().values().fold(false, |lost, (lane, _)| lane.has_lost() | lost);
        self.look(shell, now, moved || lost);
        self.tell();
    }

    /// Looks at a part of the calls, or at all of them.
    fn look(&self, shell: &Arc<Shell>, now: Instant, at_all: bool) {
        let parts = shell.calls.directory.parts();
        let count = if at_all { parts } else { parts.div_ceil(LOOKS) };
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        for part in (first..first + count).map(|part| part % parts) {
            let calls = shell.calls.directory.part(part);
            let unprotected = calls.iter().filter(|(id, call)| !self.look_at(shell, now, *id, call)).count();
            let mut counts = self.unprotected.lock();
            counts.resize(parts, 0);
            counts[part] = unprotected;
        }
    }

    /// Sends what the backup of a call lacks; whether the call is protected already.
    fn look_at(&self, shell: &Arc<Shell>, now: Instant, id: CallId, call: &CallRef) -> bool {
        let guard = &call.cell.guard;
        if guard.life().is_some_and(|life| life != shell.cluster.incarnation()) {
            // It was given away with a life that is over: its actor sees to that.
            call.tell(CallMessage::Alarm);
            return true;
        }
        let Some(backup) = self.backup(id) else { return guard.is_protected() };
        self.look_at_spare(shell, now, id, call, backup);
        let node = backup.node;
        match guard.wants(node) {
            Wants::Nothing => true,
            Wants::Alive => {
                call.cell.let_go(now);
                let (whose, haste) = (Some(call.clone()), guard.haste());
                self.lane(shell, node).put(id, Item { whose, what: Sent::Alive, since: now, haste });
                true
            }
            Wants::State(number, written) => {
                let Some((bytes, _)) = call.cell.checkpoint(clock::now()) else { return true };
                let (whose, haste) = (Some(call.clone()), guard.haste());
                guard.send(node, shell.cluster.incarnation(), number, |former| {
                    let what = Sent::State { number, written, bytes: Some(bytes) };
                    self.lane(shell, node).put(id, Item { whose, what, since: now, haste });
                    self.forget_at(shell, id, former.filter(|former| Some(*former) != backup.spare));
                });
                false
            }
        }
    }

    /// Sends what whoever keeps a call for the second time lacks.
    fn look_at_spare(&self, shell: &Arc<Shell>, now: Instant, id: CallId, call: &CallRef, backup: Backup) {
        let guard = &call.cell.guard;
        let Wants::State(number, written) = guard.newest() else { return };
        match backup.spare {
            None => guard.send_spare(None, number, |former| self.forget_at(shell, id, former)),
            Some(spare) if guard.is_spared(spare) => {
                let (whose, haste) = (Some(call.clone()), Haste::Soon);
                self.lane(shell, spare).put(id, Item { whose, what: Sent::Alive, since: now, haste });
            }
            Some(_) => {
                if let Some((bytes, _)) = call.cell.checkpoint(clock::now()) {
                    self.write_spare(shell, id, (&call.cell, Some(call)), backup, (number, written, Some(bytes)));
                }
            }
        }
    }

    fn tell(&self) {
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        metrics::gauge!("tandem_calls_unprotected").set(count(self.unprotected.lock().iter().sum()));
        metrics::gauge!("tandem_checkpoints_kept").set(count(self.store.len()));
        metrics::gauge!("tandem_takeover_waiting").set(count(self.heir.len()));
    }

    /// When a node that is gone was last heard, as near as this node knows.
    fn last_heard(&self, node: NodeId) -> Instant {
        let heard = self.heard.lock().get(&node).copied().unwrap_or(Instant::ORIGIN);
        Instant::from_micros(heard.as_micros().saturating_sub(u64::try_from(UNHEARD.as_micros()).unwrap_or(0)))
    }

    fn lane(&self, shell: &Arc<Shell>, node: NodeId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock();
        if let Some((lane, _)) = lanes.get(&node) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane::new(node));
        let task = tokio::spawn(lane::run(Arc::clone(shell), Arc::clone(&lane)));
        lanes.insert(node, (Arc::clone(&lane), task.abort_handle()));
        lane
    }

    /// Ends what runs in the background.
    pub(crate) fn stop(&self) {
        for (_, task) in std::mem::take(&mut *self.lanes.lock()).into_values() {
            task.abort();
        }
    }
}

impl Default for Protect {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the calls of each shard are kept: by the shard's backup or its owner, whoever is not this node and is in another site;
/// where nobody is, in this one. Only who is up can keep anything.
fn backups(cluster: &Cluster, peers: &[mesh::Peer]) -> Backups {
    let replicated = cluster.replicated();
    let own = replicated.member(cluster.me()).map(|member| &member.site);
    let up: BTreeMap<NodeId, (Duration, bool)> = peers
        .iter()
        .filter(|peer| peer.is_up() && peer.linked)
        .map(|peer| {
            let patience = (peer.rtt.unwrap_or_default() + MARGIN).max(LEAST);
            (peer.id, (patience, peer.protocol >= said::ACKNOWLEDGED))
        })
        .collect();
    let elsewhere = |node: &NodeId| replicated.member(*node).map(|member| &member.site) != own;
    let mates: Vec<NodeId> = replicated
        .members()
        .values()
        .filter(|member| member.carries() && member.id != cluster.me() && Some(&member.site) == own)
        .map(|member| member.id)
        .collect();
    (0..SHARDS)
        .map(|number| {
            let shard = replicated.shard(number);
            let fit = |node: &NodeId| up.contains_key(node);
            let candidates = || [shard.backup, shard.owner].into_iter().flatten().filter(fit);
            let node = candidates().find(elsewhere).or_else(|| candidates().next())?;
            let (patience, acknowledges) = *up.get(&node)?;
            Some(Backup {
                node,
                patience,
                acknowledges,
                spare: spare(&mates, number, |mate| fit(&mate) && mate != node),
            })
        })
        .collect()
}

/// Who of the other nodes of this site keeps the calls of a shard for the second time: nobody in a site of less than three.
fn spare(mates: &[NodeId], shard: u16, fit: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    if mates.len() < MATES {
        return None;
    }
    let first = usize::from(shard) % mates.len();
    mates.iter().cycle().skip(first).take(mates.len()).copied().find(|mate| fit(*mate))
}
