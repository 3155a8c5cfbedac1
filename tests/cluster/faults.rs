//! The fault plans of `cluster/faults`, on real processes.

use std::time::Duration;

use tests::cluster::Links;
use tests::process::wait_until;
use tests::{Cluster, Lab};
use topology::{Link, Plan, Target};

fn plan(name: &str) -> Plan {
    topology::bundled::fault(name).expect("valid").unwrap_or_else(|| panic!("no plan {name}"))
}

/// Runs a plan; afterwards the cluster stands and takes changes.
#[track_caller]
fn survives(name: &str) {
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let account = |name: &str| format!("[[account]]\nname = \"{name}\"\ncurrency = \"EUR\"\n");
    cluster.apply("fra-1", &account("before"));
    cluster.run(&plan(name));
    let revision = cluster.apply("ams-1", &account("after"));
    cluster.wait_revision(revision, Duration::from_secs(2));
    for member in cluster.members() {
        let text = member.cli(&["export"]).1;
        assert!(text.contains("before") && text.contains("after"), "{} after {name}: {text}", member.name());
    }
}

#[test]
fn a_node_is_killed_and_comes_back() {
    survives("kill-one-node");
}

#[test]
fn the_leader_is_killed_and_comes_back() {
    survives("kill-leader");
}

#[test]
fn the_leader_stands_still_and_comes_back() {
    survives("pause-leader");
}

#[test]
fn all_are_killed_and_come_back() {
    survives("restart-all");
}

#[test]
fn one_site_after_the_other_is_restarted() {
    survives("rolling-restart");
}

#[test]
fn a_node_that_stood_still_is_fenced_and_comes_back_by_itself() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let witness = cluster.other_than("lon-1");
    let owned = |name: &str| witness.sees(name).and_then(|node| node["shards_owned"].as_u64());
    cluster.pause("lon-1");
    wait_until("its shards are with the others", Duration::from_secs(10), || owned("lon-1") == Some(0));
    let state = witness.sees("lon-1").expect("it is a member still")["state"].clone();
    assert!(state == "fenced" || state == "down", "{state}");
    cluster.resume("lon-1");
    cluster.wait_formed();
}

#[test]
fn between_two_sites_that_both_reach_the_third_nobody_dies() {
    if !Links::can_be_cut() {
        return;
    }
    let lab = Lab::shared();
    let mut cluster = Cluster::three_sites(&lab);
    let epochs =
        |cluster: &Cluster<'_>| cluster.member("ams-1").sees("lon-1").expect("a member")["shards_owned"].clone();
    let before = epochs(&cluster);
    let [one, other] = ["fra", "lon"].map(|site| Target::Site(site.to_owned()));
    let link = Link { one, other };
    cluster.set_cut(&link, true);
    // Longer than any lease and any detection: what would happen has happened.
    let fenced = tests::process::holds_within(Duration::from_secs(5), || {
        let sees = |name: &str| cluster.member("ams-1").sees(name).is_some_and(|node| node["state"] != "up");
        sees("fra-1") || sees("lon-1")
    });
    assert!(!fenced, "a node was called dead though a third one hears it");
    assert_eq!(epochs(&cluster), before, "no shard has changed its owner");
    cluster.set_cut(&link, false);
    cluster.wait_formed();
}

#[test]
fn a_site_that_reaches_no_other_is_fenced_and_comes_back() {
    if Links::can_be_cut() {
        survives("isolate-one-site");
    }
}
