//! The leader of a trunk's limits, on the node that acts for the trunk's shard: made anew for each term, gone with it.

use super::fencings::Fencings;
use crate::cluster::Cluster;
use ::trunk::quota::{self, Leader, Limits, Peer, Reply, Request, Term};
use routing::cluster::{Liveness, NodeId, shard_of};
use routing::model::Trunk;
use sip::clock::Instant;

/// The leader, while this node leads. It outlives the trunk's actor: a second one in the same term would lend twice.
///
/// A node that has no lease for a moment keeps its leader, silent: one that is made anew in the same term would not know what
/// the former one has lent and its members have not heard of yet.
#[derive(Default)]
pub(super) struct Leading {
    leader: Option<(Term, Leader)>,
    /// Whether it may be heard.
    acts: bool,
    /// The ended lives that this leader has heard of.
    told: Vec<(NodeId, u64)>,
}

impl Leading {
    /// Looks whether this node leads, and tells the leader who takes part.
    pub(super) fn follow(&mut self, now: Instant, trunk: &Trunk, cluster: &Cluster, fencings: &Fencings) {
        let shard = shard_of(&trunk.name);
        let limits = Limits::of(trunk);
        let epoch = cluster.replicated().shard(shard).epoch.into();
        let term = Term { epoch, incarnation: cluster.incarnation() };
        self.acts = cluster.acts_for(shard, now);
        let is_over = limits.is_none() || !self.acts && self.leader.as_ref().is_none_or(|(known, _)| *known != term);
        if is_over {
            self.leader = None;
            return;
        }
        let members = members(cluster);
        let is_new = self.leader.as_ref().is_none_or(|(known, _)| *known != term);
        if is_new {
            self.leader = Some((term, Leader::new(now, cluster.me(), term, limits, &members)));
            self.told.clear();
        }
        let Some((_, leader)) = &mut self.leader else { return };
        let recent = fencings.recent(now);
        for (node, incarnation, at) in recent.iter().copied() {
            if !self.told.contains(&(node, incarnation)) {
                leader.handle_input(now, quota::leader::Input::Fenced { node, incarnation, at });
            }
        }
        self.told = recent.into_iter().map(|(node, incarnation, _)| (node, incarnation)).collect();
        if !is_new {
            leader.handle_input(now, quota::leader::Input::Members(members));
            leader.resize(now, limits);
        }
    }

    /// Channels that members hold as far as this node, as their leader, knows.
    pub(super) fn lent(&self) -> Option<u32> {
        self.leader
            .as_ref()
            .filter(|(_, leader)| self.acts && !leader.is_counting())
            .map(|(_, leader)| leader.granted())
    }

    /// A member asks. Whoever does not lead says nothing: the member asks the right one as soon as it knows it.
    pub(super) fn asked(&mut self, now: Instant, request: Request) {
        if let Some((_, leader)) = self.leader.as_mut().filter(|_| self.acts) {
            leader.handle_input(now, quota::leader::Input::Request(request));
        }
    }

    /// Does what is due; answers what the leader says, to whom, and when something is due again.
    pub(super) fn settle(&mut self, now: Instant) -> (Vec<(NodeId, Reply)>, Option<Instant>) {
        let Some((_, leader)) = self.leader.as_mut().filter(|_| self.acts) else { return (Vec::new(), None) };
        leader.handle_timeout(now);
        let (mut superseded, mut replies) = (false, Vec::new());
        while let Some(effect) = leader.poll_effect() {
            match effect {
                quota::leader::Effect::Send { to, reply } => replies.push((to, reply)),
                quota::leader::Effect::Superseded(_) => superseded = true,
            }
        }
        let next = leader.poll_timeout();
        if superseded {
            self.leader = None;
        }
        (replies, next)
    }
}

/// Everybody who may hold something of a trunk.
fn members(cluster: &Cluster) -> Vec<Peer> {
    let replicated = cluster.replicated();
    let takes_part =
        replicated.members().values().filter(|member| !member.witness && member.liveness != Liveness::Fenced);
    takes_part
        .map(|member| Peer { node: member.id, incarnation: member.incarnation, alive: cluster.is_up(member.id) })
        .collect()
}
