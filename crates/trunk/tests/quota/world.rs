//! A cluster in virtual time: members, leaders, a network that loses, doubles, delays and reorders, and the log in which
//! joins, fencings and leaders are committed. Everything comes from one seed.

use routing::model::WithoutLeader;
use sip::clock::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use trunk::quota::{Acquire, Leader, Limits, Member, Peer, Refusal, Reply, Request, Term, Ticket, leader, member};

pub(crate) const MILLI: u64 = 1000;
pub(crate) const SECOND: u64 = 1000 * MILLI;

/// Chance from a seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.draw() % (range.end - range.start)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.draw() % 100 < chance
    }
}

/// How bad the network is, in percent of messages.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Commit {
    Join(u64, u64),
    Fence(u64, u64),
    Lead(u64, Term),
}

enum Event {
    ToLeader(u64, Request),
    ToMember(u64, Reply),
    /// A node in one of its lives learns the log up to there.
    Apply(u64, u64, usize),
    /// A call of a node in one of its lives ends.
    End(u64, u64),
    /// All hold a node to be dead.
    Suspect(u64, u64),
}

pub(crate) struct Node {
    id: u64,
    pub(crate) incarnation: u64,
    pub(crate) up: bool,
    /// Its clock shows something else than the others' do.
    offset: u64,
    pub(crate) member: Member,
    pub(crate) leader: Option<Leader>,
    applied: usize,
    pub(crate) calls: u32,
    tickets: BTreeSet<Ticket>,
}

impl Node {
    fn clock(&self, now: u64) -> Instant {
        Instant::from_micros(now + self.offset)
    }
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) limits: Limits,
    policy: WithoutLeader,
    pub(crate) nodes: Vec<Node>,
    log: Vec<(u64, Commit)>,
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
    /// What a dead node that is not fenced yet held, by node and life.
    ghosts: BTreeMap<(u64, u64), u32>,
    suspects: BTreeSet<(u64, u64)>,
    pub(crate) cut: BTreeSet<u64>,
    /// How late nodes learn the log, at most.
    pub(crate) lag: u64,
    /// Calls go on for so long.
    pub(crate) duration: std::ops::Range<u64>,
    pub(crate) starts: Vec<u64>,
    pub(crate) denied: Vec<Refusal>,
    pub(crate) sent: u64,
    /// How many channels may be held now at most.
    pub(crate) allowed: u32,
    trace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, nodes: u64, limits: Limits, policy: WithoutLeader) -> Self {
        let mut world = Self {
            now: 10 * SECOND,
            dice: Dice(seed),
            weather: Weather::default(),
            limits,
            policy,
            nodes: Vec::new(),
            log: Vec::new(),
            events: BTreeMap::new(),
            count: 0,
            ghosts: BTreeMap::new(),
            suspects: BTreeSet::new(),
            cut: BTreeSet::new(),
            lag: 5 * MILLI,
            duration: 200 * MILLI..2 * SECOND,
            starts: Vec::new(),
            denied: Vec::new(),
            sent: 0,
            allowed: limits.channels.unwrap_or(u32::MAX),
            trace: std::env::var_os("QUOTA_TRACE").is_some(),
        };
        for id in 0..nodes {
            world.log.push((0, Commit::Join(id, 1)));
        }
        world.log.push((0, Commit::Lead(world.dice.within(0..nodes), Term { epoch: 1, incarnation: 1 })));
        for id in 0..nodes {
            let offset = world.dice.within(0..1000 * SECOND);
            let member = Member::new(id, 1, limits, policy);
            let (applied, calls, tickets) = (0, 0, BTreeSet::new());
            world.nodes.push(Node {
                id,
                incarnation: 1,
                up: true,
                offset,
                member,
                leader: None,
                applied,
                calls,
                tickets,
            });
            world.apply(id, 1, world.log.len());
        }
        world
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        &mut self.nodes[usize::try_from(id).unwrap()]
    }

    pub(crate) fn leading(&self) -> u64 {
        self.last_lead().0
    }

    fn last_lead(&self) -> (u64, Term) {
        let lead = self.log.iter().rev().find_map(|(_, commit)| match commit {
            Commit::Lead(node, term) => Some((*node, *term)),
            Commit::Join(..) | Commit::Fence(..) => None,
        });
        lead.expect("there has been a leader from the first")
    }

    /// Runs until then, and looks after each step whether more is held than may be.
    pub(crate) fn run(&mut self, until: u64) {
        let mut at_once = 0;
        while let Some(next) = self.next().filter(|at| *at <= until) {
            at_once = if next > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 20_000, "something is due for ever");
            self.now = self.now.max(next);
            self.step();
            self.check();
        }
        self.now = until;
    }

    fn next(&self) -> Option<u64> {
        let timers = self.nodes.iter().filter(|node| node.up).flat_map(|node| {
            let leader = node.leader.as_ref().and_then(Leader::poll_timeout);
            let next = node.member.poll_timeout().into_iter().chain(leader).min();
            next.map(|at| at.as_micros().saturating_sub(node.offset))
        });
        timers.chain(self.events.keys().next().map(|(at, _)| *at)).min()
    }

    fn step(&mut self) {
        for id in 0..self.nodes.len() as u64 {
            let now = self.now;
            let node = self.node(id);
            let clock = node.clock(now);
            if !node.up {
                continue;
            }
            if node.member.poll_timeout().is_some_and(|at| at <= clock) {
                node.member.handle_timeout(clock);
            }
            if let Some(leader) =
                node.leader.as_mut().filter(|leader| leader.poll_timeout().is_some_and(|at| at <= clock))
            {
                leader.handle_timeout(clock);
            }
            self.perform(id);
        }
        if let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let event = entry.remove();
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToLeader(to, request) => {
                let node = self.node(to);
                let clock = node.clock(now);
                if let Some(leader) = node.leader.as_mut().filter(|_| node.up) {
                    leader.handle_input(clock, leader::Input::Request(request));
                }
                self.perform(to);
            }
            Event::ToMember(to, reply) => {
                let node = self.node(to);
                let clock = node.clock(now);
                if node.up {
                    node.member.handle_input(clock, member::Input::Reply(reply));
                }
                self.perform(to);
            }
            Event::Apply(id, life, upto) => self.apply(id, life, upto),
            Event::End(id, life) => {
                let node = self.node(id);
                let clock = node.clock(now);
                if node.up && node.incarnation == life {
                    node.calls -= 1;
                    node.member.release(clock);
                }
                self.perform(id);
            }
            Event::Suspect(id, life) => {
                if !self.fenced(self.log.len()).contains(&(id, life)) {
                    self.suspects.insert((id, life));
                    (0..self.nodes.len() as u64).for_each(|id| self.tell_members(id));
                }
            }
        }
    }

    fn schedule(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    fn perform(&mut self, id: u64) {
        loop {
            let node = self.node(id);
            let life = node.incarnation;
            if let Some(effect) = node.member.poll_effect() {
                self.perform_member(id, life, effect);
            } else if let Some(effect) = node.leader.as_mut().and_then(Leader::poll_effect) {
                match effect {
                    leader::Effect::Send { to, reply } => {
                        self.post(id, to, |to| Event::ToMember(to, reply.clone()), &reply)
                    }
                    leader::Effect::Superseded(_) => {}
                }
            } else {
                return;
            }
        }
    }

    fn perform_member(&mut self, id: u64, life: u64, effect: member::Effect) {
        match effect {
            member::Effect::Send { to, request } => {
                self.post(id, to, |to| Event::ToLeader(to, request.clone()), &request);
            }
            member::Effect::Granted(ticket) => {
                if self.node(id).tickets.remove(&ticket) {
                    self.begin(id, life);
                } else {
                    let now = self.now;
                    let node = self.node(id);
                    let clock = node.clock(now);
                    node.member.release(clock);
                }
            }
            member::Effect::Denied(ticket, refusal) => {
                self.node(id).tickets.remove(&ticket);
                self.denied.push(refusal);
            }
            member::Effect::Reach(_) => {}
        }
    }

    fn begin(&mut self, id: u64, life: u64) {
        self.node(id).calls += 1;
        self.starts.push(self.now);
        let end = self.now + self.dice.within(self.duration.clone());
        self.schedule(end, Event::End(id, life));
    }

    fn post(&mut self, from: u64, to: u64, event: impl Fn(u64) -> Event, what: &dyn std::fmt::Debug) {
        self.sent += 1;
        if self.trace {
            println!("{} {from}->{to} {what:?}", self.now);
        }
        if from != to && (self.cut.contains(&from) || self.cut.contains(&to) || self.dice.percent(self.weather.lost)) {
            return;
        }
        for _ in 0..1 + u64::from(self.dice.percent(self.weather.doubled)) {
            let worst = if self.dice.percent(self.weather.late) { 900 * MILLI } else { 4 * MILLI };
            let at = self.now + self.dice.within(100..worst);
            self.schedule(at, event(to));
        }
    }

    /// A call is offered to a node.
    pub(crate) fn offer(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        if !node.up {
            return;
        }
        let (clock, life) = (node.clock(now), node.incarnation);
        match node.member.try_acquire(clock) {
            Acquire::Taken => self.begin(id, life),
            Acquire::Refused(refusal) => self.denied.push(refusal),
            Acquire::Ask(ticket) => {
                node.tickets.insert(ticket);
            }
        }
        self.perform(id);
        self.check();
    }

    /// One of those that wait on a node gives up.
    pub(crate) fn cancel(&mut self, id: u64) {
        if let Some(ticket) = self.node(id).tickets.pop_first() {
            self.node(id).member.cancel(ticket);
        }
    }

    pub(crate) fn kill(&mut self, id: u64) {
        let node = self.node(id);
        if !node.up {
            return;
        }
        node.up = false;
        let (life, held) = (node.incarnation, node.member.granted());
        (node.calls, node.leader) = (0, None);
        node.tickets.clear();
        node.member = Member::new(id, 0, Limits::default(), WithoutLeader::Spend);
        self.ghosts.insert((id, life), held);
        let at = self.now + self.dice.within(50 * MILLI..500 * MILLI);
        self.schedule(at, Event::Suspect(id, life));
    }

    /// Commits that a dead node is fenced, and another leader if it led.
    pub(crate) fn fence(&mut self, id: u64) {
        let (up, life) = (self.node(id).up, self.node(id).incarnation);
        if up || self.fenced(self.log.len()).contains(&(id, life)) {
            return;
        }
        self.commit(Commit::Fence(id, life));
        self.ghosts.remove(&(id, life));
        if self.leading() == id {
            self.elect();
        }
    }

    /// Commits that somebody else, or the same node anew, leads.
    pub(crate) fn elect(&mut self) {
        let up: Vec<_> = self.nodes.iter().filter(|node| node.up).map(|node| (node.id, node.incarnation)).collect();
        if up.is_empty() {
            return;
        }
        let (node, incarnation) = up[usize::try_from(self.dice.within(0..up.len() as u64)).unwrap()];
        let (_, Term { epoch, .. }) = self.last_lead();
        self.commit(Commit::Lead(node, Term { epoch: epoch + 1, incarnation }));
    }

    pub(crate) fn restart(&mut self, id: u64) {
        if self.node(id).up {
            return;
        }
        self.fence(id);
        let (life, limits, policy) = (self.node(id).incarnation + 1, self.limits, self.policy);
        self.commit(Commit::Join(id, life));
        let upto = self.log.len();
        let offset = self.dice.within(0..1000 * SECOND);
        let member = Member::new(id, life, limits, policy);
        let (applied, calls, tickets) = (0, 0, BTreeSet::new());
        *self.node(id) =
            Node { id, incarnation: life, up: true, offset, member, leader: None, applied, calls, tickets };
        self.apply(id, life, upto);
        let (leading, term) = self.last_lead();
        if leading == id && self.dice.percent(50) {
            self.commit(Commit::Lead(id, Term { incarnation: life, ..term }));
        } else if !self.node(leading).up || leading == id {
            self.elect();
        }
    }

    fn commit(&mut self, commit: Commit) {
        if self.trace {
            println!("{} commits {commit:?}", self.now);
        }
        self.log.push((self.now, commit));
        let upto = self.log.len();
        for id in 0..self.nodes.len() as u64 {
            let (at, life) = (self.now + self.dice.within(0..self.lag), self.node(id).incarnation);
            self.schedule(at, Event::Apply(id, life, upto));
        }
    }

    fn fenced(&self, upto: usize) -> BTreeSet<(u64, u64)> {
        let fence = |(_, commit): &(u64, Commit)| match *commit {
            Commit::Fence(node, life) => Some((node, life)),
            Commit::Join(..) | Commit::Lead(..) => None,
        };
        self.log[..upto].iter().filter_map(fence).collect()
    }

    fn members(&self, upto: usize) -> Vec<Peer> {
        let fenced = self.fenced(upto);
        let join = |(_, commit): &(u64, Commit)| match *commit {
            Commit::Join(node, incarnation) => {
                let alive = !self.suspects.contains(&(node, incarnation));
                Some(Peer { node, incarnation, alive })
            }
            Commit::Fence(..) | Commit::Lead(..) => None,
        };
        let joined = self.log[..upto].iter().filter_map(join);
        joined.filter(|peer| !fenced.contains(&(peer.node, peer.incarnation))).collect()
    }

    fn tell_members(&mut self, id: u64) {
        let now = self.now;
        let members = self.members(self.nodes[usize::try_from(id).unwrap()].applied);
        let node = self.node(id);
        let clock = node.clock(now);
        if let Some(leader) = &mut node.leader {
            leader.handle_input(clock, leader::Input::Members(members));
        }
        self.perform(id);
    }

    fn apply(&mut self, id: u64, life: u64, upto: usize) {
        while self.node(id).up && self.node(id).incarnation == life && self.node(id).applied < upto {
            let (at, now, limits) = (self.node(id).applied, self.now, self.limits);
            let (_, commit) = self.log[at];
            self.node(id).applied += 1;
            let members = self.members(at + 1);
            let recent = |(when, commit): &(u64, Commit)| match *commit {
                Commit::Fence(node, incarnation) if when + SECOND + 2 * self.lag > now => {
                    Some((node, incarnation, *when))
                }
                Commit::Fence(..) | Commit::Join(..) | Commit::Lead(..) => None,
            };
            let recent: Vec<_> = self.log[..at].iter().filter_map(recent).collect();
            let node = self.node(id);
            let (clock, offset) = (node.clock(now), node.offset);
            match commit {
                Commit::Join(..) => {}
                Commit::Fence(node_, incarnation) => {
                    if let Some(leader) = &mut node.leader {
                        leader.handle_input(clock, leader::Input::Fenced { node: node_, incarnation, at: clock });
                    }
                }
                Commit::Lead(to, term) => {
                    node.member.handle_input(clock, member::Input::Leader { node: to, term });
                    node.leader = (to == id && term.incarnation == life).then(|| {
                        let mut leader = Leader::new(clock, id, term, limits, &members);
                        for (node, incarnation, at) in recent {
                            // The shell may have seen it later, so this is the strictest that it can say.
                            let at = Instant::from_micros(at + offset);
                            leader.handle_input(clock, leader::Input::Fenced { node, incarnation, at });
                        }
                        leader
                    });
                }
            }
            self.perform(id);
            self.tell_members(id);
        }
    }

    /// New limits, everywhere at once.
    pub(crate) fn resize(&mut self, limits: Limits) {
        self.limits = limits;
        let (now, policy) = (self.now, self.policy);
        for id in 0..self.nodes.len() as u64 {
            let node = self.node(id);
            let clock = node.clock(now);
            if node.up {
                node.member.resize(clock, limits, policy);
                if let Some(leader) = &mut node.leader {
                    leader.resize(clock, limits);
                }
            }
            self.perform(id);
        }
    }

    pub(crate) fn adopt(&mut self, id: u64) {
        let now = self.now;
        let node = self.node(id);
        let (clock, life) = (node.clock(now), node.incarnation);
        node.member.adopt(clock);
        node.calls += 1;
        let end = now + self.dice.within(self.duration.clone());
        self.schedule(end, Event::End(id, life));
        self.perform(id);
    }

    pub(crate) fn used(&self) -> u32 {
        self.nodes.iter().map(|node| node.calls).sum()
    }

    /// Channels held by members and by those who died and are not fenced.
    pub(crate) fn held(&self) -> u32 {
        let alive: u32 = self.nodes.iter().filter(|node| node.up).map(|node| node.member.granted()).sum();
        alive + self.ghosts.values().sum::<u32>()
    }

    fn check(&self) {
        for node in self.nodes.iter().filter(|node| node.up) {
            assert_eq!(node.member.used(), node.calls, "node {} at {}", node.id, self.now);
            assert_eq!(node.member.granted(), node.member.used() + node.member.free());
        }
        if self.limits.channels.is_some() {
            let held = self.held();
            assert!(held <= self.allowed, "{held} channels are held of {} at {}", self.allowed, self.now);
        }
    }

    /// No span of time has more starts than a bucket of one second's worth allows.
    pub(crate) fn check_rate(&self) {
        let Some(cps) = self.limits.cps.map(u64::from) else { return };
        let (mut level, mut at) = (cps * SECOND, 0);
        for start in &self.starts {
            level = (level + (start - at) * cps).min(cps * SECOND);
            at = *start;
            level = level.checked_sub(SECOND).unwrap_or_else(|| panic!("a start too many at {start}"));
        }
    }

    /// Whether the leader in office believes exactly what is true.
    pub(crate) fn agrees(&mut self) -> bool {
        let held = self.held();
        let leading = self.leading();
        self.node(leading).leader.as_ref().is_some_and(|leader| leader.granted() == held)
    }

    pub(crate) fn after(&mut self, span: Duration) {
        self.run(self.now + u64::try_from(span.as_micros()).unwrap());
    }
}
