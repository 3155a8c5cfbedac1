use super::{ClusterChange, Move, Outcome, Stale};
use crate::cluster::testing::{cluster, make, member, settle};
use crate::cluster::{Cluster, Liveness, MAX_MEMBERS, Member, RESCUE};
use proptest::prelude::*;

/// A change that must be refused, and must leave no trace.
fn refused(cluster: &mut Cluster, change: &ClusterChange) -> Stale {
    let before = cluster.clone();
    let outcome = cluster.apply(change);
    assert_eq!(*cluster, before, "{change:?} left a trace");
    match outcome {
        Outcome::Stale(stale) => stale,
        Outcome::Done { .. } => panic!("{change:?} was made"),
    }
}

fn found(founder: Member) -> ClusterChange {
    ClusterChange::Found { id: "lab".to_owned(), secret: [7; 32], founder }
}

#[test]
fn a_cluster_is_founded_once_and_before_anything_else() {
    let mut cluster = Cluster::default();
    assert_eq!(refused(&mut cluster, &ClusterChange::Join(member("a", "x", false))), Stale::Unfounded);
    let nameless = ClusterChange::Found { id: String::new(), secret: [0; 32], founder: member("a", "x", false) };
    assert!(matches!(refused(&mut cluster, &nameless), Stale::Malformed(_)));
    assert!(matches!(refused(&mut cluster, &found(member("", "x", false))), Stale::Malformed(_)));
    make(&mut cluster, &found(member("a", "x", false)));
    assert!(cluster.shards().iter().all(|shard| shard.owner == Some(1) && shard.epoch == 1 && shard.past.is_empty()));
    assert_eq!(refused(&mut cluster, &found(member("b", "x", false))), Stale::Founded);
}

#[test]
fn a_founder_that_is_a_witness_owns_nothing() {
    let mut cluster = cluster(&["w"]);
    assert!(cluster.shards().iter().all(|shard| shard.owner.is_none() && shard.epoch == 0));
    assert_eq!(settle(&mut cluster), 0);
}

#[test]
fn a_name_is_unique_and_a_number_is_never_given_again() {
    let mut cluster = cluster(&["a", "b", "c"]);
    let twin = ClusterChange::Join(member("node-2", "z", false));
    assert_eq!(refused(&mut cluster, &twin), Stale::NameTaken("node-2".to_owned()));
    assert!((0..9).all(|node| !cluster.was_removed(node)));
    make(&mut cluster, &ClusterChange::Remove(3));
    assert_eq!((0..9).filter(|node| cluster.was_removed(*node)).collect::<Vec<_>>(), [3]);
    assert_eq!(
        cluster.apply(&ClusterChange::Join(member("node-3", "c", false))),
        Outcome::Done { node: 4, incarnation: 1 }
    );
    assert_eq!(refused(&mut cluster, &ClusterChange::Remove(3)), Stale::Unknown(3));
    assert_eq!(refused(&mut cluster, &ClusterChange::Remove(1)), Stale::Owns(1, 1024));
}

#[test]
fn a_start_is_a_new_life_of_the_same_node() {
    let mut cluster = cluster(&["a", "b"]);
    let moved = Member { id: 2, mesh: "127.0.0.2:7000".into(), ..member("node-2", "b", false) };
    assert_eq!(cluster.apply(&ClusterChange::Start(moved.clone())), Outcome::Done { node: 2, incarnation: 2 });
    assert_eq!(&*cluster.members()[&2].mesh, "127.0.0.2:7000");
    let stolen = Member { id: 1, ..moved.clone() };
    assert_eq!(refused(&mut cluster, &ClusterChange::Start(stolen)), Stale::NameTaken("node-2".to_owned()));
    let known = |incarnation| ClusterChange::Start(Member { incarnation, ..moved.clone() });
    assert_eq!(refused(&mut cluster, &known(1)), Stale::Incarnation(2));
    assert_eq!(cluster.apply(&known(2)), Outcome::Done { node: 2, incarnation: 3 });
    assert_eq!(refused(&mut cluster, &known(2)), Stale::Incarnation(2));
    let stranger = Member { id: 9, ..moved };
    assert_eq!(refused(&mut cluster, &ClusterChange::Start(stranger)), Stale::Unknown(9));
}

#[test]
fn a_fence_strikes_only_the_life_that_it_was_meant_for() {
    let mut cluster = cluster(&["a", "b"]);
    make(&mut cluster, &ClusterChange::Start(Member { id: 2, ..member("node-2", "b", false) }));
    let late = ClusterChange::Fence { node: 2, incarnation: 1 };
    assert_eq!(refused(&mut cluster, &late), Stale::Incarnation(2));
    make(&mut cluster, &ClusterChange::Fence { node: 2, incarnation: 2 });
    assert!(!cluster.members()[&2].carries());
    assert_eq!(refused(&mut cluster, &ClusterChange::Drain { node: 2, draining: true }), Stale::Fenced(2));
    make(&mut cluster, &ClusterChange::Start(Member { id: 2, ..member("node-2", "b", false) }));
    assert_eq!((cluster.members()[&2].incarnation, cluster.members()[&2].liveness), (3, Liveness::Up));
}

#[test]
fn a_move_takes_effect_only_in_the_epoch_that_it_was_decided_in() {
    let mut cluster = cluster(&["a", "b"]);
    let step = Move { shard: 7, epoch: 1, owner: Some(2), backup: Some(1) };
    make(&mut cluster, &ClusterChange::Place(vec![step]));
    assert_eq!((cluster.shard(7).owner, cluster.shard(7).backup, cluster.shard(7).epoch), (Some(2), Some(1), 2));
    assert_eq!((cluster.owner_at(7, 1), cluster.owner_at(7, 2), cluster.owner_at(7, 3)), (Some(1), Some(2), None));
    let since = |epoch| cluster.shard(7).owners_since(epoch).collect::<Vec<_>>();
    assert_eq!((since(1), since(2), since(3)), (vec![1, 2], vec![2], vec![]));
    assert_eq!(refused(&mut cluster, &ClusterChange::Place(vec![step])), Stale::Moved);
    let beyond = Move { shard: 1024, ..step };
    assert_eq!(refused(&mut cluster, &ClusterChange::Place(vec![beyond])), Stale::Moved);
    let nobody = Move { shard: 8, owner: Some(3), ..step };
    assert_eq!(refused(&mut cluster, &ClusterChange::Place(vec![nobody])), Stale::Moved);
    let many = ClusterChange::Place(vec![step; RESCUE + 1]);
    assert_eq!(refused(&mut cluster, &many), Stale::Steps(RESCUE + 1));
}

#[test]
fn what_a_node_says_of_itself_has_bounds() {
    let mut cluster = cluster(&["a"]);
    let good = member("b", "x", false);
    let long: std::sync::Arc<str> = "x".repeat(65).into();
    let bad = [
        Member { name: long.clone(), ..good.clone() },
        Member { site: long, ..good.clone() },
        Member { name: "a\nb".into(), ..good.clone() },
        Member { mesh: "x".repeat(262).into(), ..good.clone() },
        Member { sip: vec!["127.0.0.1:5060".into(); 17], ..good.clone() },
        Member { sip: vec!["x".repeat(262).into()], ..good.clone() },
    ];
    for member in bad {
        assert!(matches!(refused(&mut cluster, &ClusterChange::Join(member.clone())), Stale::Malformed(_)));
        let start = ClusterChange::Start(Member { id: 1, ..member });
        assert!(matches!(refused(&mut cluster, &start), Stale::Malformed(_)));
    }
    for nth in 1..MAX_MEMBERS {
        make(&mut cluster, &ClusterChange::Join(member(&format!("more-{nth}"), "x", false)));
    }
    assert_eq!(refused(&mut cluster, &ClusterChange::Join(good)), Stale::Full(MAX_MEMBERS));
}

#[test]
fn a_written_cluster_is_read_again_and_a_crooked_one_is_refused() {
    let mut cluster = cluster(&["a", "b", "wc"]);
    settle(&mut cluster);
    let bytes = postcard::to_stdvec(&cluster).unwrap();
    assert_eq!(postcard::from_bytes::<Cluster>(&bytes).unwrap(), cluster);
    let short = Cluster { shards: cluster.shards[1..].to_vec(), ..cluster.clone() };
    assert!(postcard::from_bytes::<Cluster>(&postcard::to_stdvec(&short).unwrap()).is_err());
    let mut foreign = cluster.clone();
    foreign.members.insert(2, cluster.members[&1].clone());
    assert!(postcard::from_bytes::<Cluster>(&postcard::to_stdvec(&foreign).unwrap()).is_err());
}

fn any_member() -> impl Strategy<Value = Member> {
    (0u64..8, 0usize..9, any::<bool>(), 0u8..12).prop_map(|(id, name, witness, spoilt)| {
        let name = if spoilt == 0 { String::new() } else { format!("node-{name}") };
        Member { id, ..member(&name, ["a", "b", "c"][name.len() % 3], witness) }
    })
}

fn any_move() -> impl Strategy<Value = Move> {
    let node = || proptest::option::of(1u64..8);
    (0u16..1030, 0u32..5, node(), node()).prop_map(|(shard, epoch, owner, backup)| Move { shard, epoch, owner, backup })
}

fn any_change() -> impl Strategy<Value = ClusterChange> {
    prop_oneof![
        (0usize..3, any_member()).prop_map(|(id, founder)| ClusterChange::Found {
            id: "x".repeat(id * 40),
            secret: [1; 32],
            founder
        }),
        any_member().prop_map(ClusterChange::Join),
        any_member().prop_map(ClusterChange::Start),
        (1u64..8, 1u64..4).prop_map(|(node, incarnation)| ClusterChange::Fence { node, incarnation }),
        proptest::collection::vec(any_move(), 0..70).prop_map(ClusterChange::Place),
        (1u64..8, any::<bool>()).prop_map(|(node, draining)| ClusterChange::Drain { node, draining }),
        (1u64..8).prop_map(ClusterChange::Remove),
    ]
}

/// What holds whatever was proposed.
fn sound(cluster: &Cluster) {
    assert!(cluster.members().len() <= MAX_MEMBERS);
    for shard in cluster.shards() {
        assert!(shard.owner.is_none() || shard.owner != shard.backup);
        let known = |node: &u64| cluster.member(*node).is_some();
        assert!(shard.owner.iter().chain(&shard.backup).all(known), "a shard of a node that is none");
        assert!(shard.past.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_change_is_whole_or_nothing_and_the_same_everywhere(changes in proptest::collection::vec(any_change(), 1..40)) {
        let mut one = cluster(&["a", "b"]);
        let mut other = one.clone();
        for change in &changes {
            let before = one.clone();
            let outcome = one.apply(change);
            prop_assert_eq!(&outcome, &other.apply(change));
            match outcome {
                Outcome::Stale(_) => prop_assert_eq!(&one, &before),
                Outcome::Done { .. } => prop_assert_eq!(one.version, before.version + 1),
            }
            for (now, then) in one.shards().iter().zip(before.shards()) {
                prop_assert_eq!(now.epoch > then.epoch, now.owner != then.owner || now.epoch > then.epoch + 1);
            }
            sound(&one);
        }
        prop_assert_eq!(one, other);
    }
}
