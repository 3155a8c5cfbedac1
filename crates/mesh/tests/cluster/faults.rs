//! Nodes that die, sleep or are cut off.

use crate::lab::{Lab, Node};
use routing::cluster::{ClusterChange, Liveness, NodeId};
use std::time::Duration;

fn fenced(node: &Node, about: NodeId) -> bool {
    node.handle.cluster().member(about).is_some_and(|member| member.liveness == Liveness::Fenced)
}

/// No two of these act for one shard now.
fn no_shard_twice(nodes: &[Node]) {
    for shard in 0..routing::cluster::SHARDS {
        let acting = nodes.iter().filter(|node| node.handle.acts_for(shard, (node.clock)()));
        let acting: Vec<NodeId> = acting.map(|node| node.handle.me()).collect();
        assert!(acting.len() <= 1, "shard {shard} has {acting:?}");
    }
}

/// Every node knows of three voters, and everything up to there is on all of them.
async fn three_voters(nodes: &[Node]) {
    for node in nodes {
        node.sees("three voters", |node| node.tables.voters().len() == 3).await;
    }
    let last = ClusterChange::Drain { node: 1, draining: false };
    nodes[0].tables.change_cluster(last).await.expect("there is a quorum");
    let version = nodes[0].handle.cluster().version;
    for node in nodes {
        node.sees("the last change", |node| node.handle.cluster().version >= version).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_is_fenced_and_comes_back_in_a_new_life() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon", "ams"]).await;
    nodes[2].sees("its shards", |node| node.acting() > 300).await;
    nodes[2].socket.close();
    let since = tokio::time::Instant::now();
    while !fenced(&nodes[0], 3) {
        assert!(since.elapsed() < Duration::from_secs(20), "it is not fenced");
        no_shard_twice(&nodes);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(since.elapsed() >= Duration::from_millis(1000), "fenced after {:?}: too early", since.elapsed());
    assert!(!nodes[2].leased());
    while nodes[0].owned(3) > 0 {
        no_shard_twice(&nodes);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for node in &nodes[..2] {
        node.sees("that it acts for all it owns", |node| node.acting() == node.owned(node.handle.me())).await;
    }
    assert_eq!(nodes.iter().map(Node::acting).sum::<usize>(), usize::from(routing::cluster::SHARDS));
    nodes[2].socket.open();
    nodes[2].sees("a new life", |node| node.handle.incarnation() == 2 && node.leased()).await;
    nodes[2].sees("its share again", |node| node.acting() > 300).await;
    no_shard_twice(&nodes);
    nodes[0]
        .sees("it again", |node| {
            node.handle.peers().iter().any(|peer| peer.id == 3 && peer.is_up() && peer.incarnation == 2 && peer.linked)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_leader_dies_and_the_others_go_on() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon", "ams"]).await;
    three_voters(&nodes).await;
    let leader = nodes.iter().position(Node::leads).expect("somebody leads");
    nodes[leader].socket.close();
    let since = tokio::time::Instant::now();
    let rest: Vec<&Node> =
        nodes.iter().enumerate().filter(|(index, _)| *index != leader).map(|(_, node)| node).collect();
    let dead = nodes[leader].handle.me();
    for node in &rest {
        node.sees("a fence", |node| fenced(node, dead)).await;
        node.sees("all shards taken", |node| node.owned(dead) == 0 && node.leased()).await;
    }
    no_shard_twice(&nodes);
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

/// With the quorum lost nobody holds a lease; when it is back, everybody does, in the same life.
#[tokio::test(start_paused = true)]
async fn without_a_quorum_there_is_no_lease() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon", "ams"]).await;
    three_voters(&nodes).await;
    for node in &nodes {
        node.socket.close();
    }
    for node in &nodes {
        node.sees("no lease", |node| !node.leased()).await;
    }
    for node in &nodes {
        node.socket.open();
    }
    for node in &nodes {
        node.sees("its lease again", Node::leased).await;
    }
}
