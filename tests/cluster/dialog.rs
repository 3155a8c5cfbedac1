//! A request within a call finds the call from any site.

use std::time::Duration;

use tests::cluster::{ALPHA, CARRIER_PORT, PBX};
use tests::process::{report, wait_until};
use tests::{Agent, Cluster, Lab};

const WAIT: Duration = Duration::from_secs(4);
/// A node that is back has its calls within so long.
const BACK: Duration = Duration::from_secs(20);
/// Enough calls for the shards of some to move, and those of others to stay.
const MOVED: usize = 8;
/// Requests of each kind that are measured, and of which the median counts.
const REQUESTS: usize = 201;
/// Of BYE, each of which takes a call of its own.
const ENDINGS: usize = 51;
/// What another node in between may cost.
const ADDED: Duration = Duration::from_millis(2);

/// A call through `node` that is up; its Call-ID.
#[track_caller]
fn call(cluster: &Cluster<'_>, pbx: &Agent, carrier: &Agent, node: &str) -> String {
    let through = cluster.member(node).sip();
    let call = pbx.dial(&through, "4420123456", WAIT);
    let call = call.unwrap_or_else(|code| panic!("the call was refused with {code}\n{}", cluster.logs()));
    assert!(carrier.talks(1, WAIT), "the carrier has the call");
    call
}

#[test]
fn a_bye_at_the_wrong_site_ends_both_legs() {
    let lab = Lab::shared();
    let cluster = Cluster::serving(&lab);
    let (pbx, carrier) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, ALPHA, CARRIER_PORT));
    for (by, at) in [("fra-1", "lon-1"), ("ams-1", "fra-1"), ("lon-1", "ams-1")] {
        let call = call(&cluster, &pbx, &carrier, by);
        let (code, _) = pbx.ask(&call, "BYE", &cluster.member(at).sip()).expect("the BYE is answered");
        assert_eq!(code, 200, "a BYE of a call at {by} came to {at}\n{}", cluster.logs());
        assert!(carrier.talks(0, WAIT), "the carrier was not told: the call was at {by}, the BYE came to {at}");
        let carried = cluster.member(at).metric("tandem_sip_carried_total", "");
        assert!(carried >= 1.0, "{at} answered the BYE by itself");
        let record =
            || cluster.member(by).cdrs().into_iter().filter(|cdr| cdr.ingress_call_id == call && cdr.last).count();
        wait_until("the record of the call, at the node that had it", Duration::from_secs(15), || record() == 1);
        let strangers = cluster.members().iter().filter(|member| member.name() != by);
        let others: usize =
            strangers.map(|member| member.cdrs().iter().filter(|cdr| cdr.ingress_call_id == call).count()).sum();
        assert_eq!(others, 0, "one record and no more");
    }
}

#[test]
fn a_request_that_comes_before_its_call_is_back_is_not_refused() {
    let lab = Lab::shared();
    let mut cluster = Cluster::serving(&lab);
    let (pbx, carrier) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, ALPHA, CARRIER_PORT));
    let call = call(&cluster, &pbx, &carrier, "lon-1");
    let node = cluster.member("lon-1").sip();
    // Sooner than anybody holds it to be dead: its shards stay with it, and its calls come back to it.
    cluster.kill("lon-1");
    cluster.restart("lon-1");
    let mut asked = 0;
    wait_until("a request within the call is answered", BACK, || {
        asked += 1;
        let code = pbx.ask(&call, "INFO", &node).map(|(code, _)| code);
        assert!(matches!(code, None | Some(200)), "request {asked} was refused with {code:?}\n{}", cluster.logs());
        code.is_some()
    });
    let early = cluster.member("lon-1").metric("tandem_sip_rejected_total", "reason=\"not_back_yet\"");
    assert!(asked == 1 || early >= 1.0, "request {asked} was answered, and none before was held back");
    assert!(carrier.talks(1, WAIT), "the carrier still has the call");
    assert!(pbx.hang_up_all(WAIT) && carrier.talks(0, WAIT), "it ends on both sides");
}

#[test]
fn a_call_that_was_taken_over_is_found_when_its_shard_has_moved_on() {
    let lab = Lab::shared();
    let mut cluster = Cluster::serving(&lab);
    let (pbx, carrier) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, ALPHA, CARRIER_PORT));
    let first = cluster.member("lon-1").sip();
    let dial = |_| pbx.dial(&first, "4420123456", WAIT).expect("the call is answered");
    let calls: Vec<String> = (0..MOVED).map(dial).collect();
    cluster.kill("lon-1");
    let taken = |cluster: &Cluster<'_>| {
        let kept = |member: &str| cluster.member(member).metric("tandem_takeover_calls_total", "result=\"kept\"");
        kept("fra-1") + kept("ams-1")
    };
    wait_until("all its calls are with the others", BACK, || taken(&cluster) >= MOVED as f64);
    cluster.restart("lon-1");
    let share = || cluster.member("fra-1").sees("lon-1").map_or(0, |row| row["shards_owned"].as_u64().unwrap_or(0));
    wait_until("lon-1 has its share again", BACK, || share() > 300);
    for at in ["fra-1", "lon-1", "ams-1"] {
        let node = cluster.member(at).sip();
        for call in &calls {
            // Nothing is said while a shard has just moved; then its call must be found.
            let answered = || pbx.ask(call, "INFO", &node).map(|(code, _)| assert_eq!(code, 200, "at {at}")).is_some();
            wait_until("a request within the call is answered", BACK, answered);
        }
    }
    assert!(pbx.hang_up_all(WAIT) && carrier.talks(0, WAIT), "they end on both sides");
}

/// The middle one of many round trips of a request within a call.
#[track_caller]
fn median(pbx: &Agent, call: &str, method: &str, node: &str) -> Duration {
    let ask = |_| {
        let (code, took) = pbx.ask(call, method, node).unwrap_or_else(|| panic!("{method} at {node} is not answered"));
        assert_eq!(code, 200, "{method} at {node}");
        took
    };
    let mut took: Vec<Duration> = (0..REQUESTS).map(ask).collect();
    took.sort_unstable();
    took[REQUESTS / 2]
}

/// The middle one of many BYEs that come to `node`, each of a call at fra-1.
#[track_caller]
fn endings(cluster: &Cluster<'_>, pbx: &Agent, node: &str) -> Duration {
    let (own, node) = (cluster.member("fra-1").sip(), cluster.member(node).sip());
    let end = |_| {
        let call = pbx.dial(&own, "4420123456", WAIT).unwrap_or_else(|code| panic!("refused with {code}"));
        let (code, took) = pbx.ask(&call, "BYE", &node).expect("the BYE is answered");
        assert_eq!(code, 200);
        took
    };
    let mut took: Vec<Duration> = (0..ENDINGS).map(end).collect();
    took.sort_unstable();
    took[ENDINGS / 2]
}

#[track_caller]
fn assert_little([right, wrong]: [Duration; 2], method: &str, count: usize) {
    report(&format!("{method} within a call, median of {count}: {right:?} at its node, {wrong:?} through another"));
    assert!(wrong < right + ADDED, "{method}: {right:?} at the call's node, {wrong:?} through another");
}

#[test]
fn another_node_in_between_adds_at_most_two_milliseconds() {
    let lab = Lab::alone();
    let cluster = Cluster::serving(&lab);
    let (pbx, carrier) = (Agent::bind(&lab, PBX, 5060), Agent::bind(&lab, ALPHA, CARRIER_PORT));
    let byes = ["fra-1", "lon-1"].map(|node| endings(&cluster, &pbx, node));
    assert_little(byes, "BYE", ENDINGS);
    let call = call(&cluster, &pbx, &carrier, "fra-1");
    for method in ["OPTIONS", "INFO", "INVITE"] {
        let medians = ["fra-1", "lon-1"].map(|node| median(&pbx, &call, method, &cluster.member(node).sip()));
        assert_little(medians, method, REQUESTS);
    }
    let carried = cluster.member("lon-1").metric("tandem_sip_carried_total", "");
    assert!(carried >= (3 * REQUESTS + ENDINGS) as f64, "the requests went through lon-1: {carried}");
    assert!(pbx.hang_up_all(WAIT) && carrier.talks(0, WAIT));
}
