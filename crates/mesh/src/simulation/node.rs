//! One node: its machines, and a shell that only obeys them.

use super::Message;
use crate::handover::{self, Handover};
use crate::lease::{self, Answer, Holder};
use crate::liveness::{self, Liveness};
use crate::steward::{self, Duty, Steward};
use crate::times::{LEASE, Waits};
use routing::cluster::{Cluster, NodeId};
use sip::clock::Instant;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Running,
    Paused,
    Dead,
}

/// What a node does to the world.
#[derive(Debug)]
pub(super) enum Deed {
    Send(NodeId, Message),
    Knock(NodeId),
    Start,
    Duty(u64, Duty),
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) site: &'static str,
    pub(super) status: Status,
    /// The origin of its clock lies so far before that of the world, in microseconds.
    offset: u64,
    /// Rises with every process.
    pub(super) process: u32,
    pub(super) applied: usize,
    pub(super) view: Arc<Cluster>,
    pub(super) liveness: Liveness,
    pub(super) holder: Holder,
    pub(super) steward: Steward,
    pub(super) handover: Handover,
    /// The term in which it believes to lead.
    pub(super) leads: Option<u64>,
    /// When a quorum confirmed its lead last, by true time.
    pub(super) confirmed: u64,
    /// Until when its lease may last, by true time: the oracle's own account.
    pub(super) lease_truth: u64,
    pub(super) expelled: bool,
    pub(super) backlog: Vec<(NodeId, Message)>,
    pub(super) wake_at: u64,
}

impl Node {
    pub(super) fn new(id: NodeId, site: &'static str, offset: u64, now: u64, incarnation: Option<u64>) -> Self {
        let mono = Instant::from_micros(now + offset);
        Self {
            id,
            site,
            status: Status::Running,
            offset,
            process: 0,
            applied: 0,
            view: Arc::new(Cluster::default()),
            liveness: Liveness::new(id, mono),
            holder: Holder::new(id, incarnation, mono),
            steward: Steward::new(id, Waits::default()),
            handover: Handover::new(id, Waits::default()),
            leads: None,
            confirmed: 0,
            lease_truth: 0,
            expelled: false,
            backlog: Vec::new(),
            wake_at: u64::MAX,
        }
    }

    /// A new process on the same data, with a clock of another origin.
    pub(super) fn reborn(&self, now: u64, offset: u64) -> Self {
        let mut node = Self::new(self.id, self.site, offset, now, None);
        (node.process, node.lease_truth, node.applied) = (self.process + 1, self.lease_truth, self.applied);
        node
    }

    pub(super) fn mono(&self, now: u64) -> Instant {
        Instant::from_micros(now + self.offset)
    }

    pub(super) fn leased(&self, now: u64) -> bool {
        self.status == Status::Running && self.holder.holds(self.mono(now))
    }

    pub(super) fn acts_for(&self, shard: u16, now: u64) -> bool {
        self.status == Status::Running && self.handover.acts_for(shard, self.mono(now), self.leased(now))
    }

    /// A newer view.
    pub(super) fn see(&mut self, now: u64, index: usize, cluster: &Arc<Cluster>) {
        let mono = self.mono(now);
        (self.applied, self.view) = (index, Arc::clone(cluster));
        self.handover.handle_input(mono, handover::Input::Cluster(cluster));
        self.liveness.handle_input(mono, liveness::Input::Cluster(Arc::clone(cluster)));
        self.steward.handle_input(mono, steward::Input::Cluster(Arc::clone(cluster)));
        self.holder.handle_input(mono, lease::Input::Cluster(cluster));
    }

    pub(super) fn wake(&mut self, now: u64) {
        let mono = self.mono(now);
        self.liveness.handle_timeout(mono);
        self.holder.handle_timeout(mono);
        self.steward.handle_timeout(mono);
        self.handover.handle_timeout(mono);
    }

    pub(super) fn take(&mut self, now: u64, from: NodeId, message: Message) -> Option<Deed> {
        let mono = self.mono(now);
        match message {
            Message::Beat { incarnation } => {
                self.liveness.handle_input(mono, liveness::Input::Heard { from, incarnation, rtt: None });
            }
            Message::Ask { about, round } => {
                self.liveness.handle_input(mono, liveness::Input::Asked { from, about, round });
            }
            Message::Tell { about, round, heard } => {
                self.liveness.handle_input(mono, liveness::Input::Answered { via: from, about, round, heard });
            }
            Message::Knocked { about } => {
                self.liveness.handle_input(mono, liveness::Input::Knocked { about, answered: true });
            }
            Message::Renew { stamp, incarnation } => return self.grant(now, from, stamp, incarnation),
            Message::Grant { stamp, incarnation, version, sent } => {
                self.lease_truth = self.lease_truth.max(sent + micros(LEASE));
                self.holder.handle_input(mono, lease::Input::Granted { stamp, incarnation, version });
            }
            Message::Opinions(opinions) => {
                for (about, state) in opinions {
                    self.steward.handle_input(mono, steward::Input::Opinion { observer: from, about, state });
                }
            }
            Message::Release(shards) => {
                self.handover.handle_input(mono, handover::Input::Released { from, shards: &shards });
            }
            Message::Started(incarnation) => {
                let input = incarnation.map_or(lease::Input::StartFailed, lease::Input::Started);
                self.holder.handle_input(mono, input);
            }
            Message::Done { ticket, made } => self.steward.handle_input(mono, steward::Input::Done { ticket, made }),
            Message::Leads(term) => {
                self.leads = term;
                self.steward
                    .handle_input(mono, steward::Input::Leads(term.map(|term| steward::Lead { term, former: None })));
            }
            Message::Leader(leader) => self.holder.handle_input(mono, lease::Input::Leader(Some(leader))),
            Message::Applied(_) => {}
        }
        None
    }

    /// Grants only while a quorum has confirmed the lead within the time in which nobody else can be elected.
    fn grant(&mut self, now: u64, to: NodeId, stamp: Instant, incarnation: u64) -> Option<Deed> {
        if self.leads.is_none() || now > self.confirmed + 500_000 {
            return None;
        }
        match self.steward.renew(self.mono(now), to, incarnation) {
            // `sent` is filled in by the world, which knows the sender's clock.
            Answer::Granted { version } => {
                Some(Deed::Send(to, Message::Grant { stamp, incarnation, version, sent: 0 }))
            }
            Answer::Refused(_) => None,
        }
    }

    /// Everything that the machines want done.
    pub(super) fn deeds(&mut self, now: u64) -> Vec<Deed> {
        let mut deeds = Vec::new();
        while let Some(effect) = self.liveness.poll_effect() {
            match effect {
                liveness::Effect::Beat { to } => {
                    deeds.push(Deed::Send(to, Message::Beat { incarnation: self.holder.incarnation() }));
                }
                liveness::Effect::Probe { via, about, round } => {
                    deeds.push(Deed::Send(via, Message::Ask { about, round }));
                }
                liveness::Effect::Knock { about } => deeds.push(Deed::Knock(about)),
                liveness::Effect::Answer { to, about, round, heard } => {
                    deeds.push(Deed::Send(to, Message::Tell { about, round, heard }));
                }
                liveness::Effect::Changed { node, state, .. } => {
                    let input = steward::Input::Opinion { observer: self.id, about: node, state };
                    self.steward.handle_input(self.mono(now), input);
                }
            }
        }
        while let Some(effect) = self.holder.poll_effect() {
            match effect {
                lease::Effect::Renew { to, stamp, incarnation } => {
                    deeds.push(Deed::Send(to, Message::Renew { stamp, incarnation }));
                }
                lease::Effect::Start => deeds.push(Deed::Start),
                lease::Effect::Held(_) => {}
                lease::Effect::Expelled => self.expelled = true,
            }
        }
        while let Some(effect) = self.handover.poll_effect() {
            match effect {
                handover::Effect::Release { to, shards } => deeds.push(Deed::Send(to, Message::Release(shards))),
                handover::Effect::Changed => {}
            }
        }
        while let Some(steward::Effect { ticket, duty }) = self.steward.poll_effect() {
            deeds.push(Deed::Duty(ticket, duty));
        }
        deeds
    }

    /// When it wants to be woken, by true time.
    pub(super) fn next_wake(&self) -> Option<u64> {
        let timeouts = [
            self.liveness.poll_timeout(),
            self.holder.poll_timeout(),
            self.steward.poll_timeout(),
            self.handover.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min().map(|at| at.as_micros().saturating_sub(self.offset))
    }

    /// True time of one of its own stamps.
    pub(super) fn true_time(&self, stamp: Instant) -> u64 {
        stamp.as_micros().saturating_sub(self.offset)
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).expect("a short time")
}
