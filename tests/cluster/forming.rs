//! Nodes that find each other, come and go.

use std::time::Duration;

use crate::strangers::stranger;
use tests::process::wait_until;
use tests::{Cluster, Lab};

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
fn a_node_that_cannot_join_yet_says_what_it_waits_for_and_joins_when_it_can() {
    let lab = Lab::shared();
    let mut cluster = Cluster::new(&lab, topology::bundled::three_sites().expect("valid"));
    let founder = cluster.member("fra-1").node().mesh.to_string();
    cluster.start("lon-1");
    wait_until("it says whom it waits for", Duration::from_secs(10), || {
        let log = cluster.member("lon-1").log();
        log.contains("cannot join the cluster yet") && log.contains(&founder)
    });
    cluster.start_all();
    cluster.wait_formed();
}

#[test]
fn a_fourth_node_joins_and_gets_its_share_and_is_removed_for_good() {
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
    fourth.signal("STOP");
    wait_until("its shards are with the others", Duration::from_secs(10), || share("lon-2") == Some(0));
    let (status, output) = first.cli(&["cluster", "remove", "lon-2"]);
    assert_eq!(status, Some(0), "{output}");
    cluster.wait_formed();
    fourth.signal("CONT");
    let (status, said) = fourth.wait_end();
    assert_eq!(status.code(), Some(2), "while it runs: {said}");
    assert!(said.contains("tandem: ") && said.contains("removed"), "it says why: {said}");
    // Nor does it come back under its old number.
    fourth.start();
    let (status, said) = fourth.wait_end();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("removed"), "it says why: {said}");
    cluster.wait_formed();
}
