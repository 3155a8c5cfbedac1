//! Who votes in the Raft group: three nodes, or five where five may, spread over the sites so that no site's loss takes the
//! quorum; all others learn.
//!
//! The number is always odd: a second voter would make one node's loss stop the cluster that stops now only with the other,
//! and a fourth adds nobody whom it could lose. So two nodes have one voter, and a set grows and shrinks by two.
//! Otherwise one seat changes at a time.

#[cfg(test)]
mod tests;

use super::{Cluster, Liveness, Member, NodeId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a voter is gone before its seat is given to another.
pub const GONE: Duration = Duration::from_secs(300);

/// The next set of voters, or nothing if the `current` one is right, or if nothing may be changed.
///
/// `live` are the nodes that can be reached and that have the log: a seat is only given to one of them, and neither the
/// current nor the next set is without a quorum of them. `gone_for` says how long a node has been fenced, if it is. A voter
/// that is no member any more, or was fenced for [`GONE`], is replaced where somebody fits; two of them without
/// replacement are dropped from five. A voter that is merely silent keeps its seat. A draining node keeps its seat too,
/// but is given none.
#[must_use]
pub fn voters(
    cluster: &Cluster,
    current: &BTreeSet<NodeId>,
    live: &BTreeSet<NodeId>,
    gone_for: impl Fn(NodeId) -> Option<Duration>,
) -> Option<BTreeSet<NodeId>> {
    let fit = |member: &&Member| member.liveness == Liveness::Up && live.contains(&member.id);
    let candidates: BTreeSet<NodeId> =
        cluster.members().values().filter(fit).map(|member| member.id).filter(|id| !current.contains(id)).collect();
    let lost: BTreeSet<NodeId> = current
        .iter()
        .copied()
        .filter(|voter| cluster.member(*voter).is_none() || gone_for(*voter).is_some_and(|gone| gone >= GONE))
        .collect();
    let election = Election { cluster, current, live, candidates, lost };
    let quorate = |set: &BTreeSet<NodeId>| set.intersection(live).count() * 2 > set.len();
    election.next().filter(|next| next != current && quorate(current) && quorate(next))
}

struct Election<'a> {
    cluster: &'a Cluster,
    current: &'a BTreeSet<NodeId>,
    live: &'a BTreeSet<NodeId>,
    candidates: BTreeSet<NodeId>,
    /// Voters whose seats are free for others.
    lost: BTreeSet<NodeId>,
}

impl Election<'_> {
    fn next(&self) -> Option<BTreeSet<NodeId>> {
        let (seats, wanted) = (self.current.len(), self.wanted());
        if let Some(set) = self.replaced() {
            return Some(set);
        }
        if seats < wanted {
            return self.resized((seats + 1) | 1);
        }
        let removed = self.lost.iter().any(|voter| self.cluster.member(*voter).is_none());
        if seats > wanted && (removed || self.lost.len() > 1 || seats % 2 == 0 || seats > 5) {
            return self.resized(seats - 1 - seats % 2);
        }
        self.improved()
    }

    /// How many should vote: five only where that is no step back from three, as it is if one site would hold three of them.
    fn wanted(&self) -> usize {
        let pool: BTreeSet<NodeId> = self.current.difference(&self.lost).chain(&self.candidates).copied().collect();
        let sites = self.sites(&pool);
        match pool.len() {
            5.. if crowd(&sites, 5) <= 2 || crowd(&sites, 3) >= 2 => 5,
            3.. => 3,
            _ => 1,
        }
    }

    /// Voters by site.
    fn sites(&self, set: &BTreeSet<NodeId>) -> BTreeMap<&str, usize> {
        let mut sites = BTreeMap::new();
        for member in set.iter().filter_map(|id| self.cluster.member(*id)) {
            *sites.entry(&*member.site).or_default() += 1;
        }
        sites
    }

    /// Less is better: the seats in the fullest site, then more sites, then more witnesses, who are there to vote.
    fn rank(&self, set: &BTreeSet<NodeId>) -> (usize, Reverse<usize>, Reverse<usize>) {
        let sites = self.sites(set);
        let witnesses = set.iter().filter(|id| self.cluster.member(**id).is_some_and(|member| member.witness)).count();
        (sites.values().copied().max().unwrap_or(0), Reverse(sites.len()), Reverse(witnesses))
    }

    /// The best of some sets; the first of equals.
    fn best(&self, sets: impl Iterator<Item = BTreeSet<NodeId>>) -> Option<BTreeSet<NodeId>> {
        sets.min_by_key(|set| self.rank(set))
    }

    fn with(set: &BTreeSet<NodeId>, node: NodeId) -> BTreeSet<NodeId> {
        set.iter().copied().chain([node]).collect()
    }

    fn without(set: &BTreeSet<NodeId>, node: NodeId) -> BTreeSet<NodeId> {
        set.iter().copied().filter(|voter| *voter != node).collect()
    }

    fn resized(&self, size: usize) -> Option<BTreeSet<NodeId>> {
        let mut set = self.current.clone();
        while set.len() < size {
            let free = self.candidates.difference(&set);
            set = self.best(free.map(|node| Self::with(&set, *node)))?;
        }
        while set.len() > size {
            let lost = set.intersection(&self.lost).last().copied();
            set = match lost {
                Some(lost) => Self::without(&set, lost),
                None => self.best(set.iter().rev().map(|node| Self::without(&set, *node)))?,
            };
        }
        Some(set)
    }

    /// A free seat given to who fits best; those of removed nodes first.
    fn replaced(&self) -> Option<BTreeSet<NodeId>> {
        let lost = self.lost.iter().min_by_key(|voter| self.cluster.member(**voter).is_some())?;
        let rest = Self::without(self.current, *lost);
        self.best(self.candidates.iter().map(|node| Self::with(&rest, *node)))
    }

    /// One seat changed where that spreads them better; not that of a silent voter, who may be back at any moment.
    fn improved(&self) -> Option<BTreeSet<NodeId>> {
        let leaving = self.current.iter().rev().filter(|voter| self.live.contains(voter));
        let swaps = leaving.flat_map(|out| {
            let rest = Self::without(self.current, *out);
            self.candidates.iter().map(move |node| Self::with(&rest, *node))
        });
        self.best(swaps).filter(|set| self.rank(set) < self.rank(self.current))
    }
}

/// How many of so many voters the fullest site holds at least.
fn crowd(sites: &BTreeMap<&str, usize>, voters: usize) -> usize {
    (1..=voters).find(|most| sites.values().map(|count| count.min(most)).sum::<usize>() >= voters).unwrap_or(voters)
}
