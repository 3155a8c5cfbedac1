//! The world around the nodes: time, the network, the log, the faults, and what must never be.

use super::node::{Deed, Node, Status};
use super::oracle::{Client, Oracle, Proposal};
use super::{Chance, Message};
use crate::steward::{self, Duty};
use crate::testing::{balanced, founded, member};
use routing::cluster::{ClusterChange, Member, NodeId, Outcome, SHARDS};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const TICK: u64 = 20_000;

#[derive(Debug)]
enum Event {
    Wake(NodeId),
    Deliver { to: NodeId, process: u32, from: NodeId, message: Message },
    Decide(u64),
    Tick,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) chance: Chance,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) oracle: Oracle,
    /// Ways that are cut, by (from, to).
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    /// Whether SIP addresses are reached in spite of that.
    pub(super) edges: bool,
    pub(super) loss_percent: u64,
    /// Changes that were made, for the tests to read.
    pub(super) made: Vec<(u64, ClusterChange)>,
}

impl World {
    /// Nodes 1, 2, … of these sites, joined; their shards spread already or not.
    pub(super) fn new(seed: u64, sites: &[&'static str], spread: bool) -> Self {
        let mut chance = Chance(seed);
        let cluster = if spread { balanced(sites) } else { founded(sites) };
        let nodes: BTreeMap<NodeId, Node> = (1..)
            .zip(sites)
            .map(|(id, site)| (id, Node::new(id, site, chance.between(0, 1_000_000_000_000), 0, Some(1))))
            .collect();
        let oracle = Oracle {
            states: vec![Arc::new(cluster)],
            voters: nodes.keys().copied().take(if sites.len() >= 5 { 5 } else { 3 }).collect(),
            learners: nodes.keys().copied().skip(if sites.len() >= 5 { 5 } else { 3 }).collect(),
            leader: None,
            term: 0,
            quorate_at: 0,
            open: Vec::new(),
        };
        let mut world = Self {
            now: 0,
            chance,
            events: BTreeMap::new(),
            sequence: 0,
            nodes,
            oracle,
            cut: BTreeSet::new(),
            edges: false,
            loss_percent: 0,
            made: Vec::new(),
        };
        for id in world.ids() {
            world.with(id, |node, now, oracle| node.see(now, 0, oracle.newest()));
        }
        world.after(TICK, Event::Tick);
        world
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, ms: u64) {
        let until = self.now + ms * 1000;
        while let Some(((at, _), event)) = self.events.pop_first() {
            if at > until {
                self.sequence += 1;
                self.events.insert((at, self.sequence), event);
                break;
            }
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    /// Lets time pass until something holds; how many milliseconds it took.
    pub(super) fn run_until(&mut self, most_ms: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        (0..=most_ms / 10).find_map(|round| {
            if holds(self) {
                return Some(round * 10);
            }
            self.run(10);
            None
        })
    }

    pub(super) fn pause(&mut self, id: NodeId) {
        self.node(id).status = Status::Paused;
    }

    /// Goes on where it was stopped. Its links may have been lost meanwhile; its timers and what waited come in any order.
    pub(super) fn resume(&mut self, id: NodeId) {
        self.node(id).status = Status::Running;
        let mut backlog = std::mem::take(&mut self.node(id).backlog);
        let wake_first = self.chance.percent(50);
        let lost = self.chance.percent(50);
        if wake_first {
            self.with(id, |node, now, _| node.wake(now));
        }
        for (from, message) in backlog.drain(..) {
            if message.is_local() || !lost {
                self.deliver(id, from, message);
            }
        }
        self.with(id, |node, now, _| node.wake(now));
    }

    pub(super) fn kill(&mut self, id: NodeId) {
        // A new process leads in no term of its former one.
        self.oracle.leader = self.oracle.leader.filter(|leader| *leader != id);
        self.node(id).status = Status::Dead;
        self.node(id).process += 1;
    }

    pub(super) fn restart(&mut self, id: NodeId) {
        let (now, offset) = (self.now, self.chance.between(0, 1_000_000_000_000));
        let node = self.node(id).reborn(now, offset);
        let applied = node.applied;
        self.nodes.insert(id, node);
        self.with(id, |node, now, oracle| node.see(now, applied, &oracle.states[applied]));
    }

    /// Cuts or mends all ways between some nodes and some others.
    pub(super) fn link(&mut self, one: &[NodeId], other: &[NodeId], up: bool) {
        for (from, to) in one.iter().flat_map(|a| other.iter().flat_map(move |b| [(*a, *b), (*b, *a)])) {
            if up {
                self.cut.remove(&(from, to))
            } else {
                self.cut.insert((from, to))
            };
        }
    }

    pub(super) fn in_site(&self, site: &str) -> Vec<NodeId> {
        self.nodes.values().filter(|node| node.site == site).map(|node| node.id).collect()
    }

    /// How many shards have somebody who acts for them.
    pub(super) fn served(&self) -> usize {
        let acts = |shard: &u16| self.nodes.values().any(|node| node.acts_for(*shard, self.now));
        (0..SHARDS).filter(acts).count()
    }

    /// An operator changes something; if there is a leader.
    pub(super) fn change(&mut self, change: ClusterChange) {
        if let Some(leader) = self.oracle.leader {
            self.propose(Client::Duty(leader, u32::MAX, 0), change);
        }
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node of this world")
    }

    fn after(&mut self, micros: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + micros, self.sequence), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(id) => {
                if self.nodes[&id].status == Status::Running && self.nodes[&id].wake_at == self.now {
                    self.with(id, |node, now, _| node.wake(now));
                }
            }
            Event::Deliver { to, process, from, message } => {
                let node = self.node(to);
                match node.status {
                    _ if node.process != process => {}
                    Status::Running => self.deliver(to, from, message),
                    Status::Paused if node.backlog.len() < 500 || message.is_local() => {
                        node.backlog.push((from, message))
                    }
                    Status::Paused | Status::Dead => {}
                }
            }
            Event::Decide(number) => self.decide(number),
            Event::Tick => self.tick(),
        }
    }

    fn deliver(&mut self, to: NodeId, from: NodeId, message: Message) {
        if let Message::Applied(index) = message {
            return self.with(to, |node, now, oracle| {
                if index > node.applied {
                    node.see(now, index, &oracle.states[index]);
                }
            });
        }
        let deed = {
            let now = self.now;
            self.node(to).take(now, from, message)
        };
        if let Some(deed) = deed {
            self.perform(to, deed);
        }
        self.with(to, |_, _, _| {});
    }

    /// Something happens on a node; what it wants done is done, and the world is looked at.
    fn with(&mut self, id: NodeId, happening: impl FnOnce(&mut Node, u64, &Oracle)) {
        let now = self.now;
        let node = self.nodes.get_mut(&id).expect("a node of this world");
        happening(node, now, &self.oracle);
        for deed in self.node(id).deeds(now) {
            self.perform(id, deed);
        }
        let next = self.nodes[&id].next_wake().map_or(u64::MAX, |at| at.max(now + 1));
        if next != self.nodes[&id].wake_at && next != u64::MAX {
            self.node(id).wake_at = next;
            self.after(next - now, Event::Wake(id));
        }
        self.look(id);
    }

    fn perform(&mut self, by: NodeId, deed: Deed) {
        match deed {
            Deed::Send(to, message) => self.send(by, to, message),
            Deed::Knock(about) => {
                if self.edges && self.nodes.get(&about).is_some_and(|node| node.status == Status::Running) {
                    let delay = self.chance.between(20_000, 90_000);
                    self.post(by, about, Message::Knocked { about }, delay);
                }
            }
            Deed::Start => {
                let node = &self.nodes[&by];
                let incarnation = node.view.member(by).map_or(0, |member| member.incarnation);
                let member = Member { incarnation, ..member(by, node.site) };
                let client = Client::Starting(by, node.process);
                match self.oracle.leader {
                    Some(leader) if self.reach(by, leader) => self.propose(client, ClusterChange::Start(member)),
                    Some(_) | None => self.answer(client, None),
                }
            }
            Deed::Duty(ticket, duty) => self.on_duty(by, ticket, duty),
        }
    }

    fn on_duty(&mut self, by: NodeId, ticket: u64, duty: Duty) {
        let client = Client::Duty(by, self.nodes[&by].process, ticket);
        if self.oracle.leader != Some(by) || self.nodes[&by].leads != Some(self.oracle.term) {
            return self.answer(client, None);
        }
        match duty {
            Duty::Fence { node, incarnation } => self.propose(client, ClusterChange::Fence { node, incarnation }),
            Duty::Place(moves) => self.propose(client, ClusterChange::Place(moves)),
            Duty::AddLearner { node, .. } => {
                self.oracle.learners.insert(node);
                self.answer(client, Some(0));
            }
            Duty::DropLearner(node) => {
                self.oracle.learners.remove(&node);
                self.answer(client, Some(0));
            }
            Duty::SetVoters(voters) => {
                let all: BTreeSet<NodeId> = self.oracle.voters.union(&self.oracle.learners).copied().collect();
                assert!(voters.is_subset(&all), "a voter that never learned");
                self.oracle.learners = all.difference(&voters).copied().collect();
                self.oracle.voters = voters;
                self.answer(client, Some(0));
            }
        }
    }

    fn post(&mut self, to: NodeId, from: NodeId, message: Message, delay: u64) {
        let process = self.nodes[&to].process;
        self.after(delay, Event::Deliver { to, process, from, message });
    }

    fn send(&mut self, from: NodeId, to: NodeId, mut message: Message) {
        if let Message::Grant { stamp, sent, .. } = &mut message {
            *sent = self.nodes[&to].true_time(*stamp);
        }
        let lost = self.chance.percent(self.loss_percent) || self.cut.contains(&(from, to));
        if lost && from != to || !self.nodes.contains_key(&to) {
            return;
        }
        let near = self.nodes[&from].site == self.nodes[&to].site;
        let delay = match near {
            _ if from == to => 1,
            true => self.chance.between(200, 3_000),
            false => self.chance.between(5_000, 60_000),
        };
        self.post(to, from, message, delay);
    }

    /// Whether two nodes reach each other, both ways.
    fn reach(&self, one: NodeId, other: NodeId) -> bool {
        let running = |id: NodeId| self.nodes[&id].status == Status::Running;
        let open = !self.cut.contains(&(one, other)) && !self.cut.contains(&(other, one));
        running(one) && running(other) && (open || one == other)
    }

    fn quorate(&self, id: NodeId) -> bool {
        let with = self.oracle.voters.iter().filter(|voter| self.reach(id, **voter)).count();
        with * 2 > self.oracle.voters.len()
    }

    fn propose(&mut self, client: Client, change: ClusterChange) {
        self.sequence += 1;
        let number = self.sequence;
        self.oracle.open.push((number, Proposal { client, change, stuck: false }));
        let delay = self.chance.between(1_000, 90_000);
        self.after(delay, Event::Decide(number));
    }

    /// A proposal is decided if its leader still has the quorum; else nobody learns what becomes of it, and it stays open
    /// until the next leader finds it, or not.
    fn decide(&mut self, number: u64) {
        let Some(at) = self.oracle.open.iter().position(|(open, _)| *open == number) else { return };
        let Some(leader) = self.oracle.leader.filter(|leader| self.quorate(*leader)) else {
            self.oracle.open[at].1.stuck = true;
            return self.answer(self.oracle.open[at].1.client, None);
        };
        let (_, proposal) = self.oracle.open.remove(at);
        self.commit(&proposal, Some(leader));
    }

    fn commit(&mut self, proposal: &Proposal, leader: Option<NodeId>) {
        if let ClusterChange::Fence { node, incarnation } = proposal.change {
            let struck = &self.nodes[&node];
            let holds = struck.leased(self.now) && struck.holder.incarnation() == incarnation;
            assert!(!holds, "{}: node {node} is fenced with its lease in hand", self.now);
        }
        let outcome = self.oracle.commit(&proposal.change);
        let index = self.oracle.states.len() - 1;
        let made = match outcome {
            Outcome::Done { incarnation, .. } => {
                self.made.push((self.now, proposal.change.clone()));
                Some(incarnation)
            }
            Outcome::Stale(_) => None,
        };
        for id in self.ids() {
            let delay =
                if leader == Some(id) { self.chance.between(1, 20_000) } else { self.chance.between(1_000, 90_000) };
            if leader.is_some_and(|leader| self.reach(leader, id)) {
                self.post(id, id, Message::Applied(index), delay);
            }
        }
        // Now and then nobody learns what came of it.
        let told = made.filter(|_| self.chance.percent(95));
        self.answer(proposal.client, told);
    }

    fn answer(&mut self, client: Client, made: Option<u64>) {
        let delay = self.chance.between(1_000, 60_000);
        let (to, process, message) = match client {
            Client::Starting(node, process) => (node, process, Message::Started(made)),
            Client::Duty(node, process, ticket) => (node, process, Message::Done { ticket, made: made.is_some() }),
        };
        self.after(delay, Event::Deliver { to, process, from: to, message });
    }

    /// Every 20 ms: elections, confirmations, the log catching up, and what nodes report regularly.
    fn tick(&mut self) {
        self.after(TICK, Event::Tick);
        self.elect();
        let newest = self.oracle.states.len() - 1;
        for id in self.ids().into_iter().filter(|id| self.nodes[id].status == Status::Running).collect::<Vec<_>>() {
            let stale = self.nodes[&id].leads.is_some() && self.now > self.nodes[&id].confirmed + 500_000;
            if stale || self.nodes[&id].leads.is_some_and(|term| term != self.oracle.term && self.chance.percent(20)) {
                self.deliver(id, id, Message::Leads(None));
            }
            let Some(leader) = self.oracle.leader.filter(|leader| self.reach(id, *leader)) else { continue };
            self.deliver(id, leader, Message::Leader(leader));
            if self.nodes[&id].applied < newest && self.quorate(leader) && self.chance.percent(20) {
                self.deliver(id, id, Message::Applied(newest));
            }
            if self.chance.percent(10) {
                let mono = self.nodes[&id].mono(self.now);
                let opinions = self.nodes[&id].liveness.figures(mono).map(|(node, figures)| (node, figures.state));
                let opinions = Message::Opinions(opinions.collect());
                self.send(id, leader, opinions);
            }
        }
    }

    fn elect(&mut self) {
        if let Some(leader) = self.oracle.leader.filter(|leader| self.quorate(*leader)) {
            self.oracle.quorate_at = self.now;
            let (now, term) = (self.now, self.oracle.term);
            self.node(leader).confirmed = now;
            // What lay in its log without a quorum is decided now.
            let stuck = self.oracle.open.iter().position(|(_, proposal)| proposal.stuck);
            if let Some(at) = stuck.filter(|_| self.chance.percent(30)) {
                let (_, proposal) = self.oracle.open.remove(at);
                self.commit(&proposal, Some(leader));
            }
            if self.nodes[&leader].leads != Some(term) && self.chance.percent(20) {
                self.lead(leader);
            }
            return;
        }
        if self.now < self.oracle.quorate_at + 1_000_000 {
            return;
        }
        let fit: Vec<NodeId> = self.oracle.voters.iter().copied().filter(|id| self.quorate(*id)).collect();
        if fit.is_empty() || self.chance.percent(80) {
            return;
        }
        let leader = *self.chance.pick(&fit);
        (self.oracle.leader, self.oracle.quorate_at) = (Some(leader), self.now);
        self.oracle.term += 1;
        // What the former leader left behind is decided before this one leads: part of it had reached a quorum.
        for (_, proposal) in std::mem::take(&mut self.oracle.open) {
            if self.chance.percent(50) {
                self.commit(&proposal, None);
            }
        }
    }

    /// It has applied everything, so it leads.
    fn lead(&mut self, id: NodeId) {
        let newest = self.oracle.states.len() - 1;
        self.deliver(id, id, Message::Applied(newest));
        let seats: BTreeMap<NodeId, steward::Seat> = self.seats();
        self.with(id, |node, now, _| {
            let mono = node.mono(now);
            node.steward.handle_input(mono, steward::Input::Raft(seats));
        });
        let term = self.oracle.term;
        self.deliver(id, id, Message::Leads(Some(term)));
    }

    fn seats(&self) -> BTreeMap<NodeId, steward::Seat> {
        let newest = self.oracle.states.len() - 1;
        let seat = |id: &NodeId| steward::Seat {
            address: format!("127.0.0.{id}:7000"),
            voter: self.oracle.voters.contains(id),
            current: self.nodes.get(id).is_some_and(|node| node.applied + 5 > newest),
        };
        self.oracle.voters.union(&self.oracle.learners).map(|id| (*id, seat(id))).collect()
    }

    /// What must never be. Two nodes with the same view agree on every owner, so only those that differ are compared.
    fn look(&self, id: NodeId) {
        let node = &self.nodes[&id];
        if !node.leased(self.now) {
            assert!(!node.acts_for(0, self.now), "node {id} acts without a lease");
            return;
        }
        assert!(self.now < node.lease_truth, "{}: node {id} has a lease that ended at {}", self.now, node.lease_truth);
        for other in self.nodes.values() {
            if other.id == id || other.applied == node.applied || !other.leased(self.now) {
                continue;
            }
            for shard in 0..SHARDS {
                let both = node.acts_for(shard, self.now) && other.acts_for(shard, self.now);
                assert!(!both, "{}: nodes {id} and {} both act for shard {shard}", self.now, other.id);
            }
        }
    }
}
