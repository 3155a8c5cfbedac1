use super::{GONE, voters};
use crate::cluster::testing::{cluster, make};
use crate::cluster::{Cluster, ClusterChange, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

type Set = BTreeSet<NodeId>;

fn set(nodes: &[NodeId]) -> Set {
    nodes.iter().copied().collect()
}

fn all(cluster: &Cluster) -> Set {
    cluster.members().keys().copied().collect()
}

/// Follows the plan to its end; each step is small, odd, and has its quorum.
fn settle(cluster: &Cluster, from: &Set, live: &Set, gone: &Set) -> Set {
    let mut current = from.clone();
    for _ in 0..20 {
        let Some(next) = voters(cluster, &current, live, |node| gone.contains(&node).then_some(GONE)) else {
            return current;
        };
        let changed = next.symmetric_difference(&current).count();
        assert!(changed <= 2, "{current:?} → {next:?}");
        assert!(next.len() % 2 == 1 || next.len() == current.len(), "{current:?} → {next:?}");
        for set in [&current, &next] {
            assert!(set.intersection(live).count() * 2 > set.len(), "no quorum in {set:?}");
        }
        current = next;
    }
    panic!("it does not end: {current:?}");
}

fn grown(sites: &[&str]) -> Set {
    let cluster = cluster(sites);
    settle(&cluster, &set(&[1]), &all(&cluster), &Set::new())
}

fn seats(sites: &[&str], voters: &Set) -> Vec<usize> {
    let mut seats: BTreeMap<&str, usize> = BTreeMap::new();
    voters.iter().for_each(|id| *seats.entry(sites[usize::try_from(*id).unwrap() - 1]).or_default() += 1);
    let mut seats: Vec<usize> = seats.into_values().collect();
    seats.sort_unstable_by(|a, b| b.cmp(a));
    seats
}

#[test]
fn clusters_of_one_to_nine_nodes_in_one_to_four_sites() {
    let shapes: [(&[&str], &[usize]); 17] = [
        (&["a"], &[1]),
        (&["a", "b"], &[1]),
        (&["a", "a", "a"], &[3]),
        (&["a", "a", "b"], &[2, 1]),
        (&["a", "b", "c"], &[1, 1, 1]),
        (&["a", "a", "b", "b"], &[2, 1]),
        (&["a", "a", "b", "c"], &[1, 1, 1]),
        (&["a", "a", "a", "a", "a"], &[5]),
        (&["a", "a", "b", "b", "c"], &[2, 2, 1]),
        // Five would put three into one site, whose loss would stop the cluster: three do not.
        (&["a", "a", "a", "b", "c"], &[1, 1, 1]),
        (&["a", "a", "a", "b", "b"], &[3, 2]),
        (&["a", "b", "c", "d", "d"], &[2, 1, 1, 1]),
        (&["a", "a", "b", "b", "c", "c"], &[2, 2, 1]),
        (&["a", "a", "a", "b", "b", "b"], &[3, 2]),
        (&["a", "a", "a", "a", "b", "b", "b", "b", "w"], &[2, 2, 1]),
        (&["a", "a", "a", "b", "b", "b", "c", "c", "c"], &[2, 2, 1]),
        (&["a", "a", "a", "b", "b", "b", "c", "c", "d"], &[2, 1, 1, 1]),
    ];
    for (sites, wanted) in shapes {
        let voters = grown(sites);
        assert_eq!(seats(sites, &voters), wanted, "{sites:?}: {voters:?}");
    }
}

#[test]
fn a_witness_votes() {
    assert_eq!(grown(&["a", "b", "w"]), set(&[1, 2, 3]));
    let nine = ["a", "a", "a", "a", "b", "b", "b", "b", "w"];
    assert!(grown(&nine).contains(&9));
    assert!(grown(&["a", "a", "a", "b", "b", "b", "c", "wd"]).contains(&8));
}

#[test]
fn voters_of_one_site_make_room_when_others_join() {
    let cluster = cluster(&["a", "a", "a", "b"]);
    assert_eq!(seats(&["a", "a", "a", "b"], &settle(&cluster, &set(&[1, 2, 3]), &all(&cluster), &Set::new())), [2, 1]);
}

#[test]
fn a_silent_voter_keeps_its_seat_until_it_is_long_gone() {
    let cluster = cluster(&["a", "b", "c", "c"]);
    let (current, live) = (set(&[1, 2, 3]), set(&[1, 2, 4]));
    assert_eq!(voters(&cluster, &current, &live, |_| None), None);
    let just = |_| Some(GONE - Duration::from_millis(1));
    assert_eq!(voters(&cluster, &current, &live, just), None);
    let gone = |node| (node == 3).then_some(GONE);
    assert_eq!(voters(&cluster, &current, &live, gone), Some(set(&[1, 2, 4])));
}

#[test]
fn a_removed_voter_is_replaced_at_once() {
    let mut cluster = cluster(&["a", "b", "c", "c"]);
    make(&mut cluster, &ClusterChange::Remove(3));
    assert_eq!(voters(&cluster, &set(&[1, 2, 3]), &set(&[1, 2, 4]), |_| None), Some(set(&[1, 2, 4])));
}

#[test]
fn three_become_one_when_only_two_nodes_are_members() {
    let mut cluster = cluster(&["a", "b", "c"]);
    make(&mut cluster, &ClusterChange::Remove(3));
    let voters = settle(&cluster, &set(&[1, 2, 3]), &set(&[1, 2]), &Set::new());
    assert_eq!(voters.len(), 1);
    assert!(!voters.contains(&3));
}

#[test]
fn a_long_absence_takes_no_seat_that_nobody_can_fill() {
    let cluster = cluster(&["a", "b", "c"]);
    let current = set(&[1, 2, 3]);
    assert_eq!(settle(&cluster, &current, &set(&[1, 2]), &set(&[3])), current, "the log stays on two disks");
}

#[test]
fn five_become_three_when_two_are_gone_for_good_and_five_again() {
    let cluster = cluster(&["a", "a", "b", "b", "c"]);
    let five = all(&cluster);
    assert_eq!(settle(&cluster, &five, &set(&[1, 3, 4, 5]), &set(&[2])), five, "one of five changes nothing");
    let three = settle(&cluster, &five, &set(&[1, 3, 5]), &set(&[2, 4]));
    assert_eq!(three, set(&[1, 3, 5]));
    assert_eq!(settle(&cluster, &three, &five, &Set::new()), five);
}

#[test]
fn without_a_quorum_of_the_living_nothing_is_changed() {
    let cluster = cluster(&["a", "b", "c", "a", "b", "c"]);
    assert_eq!(voters(&cluster, &set(&[1, 2, 3]), &set(&[1, 4, 5, 6]), |node| (node < 4).then_some(GONE)), None);
    assert_eq!(voters(&cluster, &Set::new(), &all(&cluster), |_| None), None);
}

#[test]
fn a_draining_or_fenced_node_is_given_no_seat() {
    let mut cluster = cluster(&["a", "b", "c", "c"]);
    make(&mut cluster, &ClusterChange::Drain { node: 3, draining: true });
    make(&mut cluster, &ClusterChange::Fence { node: 4, incarnation: 1 });
    assert_eq!(voters(&cluster, &set(&[1]), &all(&cluster), |_| None), None);
    make(&mut cluster, &ClusterChange::Drain { node: 3, draining: false });
    assert_eq!(voters(&cluster, &set(&[1]), &all(&cluster), |_| None), Some(set(&[1, 2, 3])));
}

/// Every small history: from any odd set, with any nodes silent or gone, the plan ends and never loses a quorum.
#[test]
fn from_anywhere_it_ends() {
    let cluster = cluster(&["a", "a", "b", "b", "c", "wd"]);
    let subset = |bits: u32| -> Set { (1..=6).filter(|id| bits >> (id - 1) & 1 == 1).collect() };
    for current in (1..64).map(subset).filter(|set| set.len() <= 5) {
        for live in (1..64).map(subset) {
            for gone in [Set::new(), subset(63).difference(&live).copied().collect()] {
                let end = settle(&cluster, &current, &live, &gone);
                let quorum = current.intersection(&live).count() * 2 > current.len();
                assert!(!quorum || end.intersection(&live).count() * 2 > end.len());
            }
        }
    }
}
