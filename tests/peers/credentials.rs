//! Trunks that are known by digest and not by their address.

use tests::shuffle::Shuffle;
use tests::tables::{CALLER, GATEWAY, PORT, Tables};
use tests::{Lab, Node, Sipp};

/// The code of the challenge for a call: the node is the user agent server of the call, RFC 3261 §22.2.
const CHALLENGE: &str = "401";

/// A host that no table names.
const STRANGER: u8 = 40;

/// Where the network stands that leaves MD5 as the only challenge.
const NETWORK: u8 = 50;

/// The network, and where a caller reaches the node through it.
fn through_md5(lab: &Lab, node: &Node<'_>) -> (Shuffle, String) {
    let target = node.sip().parse().expect("an address");
    (Shuffle::md5_only(lab, NETWORK, PORT, target), format!("{}:{PORT}", lab.host(NETWORK)))
}

fn tables(lab: &Lab) -> Tables {
    Tables::default()
        .account("acme", "retail")
        .ingress_by_digest("branch", "s3cret")
        .egress("alpha", lab.host(GATEWAY), "udp")
        .plan("retail", &["alpha"])
}

#[test]
fn the_right_password_lets_a_call_in() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    let (_network, entry) = through_md5(&lab, &node);
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "50").serve(1);
    // Its From is a number, not its name.
    let caller = Sipp::new(&lab, CALLER, "caller_digest").set("challenge", CHALLENGE);
    caller
        .set("user", "branch")
        .set("password", "s3cret")
        .args(&["-auth_uri", &format!("441234@{entry}")])
        .call(&entry, "441234")
        .done();
    callee.done();
    let rows = node.wait_cdrs(1);
    assert!(rows[0].is_answered() && rows[0].ingress_trunk == "branch", "{rows:#?}");
}

#[test]
fn a_trunk_may_want_both_its_address_and_its_password() {
    let lab = Lab::shared();
    let both = Tables::default()
        .account("acme", "retail")
        .ingress("branch", lab.host(NETWORK), "username = \"branch\"\npassword = \"s3cret\"")
        .egress("alpha", lab.host(GATEWAY), "udp")
        .plan("retail", &["alpha"]);
    let node = Node::start(&lab, &both);
    let (_network, entry) = through_md5(&lab, &node);
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "50").serve(1);
    // Its From is a number, not its name.
    let caller = Sipp::new(&lab, CALLER, "caller_digest").set("challenge", CHALLENGE);
    caller
        .set("user", "branch")
        .set("password", "s3cret")
        .args(&["-auth_uri", &format!("441234@{entry}")])
        .call(&entry, "441234")
        .done();
    callee.done();
    assert!(node.wait_cdrs(1)[0].is_answered());
    // From an address that is not the trunk's there is not even a challenge.
    let elsewhere = Sipp::new(&lab, STRANGER, "caller_refused").set("code", "403");
    elsewhere.call(&node.sip(), "441234").done();
}

#[test]
fn a_wrong_password_does_not() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    let (_network, entry) = through_md5(&lab, &node);
    let caller = Sipp::new(&lab, CALLER, "caller_wrong_digest").set("challenge", CHALLENGE).set("final", "403");
    caller
        .set("user", "branch")
        .set("password", "guess")
        .args(&["-auth_uri", &format!("441234@{entry}")])
        .call(&entry, "441234")
        .done();
    assert!(node.cdrs().iter().all(|row| !row.is_answered()));
}

#[test]
fn nor_does_the_name_of_nobody() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    let (_network, entry) = through_md5(&lab, &node);
    let caller = Sipp::new(&lab, CALLER, "caller_wrong_digest").set("challenge", CHALLENGE).set("final", "403");
    caller
        .set("user", "nobody")
        .set("password", "s3cret")
        .args(&["-auth_uri", &format!("441234@{entry}")])
        .call(&entry, "441234")
        .done();
    assert!(node.cdrs().iter().all(|row| !row.is_answered()));
}
