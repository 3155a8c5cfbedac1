//! This node's part of a trunk's limits: what calls take from, and how it asks the trunk's leader for more.

use super::said::Said;
use super::{Gate, Trunks};
use crate::calls::actor::CallMessage;
use crate::calls::directory::CallRef;
use crate::clock;
use crate::cluster::Cluster;
use crate::shell::{Performed, Shell};
use crate::trunks::trunk_actor::Ask;
use ::call::Input;
use ::call::input::Refused;
use ::trunk::quota::{self, Acquire, Limits, MAX_WAITING, Member, PATIENCE, Refusal, Reply, Term, Ticket};
use mesh::Kind;
use routing::Target;
use routing::cluster::shard_of;
use routing::model::{Trunk, WithoutLeader};
use rustc_hash::FxHashMap;
use sip::clock::Instant;
use std::sync::Arc;
use std::time::Duration;

/// Calls that wait for a lease look so often whether it is back.
const LEASE_LOOK: Duration = Duration::from_millis(20);

/// What a call wants a channel for.
pub enum Purpose {
    /// To come in.
    Admit,
    /// For an attempt.
    Seize {
        /// Which attempt.
        attempt: u32,
        /// Where to.
        target: Target,
        /// For shuffling.
        seed: u64,
    },
}

/// What became of a wish for a channel.
pub enum Acquired {
    /// It is there, for this purpose.
    Now(Purpose),
    /// There is none.
    Refused(Refused),
    /// The trunk's leader is asked; the call is told.
    Later,
}

/// See the module.
pub(super) struct Share {
    member: Member,
    incarnation: u64,
    policy: WithoutLeader,
    waiting: FxHashMap<Ticket, (CallRef, Purpose)>,
    /// Calls whose waiting came to nothing with a former life of this node.
    refused: Vec<(CallRef, Purpose)>,
    /// Since when calls have found this node without a lease, and those that wait for it to have one again.
    unleased: Option<Instant>,
    parked: Vec<(CallRef, Purpose)>,
    /// When the trunk's actor will look next.
    armed: Option<Instant>,
}

/// What is to be done once the share's lock is free.
#[derive(Default)]
pub(super) struct Todo {
    send: Vec<(u64, quota::Request)>,
    granted: Vec<(CallRef, Purpose)>,
    denied: Vec<(CallRef, Purpose, Refusal)>,
    look: bool,
}

impl Share {
    pub(super) fn new(trunk: &Trunk, cluster: &Cluster) -> Self {
        let incarnation = cluster.incarnation();
        let member = Member::new(cluster.me(), incarnation, Limits::of(trunk), trunk.without_leader);
        let mut share = Self {
            member,
            incarnation,
            policy: trunk.without_leader,
            waiting: FxHashMap::default(),
            refused: Vec::new(),
            unleased: None,
            parked: Vec::new(),
            armed: None,
        };
        share.follow(&trunk.name, cluster, clock::now().mono);
        share
    }

    /// Channels in use here.
    pub(super) const fn used(&self) -> u32 {
        self.member.used()
    }

    /// The life of this node that holds them.
    pub(super) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Channels that this node holds.
    pub(super) const fn held(&self) -> u32 {
        self.member.granted()
    }

    /// The limits over the whole cluster.
    pub(super) const fn limits(&self) -> Limits {
        self.member.limits()
    }

    /// The row has changed.
    pub(super) fn resize(&mut self, trunk: &Trunk, now: Instant) {
        self.policy = trunk.without_leader;
        self.member.resize(now, Limits::of(trunk), trunk.without_leader);
    }

    /// Who leads may have changed, and so may this node's life: calls that are up keep their channels in the new one.
    pub(super) fn follow(&mut self, trunk: &str, cluster: &Cluster, now: Instant) {
        if self.incarnation != cluster.incarnation() {
            self.begin_anew(cluster, now);
        }
        let replicated = cluster.replicated();
        let shard = replicated.shard(shard_of(trunk));
        let Some(owner) = shard.owner.and_then(|owner| replicated.member(owner)) else { return };
        let term = Term { epoch: shard.epoch.into(), incarnation: owner.incarnation };
        // The member notices silence by itself.
        self.member.handle_input(now, quota::member::Input::Leader { node: owner.id, term });
    }

    /// This node's former life is over and what it held was taken back: calls that are up keep their channels in the new one,
    /// calls that wait are refused.
    fn begin_anew(&mut self, cluster: &Cluster, now: Instant) {
        let (used, limits, policy) = (self.member.used(), self.member.limits(), self.policy);
        self.incarnation = cluster.incarnation();
        self.member = Member::new(cluster.me(), self.incarnation, limits, policy);
        (0..used).for_each(|_| self.member.adopt(now));
        self.armed = None;
        self.refused.extend(self.waiting.drain().map(|(_, waited)| waited));
    }

    fn acquire(&mut self, call: &CallRef, purpose: Purpose, now: Instant) -> Acquired {
        match self.member.try_acquire(now) {
            Acquire::Taken => Acquired::Now(purpose),
            Acquire::Refused(refusal) => Acquired::Refused(refused(refusal)),
            Acquire::Ask(ticket) => {
                self.waiting.insert(ticket, (call.clone(), purpose));
                Acquired::Later
            }
        }
    }

    /// A call for which this node has no lease: what it holds may have been lent anew by now. A lease is often back in a
    /// moment, as when the tables get another leader; a node that is cut off refuses at once after a while, so that its callers
    /// go elsewhere.
    fn park(&mut self, call: &CallRef, purpose: Purpose, now: Instant) -> Acquired {
        let since = *self.unleased.get_or_insert(now);
        if now.since(since) >= PATIENCE || self.parked.len() >= MAX_WAITING {
            return Acquired::Refused(Refused::NoLeader);
        }
        self.parked.push((call.clone(), purpose));
        Acquired::Later
    }

    /// Looks after the calls that wait for a lease.
    fn unpark(&mut self, now: Instant, leased: bool) -> Todo {
        let mut todo = Todo::default();
        if leased {
            self.unleased = None;
            for (call, purpose) in std::mem::take(&mut self.parked) {
                match self.member.try_acquire(now) {
                    Acquire::Taken => todo.granted.push((call, purpose)),
                    Acquire::Refused(refusal) => todo.denied.push((call, purpose, refusal)),
                    Acquire::Ask(ticket) => drop(self.waiting.insert(ticket, (call, purpose))),
                }
            }
        } else if self.unleased.is_some_and(|since| now.since(since) >= PATIENCE) {
            todo.denied.extend(self.parked.drain(..).map(|(call, purpose)| (call, purpose, Refusal::Leader)));
        }
        todo
    }

    fn next_look(&self, now: Instant) -> Option<Instant> {
        let parked = (!self.parked.is_empty()).then(|| now + LEASE_LOOK);
        self.member.poll_timeout().into_iter().chain(parked).min()
    }

    /// When its trunk's actor has to look again; noted as what it will do.
    pub(super) fn arm(&mut self, now: Instant) -> Option<Instant> {
        self.armed = self.next_look(now);
        self.armed
    }

    /// What the member wants done.
    fn todo(&mut self, now: Instant) -> Todo {
        let mut todo = Todo::default();
        todo.denied.extend(self.refused.drain(..).map(|(call, purpose)| (call, purpose, Refusal::Leader)));
        while let Some(effect) = self.member.poll_effect() {
            match effect {
                quota::member::Effect::Send { to, request } => todo.send.push((to, request)),
                quota::member::Effect::Granted(ticket) => todo.granted.extend(self.waiting.remove(&ticket)),
                quota::member::Effect::Denied(ticket, refusal) => {
                    let waited = self.waiting.remove(&ticket);
                    todo.denied.extend(waited.map(|(call, purpose)| (call, purpose, refusal)));
                }
                quota::member::Effect::Reach(true) => tracing::debug!("a trunk's leader answers again"),
                quota::member::Effect::Reach(false) => {
                    tracing::debug!("a trunk's leader does not answer");
                    metrics::counter!("tandem_trunk_leader_lost_total").increment(1);
                }
            }
        }
        let next = self.next_look(now);
        todo.look = next.is_some_and(|next| self.armed.is_none_or(|armed| next < armed));
        if todo.look {
            self.armed = next;
        }
        todo
    }
}

const fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Channels => Refused::Channels,
        Refusal::Rate => Refused::Rate,
        Refusal::Leader | Refusal::Crowded => Refused::NoLeader,
    }
}

impl Trunks {
    /// Takes a channel within the rate, here or from the trunk's leader.
    pub(crate) fn acquire(
        &self,
        shell: &Arc<Shell>,
        trunk: &Trunk,
        now: Instant,
        call: &CallRef,
        purpose: Purpose,
    ) -> Acquired {
        let gate = self.gate(trunk, &shell.cluster);
        // What a node holds without a lease may have been lent anew by now.
        let leased = Limits::of(trunk).is_none() || shell.cluster.holds_lease(now);
        let (acquired, todo) = gate.share(now, |share| {
            if !leased {
                return share.park(call, purpose, now);
            }
            share.unleased = None;
            // A lease is of this life: what a former one held must not be taken under it.
            if share.incarnation != shell.cluster.incarnation() {
                share.follow(&trunk.name, &shell.cluster, now);
            }
            share.acquire(call, purpose, now)
        });
        gate.perform(shell, todo);
        acquired
    }

    /// Counts a channel of a call that another node carried: no limit may end it.
    pub(crate) fn adopt(&self, shell: &Arc<Shell>, trunk: &Trunk) {
        let (gate, now) = (self.gate(trunk, &shell.cluster), clock::now().mono);
        let ((), todo) = gate.share(now, |share| share.member.adopt(now));
        gate.perform(shell, todo);
    }

    /// Gives a channel back.
    pub(crate) fn release(&self, shell: &Arc<Shell>, name: &str) {
        let Some(gate) = self.known(name) else { return };
        let now = clock::now().mono;
        let ((), todo) = gate.share(now, |share| share.member.release(now));
        gate.perform(shell, todo);
    }

    /// The row of a trunk has changed, or its actor has just started.
    pub(super) fn resize(&self, shell: &Arc<Shell>, trunk: &Trunk) {
        let (gate, now) = (self.gate(trunk, &shell.cluster), clock::now().mono);
        let ((), todo) = gate.share(now, |share| share.resize(trunk, now));
        gate.perform(shell, todo);
    }

    /// What another node says of a trunk; `false` if it cannot be read.
    pub(crate) fn receive(&self, shell: &Arc<Shell>, _: u64, body: &[u8]) -> bool {
        match Said::decode(body) {
            Some(Said::Request { trunk, request }) => {
                // A leader that has no row of the trunk yet is asked again.
                if let Some(gate) = self.known(&trunk) {
                    gate.door.tell(Ask::Quota(request));
                }
                true
            }
            Some(Said::Reply { trunk, version, reply }) => {
                if let Some(gate) = self.known(&trunk) {
                    gate.answered(shell, version, reply);
                }
                true
            }
            None => false,
        }
    }

    /// Members, shards or liveness may have changed.
    pub(crate) fn follow(&self, shell: &Arc<Shell>) {
        if !self.fencings.follow(&shell.cluster) {
            return;
        }
        for gate in self.gates.load().values() {
            let now = clock::now().mono;
            let ((), todo) = gate.share(now, |share| share.follow(&gate.name, &shell.cluster, now));
            gate.perform(shell, todo);
            gate.door.tell(Ask::Follow);
        }
    }
}

impl Gate {
    /// Works on the share, and says what is to be done when its lock is free again.
    fn share<R>(&self, now: Instant, work: impl FnOnce(&mut Share) -> R) -> (R, Todo) {
        let mut share = self.share.lock();
        let result = work(&mut share);
        (result, share.todo(now))
    }

    /// The leader has answered, or asks.
    pub(super) fn answered(&self, shell: &Arc<Shell>, version: u64, reply: Reply) {
        let now = clock::now().mono;
        // What this node holds is not known before the calls of the dead have found their nodes, nor before it knows of all that the
        // leader knows to be dead: it is asked again.
        let is_early = || version > shell.cluster.replicated().version || shell.protect.is_sharing_out(shell, now);
        if matches!(reply.notice, quota::Notice::Ask { .. }) && is_early() {
            return;
        }
        let ((), todo) = self.share(now, |share| share.member.handle_input(now, quota::member::Input::Reply(reply)));
        self.perform(shell, todo);
    }

    /// Time has passed; answers when it matters again.
    pub(super) fn tick(&self, shell: &Arc<Shell>) -> Option<Instant> {
        let now = clock::now().mono;
        let leased = shell.cluster.holds_lease(now);
        let (unparked, todo) = self.share(now, |share| {
            // As in `acquire`: what a former life held must not be taken under the lease of this one.
            if share.incarnation != shell.cluster.incarnation() {
                share.follow(&self.name, &shell.cluster, now);
            }
            share.member.handle_timeout(now);
            share.unpark(now, leased)
        });
        self.perform(shell, unparked);
        self.perform(shell, todo);
        self.share.lock().arm(now)
    }

    /// Whether this node leads may have changed.
    pub(super) fn lead(&self, trunk: &Trunk, trunks: &Trunks, cluster: &Cluster) {
        self.leading.lock().follow(clock::now().mono, trunk, cluster, &trunks.fencings);
    }

    /// A member asks the leader.
    pub(super) fn asked(&self, request: quota::Request) {
        self.leading.lock().asked(clock::now().mono, request);
    }

    /// Does what the leader wants done, if this node leads; answers when it matters again.
    pub(super) fn tick_leader(&self, shell: &Arc<Shell>) -> Option<Instant> {
        let (replies, next) = self.leading.lock().settle(clock::now().mono);
        for (to, reply) in replies {
            let version = shell.cluster.replicated().version;
            if to == shell.cluster.me() {
                self.answered(shell, version, reply);
            } else {
                let said = Said::Reply { trunk: Arc::clone(&self.name), version, reply };
                shell.cluster.tell(to, Kind::Trunk, said.encode());
            }
        }
        next
    }

    /// Does what the member wants done, with its lock free: a call that is told may come back for another channel at once.
    fn perform(&self, shell: &Arc<Shell>, todo: Todo) {
        for (call, purpose) in todo.granted {
            self.grant(shell, &call, purpose);
        }
        for (call, purpose, refusal) in todo.denied {
            let why = refused(refusal);
            let input = match purpose {
                Purpose::Admit => Input::Admitted(Err(why)),
                Purpose::Seize { attempt, .. } => Input::Seized { attempt, result: Err(why) },
            };
            call.tell(CallMessage::Input(Box::new(input)));
        }
        for (to, request) in todo.send {
            if to == shell.cluster.me() {
                self.door.tell(Ask::Quota(request));
            } else {
                let said = Said::Request { trunk: Arc::clone(&self.name), request };
                shell.cluster.tell(to, Kind::Trunk, said.encode());
            }
        }
        if todo.look {
            self.door.tell(Ask::Look);
        }
    }

    /// A call that waited has its channel: noted where it outlives the call's actor, before the call hears of it.
    fn grant(&self, shell: &Arc<Shell>, call: &CallRef, purpose: Purpose) {
        call.cell.took(&self.name);
        let view = shell.tables.view();
        let Some(trunk) = view.trunk(&self.name) else { return shell.release(&call.cell, &self.name) };
        let told = match shell.seized(call, clock::now(), trunk, purpose) {
            Performed::Answer(input) => call.tell(CallMessage::Input(Box::new(input))),
            Performed::Done => true,
        };
        if !told {
            shell.release(&call.cell, &self.name);
        }
    }
}
