//! The user agents against each other: what they do without the node between them.

use std::net::SocketAddr;
use tests::shuffle::{Shuffle, Weather};
use tests::tables::{CALLER, GATEWAY, PORT};
use tests::{Lab, Sipp, pjsua};

/// Runs `caller` straight against `callee`.
fn agree<'lab>(lab: &'lab Lab, caller: Sipp<'lab>, callee: Sipp<'lab>) {
    let callee = callee.serve(1);
    let target = format!("{}:{PORT}", lab.host(GATEWAY));
    caller.call(&target, "441234").done();
    callee.done();
}

fn scenarios_agree(caller: &str, callee: &str) {
    let lab = Lab::shared();
    agree(&lab, Sipp::new(&lab, CALLER, caller), Sipp::new(&lab, GATEWAY, callee));
}

#[test]
fn an_ordinary_call() {
    let lab = Lab::shared();
    agree(&lab, Sipp::new(&lab, CALLER, "caller"), Sipp::new(&lab, GATEWAY, "callee").set("ring", "50"));
}

#[test]
fn an_ordinary_call_over_tcp() {
    let lab = Lab::shared();
    let callee = Sipp::new(&lab, GATEWAY, "callee_load").args(&["-t", "t1"]);
    agree(&lab, Sipp::new(&lab, CALLER, "caller").args(&["-t", "t1"]), callee);
}

#[test]
fn the_callee_hangs_up() {
    let lab = Lab::shared();
    let callee = Sipp::new(&lab, GATEWAY, "callee_hangs_up").set("talk", "100");
    agree(&lab, Sipp::new(&lab, CALLER, "caller_hung_up"), callee);
}

#[test]
fn a_refusal() {
    let lab = Lab::shared();
    let callee = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "486 Busy Here");
    agree(&lab, Sipp::new(&lab, CALLER, "caller_refused").set("code", "486"), callee);
}

#[test]
fn every_other_pair() {
    for (caller, callee) in [
        ("caller_cancels", "callee_cancelled"),
        ("caller_holds", "callee_held"),
        ("caller_held", "callee_holds"),
        ("caller_late", "callee_late"),
        ("caller_early", "callee_early"),
        ("caller_prack", "callee_prack"),
        ("caller_updates", "callee_updated"),
        ("caller_informs", "callee_informed"),
    ] {
        scenarios_agree(caller, callee);
    }
}

#[test]
fn the_phones_hear_each_other_sample_by_sample() {
    let lab = Lab::shared();
    let seen = pjsua::play(&lab, None, "talk", &[]);
    assert_eq!(seen.get("error"), None, "{seen}");
    pjsua::assert_heard(&lab, "heard-by-bob-called-by-alice", pjsua::CALLER_SEED, 4);
    pjsua::assert_heard(&lab, "heard-by-alice-calling-bob", pjsua::CALLEE_SEED, 4);
}

#[test]
fn a_call_over_a_network_that_loses_and_doubles() {
    let lab = Lab::shared();
    let weather = Weather { lost: 15, doubled: 15, late: 0, late_to_target: true };
    let _network = Shuffle::start(&lab, 50, PORT, SocketAddr::new(lab.host(GATEWAY), PORT), weather, 3);
    let callee = Sipp::new(&lab, GATEWAY, "callee_lossy").serve(11);
    let target = format!("{}:{PORT}", lab.host(50));
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "100"]).load(10, 10).call(&target, "441234").done();
    callee.kill();
}
