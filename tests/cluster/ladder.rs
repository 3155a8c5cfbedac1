//! A call that has moved is explained by every node that has had it, whichever is asked.

use std::time::Duration;

use serde_json::Value;
use tests::process::wait_until;
use tests::{Cluster, Lab};

use crate::calls::wide;

const WAIT: Duration = Duration::from_secs(4);
/// How long a move may take, that of a node which has to be given up first included.
const MOVED: Duration = Duration::from_secs(15);
/// The columns of an operator's terminal.
const TERMINAL: usize = 80;

/// The only call, as a node explains it.
#[track_caller]
fn explained(cluster: &Cluster<'_>, node: &str, id: &str) -> Value {
    cluster.member(node).json(&["calls", "show", id])
}

/// Texts of the rungs that a node tells, and of what kind.
fn told<'v>(call: &'v Value, node: &str, way: &str) -> Vec<&'v str> {
    let rungs = call["ladder"].as_array().unwrap_or_else(|| panic!("no ladder: {call}")).iter();
    let of = rungs.filter(|rung| rung["node"] == node && (rung["way"] == "note") == (way == "note"));
    of.filter(|rung| way == "note" || rung["way"] == way).filter_map(|rung| rung["what"].as_str()).collect()
}

/// The id of the only live call.
#[track_caller]
fn only(cluster: &Cluster<'_>, node: &str) -> String {
    let calls = cluster.member(node).json(&["calls"]);
    calls["calls"][0]["id"].as_str().unwrap_or_else(|| panic!("no call: {calls}")).to_owned()
}

#[test]
fn a_call_that_was_moved_twice_is_told_in_parts_and_what_is_lost_is_named() {
    let lab = Lab::shared();
    let (mut cluster, pbx, _carrier) = wide(&lab);
    let fra = cluster.member("fra-1").sip();
    pbx.dial(&fra, "4420123456", WAIT).expect("it is answered");
    let id = only(&cluster, "lon-1");
    let call = explained(&cluster, "ams-1", &id);
    assert!(call["node"] == "fra-1" && call["moves"].is_null() && call["missing"].is_null(), "{call}");

    let (status, said) = cluster.member("lon-1").cli(&["cluster", "drain", "fra-1"]);
    assert_eq!(status, Some(0), "{said}");
    let heir = explained(&cluster, "lon-1", &id)["node"].as_str().expect("a node").to_owned();
    assert_ne!(heir, "fra-1");
    for member in ["fra-1", "lon-1", "ams-1"] {
        let call = explained(&cluster, member, &id);
        assert!(call["state"] == "connected" && call["node"] == *heir, "asked at {member}: {call}");
        let moves = call["moves"].as_array().expect("moves");
        assert_eq!(moves.len(), 1, "it is told once: {moves:?}");
        assert_eq!(
            (&moves[0]["from"], &moves[0]["to"], &moves[0]["why"]),
            (&"fra-1".into(), &(*heir).into(), &"drain".into())
        );
        assert!(call["missing"].is_null(), "{call}");
        assert_eq!(told(&call, "fra-1", "in")[0], "INVITE", "the former owner tells how it began");
        assert_eq!(told(&call, &heir, "out")[..2], ["INVITE", "INVITE"], "the new one asks both parties to follow");
        let legs = call["ladder"].as_array().expect("a ladder").iter().map(|rung| rung["leg"].as_str().unwrap_or(""));
        assert!(legs.clone().all(|leg| ["", "a", "b", "b1"].contains(&leg)), "{:?}", legs.collect::<Vec<_>>());
        assert!(
            told(&call, &heir, "note").iter().any(|what| what.starts_with("taken over from fra-1, which is drained"))
        );
    }
    wait_until("its parties have followed", MOVED, || {
        told(&explained(&cluster, &heir, &id), &heir, "note").iter().filter(|what| what.ends_with("follows")).count()
            == 2
    });

    cluster.member("lon-1").cli(&["cluster", "undrain", "fra-1"]);
    cluster.kill(&heir);
    let asked = if heir == "ams-1" { "lon-1" } else { "ams-1" };
    wait_until("another node has it", MOVED, || {
        let (status, shown) = cluster.member(asked).cli(&["calls", "show", &id, "--json"]);
        let call: Value = serde_json::from_str(&shown).unwrap_or_default();
        status == Some(0) && call["state"] == "connected" && call["node"] != *heir
    });
    let call = explained(&cluster, asked, &id);
    let last = call["moves"].as_array().and_then(|moves| moves.last()).expect("a move");
    assert_eq!((&last["from"], &last["why"]), (&(*heir).into(), &"node_lost".into()), "{call}");
    assert_eq!(call["missing"][0]["node"], *heir, "its part is gone with it: {call}");
    let (status, drawn) = cluster.member(asked).cli(&["calls", "show", &id]);
    assert_eq!(status, Some(0), "{drawn}");
    assert!(drawn.lines().all(|line| line.chars().count() <= TERMINAL), "{drawn}");
    let words = [format!("⇄ taken over from {heir}, which is lost"), format!("{heir} had it too and is not heard")];
    assert!(words.iter().all(|word| drawn.contains(word)), "{drawn}");
    tests::process::report(&drawn);
}
