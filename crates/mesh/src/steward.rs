//! The leader's duties: to fence the dead, to place shards, to keep Raft's voters and learners.
//!
//! One decision after the other, in small steps, each on the cluster that the former one led to; nothing without leadership,
//! and nothing on what may have changed while this process slept. The leases are granted here too, so that the promise to
//! a node and the decision to fence it are made in one place.

mod duties;
#[cfg(test)]
mod tests;

use crate::lease::{Answer, Grantor};
use crate::liveness::State;
use crate::times::{FIRST_CONTACT, FRESH, LATE, Waits};
use duties::{Duties, Slot};
use routing::cluster::{Cluster, Liveness, Move, NodeId, balance, voters};
use sip::clock::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How often the duties are looked at.
const TICK: Duration = Duration::from_millis(50);
/// Between two steps of shards whose owner is alive; those of the dead do not wait.
const PLACE_PAUSE: Duration = Duration::from_millis(200);
/// Between two changes of Raft's members, and after leadership is gained.
const VOTERS_PAUSE: Duration = Duration::from_millis(2000);
/// While a node that carries is suspect, nothing is moved without need; for so long at most.
const TROUBLE: Duration = Duration::from_secs(10);

/// What it is told. All but [`Input::Done`] is told whether this node leads or not.
#[derive(Clone, Debug)]
pub enum Input {
    /// The term in which this node leads: it was elected, a quorum confirms it, and it has applied what was committed
    /// before that term. Nothing while it does not, or cannot tell.
    Leads(Option<Lead>),
    /// The cluster as this node sees it now.
    Cluster(Arc<Cluster>),
    /// What an observer takes a node for: this node itself at every change; others about every 200 ms, if at all.
    Opinion {
        /// Whose opinion.
        observer: NodeId,
        /// About whom.
        about: NodeId,
        /// What it is taken for.
        state: State,
    },
    /// The members of the Raft group as the leader sees them.
    Raft(BTreeMap<NodeId, Seat>),
    /// What came of a duty.
    Done {
        /// The one of its [`Effect`].
        ticket: u64,
        /// Whether it was made. One that was stale was not.
        made: bool,
    },
}

/// A lead that was won.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lead {
    /// Raft's term.
    pub term: u64,
    /// See [`Grantor::lead`].
    pub former: Option<NodeId>,
}

/// A member of the Raft group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    /// Host and port by which Raft reaches it.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether its log is near the end of the leader's.
    pub current: bool,
}

/// Something to be done, by this node as the leader: never handed on to another that leads meanwhile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effect {
    /// To be brought back with [`Input::Done`].
    pub ticket: u64,
    /// What is to be done.
    pub duty: Duty,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Duty {
    /// Propose the fencing of a node: its lease has run out.
    Fence {
        /// Which node.
        node: NodeId,
        /// In which life of it.
        incarnation: u64,
    },
    /// Propose these moves.
    Place(Vec<Move>),
    /// Take a member into Raft as a learner, or tell Raft its new address.
    AddLearner {
        /// Which node.
        node: NodeId,
        /// Host and port of its gRPC.
        address: String,
    },
    /// Let a learner go that is no member any more.
    DropLearner(NodeId),
    /// Make these the voters; all others learn.
    SetVoters(BTreeSet<NodeId>),
}

/// The leader's duties; idle on every other node.
#[derive(Debug)]
pub struct Steward {
    me: NodeId,
    leads: Option<u64>,
    cluster: Arc<Cluster>,
    grantor: Grantor,
    /// By (observer, about): what it says, since when it says so, and when it said so last.
    opinions: BTreeMap<(NodeId, NodeId), Opinion>,
    fenced_since: BTreeMap<NodeId, Instant>,
    /// The incarnation of each member, and since when we know of it.
    lives: BTreeMap<NodeId, (u64, Instant)>,
    raft: BTreeMap<NodeId, Seat>,
    duties: Duties,
    /// The plan, and the version of the cluster that it was made for.
    plan: Option<(u64, Vec<Move>)>,
    tick_at: Instant,
    /// Whether something has changed that the duties depend on.
    fresh: bool,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Copy, Debug)]
struct Opinion {
    state: State,
    since: Instant,
    said: Instant,
}

impl Steward {
    /// Of a node that does not lead yet.
    #[must_use]
    pub fn new(me: NodeId, waits: Waits) -> Self {
        Self {
            me,
            leads: None,
            cluster: Arc::new(Cluster::default()),
            grantor: Grantor::new(waits),
            opinions: BTreeMap::new(),
            fenced_since: BTreeMap::new(),
            lives: BTreeMap::new(),
            raft: BTreeMap::new(),
            duties: Duties::default(),
            plan: None,
            fresh: false,
            tick_at: Instant::ORIGIN,
            effects: VecDeque::new(),
        }
    }

    /// A node asks for its lease; to be asked only in a moment in which Raft confirms that this node leads.
    pub fn renew(&mut self, now: Instant, node: NodeId, incarnation: u64) -> Answer {
        self.notice_stall(now);
        self.grantor.renew(now, &self.cluster, node, incarnation)
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.notice_stall(now);
        match input {
            Input::Leads(leads) => self.on_leads(now, leads),
            Input::Cluster(cluster) => self.on_cluster(now, cluster),
            Input::Opinion { observer, about, state } => self.on_opinion(now, observer, about, state),
            Input::Raft(raft) => self.raft = raft,
            Input::Done { ticket, made } => {
                self.fresh = true;
                self.duties.done(now, ticket, made);
            }
        }
        self.work(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        self.work(now);
    }

    /// When [`Self::handle_timeout`] has something to do. Being called much later than this is taken for having slept.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.leads.map(|_| self.tick_at)
    }

    /// The next thing to do. To be emptied after each call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Having slept, this node may have been voted down and somebody else have granted leases: it waits as a new leader does.
    fn notice_stall(&mut self, now: Instant) {
        if let Some(term) = self.leads.filter(|_| now > self.tick_at + LATE) {
            self.grantor.lead(now, term, None);
            self.tick_at = now;
        }
    }

    fn on_leads(&mut self, now: Instant, leads: Option<Lead>) {
        let term = leads.map(|lead| lead.term);
        if term == self.leads {
            return;
        }
        (self.leads, self.tick_at, self.plan) = (term, now, None);
        self.duties.drop_all();
        self.effects.clear();
        self.grantor.resign();
        if let Some(Lead { term, former }) = leads {
            self.grantor.lead(now, term, former);
            self.duties.rest(Slot::Raft, now + VOTERS_PAUSE);
        }
    }

    fn on_cluster(&mut self, now: Instant, cluster: Arc<Cluster>) {
        if cluster.version < self.cluster.version {
            return;
        }
        let fenced = |node: &NodeId| cluster.member(*node).is_some_and(|member| member.liveness == Liveness::Fenced);
        self.fenced_since.retain(|node, _| fenced(node));
        for node in cluster.members().keys().filter(|node| fenced(node)) {
            self.fenced_since.entry(*node).or_insert(now);
        }
        self.lives.retain(|node, _| cluster.member(*node).is_some());
        for member in cluster.members().values() {
            let life = self.lives.entry(member.id).or_insert((member.incarnation, now));
            if life.0 != member.incarnation {
                *life = (member.incarnation, now);
            }
        }
        self.opinions.retain(|(observer, about), _| {
            (cluster.member(*observer).is_some() || *observer == self.me) && cluster.member(*about).is_some()
        });
        self.grantor.keep(now, &cluster);
        self.fresh |= cluster.version != self.cluster.version;
        self.cluster = cluster;
    }

    fn on_opinion(&mut self, now: Instant, observer: NodeId, about: NodeId, state: State) {
        let known = |node: NodeId| self.cluster.member(node).is_some();
        if !known(about) || (!known(observer) && observer != self.me) {
            return;
        }
        let opinion = self.opinions.entry((observer, about)).or_insert(Opinion { state, since: now, said: now });
        if opinion.state != state {
            (opinion.since, self.fresh) = (now, true);
        }
        (opinion.state, opinion.said) = (state, now);
    }

    fn work(&mut self, now: Instant) {
        let due = std::mem::take(&mut self.fresh) || now >= self.tick_at;
        if self.leads.is_none() || self.cluster.id.is_empty() || !due {
            return;
        }
        self.tick_at = now + TICK;
        self.duties.expire(now);
        self.fence(now);
        self.place(now);
        self.keep_raft(now);
    }

    fn act(&mut self, now: Instant, slot: Slot, duty: Duty) {
        let ticket = self.duties.begin(now, slot, self.cluster.version);
        self.effects.push_back(Effect { ticket, duty });
    }

    fn own_opinion(&self, about: NodeId) -> Option<&Opinion> {
        self.opinions.get(&(self.me, about))
    }

    /// Dead in our own eyes, and nobody whom we hear has said lately that it hears it. Who has just started was alive then,
    /// whatever we thought of its former life: it must be silent for as long as a first contact takes, or have died since.
    fn is_dead(&self, now: Instant, node: NodeId) -> bool {
        let heard = |observer: NodeId| self.own_opinion(observer).is_some_and(|opinion| opinion.state == State::Up);
        let vetoed = self.opinions.iter().any(|((observer, about), opinion)| {
            *about == node && opinion.state == State::Up && now.since(opinion.said) < FRESH * 2 && heard(*observer)
        });
        let of_this_life = |opinion: &Opinion| {
            self.lives.get(&node).is_some_and(|(_, since)| opinion.since > *since || now >= *since + FIRST_CONTACT)
        };
        let dead = |opinion: &Opinion| opinion.state == State::Dead && of_this_life(opinion);
        self.own_opinion(node).is_some_and(dead) && !vetoed
    }

    /// Fences the dead; and finishes what was begun, since a node whose fencing failed half-way would get no lease for ever.
    fn fence(&mut self, now: Instant) {
        let cluster = Arc::clone(&self.cluster);
        for member in cluster.members().values() {
            let slot = Slot::Fence(member.id);
            let known = member.id != self.me && member.liveness != Liveness::Fenced;
            let begun = self.grantor.is_condemned(member.id, member.incarnation);
            let due = known && (begun || self.is_dead(now, member.id));
            if due && self.grantor.may_fence(member.id, now) && self.duties.is_free(now, slot, cluster.version) {
                self.grantor.condemn(member.id, member.incarnation);
                self.act(now, slot, Duty::Fence { node: member.id, incarnation: member.incarnation });
            }
        }
    }

    /// The next step of the plan, but nothing of a node that was fenced while it may still hold a lease: that fence was decided
    /// by another leader.
    fn place(&mut self, now: Instant) {
        if self.duties.fencing() || !self.duties.is_free(now, Slot::Place, self.cluster.version) {
            return;
        }
        let cluster = Arc::clone(&self.cluster);
        if self.plan.as_ref().is_none_or(|(version, _)| *version != cluster.version) {
            self.plan = Some((cluster.version, balance(&cluster)));
        }
        let fenced = |node: NodeId| cluster.member(node).is_none_or(|member| member.liveness == Liveness::Fenced);
        let needed = |step: &Move| cluster.shard(step.shard).owner.is_none_or(fenced);
        let free = |step: &Move| {
            let owner = cluster.shard(step.shard).owner.filter(|owner| fenced(*owner));
            owner.is_none_or(|owner| self.grantor.may_fence(owner, now))
        };
        let trouble = self.in_trouble(now);
        let plan = self.plan.iter().flat_map(|(_, moves)| moves);
        let moves: Vec<Move> = plan.filter(|step| free(step) && (!trouble || needed(step))).copied().collect();
        if moves.is_empty() {
            return;
        }
        let urgent = moves.iter().any(needed);
        self.act(now, Slot::Place, Duty::Place(moves));
        if !urgent {
            self.duties.rest(Slot::Place, now + PLACE_PAUSE);
        }
    }

    /// Somebody who carries has just become silent, or was never heard: who moves shards now may move them twice.
    fn in_trouble(&self, now: Instant) -> bool {
        let carriers = self.cluster.members().values().filter(|member| member.carries() && member.id != self.me);
        carriers.map(|member| self.own_opinion(member.id)).any(|opinion| {
            opinion.is_none_or(|opinion| opinion.state != State::Up && now.since(opinion.since) < TROUBLE)
        })
    }

    fn keep_raft(&mut self, now: Instant) {
        if !self.raft.contains_key(&self.me) || !self.duties.is_free(now, Slot::Raft, 0) {
            return;
        }
        let Some(duty) = self.enlisting().or_else(|| self.electing(now)) else { return };
        self.act(now, Slot::Raft, duty);
        self.duties.rest(Slot::Raft, now + VOTERS_PAUSE);
    }

    fn enlisting(&self) -> Option<Duty> {
        let missing = self
            .cluster
            .members()
            .values()
            .find(|member| self.raft.get(&member.id).is_none_or(|seat| seat.address != *member.mesh));
        if let Some(member) = missing {
            return Some(Duty::AddLearner { node: member.id, address: member.mesh.to_string() });
        }
        let gone = self.raft.iter().find(|(node, seat)| !seat.voter && self.cluster.member(**node).is_none());
        gone.map(|(node, _)| Duty::DropLearner(*node))
    }

    fn electing(&self, now: Instant) -> Option<Duty> {
        let current: BTreeSet<NodeId> =
            self.raft.iter().filter(|(_, seat)| seat.voter).map(|(node, _)| *node).collect();
        let heard = |node: &NodeId| {
            *node == self.me || self.own_opinion(*node).is_some_and(|opinion| opinion.state == State::Up)
        };
        let live: BTreeSet<NodeId> =
            self.raft.iter().filter(|(node, seat)| heard(node) && seat.current).map(|(node, _)| *node).collect();
        let gone = |node: NodeId| self.fenced_since.get(&node).map(|since| now.since(*since));
        voters(&self.cluster, &current, &live, gone).map(Duty::SetVoters)
    }
}
