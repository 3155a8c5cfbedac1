//! What happens within a call: offers at every place where RFC 3264 allows one, and the extensions around them.

use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// Plays two scenarios through a node; the call has to leave one answered record and nothing behind.
#[track_caller]
fn play(caller: &str, callee: &str) {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, callee).serve(1);
    Sipp::new(&lab, CALLER, caller).args(&["-d", "200"]).call(&node.sip(), "441234").done();
    callee.done();
    let rows = node.wait_cdrs(1);
    assert!(rows[0].is_answered() && rows[0].ended_by == "caller", "{rows:#?}");
    node.wait_idle();
    node.stop();
}

#[test]
fn the_caller_holds_and_takes_back() {
    play("caller_holds", "callee_held");
}

#[test]
fn the_callee_holds() {
    play("caller_held", "callee_holds");
}

#[test]
fn an_update_carries_an_offer() {
    play("caller_updates", "callee_updated");
}

#[test]
fn a_late_offer_goes_through() {
    play("caller_late", "callee_late");
}

#[test]
fn early_media_is_announced() {
    play("caller_early", "callee_early");
}

#[test]
fn reliable_provisional_responses_are_acknowledged() {
    play("caller_prack", "callee_prack");
}

#[test]
fn a_digit_by_info_goes_through() {
    play("caller_informs", "callee_informed");
}

#[test]
fn session_timers_are_agreed_and_refreshed() {
    play("caller_timed", "callee_timed");
}

#[test]
fn a_session_timer_that_is_too_short_is_refused() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    Sipp::new(&lab, CALLER, "caller_timed_small").call(&node.sip(), "441234").done();
}
