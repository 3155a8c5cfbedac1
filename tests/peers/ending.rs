//! The end of a node alone that has calls: nobody else could take them, so it waits for them, but not for ever.

use std::time::{Duration, Instant};

use tests::process::wait_until;
use tests::sipp::Running;
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// How long clearing the calls that are left may take.
const CLEARING: Duration = Duration::from_secs(8);

/// A call that is up and that its parties end after `talk`, or never.
fn connected(lab: &Lab, node: &Node<'_>, talk: Option<&str>) -> (Running, Running) {
    let callee = Sipp::new(lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = match talk {
        Some(talk) => Sipp::new(lab, CALLER, "caller").args(&["-d", talk]),
        None => Sipp::new(lab, CALLER, "caller_hung_up"),
    };
    let caller = caller.call(&node.sip(), "441234");
    wait_until("the call is up", Duration::from_secs(10), || node.metric("tandem_calls_active", "ingress") == 1.0);
    (caller, callee)
}

#[test]
fn a_node_alone_waits_for_its_calls_and_takes_no_new_ones() {
    let lab = Lab::shared();
    let mut node = Node::start(&lab, &Tables::usual(&lab));
    let (caller, callee) = connected(&lab, &node, Some("4000"));
    node.terminate();
    wait_until("it says that it ends", Duration::from_secs(3), || {
        node.metric("tandem_calls_active", "ingress") == 1.0 && !is_ready(&node)
    });
    let other =
        Sipp::new(&lab, CALLER, "caller_refused").port(5063).set("code", "503").call(&node.sip(), "441234").done();
    assert!(other.received("SIP/2.0 503")[0].contains("Retry-After: "), "{:#?}", other.received("SIP/2.0 503"));
    caller.done();
    callee.done();
    let ended = Instant::now();
    assert!(node.wait_end().success());
    assert!(ended.elapsed() < CLEARING, "it ended {:?} after its last call", ended.elapsed());
    let rows = node.cdrs();
    let row = rows.iter().find(|row| row.last && row.is_answered()).expect("a record");
    assert_eq!(row.ended_by, "caller", "{row:#?}");
}

#[test]
fn at_the_deadline_the_calls_that_are_left_are_hung_up() {
    let lab = Lab::shared();
    let mut node = Node::start_draining(&lab, &Tables::usual(&lab), 3);
    let (caller, callee) = connected(&lab, &node, None);
    let told = Instant::now();
    node.terminate();
    assert!(node.wait_end().success());
    let took = told.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(3) + CLEARING, "{took:?}");
    caller.done();
    callee.done();
    let rows = node.cdrs();
    let row = rows.iter().find(|row| row.last).expect("a record");
    assert_eq!((row.ended_by.as_str(), row.reason.as_str()), ("switch", "shutdown"), "{row:#?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let lab = Lab::shared();
    let mut node = Node::start(&lab, &Tables::usual(&lab));
    let (caller, callee) = connected(&lab, &node, None);
    node.terminate();
    wait_until("it waits", Duration::from_secs(3), || !is_ready(&node));
    let told = Instant::now();
    node.terminate();
    assert!(node.wait_end().success());
    assert!(told.elapsed() < CLEARING, "{:?}", told.elapsed());
    caller.done();
    callee.done();
}

fn is_ready(node: &Node<'_>) -> bool {
    ureq::get(format!("{}/readyz", node.url())).call().is_ok()
}
