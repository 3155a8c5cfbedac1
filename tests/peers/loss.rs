//! Calls over networks that lose, double and reorder.

use std::net::SocketAddr;
use std::time::Duration;

use tests::datagram::{Datagrams, request};
use tests::node::finals;
use tests::shuffle::{Shuffle, Weather};
use tests::tables::{CALLER, GATEWAY, PORT, Tables};
use tests::{Lab, Node, Sipp};

/// Where the bad network stands.
const NETWORK: u8 = 50;
/// Long enough for several retransmissions in a row (RFC 3261 timers A to G).
const LIMIT: Duration = Duration::from_secs(90);
/// Calls in each test.
const CALLS: usize = 20;

/// The same tables, with time for several losses in a row before an attempt is given up.
fn patient(tables: Tables) -> Tables {
    Tables::default().with(&tables.text().replace("timeout_seconds = 2", "timeout_seconds = 30"))
}

/// Every call of the caller went well, and has one final record that says so.
#[track_caller]
fn assert_all_went_well(node: &Node<'_>, caller: &tests::sipp::Done) {
    assert_eq!(caller.statistic("SuccessfulCall(C)"), CALLS as u64);
    let rows = node.wait_cdrs(CALLS);
    let finals = finals(&rows);
    assert!(finals.values().all(|row| row.is_answered() && row.ended_by == "caller"), "{finals:#?}");
    node.wait_idle();
}

#[test]
fn a_caller_and_a_callee_that_lose_a_tenth() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &patient(Tables::usual(&lab)));
    let callee = Sipp::new(&lab, GATEWAY, "callee_lossy").args(&["-lost", "10"]).limit(LIMIT).serve(CALLS + 1);
    let caller =
        Sipp::new(&lab, CALLER, "caller_lossy").args(&["-lost", "10", "-d", "300"]).load(CALLS, 10).limit(LIMIT);
    let caller = caller.call(&node.sip(), "441234").done();
    assert_all_went_well(&node, &caller);
    callee.kill();
}

#[test]
fn messages_from_the_caller_that_overtake_each_other() {
    let lab = Lab::shared();
    let tables = Tables::default()
        .account("acme", "retail")
        .ingress("pbx", lab.host(NETWORK), "")
        .egress("alpha", lab.host(GATEWAY), "udp")
        .plan("retail", &["alpha"]);
    let node = Node::start(&lab, &patient(tables));
    let target: SocketAddr = node.sip().parse().expect("an address");
    let weather = Weather { lost: 5, doubled: 20, late: 40, late_to_target: true };
    let network = Shuffle::start(&lab, NETWORK, PORT, target, weather, 7);
    let callee = Sipp::new(&lab, GATEWAY, "callee_lossy").limit(LIMIT).serve(CALLS + 1);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "300"]).load(CALLS, 10).limit(LIMIT);
    let caller = caller.call(&format!("{}:{PORT}", lab.host(NETWORK)), "441234").done();
    assert_all_went_well(&node, &caller);
    assert!(network.moved() > 60);
    callee.kill();
}

#[test]
fn messages_from_the_callee_that_overtake_each_other() {
    let lab = Lab::shared();
    let tables = Tables::default()
        .account("acme", "retail")
        .ingress("pbx", lab.host(CALLER), "")
        .egress("alpha", lab.host(NETWORK), "udp")
        .plan("retail", &["alpha"]);
    let node = Node::start(&lab, &patient(tables));
    let target = SocketAddr::new(lab.host(GATEWAY), PORT);
    let weather = Weather { lost: 5, doubled: 20, late: 40, late_to_target: false };
    let network = Shuffle::start(&lab, NETWORK, PORT, target, weather, 11);
    let callee = Sipp::new(&lab, GATEWAY, "callee_lossy").limit(LIMIT).serve(CALLS + 1);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "300"]).load(CALLS, 10).limit(LIMIT);
    let caller = caller.call(&node.sip(), "441234").done();
    assert_all_went_well(&node, &caller);
    assert!(network.moved() > 60);
    callee.kill();
}

#[test]
fn an_invite_that_comes_again_after_its_answer_is_absorbed() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = Datagrams::bind(&lab, CALLER, PORT);
    let invite = request("INVITE", &node.sip(), caller.address(), "twice");
    caller.send(&node.sip(), invite.as_bytes());
    let answer = caller.receive_start("SIP/2.0 200", Duration::from_secs(5)).expect("an answer");
    caller.send(&node.sip(), invite.as_bytes());
    let provisional = caller.receive_start("SIP/2.0 1", Duration::from_millis(400));
    assert_eq!(provisional, None, "only the 200 may come again (RFC 6026 §7.1)");
    caller.send(&node.sip(), ack(&answer, &invite).as_bytes());
    caller.clear();
    caller.send(&node.sip(), invite.as_bytes());
    assert_eq!(caller.receive_start("SIP/2.0 1", Duration::from_millis(400)), None, "nor after the ACK");
    callee.kill();
}

/// The ACK of a 200 to `invite`, with an answer to the offer in it.
fn ack(answer: &str, invite: &str) -> String {
    let line = |name: &str| answer.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
    let contact = line("Contact: ").trim_start_matches("Contact: <").trim_end_matches('>');
    let via = invite
        .lines()
        .find(|line| line.starts_with("Via: "))
        .expect("it has one")
        .replace("branch=z9hG4bK", "branch=z9hG4bKa");
    let headers =
        [line("From: "), line("To: "), line("Call-ID: "), "CSeq: 1 ACK", "Max-Forwards: 70", "Content-Length: 0"];
    format!("ACK {contact} SIP/2.0\r\n{via}\r\n{}\r\n\r\n", headers.join("\r\n"))
}

#[test]
fn a_bye_without_its_ack_ends_the_call() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee_lossy").serve(2);
    let caller = Datagrams::bind(&lab, CALLER, PORT);
    let invite = request("INVITE", &node.sip(), caller.address(), "unacknowledged");
    caller.send(&node.sip(), invite.as_bytes());
    let answer = caller.receive_start("SIP/2.0 200", Duration::from_secs(5)).expect("an answer");
    let bye = ack(&answer, &invite).replace("ACK sip:", "BYE sip:").replace("CSeq: 1 ACK", "CSeq: 2 BYE");
    caller.send(&node.sip(), bye.as_bytes());
    let row = node.wait_cdrs(1).remove(0);
    let duration = row.duration_ms.unwrap_or_default();
    assert!(row.ended_by == "caller" && duration < 5_000, "it was the caller's BYE that ended it: {row:#?}");
    callee.kill();
}
