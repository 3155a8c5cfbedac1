//! A PBX that registers, and calls to where it registered from.

use tests::shuffle::Shuffle;
use tests::tables::{CALLER, GATEWAY, PORT, Tables};
use tests::{Lab, Node, Sipp};

/// The PBX's number.
const NUMBER: &str = "+442079460001";

fn tables(lab: &Lab) -> Tables {
    let trunk = "[[trunk]]\nname = \"branch\"\naccount = \"acme\"\n[trunk.ingress]\nusername = \"branch\"\n\
                 password = \"s3cret\"\nregisters = true\nplan = \"retail\"\ncaller_policy = \"pass\"";
    let number = format!("[[number]]\nnumber = \"{NUMBER}\"\naccount = \"acme\"\nto = \"trunk:branch\"");
    Tables::usual(lab).with(trunk).with(&number)
}

/// Where the network stands that leaves MD5 as the only challenge, which is all that SIPp can answer.
const NETWORK: u8 = 50;

/// The network, and where the PBX reaches the node through it.
fn through_md5(lab: &Lab, node: &Node<'_>) -> (Shuffle, String) {
    let target = node.sip().parse().expect("an address");
    (Shuffle::md5_only(lab, NETWORK, PORT, target), format!("{}:{PORT}", lab.host(NETWORK)))
}

/// The PBX says that it is there, or with `expires` 0 that it goes.
fn register(lab: &Lab, entry: &str, expires: &str) {
    let pbx = Sipp::new(lab, GATEWAY, "pbx_registers").set("user", "branch").set("password", "s3cret");
    pbx.set("expires", expires).call(entry, "branch").done();
}

#[test]
fn calls_find_the_pbx_while_it_is_registered() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    let (_network, entry) = through_md5(&lab, &node);
    Sipp::new(&lab, CALLER, "caller_refused").set("code", "480").call(&node.sip(), NUMBER).done();
    register(&lab, &entry, "300");
    node.wait_metric("tandem_registrations", "", |count| count == 1.0);
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "100"]).call(&node.sip(), NUMBER).done();
    callee.done();
    register(&lab, &entry, "0");
    Sipp::new(&lab, CALLER, "caller_refused").set("code", "480").call(&node.sip(), NUMBER).done();
    node.wait_metric("tandem_registrations", "", |count| count == 0.0);
}

#[test]
fn nobody_registers_with_a_wrong_password() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables(&lab));
    let (_network, entry) = through_md5(&lab, &node);
    let pbx = Sipp::new(&lab, GATEWAY, "pbx_registers_wrongly").set("user", "branch").set("password", "guess");
    pbx.set("expires", "300").set("final", "403").call(&entry, "branch").done();
    assert_eq!(node.metric("tandem_registrations", ""), 0.0);
}
