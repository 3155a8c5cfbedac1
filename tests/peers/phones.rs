//! Two real phones register with the node and talk through it.

use serde_json::{Value, json};
use tests::pjsua::{self, ALICE_NUMBER, BOB_NUMBER, CALLEE_SEED, CALLER_SEED};
use tests::tables::Tables;
use tests::{Lab, Node};

fn tables() -> Tables {
    Tables::default()
        .account("acme", "retail")
        .with("[[plan]]\nname = \"retail\"\norder = \"priority\"")
        .user("alice", "alice-secret", ALICE_NUMBER)
        .user("bob", "bob-secret", BOB_NUMBER)
}

/// Plays a scenario in which nothing may go wrong.
#[track_caller]
fn play(lab: &Lab, node: &Node<'_>, scenario: &str) -> Value {
    let seen = pjsua::play(lab, Some(node), scenario, &[]);
    assert_eq!(seen.get("error"), None, "{seen}\n{}", node.log());
    assert_eq!(seen["registration"], json!({"alice": [200], "bob": [200]}), "{seen}");
    seen
}

#[test]
fn they_register_and_a_wrong_password_does_not() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables());
    play(&lab, &node, "register");
    let seen = pjsua::play(&lab, Some(&node), "register", &["--wrong-password", "guess"]);
    for phone in ["alice", "bob"] {
        let code = seen["registration"][phone][0].as_u64().unwrap_or_default();
        assert!(code == 401 || code == 403, "{seen}");
    }
}

#[test]
fn they_call_each_other_and_every_sample_arrives() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables());
    play(&lab, &node, "talk");
    for (caller, callee) in [("alice", "bob"), ("bob", "alice")] {
        pjsua::assert_heard(&lab, &format!("heard-by-{callee}-called-by-{caller}"), CALLER_SEED, 4);
        pjsua::assert_heard(&lab, &format!("heard-by-{caller}-calling-{callee}"), CALLEE_SEED, 4);
    }
    let rows = node.wait_cdrs(2);
    assert!(rows.iter().all(|row| row.is_answered() && row.ended_by == "caller" && row.codec == "PCMU"), "{rows:#?}");
    node.wait_idle();
    node.stop();
}

#[test]
fn a_call_on_hold_is_silent_and_comes_back() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables());
    let seen = play(&lab, &node, "hold");
    // Alice holds: she sends and wants nothing, so not one packet may reach her.
    assert_eq!(seen["packets_while_held"][1], 0, "{seen}");
    for phase in ["before", "after"] {
        pjsua::assert_heard(&lab, &format!("bob-{phase}"), CALLER_SEED, 1);
        pjsua::assert_heard(&lab, &format!("alice-{phase}"), CALLEE_SEED, 1);
    }
    node.wait_idle();
}

#[test]
fn digits_arrive_by_rtp_and_by_info() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &tables());
    let seen = play(&lab, &node, "digits");
    for (kind, heard) in [("rfc4733", "heard_rfc4733"), ("info", "heard_info")] {
        assert_eq!(seen[heard], json!([seen["sent"][kind], seen["sent"][kind]]), "{seen}");
    }
}
