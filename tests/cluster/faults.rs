//! The fault plans of `cluster/faults`, on real processes.

use std::time::{Duration, Instant};

use tests::cluster::{BETA, CARRIER_PORT, Links};
use tests::process::{sleep_until, wait_until};
use tests::{Agent, Cluster, Lab};
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
#[ignore = "half a minute: make cluster"]
fn most_nodes_are_killed_and_come_back() {
    survives("kill-quorum");
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
#[ignore = "forty seconds: make cluster"]
fn one_site_after_the_other_is_restarted() {
    survives("rolling-restart");
}

/// Trunks of one channel each, so many that every node leads the limits of some.
const NARROW: usize = 24;
const WAIT: Duration = Duration::from_secs(4);

/// A PBX without a limit, so that a call waits for its narrow trunk alone.
const WIDE: u8 = 140;

/// The number that is called over a narrow trunk.
fn number(trunk: usize) -> String {
    format!("49{trunk:02}30123456")
}

/// Narrow trunks to the carrier of ten channels, and a PBX whose plan leads to them.
fn narrow(cluster: &Cluster<'_>, lab: &Lab) {
    let (carrier, wide) = (lab.host(BETA), lab.host(WIDE));
    let trunk = |index| {
        format!(
            "[[trunk]]\nname = \"narrow-{index}\"\naccount = \"beta\"\nchannels = 1\n[trunk.egress]\ngateways = \
             [ {{ address = \"{carrier}:{CARRIER_PORT}\", transport = \"udp\", priority = 1, weight = 100 }} ]\n"
        )
    };
    let route = |index| format!("[[plan.route]]\nprefix = \"49{index:02}\"\ntrunks = [\"narrow-{index}\"]\n");
    let trunks: String = (0..NARROW).map(trunk).collect();
    let routes: String = (0..NARROW).map(route).collect();
    let pbx = format!(
        "[[trunk]]\nname = \"wide\"\naccount = \"acme\"\n[trunk.ingress]\nfrom = [\"{wide}/32\"]\nplan = \"narrow\"\n\
         caller_policy = \"pass\"\n[[plan]]\nname = \"narrow\"\norder = \"priority\"\n"
    );
    let revision = cluster.apply("fra-1", &format!("{trunks}{pbx}{routes}"));
    cluster.wait_revision(revision, Duration::from_secs(2));
}

#[test]
fn a_node_that_stood_still_for_ten_seconds_lends_nothing_as_it_wakes_and_comes_back() {
    let lab = Lab::shared();
    let cluster = Cluster::serving(&lab);
    narrow(&cluster, &lab);
    let (pbx, carrier) = (Agent::bind(&lab, WIDE, 5060), Agent::bind(&lab, BETA, CARRIER_PORT));
    let witness = cluster.other_than("lon-1");
    let owned = |name: &str| witness.sees(name).and_then(|node| node["shards_owned"].as_u64());
    let (sleeper, began) = (cluster.member("lon-1").sip(), Instant::now());
    cluster.pause("lon-1");
    wait_until("its shards are with the others", Duration::from_secs(10), || owned("lon-1") == Some(0));
    let state = witness.sees("lon-1").expect("it is a member still")["state"].clone();
    assert!(state == "fenced" || state == "down", "{state}");
    // What the sleeper held is counted for three seconds more.
    sleep_until(began + Duration::from_secs(6));
    // Every channel is taken at another node, and wanted by a call that waits in the socket of the one that sleeps.
    let offer = |node: &str| (0..NARROW).map(|trunk| pbx.call(node, &number(trunk))).collect();
    let taken = pbx.settle(offer(&witness.sip()), WAIT);
    assert_eq!(taken.answered.len(), NARROW, "{taken:?}\n{}", cluster.logs());
    let queued = offer(&sleeper);
    sleep_until(began + Duration::from_secs(10));
    cluster.resume("lon-1");
    let offered = pbx.settle(queued, Duration::from_secs(8));
    assert!(offered.answered.is_empty(), "calls over channels that others have: {offered:?}\n{}", cluster.logs());
    assert_eq!(carrier.talking(), NARROW, "no call came from the one that slept, and none was ended");
    cluster.wait_formed();
    assert!(pbx.hang_up_all(WAIT) && carrier.talks(0, WAIT), "the calls end on both sides");
    // It does its part again: channels at it, and limits that it leads.
    let again = pbx.settle(offer(&sleeper), WAIT);
    assert_eq!(again.answered.len(), NARROW, "{again:?}\n{}", cluster.logs());
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
