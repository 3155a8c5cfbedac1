//! Nodes that find each other, and nodes that do not belong.

use std::net::SocketAddr;
use std::time::Duration;

use tests::cluster::Member;
use tests::process::wait_until;
use tests::{Cluster, Lab};

/// The host number of a node that is in no topology.
const STRANGER: u8 = 240;

/// A node like `like`, on an address and a folder of its own.
fn stranger(lab: &Lab, cluster: &Cluster<'_>, like: &str, name: &str) -> Member {
    let node = cluster.member(like).node().clone();
    let (from, to) = (node.ip(), lab.host(STRANGER));
    let join = [cluster.members()[0].node().mesh.to_string()];
    let node = node.on_addresses(&|ip| if ip == from { to } else { ip });
    let node = node.with_data_dir(&lab.path("stranger").to_string_lossy()).with_http(SocketAddr::new(to, 8060));
    let node = node.with("cluster", "join", join.to_vec().into()).expect("addresses");
    Member::named(lab, node.with("node", "name", name.into()).expect("a name"), "stranger")
}

#[test]
fn three_processes_form_a_cluster() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let leader = cluster.leader().expect("somebody leads");
    for member in cluster.members() {
        let status = member.status().expect("it answers");
        assert_eq!(status["leader"], leader.as_str(), "{status}");
        let nodes = status["nodes"].as_array().expect("a list");
        assert_eq!(nodes.iter().filter(|node| node["role"] == "leader").count(), 1, "{status}");
        let shards = |key: &str| nodes.iter().map(|node| node[key].as_u64().unwrap_or(0)).sum::<u64>();
        assert_eq!((shards("shards_owned"), shards("shards_backup")), (1024, 1024), "{status}");
        let lease = member.metric("tandem_lease_remaining_seconds", "");
        assert!(lease > 0.0 && lease <= 1.0, "{} has {lease} s of its lease left", member.name());
    }
    let (status, output) = cluster.members()[2].cli(&["cluster", "status"]);
    assert_eq!(status, Some(0), "{output}");
    assert_eq!(output.lines().count(), 5, "a headline, and a table of three: {output}");
    assert!(output.lines().all(|line| line.chars().count() <= 120), "{output}");
}

#[test]
fn a_name_that_is_taken_is_refused_and_harms_nobody() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let mut twin = stranger(&lab, &cluster, "lon-1", "lon-1");
    twin.start();
    let (status, said) = twin.wait_end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("lon-1"), "it says which name: {said}");
    cluster.wait_formed();
}

#[test]
fn a_fourth_node_joins_and_gets_its_share_and_is_removed_again() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let mut fourth = stranger(&lab, &cluster, "lon-1", "lon-2");
    fourth.start();
    fourth.wait_ready();
    let first = &cluster.members()[0];
    let share = |name: &str| first.sees(name).and_then(|node| node["shards_owned"].as_u64());
    wait_until("its share of the shards", Duration::from_secs(20), || {
        share("lon-2").is_some_and(|owned| owned.abs_diff(256) * 10 <= 256)
    });
    let (status, output) = first.cli(&["cluster", "remove", "lon-2"]);
    assert_eq!(status, Some(2), "it acts for its shards: {output}");
    fourth.kill();
    wait_until("its shards are with the others", Duration::from_secs(10), || share("lon-2") == Some(0));
    let (status, output) = first.cli(&["cluster", "remove", "lon-2"]);
    assert_eq!(status, Some(0), "{output}");
    cluster.wait_formed();
    // It does not come back under its old number.
    fourth.start();
    let (status, said) = fourth.wait_end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("removed"), "it says why: {said}");
}
