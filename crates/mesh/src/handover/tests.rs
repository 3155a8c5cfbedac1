use super::{Effect, Handover, Input};
use crate::testing::{at, founded, make, member};
use crate::times::Waits;
use routing::cluster::{Cluster, ClusterChange, Move, NodeId};

const SHARD: u16 = 7;

fn give(cluster: &mut Cluster, owner: NodeId) {
    let step = Move { shard: SHARD, epoch: cluster.shard(SHARD).epoch, owner: Some(owner), backup: None };
    make(cluster, &ClusterChange::Place(vec![step]));
}

fn see(handover: &mut Handover, ms: u64, cluster: &Cluster) {
    handover.handle_input(at(ms), Input::Cluster(cluster));
}

fn releases(handover: &mut Handover) -> Vec<(NodeId, Vec<(u16, u32)>)> {
    let effects = std::iter::from_fn(|| handover.poll_effect());
    effects
        .filter_map(|effect| match effect {
            Effect::Release { to, shards } => Some((to, shards)),
            Effect::Changed => None,
        })
        .collect()
}

fn acts(handover: &Handover, ms: u64) -> bool {
    handover.acts_for(SHARD, at(ms), true)
}

#[test]
fn a_founder_acts_at_once_but_never_without_its_lease() {
    let mut handover = Handover::new(1, Waits::default());
    assert!(!acts(&handover, 0));
    see(&mut handover, 0, &founded(&["a"]));
    assert!(acts(&handover, 0) && !handover.acts_for(SHARD, at(0), false));
    assert_eq!(handover.acting(at(0)).count(), 1024);
}

#[test]
fn the_former_owner_lets_go_and_the_new_one_takes_up() {
    let mut cluster = founded(&["a", "b"]);
    let (mut former, mut new) = (Handover::new(1, Waits::default()), Handover::new(2, Waits::default()));
    see(&mut former, 0, &cluster);
    see(&mut new, 0, &cluster);
    give(&mut cluster, 2);
    see(&mut new, 100, &cluster);
    assert!(!acts(&new, 100) && acts(&former, 100));
    see(&mut former, 150, &cluster);
    assert!(!acts(&former, 150));
    assert_eq!(releases(&mut former), [(2, vec![(SHARD, 2)])]);
    // Of another epoch, or of somebody else, it means nothing.
    new.handle_input(at(160), Input::Released { from: 1, shards: &[(SHARD, 1)] });
    new.handle_input(at(160), Input::Released { from: 3, shards: &[(SHARD, 2), (5000, 2)] });
    assert!(!acts(&new, 160));
    new.handle_input(at(170), Input::Released { from: 1, shards: &[(SHARD, 2)] });
    assert!(acts(&new, 170));
}

#[test]
fn a_release_may_overtake_the_change() {
    let mut cluster = founded(&["a", "b"]);
    let mut new = Handover::new(2, Waits::default());
    see(&mut new, 0, &cluster);
    new.handle_input(at(90), Input::Released { from: 1, shards: &[(SHARD, 2)] });
    give(&mut cluster, 2);
    see(&mut new, 100, &cluster);
    assert!(acts(&new, 100));
}

#[test]
fn without_a_release_the_new_owner_waits_until_the_lease_cannot_have_lasted() {
    let mut cluster = founded(&["a", "b"]);
    let mut new = Handover::new(2, Waits::default());
    see(&mut new, 0, &cluster);
    give(&mut cluster, 2);
    see(&mut new, 100, &cluster);
    assert_eq!(new.poll_timeout(), Some(at(1300)));
    assert!(!acts(&new, 1299) && acts(&new, 1300));
}

#[test]
fn a_fenced_owner_is_not_waited_for() {
    let mut cluster = founded(&["a", "b"]);
    let mut new = Handover::new(2, Waits::default());
    see(&mut new, 0, &cluster);
    make(&mut cluster, &ClusterChange::Fence { node: 1, incarnation: 1 });
    give(&mut cluster, 2);
    see(&mut new, 5000, &cluster);
    assert!(acts(&new, 5000));
}

#[test]
fn an_owner_that_came_back_meanwhile_is_waited_for() {
    let mut cluster = founded(&["a", "b"]);
    let mut new = Handover::new(2, Waits::default());
    see(&mut new, 0, &cluster);
    make(&mut cluster, &ClusterChange::Fence { node: 1, incarnation: 1 });
    make(&mut cluster, &ClusterChange::Start(member(1, "a")));
    give(&mut cluster, 2);
    see(&mut new, 5000, &cluster);
    assert!(!acts(&new, 6199) && acts(&new, 6200));
}

/// 1 → 2 → 3, while 2 still waits for 1: what 2 says to 3 must speak for 1 too.
#[test]
fn who_waits_itself_releases_only_when_its_own_wait_is_over() {
    let mut cluster = founded(&["a", "b", "c"]);
    let (mut second, mut third) = (Handover::new(2, Waits::default()), Handover::new(3, Waits::default()));
    see(&mut second, 0, &cluster);
    see(&mut third, 0, &cluster);
    give(&mut cluster, 2);
    see(&mut second, 100, &cluster);
    give(&mut cluster, 3);
    see(&mut second, 200, &cluster);
    see(&mut third, 200, &cluster);
    assert_eq!(releases(&mut second), []);
    second.handle_timeout(at(1299));
    assert_eq!(releases(&mut second), []);
    second.handle_timeout(at(1300));
    assert_eq!(releases(&mut second), [(3, vec![(SHARD, 3)])]);
}

/// 1 → 2, then 2 is fenced and 3 takes over: 1 may still be acting, though the last owner cannot.
#[test]
fn the_fence_of_the_last_owner_says_nothing_of_the_one_before() {
    let mut cluster = founded(&["a", "b", "c"]);
    let mut third = Handover::new(3, Waits::default());
    see(&mut third, 0, &cluster);
    give(&mut cluster, 2);
    see(&mut third, 100, &cluster);
    make(&mut cluster, &ClusterChange::Fence { node: 2, incarnation: 1 });
    give(&mut cluster, 3);
    see(&mut third, 200, &cluster);
    assert!(!acts(&third, 1299) && acts(&third, 1300));
    let mut late = Handover::new(3, Waits::default());
    see(&mut late, 0, &founded(&["a", "b", "c"]));
    see(&mut late, 200, &cluster);
    assert!(!acts(&late, 1399) && acts(&late, 1400), "the same if both are seen at once");
}

#[test]
fn a_new_process_waits_where_others_may_not_know_of_its_ownership() {
    let mut cluster = founded(&["a", "b"]);
    give(&mut cluster, 2);
    let mut reborn = Handover::new(2, Waits::default());
    see(&mut reborn, 0, &cluster);
    assert!(!acts(&reborn, 1199) && acts(&reborn, 1200));
}
