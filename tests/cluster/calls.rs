//! Calls do not mind what happens to the tables.

use std::time::{Duration, Instant};

use tests::cluster::{ALPHA, CARRIER_PORT};
use tests::process::report;
use tests::{Agent, Cluster, Lab};

/// A PBX without a limit: its calls ask no other node for anything.
const WIDE: u8 = 140;
const WAIT: Duration = Duration::from_secs(4);
/// What a setup may take on a machine that is busy with an election as well.
const SETUP: Duration = Duration::from_millis(500);
/// Longer than any lease, detection or election.
const WATCH: Duration = Duration::from_secs(6);

/// A cluster with that PBX and the carrier without a limit.
pub(crate) fn wide(lab: &Lab) -> (Cluster<'_>, Agent, Agent) {
    wide_of(lab, Cluster::serving(lab))
}

/// The same of a cluster that serves.
pub(crate) fn wide_of<'lab>(lab: &'lab Lab, cluster: Cluster<'lab>) -> (Cluster<'lab>, Agent, Agent) {
    let pbx = format!(
        "[[trunk]]\nname = \"wide\"\naccount = \"acme\"\n[trunk.ingress]\nfrom = [\"{}/32\"]\nplan = \"retail\"\n\
         caller_policy = \"pass\"\n",
        lab.host(WIDE)
    );
    let revision = cluster.apply("fra-1", &pbx);
    cluster.wait_revision(revision, Duration::from_secs(2));
    (cluster, Agent::bind(lab, WIDE, 5060), Agent::bind(lab, ALPHA, CARRIER_PORT))
}

/// For a while every call at each running node is answered soon, and one that is up since before is still there.
#[track_caller]
fn are_not_affected(cluster: &Cluster<'_>, pbx: &Agent, standing: &str, node: &str) {
    let (began, mut calls, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while began.elapsed() < WATCH {
        for node in cluster.sip() {
            let asked = Instant::now();
            let call = pbx.dial(&node, "4420123456", WAIT);
            let took = asked.elapsed();
            let call = call.unwrap_or_else(|code| {
                panic!("a call at {node} was refused with {code} after {:?}\n{}", began.elapsed(), cluster.logs())
            });
            assert!(took < SETUP, "a call at {node} was answered after {took:?}\n{}", cluster.logs());
            assert_eq!(pbx.ask(&call, "BYE", &node).map(|(code, _)| code), Some(200), "at {node}");
            (calls, longest) = (calls + 1, longest.max(took));
        }
        assert_eq!(pbx.ask(standing, "INFO", node).map(|(code, _)| code), Some(200), "the call is still up");
    }
    report(&format!("{calls} calls meanwhile, each answered, the slowest after {longest:?}"));
}

#[test]
fn calls_are_not_affected_by_the_death_of_the_leader() {
    let lab = Lab::shared();
    let (mut cluster, pbx, _carrier) = wide(&lab);
    let leader = cluster.leader().expect("somebody leads");
    let node = cluster.other_than(&leader).sip();
    let standing = pbx.dial(&node, "4420123456", WAIT).expect("answered");
    cluster.kill(&leader);
    are_not_affected(&cluster, &pbx, &standing, &node);
    assert_eq!(pbx.ask(&standing, "BYE", &node).map(|(code, _)| code), Some(200));
}

#[test]
fn calls_go_on_from_the_last_tables_without_a_quorum() {
    let lab = Lab::shared();
    let (mut cluster, pbx, _carrier) = wide(&lab);
    let node = cluster.member("ams-1").sip();
    let standing = pbx.dial(&node, "4420123456", WAIT).expect("answered");
    cluster.kill("fra-1");
    cluster.kill("lon-1");
    are_not_affected(&cluster, &pbx, &standing, &node);
    assert_eq!(cluster.member("ams-1").status().expect("it answers")["quorum"], false);
    assert_eq!(pbx.ask(&standing, "BYE", &node).map(|(code, _)| code), Some(200));
}
