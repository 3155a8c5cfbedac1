//! What a trunk may use: channels, calls a second, minutes; and gateways that do not answer.

use std::time::Duration;

use tests::process::wait_until;
use tests::tables::{CALLER, GATEWAY, SECOND_GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// A second partner that calls.
const OTHER: u8 = 11;

/// Like [`Tables::usual`], with one gateway only and further lines for the trunk that calls.
fn tables(lab: &Lab, caller: &str) -> Tables {
    let pbx = format!(
        "[[trunk]]\nname = \"pbx\"\naccount = \"acme\"\n{caller}\n\
         [trunk.ingress]\nfrom = [\"{}/32\", \"{}/32\"]\nplan = \"retail\"\ncaller_policy = \"pass\"",
        lab.host(CALLER),
        lab.host(OTHER)
    );
    Tables::default()
        .account("acme", "retail")
        .with(&pbx)
        .egress("alpha", lab.host(GATEWAY), "udp")
        .plan("retail", &["alpha"])
}

#[test]
fn no_call_beyond_the_last_channel() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab, "channels = 1"));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(2);
    let first = Sipp::new(&lab, CALLER, "caller").args(&["-d", "2000"]).call(&node.sip(), "441234");
    wait_until("the first call is up", Duration::from_secs(10), || !first.logged().is_empty());
    Sipp::new(&lab, OTHER, "caller_refused").set("code", "503").call(&node.sip(), "441234").done();
    first.done();
    // The channel is free again.
    node.wait_idle();
    Sipp::new(&lab, OTHER, "caller").args(&["-d", "100"]).call(&node.sip(), "441234").done();
    callee.done();
    assert_eq!(node.wait_cdrs(3).iter().filter(|row| row.is_answered()).count(), 2);
}

#[test]
fn no_more_calls_a_second_than_agreed() {
    let lab = Lab::alone();
    let node = Node::start(&lab, &tables(&lab, "cps = 5"));
    let callee = Sipp::new(&lab, GATEWAY, "callee_load").load(1_000, 100).serve(1_000);
    let caller =
        Sipp::new(&lab, CALLER, "caller").args(&["-d", "100"]).load(100, 50).call(&node.sip(), "441234").ended();
    callee.kill();
    let carried = caller.statistic("SuccessfulCall(C)");
    // Two seconds of offers, and a burst of one second.
    assert!((10..=20).contains(&carried), "{carried} of 100 carried at 5 a second");
}

#[test]
fn a_call_ends_when_its_time_is_up() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab, "max_call_seconds = 2"));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    Sipp::new(&lab, CALLER, "caller_hung_up").call(&node.sip(), "441234").done();
    callee.done();
    let row = &node.wait_cdrs(1)[0];
    let duration = row.duration_ms.unwrap_or_default();
    assert!(row.ended_by == "switch" && (1_900..2_600).contains(&duration), "{row:#?}");
}

#[test]
fn a_gateway_that_does_not_answer_pings_is_not_tried() {
    let lab = Lab::shared();
    let gateways = format!(
        "[[trunk]]\nname = \"gamma\"\naccount = \"acme\"\n[trunk.egress]\ngateways = [\n\
         {{ address = \"{}:5060\", priority = 1, ping_seconds = 1 }},\n{{ address = \"{}:5060\", priority = 2 }} ]",
        lab.host(GATEWAY),
        lab.host(SECOND_GATEWAY)
    );
    let tables = Tables::default()
        .account("acme", "retail")
        .ingress("pbx", lab.host(CALLER), "")
        .with(&gateways)
        .plan("retail", &["gamma"]);
    let node = Node::start(&lab, &tables);
    let dead = format!("gateway=\"{}", lab.host(GATEWAY));
    // Three pings without an answer, four seconds each.
    wait_until("the dead gateway is seen as down", Duration::from_secs(40), || {
        node.has_metric("tandem_gateway_up", &dead) && node.metric("tandem_gateway_up", &dead) == 0.0
    });
    let callee = Sipp::new(&lab, SECOND_GATEWAY, "callee").set("ring", "0").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "100"]).call(&node.sip(), "441234").done();
    callee.done();
    let rows = node.wait_cdrs(1);
    assert_eq!(rows.len(), 1, "the dead gateway was tried: {rows:#?}");
}

#[test]
fn a_redirection_is_followed() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab, ""));
    let elsewhere = format!("+441999@{}:5060", lab.host(SECOND_GATEWAY));
    let gateway = Sipp::new(&lab, GATEWAY, "callee_redirects").set("elsewhere", &elsewhere).serve(1_000);
    // It redirects for ever; the switch gives up, and the caller hears the last redirection.
    Sipp::new(&lab, CALLER, "caller_refused").set("code", "302").call(&node.sip(), "441234").done();
    let invites = gateway.kill().received("INVITE");
    assert!(invites.len() > 1 && invites[1].contains("441999"), "the carrier named another number: {invites:#?}");
    assert!(invites.len() <= 12, "a limit on redirections: {}", invites.len());
}
