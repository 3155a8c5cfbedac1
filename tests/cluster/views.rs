//! What an operator sees of the whole cluster, whichever node is asked: calls, trunks, registrations, nodes, numbers; and what is
//! said of a node that does not answer.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::cluster::{Member, row};
use tests::process::wait_until;
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Cluster, Lab, Sipp};

/// A phone's host number.
const PHONE: u8 = 30;
/// The columns of an operator's terminal.
const TERMINAL: usize = 100;
/// How long something may take that takes no time.
const SOON: Duration = Duration::from_secs(10);

/// Three sites with tables, all of which take calls.
#[track_caller]
fn three_sites(lab: &Lab) -> Cluster<'_> {
    let cluster = Cluster::three_sites(lab);
    let tables =
        Tables::usual(lab).user("alice", "alice-secret", "+442071230001").user("bob", "bob-secret", "+442071230002");
    let revision = cluster.apply("fra-1", tables.text());
    cluster.wait_revision(revision, SOON);
    for member in cluster.members() {
        let ready = format!("{}/readyz", member.node().url());
        wait_until("it takes calls", SOON, || ureq::get(&ready).call().is_ok());
    }
    cluster
}

/// The rows of a listing that nobody is missing from.
#[track_caller]
fn whole(member: &Member, listing: &str) -> Vec<Value> {
    let answer = member.json(&[listing]);
    assert_eq!(answer["missing"].as_array().map(Vec::len), Some(0), "{answer}");
    answer[listing].as_array().unwrap_or_else(|| panic!("no list of {listing}: {answer}")).clone()
}

/// The listing as people see it fits a terminal.
#[track_caller]
fn reads_well(member: &Member, command: &[&str]) -> String {
    let (status, output) = member.cli(command);
    assert_eq!(status, Some(0), "{command:?}: {output}");
    assert!(output.lines().all(|line| line.chars().count() <= TERMINAL), "{command:?} is too wide:\n{output}");
    output
}

#[test]
fn a_call_at_one_site_is_seen_from_the_others_and_ended_from_there() {
    let lab = Lab::shared();
    let cluster = three_sites(&lab);
    let [fra, lon, ams] = ["fra-1", "lon-1", "ams-1"].map(|name| cluster.member(name));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller_hung_up").call(&fra.sip(), "441234");
    wait_until("the call is up", SOON, || !caller.logged().is_empty());
    let calls = whole(lon, "calls");
    assert_eq!(calls.len(), 1, "{calls:?}");
    let (call, id) = (&calls[0], calls[0]["id"].as_str().expect("an id"));
    assert_eq!(
        (&call["node"], &call["site"], &call["egress_trunk"]),
        (&"fra-1".into(), &"fra".into(), &"alpha".into())
    );
    for member in cluster.members() {
        assert_eq!(whole(member, "calls")[0]["id"], id, "seen from {}", member.name());
        assert_eq!(member.json(&["calls", "show", id])["node"], "fra-1", "seen from {}", member.name());
        assert_eq!(whole_trunk(member, "pbx"), [("ams-1".into(), 0), ("fra-1".into(), 1), ("lon-1".into(), 0)]);
    }
    assert!(whole(ams, "calls").iter().all(|call| call["ingress_trunk"] == "pbx"));
    assert_eq!(lon.json(&["calls", "--trunk", "beta"])["calls"].as_array().map(Vec::len), Some(0));
    assert!(reads_well(lon, &["calls"]).contains(id));
    assert!(reads_well(lon, &["trunks"]).contains("fra-1 1"));
    let (status, output) = ams.cli(&["calls", "hangup", id]);
    assert_eq!(status, Some(0), "{output}");
    caller.done();
    callee.done();
    wait_until("nobody shows it any more", SOON, || {
        cluster.members().iter().all(|member| member.json(&["calls"])["calls"].as_array().is_some_and(Vec::is_empty))
    });
    let (status, output) = lon.cli(&["calls", "hangup", id]);
    assert_eq!((status, output.contains("no live call")), (Some(2), true), "{output}");
}

/// The channels of a trunk by node; their sum is what the trunk has in use.
#[track_caller]
fn whole_trunk(member: &Member, name: &str) -> Vec<(String, u64)> {
    let trunks = Value::Array(whole(member, "trunks"));
    let trunk = row(&trunks, name).unwrap_or_else(|| panic!("no {name} in {trunks}"));
    let share =
        |node: &Value| (node["node"].as_str().unwrap_or("").to_owned(), node["channels_used"].as_u64().unwrap_or(0));
    let shares: Vec<_> = trunk["nodes"].as_array().expect("a list").iter().map(share).collect();
    assert_eq!(trunk["channels_used"], shares.iter().map(|(_, used)| used).sum::<u64>(), "{trunk}");
    shares
}

#[test]
fn every_node_shows_all_nodes_with_what_only_they_know() {
    let lab = Lab::shared();
    let cluster = three_sites(&lab);
    for member in cluster.members() {
        let nodes = whole(member, "nodes");
        assert_eq!(nodes.len(), 3, "{nodes:?}");
        for node in &nodes {
            let (own, rtt) = (node["name"] == member.name(), node["rtt_ms"].as_f64());
            assert!(node["state"] == "up" && node["version"].is_string() && node["started"].is_string(), "{node}");
            assert!(node["lease_remaining_ms"].as_u64().is_some_and(|left| (1..=1_000).contains(&left)), "{node}");
            assert!(node["calls"] == 0 && node["revision"] == 1, "{node}");
            assert!(if own { rtt.is_none() } else { rtt.is_some_and(|rtt| rtt > 0.0 && rtt < 1000.0) }, "{node}");
        }
        let status = member.status().expect("it answers");
        let known = |node: &Value| node["calls"].is_u64() && node["version"].is_string();
        assert!(status["nodes"].as_array().expect("a list").iter().all(known), "{status}");
        reads_well(member, &["nodes"]);
        reads_well(member, &["numbers"]);
        reads_well(member, &["cluster", "status"]);
    }
}

#[test]
fn who_is_registered_is_seen_from_every_site() {
    let lab = Lab::shared();
    let cluster = three_sites(&lab);
    register(&lab, cluster.member("lon-1"));
    for member in cluster.members() {
        let bindings = whole(member, "registrations");
        assert_eq!(bindings.len(), 1, "one phone, however many nodes have a copy: {bindings:?}");
        let contact = bindings[0]["contact"].as_str().expect("a contact");
        assert!(bindings[0]["name"] == "alice" && contact.contains(&lab.host(PHONE).to_string()), "{bindings:?}");
        assert_eq!(whole_states(member), ["registered", "not registered"], "seen from {}", member.name());
        let counted: u64 = whole(member, "nodes").iter().filter_map(|node| node["registrations"].as_u64()).sum();
        assert_eq!(counted, 1, "a copy for another node is not counted");
        reads_well(member, &["registrations"]);
    }
}

#[track_caller]
fn register(lab: &Lab, at: &Member) {
    let phone = Sipp::new(lab, PHONE, "pbx_registers").set("user", "alice").set("password", "alice-secret");
    phone.set("expires", "300").call(&at.sip(), "nobody").done();
}

/// The states of the numbers of alice and bob.
#[track_caller]
fn whole_states(member: &Member) -> Vec<Value> {
    whole(member, "numbers").iter().map(|number| number["state"].clone()).collect()
}

/// The one node that an answer names as missing, and why.
fn missing(answer: &Value) -> Option<(&str, &str)> {
    let [one] = answer["missing"].as_array()?.as_slice() else { return None };
    Some((one["node"].as_str()?, one["why"].as_str()?))
}

#[test]
fn a_killed_node_is_named_as_missing_and_what_others_know_is_shown() {
    let lab = Lab::alone();
    let mut cluster = three_sites(&lab);
    register(&lab, cluster.member("ams-1"));
    cluster.kill("lon-1");
    let fra = cluster.member("fra-1");
    for listing in ["calls", "trunks", "registrations", "nodes", "numbers"] {
        let answer = fra.json(&[listing]);
        assert!(missing(&answer).is_some_and(|(node, why)| node == "lon-1" && !why.is_empty()), "{answer}");
        assert!(reads_well(fra, &[listing]).contains("no answer from lon-1 ("), "people are told as well");
    }
    assert_eq!(missing(&fra.status().expect("it answers")).map(|(node, _)| node), Some("lon-1"));
    // Whoever it was that served alice: another has her by now.
    wait_until("alice is known", SOON, || fra.json(&["numbers"])["numbers"][0]["state"] == "registered");
    wait_until("her registration is listed", SOON, || {
        row(&fra.json(&["registrations"])["registrations"], "alice").is_some()
    });
    let lon = || row(&fra.json(&["nodes"])["nodes"], "lon-1").cloned().expect("it is a member still");
    wait_until("it is not taken for up", SOON, || lon()["state"] != "up");
    assert!(lon()["calls"].is_null() && lon()["site"] == "lon", "{}", lon());
    cluster.restart("lon-1");
    cluster.wait_formed();
    let fra = cluster.member("fra-1");
    wait_until("nobody is missing any more", SOON, || {
        fra.json(&["nodes"])["missing"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(whole(fra, "nodes").len(), 3);
}

#[test]
fn a_node_that_stands_still_holds_nobody_up() {
    let lab = Lab::alone();
    let cluster = three_sites(&lab);
    cluster.pause("ams-1");
    let asked = Instant::now();
    let answer = cluster.member("fra-1").json(&["calls"]);
    let took = asked.elapsed();
    assert_eq!(missing(&answer).map(|(node, _)| node), Some("ams-1"), "{answer}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    cluster.resume("ams-1");
    cluster.wait_formed();
}
