//! Three sites that are 80 ms apart, there and back, as sites of one continent are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::cluster::{ALPHA, CARRIER_PORT, Links, PBX, row};
use tests::process::{holds_within, report, wait_until};
use tests::{Agent, Cluster, Lab};

/// From one site to another and back.
const TRIP: Duration = Duration::from_millis(80);
/// A change must be in force everywhere within this.
const VISIBLE: Duration = Duration::from_secs(1);
/// Changes that are timed.
const CHANGES: usize = 20;
/// The tables take changes again within this after the death of who led them.
const WRITABLE: Duration = Duration::from_secs(3);
const WAIT: Duration = Duration::from_secs(4);
/// The phone's host number, and its number of the tables.
const PHONE: u8 = 130;
const NUMBER: &str = "442071230001";

fn account(name: &str) -> String {
    format!("[[account]]\nname = \"{name}\"\ncurrency = \"EUR\"\n")
}

/// What is true while nothing happens: everybody up in everybody's eyes, as far away as it is, with a lease that has never
/// run out, under the same leader of the same term. Watched until `ended`; the least that was left of a lease, in ms.
#[track_caller]
pub(crate) fn steady(cluster: &Cluster<'_>, trip: Duration, ended: &AtomicBool) -> u64 {
    let term = cluster.members()[0].status().expect("it answers")["term"].clone();
    let mut least = u64::MAX;
    while !ended.load(Ordering::Relaxed) {
        for member in cluster.members() {
            let status = member.status().unwrap_or_else(|| panic!("{} does not answer", member.name()));
            assert_eq!(status["term"], term, "the leader was changed in the eyes of {}: {status:#}", member.name());
            for member in cluster.members() {
                let node = row(&status, member.name()).unwrap_or_else(|| panic!("no {}: {status:#}", member.name()));
                assert_eq!(node["state"], "up", "in the eyes of {}: {status:#}", member.name());
                // Another one may be too busy to answer; it is asked for itself next.
                if let Some(lease) = node["lease_remaining_ms"].as_u64() {
                    assert!(lease > 0, "a lease ran out: {status:#}");
                    least = least.min(lease);
                }
                let far = node["rtt_ms"].as_f64().is_none_or(|ms| ms >= trip.as_secs_f64() * 1e3);
                assert!(far, "this is not far away: {status:#}");
            }
        }
    }
    least
}

/// Applies one change after the other, each at the next node; how long each took to be in force everywhere.
#[track_caller]
fn changes(cluster: &Cluster<'_>) -> Vec<Duration> {
    let at = cluster.members().iter().cycle();
    let mut took: Vec<Duration> = (0..CHANGES)
        .zip(at)
        .map(|(number, member)| {
            let began = Instant::now();
            let revision = member.put_tables(&account(&format!("change-{number}"))).expect("it is taken");
            // Each by its own word: to ask for the cluster as a whole takes a round trip by itself.
            for member in cluster.members() {
                wait_until("the change, everywhere", WAIT, || member.own_revision() >= revision);
            }
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    took
}

/// A phone registers at each site in turn and is called through each; a call is ended through another site than its own.
#[track_caller]
fn calls_pass(cluster: &Cluster<'_>, pbx: &Agent, carrier: &Agent, phone: &Agent) {
    let nodes = cluster.sip();
    for node in &nodes {
        assert_eq!(phone.register(node, "alice", "alice-secret"), 200, "at {node}\n{}", cluster.logs());
    }
    for through in &nodes {
        let call = pbx.dial(through, NUMBER, WAIT);
        assert!(call.is_ok(), "called through {through}: {call:?}\n{}", cluster.logs());
        assert!(phone.talks(1, WAIT), "the phone has the call");
        assert!(pbx.hang_up_all(WAIT) && phone.talks(0, WAIT), "it ends on both sides");
    }
    for (by, at) in [(0, 1), (1, 2), (2, 0)] {
        let call = pbx.dial(&nodes[by], "4420123456", WAIT).expect("the carrier is called");
        assert!(carrier.talks(1, WAIT));
        let (code, took) = pbx.ask(&call, "BYE", &nodes[at]).expect("the BYE is answered");
        assert_eq!(code, 200);
        assert!(took >= TRIP, "a BYE of a call 80 ms away was answered in {took:?}");
        assert!(carrier.talks(0, WAIT), "it ends on both sides");
    }
}

#[test]
fn three_sites_that_are_far_apart_are_one_switch() {
    if !Links::can_be_cut() {
        return;
    }
    let lab = Lab::shared();
    let mut cluster = Cluster::serving_apart(&lab, TRIP / 2);
    let (pbx, phone) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, PHONE, 5060));
    let carrier = Agent::bind(&lab, ALPHA, CARRIER_PORT);
    let ended = AtomicBool::new(false);
    let (took, least) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| steady(&cluster, TRIP, &ended));
        let work = scope.spawn(|| {
            let took = changes(&cluster);
            calls_pass(&cluster, &pbx, &carrier, &phone);
            took
        });
        let took = work.join();
        ended.store(true, Ordering::Relaxed);
        (took.expect("changes and calls pass"), watch.join().expect("nothing happens"))
    });
    let (median, longest) = (took[CHANGES / 2], took[CHANGES - 1]);
    report(&format!(
        "80 ms apart: {CHANGES} changes in force everywhere after {median:?} (median), {longest:?} (longest); no \
         lease had less than {least} ms left"
    ));
    assert!(longest < VISIBLE, "a change was in force everywhere after {longest:?}");
    let leader = cluster.leader().expect("somebody leads");
    cluster.kill(&leader);
    let (began, other, mut said) = (Instant::now(), cluster.other_than(&leader), None);
    let taken = holds_within(WRITABLE + TRIP, || {
        said = other.put_tables(&account("after")).err();
        said.is_none()
    });
    let took = began.elapsed();
    report(&format!("80 ms apart: writable {took:?} after the death of the leader"));
    assert!(taken && took < WRITABLE + TRIP, "no change was taken within {took:?}: {said:?}\n{}", cluster.logs());
}
