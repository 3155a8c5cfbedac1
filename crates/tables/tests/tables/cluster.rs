//! What a cluster promises: one history on all nodes, through lost leaders, lost answers and lost networks.

use crate::fleet::{Fleet, until};
use routing::cluster::{ClusterChange, Outcome};
use std::time::{Duration, Instant};
use tables::{Error, RaftCall, Signature};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_on_any_node_is_on_all() {
    let fleet = Fleet::new(3, true).await;
    for id in 1..=3 {
        let name = format!("from{id}");
        let revision = fleet.node(id).add(&name).await.unwrap();
        assert_eq!(revision, id);
        assert!(fleet.node(id).has(&name), "who asked sees it at once");
        until("all have it", || fleet.up().all(|node| node.has(&name))).await;
    }
    fleet.node(2).handle.rollback(1, Signature::default(), false).await.unwrap();
    assert_eq!(fleet.agree().await.accounts().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_on_every_node_in_the_words_of_the_author() {
    let fleet = Fleet::new(3, false).await;
    let follower = fleet.follower().await;
    let bob = "[[user]]\nname = \"bob\"\naccount = \"nobody\"\npassword = \"x\"\n";
    let error = follower.handle.apply(crate::desk::document(bob), tables::Apply::default()).await.unwrap_err();
    assert!(error.to_string().starts_with("tables.toml:3: "), "{error}");
    let error = follower.handle.rollback(9, Signature::default(), false).await.unwrap_err();
    assert!(matches!(error, Error::NoRevision { asked: 9, .. }), "{error}");
    let late = tables::Proposal { expect: Some(4), ..tables::Proposal::default() };
    let error = follower.handle.propose(late).await.unwrap_err();
    assert!(matches!(error, Error::Moved { expected: 4, found: 0 }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_is_replaced_within_three_seconds() {
    let fleet = Fleet::new(3, true).await;
    let mut slowest = Duration::ZERO;
    for round in 0..3 {
        let leader = fleet.leader().await.id;
        let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
        fleet.net.part(&[leader], &others);
        let began = Instant::now();
        fleet.node(others[0]).add(&format!("round{round}")).await.unwrap();
        slowest = slowest.max(began.elapsed());
        fleet.net.heal();
        until("the old leader has it", || fleet.node(leader).has(&format!("round{round}"))).await;
    }
    println!("writable {slowest:?} after the leader was lost, at the worst of three");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert_eq!(fleet.agree().await.accounts().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_changes_in_time_and_serves_what_it_has() {
    let fleet = Fleet::new(5, false).await;
    fleet.node(1).add("before").await.unwrap();
    fleet.agree().await;
    let leader = fleet.leader().await.id;
    let other = (1..=5).find(|id| *id != leader).unwrap();
    let rest: Vec<u64> = (1..=5).filter(|id| *id != leader && *id != other).collect();
    fleet.net.part(&[leader, other], &rest);
    for id in [leader, other] {
        let began = Instant::now();
        let error = fleet.node(id).add(&format!("lost{id}")).await.unwrap_err();
        assert!(matches!(error, Error::NoQuorum { .. }), "{error}");
        assert!(error.to_string().contains("Calls go on from the last tables"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
        assert!(fleet.node(id).has("before"));
    }
    assert!(!fleet.node(leader).handle.leads().await, "its lease has run out");
    fleet.node(rest[0]).add("after").await.unwrap();
    fleet.net.heal();
    until("all have caught up", || fleet.up().all(|node| node.has("after"))).await;
    fleet.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_again_never_does_it_twice() {
    let fleet = Fleet::new(3, false).await;
    let follower = fleet.follower().await;
    for (round, lost) in [1, 3].into_iter().enumerate() {
        fleet.net.lose_answers(follower.id, RaftCall::Forward, lost);
        let revision = follower.add(&format!("a{round}")).await.unwrap();
        assert_eq!(revision, round as u64 + 1, "made once");
    }
    // Not idempotent by itself: the second of the same name would be refused.
    fleet.net.lose_answers(follower.id, RaftCall::Forward, 2);
    let joining = tables::member("n9", "a", "node-9:1");
    let outcome = follower.handle.change_cluster(ClusterChange::Join(joining)).await.unwrap();
    assert!(matches!(outcome, Outcome::Done { node: 4, incarnation: 1 }), "{outcome:?}");
    assert_eq!(follower.handle.cluster().members().len(), 4);
    assert_eq!(*follower.handle.cluster_watch().borrow(), follower.handle.cluster().version);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_go_on_through_changing_leaders_and_each_is_made_once() {
    let mut fleet = Fleet::new(3, true).await;
    let handles: Vec<_> = fleet.up().map(|node| node.handle.clone()).collect();
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            let handle = handles[(worker + 1) % 3].clone();
            tokio::spawn(async move {
                let mut made = Vec::new();
                for number in 0..40 {
                    let name = format!("w{worker}x{number}");
                    let text = crate::desk::document(&crate::desk::account(&name));
                    if handle.apply(text, tables::Apply::default()).await.is_ok() {
                        made.push(name);
                    }
                }
                made
            })
        })
        .collect();
    for _ in 0..2 {
        let leader = fleet.leader().await.id;
        let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
        fleet.net.part(&[leader], &others);
        let rest: Vec<_> = fleet.up().filter(|node| node.id != leader).map(|node| node.handle.clone()).collect();
        until("another leads", || rest.iter().any(|handle| handle.leadership().borrow().me)).await;
        fleet.net.heal();
    }
    let mut made = Vec::new();
    for worker in workers {
        made.extend(worker.await.unwrap());
    }
    let rows = fleet.agree().await;
    assert!(made.iter().all(|name| rows.accounts().contains_key(name.as_str())), "what was acknowledged is there");
    // Each account is one revision, so nothing was made twice.
    assert_eq!(fleet.node(1).handle.revision(), rows.accounts().len() as u64);
    assert!(made.len() > 60, "{} of 120", made.len());
    fleet.stop(1).await;
    fleet.start(1).await;
    assert_eq!(fleet.agree().await, rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_planned_stop_of_the_leader_costs_no_election() {
    let mut fleet = Fleet::new(3, true).await;
    fleet.node(1).add("before").await.unwrap();
    fleet.agree().await;
    let leader = fleet.leader().await.id;
    fleet.stop(leader).await;
    let began = Instant::now();
    let other = fleet.up().next().unwrap();
    other.add("after").await.unwrap();
    let took = began.elapsed();
    println!("writable {took:?} after the leader had stopped as planned");
    assert!(took < Duration::from_millis(450), "{took:?} is an election");
    fleet.start(leader).await;
    until("it has caught up", || fleet.node(leader).has("after")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_stop_at_once_and_go_on_from_their_folders() {
    let mut fleet = Fleet::new(3, true).await;
    for number in 0..20 {
        fleet.node(1 + number % 3).add(&format!("a{number}")).await.unwrap();
    }
    let rows = fleet.agree().await;
    let cluster = fleet.node(1).handle.cluster();
    for id in 1..=3 {
        fleet.stop(id).await;
    }
    for id in 1..=3 {
        fleet.start(id).await;
        assert_eq!(fleet.node(id).handle.view().tables(), &rows, "served at once, without a quorum");
        assert_eq!(fleet.node(id).handle.cluster(), cluster);
        assert_eq!(fleet.node(id).handle.identity().unwrap().node, id);
    }
    fleet.node(2).add("after").await.unwrap();
    assert_eq!(fleet.agree().await.accounts().len(), 21);
}

/// More than goes into one message, on its way to the leader and from it to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_change_travels_in_parts_and_is_one_revision() {
    let fleet = Fleet::new(3, false).await;
    let follower = fleet.follower().await;
    fleet.net.lose_answers(follower.id, RaftCall::Forward, 1);
    let text: String = (0..12_000).map(|number| crate::desk::account(&format!("a{number}"))).collect();
    let applied = follower.handle.apply(crate::desk::document(&text), tables::Apply::default()).await.unwrap();
    assert_eq!((applied.revision, applied.lines.len()), (1, 10_001));
    assert_eq!(applied.lines.last().map(String::as_str), Some("and 2000 more"));
    assert_eq!(fleet.agree().await.accounts().len(), 12_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_seen_everywhere_within_a_second_between_far_sites() {
    let fleet = Fleet::new(3, true).await;
    fleet.net.slow(Duration::from_millis(80));
    fleet.node(1).add("first").await.unwrap();
    let mut slowest = Duration::ZERO;
    for id in 1..=3 {
        let (name, began) = (format!("a{id}"), Instant::now());
        fleet.node(id).add(&name).await.unwrap();
        until("all have it", || fleet.up().all(|node| node.has(&name))).await;
        slowest = slowest.max(began.elapsed());
    }
    println!("visible everywhere after {slowest:?} at a round trip of 80 ms");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
