//! Ordinary calls from trunk to trunk, and the record that each leaves.

use tests::node::HOST;
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

#[test]
fn a_call_goes_through_and_leaves_one_record() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "100").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "500"]).call(&node.sip(), "441234").done();
    let callee = callee.done();

    let rows = node.wait_cdrs(1);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let row = &rows[0];
    assert!(row.last && row.is_answered() && row.attempt == 1, "{row:#?}");
    assert_eq!((row.ingress_trunk.as_str(), row.egress_trunk.as_str()), ("pbx", "alpha"));
    assert_eq!((row.sip_code, row.ended_by.as_str(), row.codec.as_str()), (Some(200), "caller", "PCMU"));
    let duration = row.duration_ms.expect("an answered call has a duration");
    assert!((400..3_000).contains(&duration), "{duration} ms");
    assert_eq!(row.called_in.trim_start_matches('+'), "441234");
    let answered = caller.logged();
    assert!(answered.contains(&format!("ANSWERED {}", row.ingress_call_id)), "{row:#?} {answered:?}");
    let invite = &callee.received("INVITE")[0];
    assert!(invite.contains(&format!("Call-ID: {}", row.egress_call_id)), "{row:#?}\n{invite}");
    node.wait_idle();
    node.stop();
}

#[test]
fn the_callee_learns_nothing_of_the_callers_network() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller").call(&node.sip(), "441234").done();
    let callee = callee.done();
    for message in ["INVITE", "ACK", "BYE"].iter().flat_map(|method| callee.received(method)) {
        assert!(!message.contains(&lab.host(CALLER).to_string()), "the caller's address is in it:\n{message}");
    }
    for message in caller.received("SIP/2.0") {
        assert!(!message.contains(&lab.host(GATEWAY).to_string()), "the gateway's address is in it:\n{message}");
    }
    let invite = &callee.received("INVITE")[0];
    assert!(invite.contains(&format!("c=IN IP4 {}", lab.host(HOST))), "audio has to come to the node:\n{invite}");
}

#[test]
fn the_callee_hangs_up() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee_hangs_up").set("talk", "300").serve(1);
    Sipp::new(&lab, CALLER, "caller_hung_up").call(&node.sip(), "441234").done();
    callee.done();
    assert_eq!(node.wait_cdrs(1)[0].ended_by, "callee");
}

#[test]
fn calls_come_and_go_over_tcp() {
    let lab = Lab::shared();
    let tables = Tables::default()
        .account("acme", "retail")
        .ingress("pbx", lab.host(CALLER), "")
        .egress("alpha", lab.host(GATEWAY), "tcp")
        .plan("retail", &["alpha"]);
    let node = Node::start(&lab, &tables);
    let callee = Sipp::new(&lab, GATEWAY, "callee_load").args(&["-t", "t1"]).serve(3);
    Sipp::new(&lab, CALLER, "caller").args(&["-t", "t1", "-d", "200"]).load(3, 1).call(&node.sip(), "441234").done();
    callee.done();
    let rows = node.wait_cdrs(3);
    assert!(rows.iter().all(|row| row.is_answered() && row.ended_by == "caller"), "{rows:#?}");
}

#[test]
fn a_tcp_caller_reaches_a_udp_gateway() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "50").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-t", "t1", "-d", "200"]).call(&node.sip(), "441234").done();
    callee.done();
    assert!(node.wait_cdrs(1)[0].is_answered());
}

#[test]
fn it_says_that_it_is_there() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    Sipp::new(&lab, CALLER, "caller_options").call(&node.sip(), "ping").done();
    node.wait_metric("tandem_sip_messages_total", "method=\"OPTIONS\"", |count| count >= 1.0);
}
