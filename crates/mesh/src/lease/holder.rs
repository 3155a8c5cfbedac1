//! A node's own side: its incarnation, and until when it may act.

use crate::times::{LEASE, RENEW};
use routing::cluster::{Cluster, Liveness, NodeId};
use sip::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// How long until a start that failed is tried again.
const START_AGAIN: Duration = Duration::from_millis(300);
/// How long until a start of which nothing was heard is tried again.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// How many grants may wait for our view; as many as are renewed within a lease.
const WAITING: usize = 8;

/// What a holder is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// Who leads now, as far as this node knows.
    Leader(Option<NodeId>),
    /// The cluster as this node sees it now.
    Cluster(&'a Cluster),
    /// The leader has granted a renewal.
    Granted {
        /// When it was sent, by our clock: the stamp of [`Effect::Renew`].
        stamp: Instant,
        /// For which incarnation.
        incarnation: u64,
        /// Which version of the cluster the leader knew.
        version: u64,
    },
    /// What a [`Effect::Start`] led to: our incarnation from now on.
    Started(u64),
    /// It led to nothing: no quorum, no leader, no answer.
    StartFailed,
    /// The cluster refuses this node for good, as it does one that was removed.
    Refused,
    /// Another node does not know this one. That node's view may be old; without a lease as well this node may have been
    /// removed unheard, and finds out as it begins anew.
    Disowned,
}

/// What a holder wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Ask the leader for the lease.
    Renew {
        /// The leader.
        to: NodeId,
        /// Now; it comes back with the grant.
        stamp: Instant,
        /// Our incarnation.
        incarnation: u64,
    },
    /// Propose `ClusterChange::Start` for this node, with the incarnation that our view shows, and say what came of it. One
    /// that is stale by its incarnation has failed, not been refused.
    Start,
    /// The lease was gained or lost. Asked in between, [`Holder::holds`] knows better.
    Held(bool),
    /// This node is no member any more: it stops.
    Expelled,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// Without an incarnation; when it is to be proposed, or proposed again.
    Starting { due: Instant },
    /// With one; whether our view shows it yet.
    Running { incarnation: u64, shown: bool },
    /// No member.
    Expelled,
}

/// The lease of this node.
#[derive(Debug)]
pub struct Holder {
    me: NodeId,
    life: Life,
    leader: Option<NodeId>,
    /// The version of our view.
    version: u64,
    until: Instant,
    /// Grants for views that we do not have yet, as (version, end).
    waiting: VecDeque<(u64, Instant)>,
    renew_at: Instant,
    told: bool,
    effects: VecDeque<Effect>,
}

impl Holder {
    /// A node that joined or founded in this process has its incarnation; any other starts first.
    #[must_use]
    pub fn new(me: NodeId, incarnation: Option<u64>, now: Instant) -> Self {
        let life = match incarnation {
            Some(incarnation) => Life::Running { incarnation, shown: false },
            None => Life::Starting { due: now },
        };
        Self {
            me,
            life,
            leader: None,
            version: 0,
            until: Instant::ORIGIN,
            waiting: VecDeque::new(),
            renew_at: now,
            told: false,
            effects: VecDeque::new(),
        }
    }

    /// Whether this node may act as owner.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        matches!(self.life, Life::Running { .. }) && now < self.until
    }

    /// For how long it may, unless it is granted more.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        if self.holds(now) { self.until.since(now) } else { Duration::ZERO }
    }

    /// Our incarnation; 0 while there is none.
    #[must_use]
    pub const fn incarnation(&self) -> u64 {
        match self.life {
            Life::Running { incarnation, .. } => incarnation,
            Life::Starting { .. } | Life::Expelled => 0,
        }
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Leader(leader) => {
                if leader != self.leader {
                    self.renew_at = now;
                }
                self.leader = leader;
            }
            Input::Cluster(cluster) => self.on_cluster(now, cluster),
            Input::Granted { stamp, incarnation, version } => self.on_grant(now, stamp, incarnation, version),
            Input::Started(incarnation) => {
                if matches!(self.life, Life::Starting { .. }) {
                    self.life = Life::Running { incarnation, shown: false };
                    self.renew_at = now;
                }
            }
            Input::StartFailed => {
                if let Life::Starting { due } = &mut self.life {
                    *due = now + START_AGAIN;
                }
            }
            Input::Refused => self.expel(),
            Input::Disowned => {
                if matches!(self.life, Life::Running { shown: true, .. }) && !self.holds(now) {
                    self.life = Life::Starting { due: now };
                    self.drop_lease();
                }
            }
        }
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.life {
            Life::Starting { due } if now >= *due => {
                *due = now + START_PATIENCE;
                self.effects.push_back(Effect::Start);
            }
            Life::Running { incarnation, .. } => {
                if let Some(to) = self.leader.filter(|_| now >= self.renew_at) {
                    self.renew_at = now + RENEW;
                    self.effects.push_back(Effect::Renew { to, stamp: now, incarnation: *incarnation });
                }
            }
            Life::Starting { .. } | Life::Expelled => {}
        }
        let holds = self.holds(now);
        if holds != self.told {
            self.told = holds;
            self.effects.push_back(Effect::Held(holds));
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match self.life {
            Life::Starting { due } => Some(due),
            Life::Running { .. } => self.leader.map(|_| self.renew_at),
            Life::Expelled => None,
        };
        due.into_iter().chain(self.told.then_some(self.until)).min()
    }

    /// The next thing to do. To be emptied after each call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn on_cluster(&mut self, now: Instant, cluster: &Cluster) {
        self.version = cluster.version;
        let Life::Running { incarnation, shown } = self.life else { return };
        match cluster.member(self.me) {
            // A view from before we joined knows nothing of us; one that knew us has lost us.
            None if shown => self.expel(),
            None => {}
            // A view from before we started.
            Some(member) if member.incarnation < incarnation => {}
            Some(member) if member.incarnation > incarnation || member.liveness == Liveness::Fenced => {
                self.life = Life::Starting { due: now };
                self.drop_lease();
            }
            Some(_) => {
                self.life = Life::Running { incarnation, shown: true };
                self.count_grants();
            }
        }
    }

    fn on_grant(&mut self, now: Instant, stamp: Instant, incarnation: u64, version: u64) {
        if !matches!(self.life, Life::Running { incarnation: ours, .. } if ours == incarnation) || stamp > now {
            return;
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((version, stamp + LEASE));
        self.count_grants();
    }

    /// Grants of a version that our view has reached count from now on.
    fn count_grants(&mut self) {
        let reached = self.waiting.iter().filter(|(version, _)| *version <= self.version);
        self.until = reached.map(|(_, until)| *until).fold(self.until, Instant::max);
        self.waiting.retain(|(version, _)| *version > self.version);
    }

    fn drop_lease(&mut self) {
        self.until = Instant::ORIGIN;
        self.waiting.clear();
    }

    fn expel(&mut self) {
        if self.life != Life::Expelled {
            self.life = Life::Expelled;
            self.drop_lease();
            self.effects.push_back(Effect::Expelled);
        }
    }
}
