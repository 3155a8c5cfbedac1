//! Which shards this node acts for: those that it owns and that nobody else can still be acting for.
//!
//! A former owner that is fenced has no lease, so its shards are taken at once. One that lives may not have heard of the move:
//! the new owner waits until it says that it has stopped, or until its lease cannot have lasted. It says so only when its
//! own wait was over, so that what it says covers everybody before it.

#[cfg(test)]
mod tests;

use crate::times::Waits;
use routing::cluster::{Cluster, Liveness, NodeId, SHARDS, Shard};
use sip::clock::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What it is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// The cluster as this node sees it now. Versions may be left out.
    Cluster(&'a Cluster),
    /// A former owner has stopped acting.
    Released {
        /// Who.
        from: NodeId,
        /// For which shards, each with the epoch that ended its own.
        shards: &'a [(u16, u32)],
    },
}

/// What it wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Tell the new owner that we have stopped. If it is lost the other waits.
    Release {
        /// The new owner.
        to: NodeId,
        /// Each shard with its new epoch.
        shards: Vec<(u16, u32)>,
    },
    /// Which shards this node acts for, given its lease, has changed.
    Changed,
}

/// One shard as this node sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    owner: Option<NodeId>,
    epoch: u32,
    /// Who owned it in the epoch before.
    former: Option<NodeId>,
    /// From when on nobody before the owner can be acting.
    clear_at: Instant,
}

/// What a new owner is to be told, once our own wait is over.
#[derive(Clone, Copy, Debug)]
struct Owed {
    due: Instant,
    to: NodeId,
    epoch: u32,
}

/// The shards of this node.
#[derive(Debug)]
pub struct Handover {
    me: NodeId,
    wait: Duration,
    seats: Vec<Seat>,
    seen: bool,
    version: u64,
    owed: BTreeMap<u16, Owed>,
    /// Releases that overtook the change that they belong to: one a shard.
    early: BTreeMap<u16, (u32, NodeId)>,
    /// When the next wait for one of our shards ends.
    next_clear: Option<Instant>,
    effects: VecDeque<Effect>,
}

impl Handover {
    /// Of a process that has just begun.
    #[must_use]
    pub fn new(me: NodeId, waits: Waits) -> Self {
        Self {
            me,
            wait: waits.handover,
            seats: vec![Seat::default(); usize::from(SHARDS)],
            seen: false,
            version: 0,
            owed: BTreeMap::new(),
            early: BTreeMap::new(),
            next_clear: None,
            effects: VecDeque::new(),
        }
    }

    /// Whether this node acts for a shard, given that it holds its lease (`leased`); numbers past the last wrap around.
    #[must_use]
    pub fn acts_for(&self, shard: u16, now: Instant, leased: bool) -> bool {
        let seat = &self.seats[usize::from(shard % SHARDS)];
        leased && seat.owner == Some(self.me) && now >= seat.clear_at
    }

    /// The shards that this node acts for if it holds its lease.
    pub fn acting(&self, now: Instant) -> impl Iterator<Item = u16> + '_ {
        (0..SHARDS).filter(move |shard| self.acts_for(*shard, now, true))
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Cluster(cluster) => self.on_cluster(now, cluster),
            Input::Released { from, shards } => {
                shards
                    .iter()
                    .take(usize::from(SHARDS))
                    .for_each(|(shard, epoch)| self.on_release(now, from, *shard, *epoch));
                self.wait(now);
            }
        }
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_clear.is_some_and(|at| now >= at) {
            self.wait(now);
            self.effects.push_back(Effect::Changed);
        }
        let mut told: BTreeMap<NodeId, Vec<(u16, u32)>> = BTreeMap::new();
        self.owed.retain(|shard, owed| {
            if now >= owed.due {
                told.entry(owed.to).or_default().push((*shard, owed.epoch));
            }
            now < owed.due
        });
        self.effects.extend(told.into_iter().map(|(to, shards)| Effect::Release { to, shards }));
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.owed.values().map(|owed| owed.due).chain(self.next_clear).min()
    }

    /// The next thing to do. To be emptied after each call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn on_cluster(&mut self, now: Instant, cluster: &Cluster) {
        if self.seen && cluster.version <= self.version {
            return;
        }
        for (shard, state) in (0..SHARDS).zip(cluster.shards()) {
            if !self.seen || state.epoch != self.seats[usize::from(shard)].epoch {
                self.on_epoch(now, cluster, shard, state);
            }
        }
        (self.seen, self.version) = (true, cluster.version);
        self.wait(now);
        self.effects.push_back(Effect::Changed);
    }

    fn on_epoch(&mut self, now: Instant, cluster: &Cluster, shard: u16, state: &Shard) {
        let before = self.seats[usize::from(shard)];
        let clear = if self.seen { self.all_silent(cluster, &before, state) } else { state.past.is_empty() };
        let clear_at = if clear { before.clear_at } else { now + self.wait };
        let former = state.epoch.checked_sub(1).and_then(|epoch| state.owner_at(epoch));
        let seat = Seat { owner: state.owner, epoch: state.epoch, former, clear_at };
        self.seats[usize::from(shard)] = seat;
        if self.seen && before.owner == Some(self.me) {
            self.owe(now, shard, &before, state);
        }
        if let Some((epoch, from)) = self.early.get(&shard).copied().filter(|(epoch, _)| *epoch <= state.epoch) {
            self.early.remove(&shard);
            self.on_release(now, from, shard, epoch);
        }
    }

    /// Whether nobody who owned the shard since we last looked can be acting: each is fenced now, or is this node.
    fn all_silent(&self, cluster: &Cluster, before: &Seat, state: &Shard) -> bool {
        let silent = |node: NodeId| {
            node == self.me || cluster.member(node).is_some_and(|member| member.liveness == Liveness::Fenced)
        };
        let first_owner = before.epoch == 0 && before.owner.is_none();
        let begin = before.epoch + u32::from(first_owner);
        (begin..state.epoch).all(|epoch| state.owner_at(epoch).is_some_and(silent))
    }

    /// We owned it until now: the next owner is told, but not before we could act ourselves.
    fn owe(&mut self, now: Instant, shard: u16, before: &Seat, state: &Shard) {
        let epoch = before.epoch + 1;
        match state.owner_at(epoch) {
            Some(to) if to != self.me => {
                self.owed.insert(shard, Owed { due: before.clear_at.max(now), to, epoch });
            }
            Some(_) | None => {}
        }
    }

    fn on_release(&mut self, now: Instant, from: NodeId, shard: u16, epoch: u32) {
        if shard >= SHARDS {
            return;
        }
        let seat = &mut self.seats[usize::from(shard)];
        if epoch > seat.epoch {
            self.early.insert(shard, (epoch, from));
        } else if epoch == seat.epoch && seat.former == Some(from) && seat.clear_at > now {
            seat.clear_at = now;
            self.effects.push_back(Effect::Changed);
        }
    }

    fn wait(&mut self, now: Instant) {
        let ours = self.seats.iter().filter(|seat| seat.owner == Some(self.me) && seat.clear_at > now);
        self.next_clear = ours.map(|seat| seat.clear_at).min();
    }
}
