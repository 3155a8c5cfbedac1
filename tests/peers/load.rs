//! Two hundred calls a second, and not one of them lost.

use std::time::Duration;

use tests::node::finals;
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// Calls a second.
const RATE: usize = 200;

/// Carries [`RATE`] calls a second for `seconds`: no failure, no retransmission by SIPp, one final record a call.
#[track_caller]
fn carry(seconds: usize) {
    let calls = RATE * seconds;
    let lab = Lab::alone();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let limit = Duration::from_secs(30 + 2 * seconds as u64);
    let callee = Sipp::new(&lab, GATEWAY, "callee_load").load(calls, RATE).limit(limit).serve(calls);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "500"]).load(calls, RATE).limit(limit);
    let caller = caller.call(&node.sip(), "441234").done();
    callee.done();
    assert_eq!(caller.statistic("SuccessfulCall(C)"), calls as u64);
    assert_eq!(caller.statistic("FailedCall(C)"), 0);
    let rows = node.wait_cdrs(calls);
    let finals = finals(&rows);
    for call in caller.logged().iter().filter_map(|line| line.strip_prefix("ANSWERED ")) {
        let row = finals.get(call).unwrap_or_else(|| panic!("no record of {call}"));
        assert!(row.is_answered() && row.ended_by == "caller", "{row:#?}");
    }
    node.wait_idle();
    node.stop();
}

#[test]
fn ten_seconds_of_it() {
    carry(10);
}

/// `make load`: the acceptance test of a release build.
#[test]
#[ignore = "takes a minute and wants a release build: make load"]
fn sixty_seconds_of_it() {
    carry(60);
}
