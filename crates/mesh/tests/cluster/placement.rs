//! Shards over the nodes.

use crate::lab::{Lab, Node};
use routing::cluster::{ClusterChange, SHARDS};
use std::collections::BTreeMap;
use tables::Storage;

/// Owners within a tenth of the mean, each backup in another site, every owner acting for its shards.
fn is_even(node: &Node, carrying: usize) -> bool {
    let cluster = node.handle.cluster();
    let mut owned: BTreeMap<u64, usize> = BTreeMap::new();
    for shard in cluster.shards() {
        let (Some(owner), Some(backup)) = (shard.owner, shard.backup) else { return false };
        let site = |node| cluster.member(node).map(|member| member.site.clone());
        if site(owner) == site(backup) {
            return false;
        }
        *owned.entry(owner).or_default() += 1;
    }
    let mean = usize::from(SHARDS) / carrying;
    owned.len() == carrying && owned.values().all(|count| count.abs_diff(mean) * 10 <= mean)
}

#[tokio::test(start_paused = true)]
async fn shards_spread_evenly_with_backups_in_other_sites_and_a_joiner_gets_its_share() {
    let lab = Lab::default();
    let mut nodes = lab.cluster(&["fra", "fra", "lon", "lon"]).await;
    nodes[0].sees("an even spread", |node| is_even(node, 4)).await;
    let mut options = lab.options("ams", 5);
    options.join = vec![nodes[3].address.clone()];
    let fifth = lab.start(options, Storage::Memory).await;
    fifth.entered().await.expect("joins");
    nodes.push(fifth);
    nodes[0].sees("an even spread over five", |node| is_even(node, 5)).await;
    let version = nodes[0].handle.cluster().version;
    for node in &nodes {
        node.sees("the last move", |node| node.handle.cluster().version >= version).await;
        node.sees("that it acts for all it owns", |node| node.acting() == node.owned(node.handle.me())).await;
    }
    assert_eq!(nodes.iter().map(Node::acting).sum::<usize>(), usize::from(SHARDS));
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_loses_its_shards_and_gets_them_back() {
    let lab = Lab::default();
    let nodes = lab.cluster(&["fra", "lon", "ams"]).await;
    nodes[0].sees("an even spread", |node| is_even(node, 3)).await;
    nodes[1].tables.change_cluster(ClusterChange::Drain { node: 2, draining: true }).await.expect("drains");
    nodes[1].sees("that it owns nothing", |node| node.owned(2) == 0).await;
    assert!(nodes[1].leased(), "it still takes part");
    nodes[1].tables.change_cluster(ClusterChange::Drain { node: 2, draining: false }).await.expect("undrains");
    nodes[1].sees("its share", |node| is_even(node, 3)).await;
}
