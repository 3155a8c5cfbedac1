//! Whom this node hears, and whom it gives up.
//!
//! Within a site a peer is dead by its silence alone. Between sites the silence may be the link's: then an observer that looks
//! along another way must agree, and a peer that an observer hears, or whose SIP address answers, is not dead. Nobody is
//! called dead because *we* stood still: a call that comes late begins all windows anew.

mod peer;
#[cfg(test)]
mod tests;

use crate::times::{LATE, SLEPT};
use peer::Peer;
use routing::cluster::{Cluster, NodeId, observers};
use sip::clock::Instant;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use peer::{Figures, State};

/// What it is told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The cluster as this node sees it now: who there is to listen for.
    Cluster(Arc<Cluster>),
    /// A heartbeat.
    Heard {
        /// Of whom.
        from: NodeId,
        /// Its incarnation, as it says.
        incarnation: u64,
        /// The round trip, where the heartbeat answers one of ours.
        rtt: Option<Duration>,
    },
    /// A peer asks whether we hear another.
    Asked {
        /// Who asks.
        from: NodeId,
        /// About whom.
        about: NodeId,
        /// Goes back with the answer.
        round: u32,
    },
    /// An observer's answer to [`Effect::Probe`].
    Answered {
        /// The observer.
        via: NodeId,
        /// About whom.
        about: NodeId,
        /// The round of the question.
        round: u32,
        /// Whether it hears it.
        heard: bool,
    },
    /// What an OPTIONS to the SIP address of a silent peer led to ([`Effect::Knock`]).
    Knocked {
        /// Whose address.
        about: NodeId,
        /// Whether anything came back.
        answered: bool,
    },
}

/// What it wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a heartbeat, with our incarnation.
    Beat {
        /// To whom.
        to: NodeId,
    },
    /// Ask an observer whether it hears a silent peer.
    Probe {
        /// The observer.
        via: NodeId,
        /// The silent peer.
        about: NodeId,
        /// To be brought back with the answer.
        round: u32,
    },
    /// Send an OPTIONS to a SIP address of a silent peer.
    Knock {
        /// The silent peer.
        about: NodeId,
    },
    /// Answer a peer that asked.
    Answer {
        /// Who asked.
        to: NodeId,
        /// About whom.
        about: NodeId,
        /// Of its question.
        round: u32,
        /// Whether we hear it.
        heard: bool,
    },
    /// A peer's state or incarnation has changed.
    Changed {
        /// Which peer.
        node: NodeId,
        /// Its state now.
        state: State,
        /// The newest incarnation that was heard of it.
        incarnation: u64,
    },
}

/// Counts since this process began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Peers called dead.
    pub deaths: u64,
    /// Peers called dead that came back in the same incarnation.
    pub false_alarms: u64,
    /// Questions sent to observers.
    pub probes: u64,
    /// How often a peer was kept from being called dead by an observer or its SIP address.
    pub vetoes: u64,
    /// How often this process was found to have stood still.
    pub stalls: u64,
    /// Heartbeats of a former life, or of nobody we know.
    pub strays: u64,
}

/// The liveness of all peers, in the eyes of this node.
#[derive(Debug)]
pub struct Liveness {
    me: NodeId,
    cluster: Arc<Cluster>,
    peers: BTreeMap<NodeId, Peer>,
    /// The last call, and by when the next one was asked for.
    called: Instant,
    expected: Option<Instant>,
    totals: Totals,
    effects: VecDeque<Effect>,
}

impl Liveness {
    /// Of a node that knows no peer yet.
    #[must_use]
    pub fn new(me: NodeId, now: Instant) -> Self {
        Self {
            me,
            cluster: Arc::new(Cluster::default()),
            peers: BTreeMap::new(),
            called: now,
            expected: None,
            totals: Totals::default(),
            effects: VecDeque::new(),
        }
    }

    /// What a peer is taken for; nothing for strangers and for this node itself.
    #[must_use]
    pub fn state(&self, node: NodeId) -> Option<State> {
        self.peers.get(&node).map(Peer::state)
    }

    /// The peers that are up.
    #[must_use]
    pub fn live(&self) -> BTreeSet<NodeId> {
        self.peers.iter().filter(|(_, peer)| peer.state() == State::Up).map(|(node, _)| *node).collect()
    }

    /// What is measured of each peer.
    pub fn figures(&self, now: Instant) -> impl Iterator<Item = (NodeId, Figures)> + '_ {
        self.peers.iter().map(move |(node, peer)| (*node, peer.figures(now)))
    }

    /// What is counted.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// Takes what happened. `now` is when it is handled, not when it came: what waited while we slept is judged by when we
    /// woke.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.notice_stall(now);
        match input {
            Input::Cluster(cluster) => self.on_cluster(now, cluster),
            Input::Heard { from, incarnation, rtt } => self.on_heard(now, from, incarnation, rtt),
            Input::Asked { from, about, round } => {
                if let Some(peer) = self.peers.get(&about).filter(|_| self.peers.contains_key(&from)) {
                    let heard = peer.state() == State::Up;
                    self.effects.push_back(Effect::Answer { to: from, about, round, heard });
                }
            }
            Input::Answered { via, about, round, heard } => {
                if let Some(peer) = self.peers.get_mut(&about).filter(|_| via != about) {
                    peer.on_answer(now, via, round, heard);
                }
            }
            Input::Knocked { about, answered } => {
                if let Some(peer) = self.peers.get_mut(&about) {
                    peer.on_knock(now, answered);
                }
            }
        }
        self.run(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        self.run(now);
    }

    /// When [`Self::handle_timeout`] has something to do. Being called much later than this is taken for having slept.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.expected
    }

    /// The next thing to do. To be emptied after each call.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn notice_stall(&mut self, now: Instant) {
        let late = self.expected.is_some_and(|expected| now > expected + LATE);
        if late || now < self.called {
            self.totals.stalls += 1;
            let slept = now < self.called || now.since(self.called) >= SLEPT;
            self.peers.values_mut().for_each(|peer| peer.begin_anew(now, slept));
        }
        self.called = now;
    }

    fn on_cluster(&mut self, now: Instant, cluster: Arc<Cluster>) {
        self.peers.retain(|node, _| cluster.member(*node).is_some());
        let site = cluster.member(self.me).map(|member| member.site.clone());
        for member in cluster.members().values().filter(|member| member.id != self.me) {
            let near = site.as_ref() == Some(&member.site);
            let peer = self.peers.entry(member.id).or_insert_with(|| Peer::new(now));
            let before = (peer.state(), peer.incarnation());
            peer.on_member(now, near, member.incarnation);
            let (node, state, incarnation) = (member.id, peer.state(), peer.incarnation());
            if (state, incarnation) != before {
                self.effects.push_back(Effect::Changed { node, state, incarnation });
            }
        }
        self.cluster = cluster;
    }

    fn on_heard(&mut self, now: Instant, from: NodeId, incarnation: u64, rtt: Option<Duration>) {
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| incarnation >= peer.incarnation()) else {
            self.totals.strays += 1;
            return;
        };
        let (before, life) = (peer.state(), peer.incarnation());
        peer.on_beat(now, incarnation, rtt);
        if before == State::Dead && peer.state() == State::Up && life == incarnation {
            self.totals.false_alarms += 1;
        }
        if (peer.state(), peer.incarnation()) != (before, life) {
            self.effects.push_back(Effect::Changed { node: from, state: peer.state(), incarnation });
        }
    }

    fn run(&mut self, now: Instant) {
        let live = self.live();
        for (node, peer) in &mut self.peers {
            if peer.beat_is_due(now) {
                self.effects.push_back(Effect::Beat { to: *node });
            }
            let before = peer.state();
            let asks = peer.asks(now);
            let others = || observers(&self.cluster, self.me, *node, &live);
            if let Some(round) = asks {
                let asked = others();
                self.totals.probes += asked.len() as u64;
                peer.observed_by(&asked);
                self.effects.extend(asked.into_iter().map(|via| Effect::Probe { via, about: *node, round }));
                if self.cluster.member(*node).is_some_and(|member| !member.sip.is_empty()) {
                    self.effects.push_back(Effect::Knock { about: *node });
                }
            }
            self.totals.vetoes += u64::from(peer.judge(now));
            if peer.state() != before {
                self.totals.deaths += u64::from(peer.state() == State::Dead);
                let (state, incarnation) = (peer.state(), peer.incarnation());
                self.effects.push_back(Effect::Changed { node: *node, state, incarnation });
            }
        }
        self.expected = self.peers.values().map(|peer| peer.due(now)).min();
    }
}
