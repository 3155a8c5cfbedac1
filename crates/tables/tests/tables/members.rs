//! Who takes part: folders and their identity, learners, voters, snapshots for those that come late.

use crate::desk::{Desk, account};
use crate::fleet::{Fleet, until};
use routing::cluster::Outcome;
use std::time::Duration;
use tables::{Error, Identity, Options, Storage, member};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_brings_its_rows_and_its_past_along() {
    let mut fleet = Fleet::new(1, true).await;
    for number in 0..5 {
        fleet.node(1).add(&format!("a{number}")).await.unwrap();
    }
    let id = fleet.add().await;
    until("it has all", || fleet.node(id).has("a4")).await;
    assert!(fleet.node(1).handle.learners().contains(&id));
    assert_eq!(fleet.agree().await.accounts().len(), 5);
}

/// The rows of a node that stood alone are older than the log, so they come by snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_node_gets_a_snapshot_while_writes_go_on() {
    for disk in [true, false] {
        let mut fleet = Fleet::new(1, disk).await;
        let many: String = (0..2000).map(|number| account(&format!("many{number}"))).collect();
        let document = crate::desk::document(&many);
        fleet.node(1).handle.apply(document, tables::Apply::default()).await.unwrap();
        let handle = fleet.node(1).handle.clone();
        let writer = tokio::spawn(async move {
            for number in 0..100 {
                let text = crate::desk::document(&account(&format!("w{number}")));
                handle.apply(text, tables::Apply::default()).await.unwrap();
            }
        });
        let id = fleet.add().await;
        until("it has the many", || fleet.node(id).has("many1999")).await;
        writer.await.unwrap();
        fleet.agree().await;
        if disk {
            fleet.stop(id).await;
            fleet.start(id).await;
            fleet.agree().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_cut_and_a_node_that_was_away_catches_up_by_snapshot() {
    let mut fleet = Fleet::new(3, false).await;
    let leader = fleet.leader().await.id;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    let others: Vec<u64> = (1..=3).filter(|id| *id != away).collect();
    fleet.net.part(&[away], &others);
    let handle = fleet.node(leader).handle.clone();
    // Each change of the cluster is an entry of its own.
    for _ in 0..80 {
        let drains = (0..100).map(|number| {
            let change = routing::cluster::ClusterChange::Drain { node: 1, draining: number % 2 == 0 };
            let handle = handle.clone();
            async move { handle.change_cluster(change).await.unwrap() }
        });
        futures_util::future::join_all(drains).await;
    }
    fleet.node(leader).add("after").await.unwrap();
    fleet.net.heal();
    until("it has caught up", || fleet.node(away).has("after")).await;
    fleet.agree().await;
    assert_eq!(fleet.node(away).handle.cluster(), fleet.node(leader).handle.cluster());
    let id = fleet.add().await;
    until("a new one too", || fleet.node(id).has("after")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_are_exchanged_without_a_stop() {
    let mut fleet = Fleet::new(3, false).await;
    let (fourth, fifth) = (fleet.add().await, fleet.add().await);
    fleet.vote(&[1, 2, 3, fourth, fifth]).await;
    fleet.vote(&[1, fourth, fifth]).await;
    fleet.vote(&[1, fourth, fifth]).await;
    fleet.node(2).handle.remove_learner(3).await.unwrap();
    until("it is gone", || !fleet.node(1).handle.learners().contains(&3)).await;
    fleet.net.part(&[1, 2, 3], &[fourth, fifth]);
    fleet.node(fifth).add("two-of-three").await.unwrap();
    let error = fleet.node(fourth).handle.set_voters([77].into()).await.unwrap_err();
    assert!(matches!(error, Error::Membership(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_belongs_to_one_node_of_one_cluster() {
    let fleet = Fleet::new(1, true).await;
    let node = fleet.node(1);
    let error = node.handle.found(member("n1", "a", "x:1")).await.unwrap_err();
    assert!(matches!(error, Error::Identity { .. }), "{error}");
    let other = Identity { cluster: "other".into(), node: 2, name: "n1".into() };
    let error = node.handle.join_as(other).await.unwrap_err();
    assert!(matches!(error, Error::Identity { .. }), "{error}");
    let error = node.handle.start(member("n2", "a", "x:1")).await.unwrap_err();
    assert!(matches!(error, Error::Identity { .. }), "{error}");
    assert_eq!(node.handle.start(member("n1", "a", "x:1")).await.unwrap(), (1, 2));
    assert_eq!(&*node.handle.cluster().member(1).unwrap().mesh, "x:1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_cluster_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::meshed(Storage::Disk(dir.path().into()));
    let error = Desk::with(options).await.err().unwrap();
    assert!(matches!(error, Error::NotFounded), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_takes_changes_within_a_second_of_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(&account("first")).await.unwrap();
    desk.close().await;
    let began = std::time::Instant::now();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(&account("second")).await.unwrap();
    let took = began.elapsed();
    println!("writable {took:?} after the start");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let outcome = desk.handle.change_cluster(routing::cluster::ClusterChange::Remove(7)).await.unwrap();
    assert!(matches!(outcome, Outcome::Stale(_)));
}
