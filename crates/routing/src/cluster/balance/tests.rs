use super::balance;
use crate::cluster::testing::{cluster, make, member, settle};
use crate::cluster::{Cluster, ClusterChange, Liveness, Member, Move, NodeId, STEP};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn carriers(cluster: &Cluster) -> Vec<&Member> {
    cluster.members().values().filter(|member| member.carries()).collect()
}

fn counts(nodes: impl Iterator<Item = Option<NodeId>>) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    nodes.flatten().for_each(|node| *counts.entry(node).or_default() += 1);
    counts
}

fn owners(cluster: &Cluster) -> BTreeMap<NodeId, usize> {
    counts(cluster.shards().iter().map(|shard| shard.owner))
}

fn backups(cluster: &Cluster) -> BTreeMap<NodeId, usize> {
    counts(cluster.shards().iter().map(|shard| shard.backup))
}

fn heirs(cluster: &Cluster, of: NodeId) -> BTreeMap<NodeId, usize> {
    counts(cluster.shards().iter().filter(|shard| shard.owner == Some(of)).map(|shard| shard.backup))
}

/// Within a tenth of the mean, or as near as whole shards can be.
fn even(share: usize, total: usize, among: usize) -> bool {
    let (low, high) = (total * 9 / (among * 10), (total * 11).div_ceil(among * 10));
    (low.min(total / among)..=high.max(total.div_ceil(among))).contains(&share)
}

/// What holds once there is nothing left to do.
fn settled(cluster: &Cluster) {
    let carriers = carriers(cluster);
    let sites: BTreeSet<&str> = carriers.iter().map(|member| &*member.site).collect();
    let owners = owners(cluster);
    for member in &carriers {
        let owned = owners.get(&member.id).copied().unwrap_or(0);
        assert!(even(owned, 1024, carriers.len()), "node {} owns {owned} of {} carriers", member.id, carriers.len());
    }
    for shard in cluster.shards().iter().filter(|_| !carriers.is_empty()) {
        let owner = cluster.member(shard.owner.expect("an owner")).expect("a member");
        assert!(owner.carries());
        let backup = shard.backup.and_then(|node| cluster.member(node)).filter(|member| member.carries());
        assert_eq!(backup.is_some(), carriers.len() > 1);
        if let Some(backup) = backup {
            assert!(backup.id != owner.id && (sites.len() == 1 || backup.site != owner.site));
        }
    }
}

fn change(cluster: &mut Cluster, change: &ClusterChange) -> (usize, usize) {
    make(cluster, change);
    let before = cluster.clone();
    settle(cluster);
    settled(cluster);
    let pairs = || cluster.shards().iter().zip(before.shards());
    let owners = pairs().filter(|(now, then)| now.owner != then.owner).count();
    (owners, pairs().filter(|(now, then)| now.owner == then.owner && now.backup != then.backup).count())
}

fn fence(node: NodeId) -> ClusterChange {
    ClusterChange::Fence { node, incarnation: 1 }
}

#[test]
fn backups_and_heirs_are_spread_where_the_sites_are_alike() {
    let shapes: [&[&str]; 7] = [
        &["a", "b", "c"],
        &["a", "b", "wc"],
        &["a", "a", "a", "a"],
        &["a", "a", "b", "b"],
        &["a", "a", "b", "b", "c", "c"],
        &["a", "a", "b", "b", "c", "c", "d", "d"],
        &["a", "a", "a", "b", "b", "b", "c", "c", "c", "wd"],
    ];
    for sites in shapes {
        let mut cluster = cluster(sites);
        settle(&mut cluster);
        settled(&cluster);
        let carriers: Vec<NodeId> = carriers(&cluster).iter().map(|member| member.id).collect();
        for node in &carriers {
            assert!(even(backups(&cluster)[node], 1024, carriers.len()), "{sites:?}: {:?}", backups(&cluster));
            let (owned, heirs) = (owners(&cluster)[node], heirs(&cluster, *node));
            let site = |node: &NodeId| &cluster.members()[node].site;
            let away = carriers.iter().filter(|other| site(other) != site(node)).count();
            let fitting = if away == 0 { carriers.len() - 1 } else { away };
            assert_eq!(heirs.len(), fitting, "{sites:?}: the heirs of {node} are {heirs:?}");
            let most = heirs.values().max().copied().unwrap_or(0);
            assert!(most <= owned * 12 / (fitting * 10) + 1, "{sites:?}: the heirs of {node} are {heirs:?}");
        }
    }
}

#[test]
fn a_joiner_gets_its_share_and_nothing_else_moves() {
    for size in 2..12 {
        let sites: Vec<&str> = (0..size).map(|at| ["a", "b", "c"][at % 3]).collect();
        let mut cluster = cluster(&sites);
        settle(&mut cluster);
        let joiner = member("joiner", ["a", "b", "c"][size % 3], false);
        let (owners, backups) = change(&mut cluster, &ClusterChange::Join(joiner));
        let share = 1024 / (size + 1);
        assert!(owners <= share + size, "{owners} owners moved for the share of one of {}: {share}", size + 1);
        assert!(backups <= 1024 / 2 + share, "{backups} backups moved for the joiner of {size}");
    }
}

#[test]
fn a_dead_node_s_shards_go_to_their_backups_first_and_to_all_survivors() {
    let mut cluster = cluster(&["a", "a", "b", "b", "c", "c"]);
    settle(&mut cluster);
    let before = cluster.clone();
    make(&mut cluster, &fence(1));
    let first = balance(&cluster);
    let owned = before.shards().iter().filter(|shard| shard.owner == Some(1)).count();
    assert!(owned > STEP && first.len() == owned, "all at once: {} of {owned}", first.len());
    for step in &first {
        let was = before.shard(step.shard);
        assert_eq!((was.owner, step.owner, step.epoch), (Some(1), was.backup, was.epoch));
    }
    settle(&mut cluster);
    settled(&cluster);
    let taken = cluster.shards().iter().zip(before.shards()).filter(|(_, then)| then.owner == Some(1));
    let takers = counts(taken.map(|(now, _)| now.owner));
    assert_eq!(takers.len(), 4, "those of the other sites: {takers:?}");
    assert!(takers.values().all(|count| *count < 60), "{takers:?}");
    let others = cluster.shards().iter().zip(before.shards()).filter(|(_, then)| then.owner != Some(1));
    let moved = others.filter(|(now, then)| now.owner != then.owner).count();
    assert!(moved <= 1024 / 10, "{moved} shards of survivors moved");
}

#[test]
fn a_whole_site_s_shards_are_spread_over_the_others() {
    let mut cluster = cluster(&["a", "a", "b", "b", "c", "c"]);
    settle(&mut cluster);
    make(&mut cluster, &fence(1));
    let (moved, _) = change(&mut cluster, &fence(2));
    assert!(moved <= 342 + 120, "{moved}");
    assert!(owners(&cluster).keys().eq([3, 4, 5, 6].iter()));
}

#[test]
fn a_draining_node_is_emptied_after_the_dead_are_served() {
    let mut cluster = cluster(&["a", "b", "c"]);
    settle(&mut cluster);
    make(&mut cluster, &ClusterChange::Drain { node: 2, draining: true });
    make(&mut cluster, &fence(1));
    let first = balance(&cluster);
    assert!(first.iter().all(|step| cluster.shard(step.shard).owner == Some(1)));
    settle(&mut cluster);
    settled(&cluster);
    assert_eq!(owners(&cluster), BTreeMap::from([(3, 1024)]));
}

#[test]
fn with_nobody_to_carry_nothing_moves() {
    let mut cluster = cluster(&["a", "wb", "wc"]);
    settle(&mut cluster);
    make(&mut cluster, &fence(1));
    assert_eq!(balance(&cluster), []);
    make(&mut cluster, &ClusterChange::Start(Member { id: 1, ..member("node-1", "a", false) }));
    assert_eq!(balance(&cluster), [], "it kept its shards");
}

#[test]
fn the_largest_cluster_is_spread_too() {
    let sites: Vec<&str> = (0..256).map(|at| ["a", "b", "c", "d"][at % 4]).collect();
    let mut cluster = cluster(&sites);
    settle(&mut cluster);
    settled(&cluster);
    assert!(backups(&cluster).values().all(|count| (2..=6).contains(count)), "{:?}", backups(&cluster));
}

#[derive(Clone, Debug)]
enum Happening {
    Join {
        site: usize,
        witness: bool,
    },
    Fence(usize),
    Start(usize),
    Drain(usize, bool),
    Remove(usize),
    /// Only some entries are made before the next thing happens.
    Steps(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0usize..4, 0u8..6).prop_map(|(site, witness)| Happening::Join { site, witness: witness == 0 }),
        3 => (0usize..32).prop_map(Happening::Fence),
        3 => (0usize..32).prop_map(Happening::Start),
        2 => (0usize..32, any::<bool>()).prop_map(|(node, draining)| Happening::Drain(node, draining)),
        1 => (0usize..32).prop_map(Happening::Remove),
        3 => (0usize..20).prop_map(Happening::Steps),
    ]
}

fn happen(cluster: &mut Cluster, happening: &Happening, nth: usize) {
    let members: Vec<Member> = cluster.members().values().cloned().collect();
    let pick = |index: usize| members[index % members.len()].clone();
    let change = match *happening {
        Happening::Join { site, witness } => {
            ClusterChange::Join(member(&format!("n{nth}"), ["a", "b", "c", "d"][site], witness))
        }
        Happening::Fence(node) => {
            let Member { id, incarnation, .. } = pick(node);
            ClusterChange::Fence { node: id, incarnation }
        }
        Happening::Start(node) => ClusterChange::Start(pick(node)),
        Happening::Drain(node, draining) => ClusterChange::Drain { node: pick(node).id, draining },
        Happening::Remove(node) => ClusterChange::Remove(pick(node).id),
        Happening::Steps(steps) => return walk(cluster, steps),
    };
    // Removing one that still owns, or draining one that is fenced, is refused; that is as it should be.
    let _ = cluster.apply(&change);
}

/// Some entries of the plan, each looked at.
fn walk(cluster: &mut Cluster, steps: usize) {
    for _ in 0..steps {
        let moves = balance(cluster);
        let lives = |step: &&Move| {
            let owner = cluster.shard(step.shard).owner.and_then(|owner| cluster.member(owner));
            owner.is_some_and(|owner| owner.liveness != Liveness::Fenced)
        };
        assert!(moves.iter().filter(lives).count() <= STEP);
        if moves.is_empty() {
            return;
        }
        let before = cluster.clone();
        make(cluster, &ClusterChange::Place(moves.clone()));
        for step in &moves {
            let (now, then) = (cluster.shard(step.shard), before.shard(step.shard));
            assert_eq!((now.owner, now.backup), (step.owner, step.backup), "every step is made");
            assert_eq!(now.epoch - then.epoch, u32::from(now.owner != then.owner));
            assert!(now.owner != now.backup);
            let owner = now.owner.and_then(|node| cluster.member(node)).expect("an owner");
            assert_eq!(owner.liveness, Liveness::Up);
            assert!(!owner.witness);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_it_settles(happenings in proptest::collection::vec(happening(), 1..25), first in 1usize..6) {
        let mut cluster = cluster(&["a", "b", "c", "a", "b", "wd"][..first]);
        for (nth, what) in happenings.iter().enumerate() {
            happen(&mut cluster, what, nth);
        }
        walk(&mut cluster, 2000);
        prop_assert_eq!(balance(&cluster), []);
        settled(&cluster);
    }
}
