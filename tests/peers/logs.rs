//! What a node writes down for its operator: never whom somebody called, nor a secret.

use std::net::UdpSocket;

use serde_json::Value;
use tests::shuffle::Shuffle;
use tests::tables::{CALLER, GATEWAY, PORT, Tables};
use tests::{Lab, Node, Sipp};

/// Called, answered.
const ANSWERED: &str = "447700900981";
/// Called, busy.
const BUSY: &str = "447700900982";
/// Called by somebody whom no table names.
const REFUSED: &str = "447700900983";
/// In a message that is none.
const BROKEN: &str = "447700900984";
/// Called, and up when the node dies.
const ORPHANED: &str = "447700900985";
/// Of a PBX that is not registered.
const ABSENT: &str = "+442079460987";
/// What those who know better say.
const SECRETS: [&str; 2] = ["s3cret-of-branch", "guess-of-nobody"];

/// A host that no table names, and where the network stands that leaves MD5 as the only challenge.
const STRANGER: u8 = 40;
const NETWORK: u8 = 50;

fn tables(lab: &Lab) -> Tables {
    let trunk = format!(
        "[[trunk]]\nname = \"branch\"\naccount = \"acme\"\n[trunk.ingress]\nusername = \"branch\"\npassword = \"{}\"\n\
         registers = true\nplan = \"retail\"\ncaller_policy = \"pass\"",
        SECRETS[0]
    );
    let number = format!("[[number]]\nnumber = \"{ABSENT}\"\naccount = \"acme\"\nto = \"trunk:branch\"");
    Tables::usual(lab).with(&trunk).with(&number)
}

/// Calls and registers in every way that may be worth a line.
fn misbehave(lab: &Lab, node: &Node<'_>) {
    let callee = Sipp::new(lab, GATEWAY, "callee").set("ring", "50").serve(1);
    Sipp::new(lab, CALLER, "caller").args(&["-d", "100"]).call(&node.sip(), ANSWERED).done();
    callee.done();
    let busy = Sipp::new(lab, GATEWAY, "callee_refuses").set("answer", "486 Busy Here").serve(1);
    Sipp::new(lab, CALLER, "caller_refused").set("code", "486").call(&node.sip(), BUSY).done();
    busy.done();
    Sipp::new(lab, CALLER, "caller_refused").set("code", "480").call(&node.sip(), ABSENT).done();
    Sipp::new(lab, STRANGER, "caller_refused").set("code", "401").call(&node.sip(), REFUSED).done();
    let (entry, target) = (format!("{}:{PORT}", lab.host(NETWORK)), node.sip().parse().expect("an address"));
    let _network = Shuffle::md5_only(lab, NETWORK, PORT, target);
    let pbx = Sipp::new(lab, GATEWAY, "pbx_registers_wrongly").set("user", "branch").set("password", SECRETS[1]);
    pbx.set("expires", "300").set("final", "403").call(&entry, "branch").done();
    let socket = UdpSocket::bind((lab.host(CALLER), 0)).expect("a port");
    let broken = format!(
        "INVITE sip:{BROKEN}@x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nFrom: <sip:{BROKEN}@x>;tag=x\r\n\r\n"
    );
    socket.send_to(broken.as_bytes(), node.sip()).expect("sent");
    node.wait_metric("tandem_sip_rejected_total", "", |count| count >= 1.0);
}

/// What must not be in what a node says, with what is said around it.
fn found(log: &str) -> Vec<String> {
    let numbers = [ANSWERED, BUSY, REFUSED, BROKEN, ORPHANED, &ABSENT[1..]];
    let lines = log.lines().filter(|line| numbers.iter().chain(&SECRETS).any(|never| line.contains(never)));
    lines.map(str::to_owned).collect()
}

#[test]
fn no_number_and_no_secret_is_logged() {
    let lab = Lab::shared();
    let mut node = Node::start(&lab, &tables(&lab));
    misbehave(&lab, &node);
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "60000"]).call(&node.sip(), ORPHANED);
    node.wait_metric("tandem_calls_active", "direction=\"ingress\"", |count| count == 1.0);
    let first = node.log();
    node.kill();
    caller.kill();
    callee.kill();
    node.restart_with(&["--log", "json"]);
    node.wait_cdrs(4);
    misbehave(&lab, &node);
    let second = node.log();
    assert!(first.lines().count() > 3, "it says nothing at all: {first}");
    assert_eq!(found(&first), [""; 0]);
    assert_eq!(found(&second), [""; 0]);
    // The second process has written behind the first.
    let lines = second.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> =
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()), "{lines:?}");
    let says_orphans = |line: &Value| line["fields"]["orphans"].as_u64() == Some(1);
    assert!(lines.iter().any(says_orphans), "the call that was up is spoken of, without its number: {second}");
}
