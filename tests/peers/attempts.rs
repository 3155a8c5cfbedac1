//! Calls that are refused, given up, or carried by the second trunk.

use std::time::Duration;

use tests::datagram::{Datagrams, request};
use tests::tables::{CALLER, GATEWAY, PORT, SECOND_GATEWAY, Tables};
use tests::{Cdr, Lab, Node, Sipp};

/// A host that no table names.
const STRANGER: u8 = 40;

/// The final record of the only call of this node.
#[track_caller]
fn only_call(node: &Node<'_>) -> Cdr {
    node.wait_cdrs(1).into_iter().find(|row| row.last).expect("one is final")
}

#[test]
fn busy_is_told_to_the_caller_and_ends_the_call() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "486 Busy Here").serve(1);
    Sipp::new(&lab, CALLER, "caller_refused").set("code", "486").call(&node.sip(), "441234").done();
    callee.done();
    let row = only_call(&node);
    assert!(!row.is_answered() && row.sip_code == Some(486) && row.egress_trunk == "alpha", "{row:#?}");
    node.wait_idle();
}

#[test]
fn a_caller_that_gives_up_takes_the_callee_with_it() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee_cancelled").serve(1);
    Sipp::new(&lab, CALLER, "caller_cancels").call(&node.sip(), "441234").done();
    callee.done();
    let row = only_call(&node);
    assert!(!row.is_answered() && row.sip_code == Some(487) && row.ended_by == "caller", "{row:#?}");
    node.wait_idle();
}

#[test]
fn the_second_trunk_carries_what_the_first_refuses() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let first = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "503 Service Unavailable").serve(1);
    let second = Sipp::new(&lab, SECOND_GATEWAY, "callee").set("ring", "50").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "200"]).call(&node.sip(), "441234").done();
    first.done();
    second.done();
    let rows = node.wait_cdrs(1);
    assert_eq!(rows.len(), 2, "one row an attempt: {rows:#?}");
    let failed = rows.iter().find(|row| !row.last).expect("the first attempt is not final");
    assert!(failed.egress_trunk == "alpha" && failed.sip_code == Some(503) && failed.attempt == 1, "{failed:#?}");
    let carried = rows.iter().find(|row| row.last).expect("one is final");
    assert!(carried.egress_trunk == "beta" && carried.is_answered() && carried.attempt == 2, "{carried:#?}");
    assert_eq!(failed.call_id, carried.call_id);
}

#[test]
fn a_gateway_that_says_nothing_is_passed_over() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let first = Sipp::new(&lab, GATEWAY, "callee_silent").set("silence", "20000").serve(1);
    let second = Sipp::new(&lab, SECOND_GATEWAY, "callee").set("ring", "50").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "200"]).call(&node.sip(), "441234").done();
    second.done();
    drop(first);
    let row = only_call(&node);
    assert!(row.egress_trunk == "beta" && row.is_answered(), "{row:#?}");
}

#[test]
fn when_nobody_takes_it_the_caller_hears_one_answer() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let first = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "503 Service Unavailable").serve(1);
    let second =
        Sipp::new(&lab, SECOND_GATEWAY, "callee_refuses").set("answer", "480 Temporarily Unavailable").serve(1);
    Sipp::new(&lab, CALLER, "caller_refused").set("code", "480").call(&node.sip(), "441234").done();
    first.done();
    second.done();
    let rows = node.wait_cdrs(1);
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows.iter().all(|row| !row.is_answered()), "{rows:#?}");
}

#[test]
fn a_number_that_rings_too_long_is_given_up() {
    let lab = Lab::shared();
    let number = "[[number]]\nnumber = \"+442079460000\"\naccount = \"acme\"\nto = \"trunk:alpha\"\nring_seconds = 2";
    let node = Node::start(&lab, &Tables::usual(&lab).with(number));
    let callee = Sipp::new(&lab, GATEWAY, "callee_cancelled").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller_refused").set("code", "480");
    caller.call(&node.sip(), "+442079460000").done();
    callee.done();
    let row = only_call(&node);
    assert!(!row.is_answered() && row.ended_by == "switch", "{row:#?}");
}

#[test]
fn a_stranger_is_refused_and_counted() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let stranger = Datagrams::bind(&lab, STRANGER, PORT);
    let invite = request("INVITE", &node.sip(), stranger.address(), "stranger");
    stranger.send(&node.sip(), invite.as_bytes());
    let answer = stranger.receive_start("SIP/2.0 403", Duration::from_secs(5));
    assert!(answer.is_some(), "no 403 for an unknown source");
    node.wait_metric("tandem_sip_rejected_total", "", |count| count >= 1.0);
    assert!(node.cdrs().is_empty(), "a stranger's INVITE is no call");
}
