//! Who may be asked whether a node is dead.
//!
//! An observer counts only if it looks along another way than we do. Where the link between two sites is cut, everybody
//! here agrees that the other site is dead, so our own site is asked only where nobody else is left.

use super::{Cluster, NodeId};
use crate::model::Name;
use std::collections::BTreeSet;

/// How many are asked at most.
pub const OBSERVERS: usize = 3;

/// Whom `me` asks about `about`, the best first: of the nodes that `me` hears (`live`), one of each third site, then one
/// of the site of `about`, then further ones of those; our own site only if there is nobody else. At most [`OBSERVERS`].
#[must_use]
pub fn observers(cluster: &Cluster, me: NodeId, about: NodeId, live: &BTreeSet<NodeId>) -> Vec<NodeId> {
    let site = |node: NodeId| cluster.member(node).map(|member| &member.site);
    let (mine, theirs) = (site(me), site(about));
    let others = live.iter().copied().filter(|node| *node != me && *node != about && cluster.member(*node).is_some());
    let (near, far): (Vec<NodeId>, Vec<NodeId>) = others.partition(|node| site(*node) == mine);
    if far.is_empty() {
        return near.into_iter().take(OBSERVERS).collect();
    }
    let mut seen: Vec<&Name> = Vec::new();
    let mut ranked: Vec<(usize, bool, NodeId)> = Vec::new();
    for node in far {
        let Some(site) = site(node) else { continue };
        let nth = seen.iter().filter(|known| **known == site).count();
        seen.push(site);
        ranked.push((nth, Some(site) == theirs, node));
    }
    ranked.sort_unstable();
    ranked.into_iter().take(OBSERVERS).map(|(_, _, node)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::observers;
    use crate::cluster::testing::cluster;
    use std::collections::BTreeSet;

    fn asked(sites: &[&str], about: u64, live: &[u64]) -> Vec<u64> {
        observers(&cluster(sites), 1, about, &live.iter().copied().collect::<BTreeSet<_>>())
    }

    #[test]
    fn a_third_site_is_asked_before_the_site_of_the_silent_one() {
        assert_eq!(asked(&["a", "a", "b", "b", "c"], 3, &[2, 4, 5]), [5, 4]);
    }

    #[test]
    fn our_own_site_is_asked_only_if_nobody_else_is_left() {
        assert_eq!(asked(&["a", "a", "b", "c"], 3, &[2, 4]), [4]);
        assert_eq!(asked(&["a", "a", "b", "c"], 3, &[2]), [2]);
        assert_eq!(asked(&["a", "b"], 2, &[2]), [0; 0]);
    }

    #[test]
    fn one_of_each_site_comes_before_a_second_one_of_any() {
        assert_eq!(asked(&["a", "b", "c", "c", "c", "d"], 2, &[3, 4, 5, 6]), [3, 6, 4]);
    }
}
