//! What is alive.

use crate::house::{CALL, House, problem};
use std::sync::atomic::Ordering;

#[test]
fn the_process_lives_and_says_whether_it_takes_calls() {
    let house = House::new();
    assert_eq!(house.get("/healthz"), (200, "alive\n".into()));
    let (status, text) = house.get("/readyz");
    assert_eq!((status, problem(&text).error.as_str()), (503, "the relay is starting"));
    house.board.ready.store(true, Ordering::Relaxed);
    assert_eq!(house.get("/readyz"), (200, "ready\n".into()));
}

#[test]
fn metrics_are_those_of_the_node_and_of_the_process() {
    let house = House::new();
    let (status, text) = house.get("/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("tandem_table_revision{node=\"n1\",site=\"s1\"} "), "{text}");
    assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
}

#[test]
fn calls_are_listed_shown_and_ended() {
    let house = House::new();
    assert_eq!(house.json("/api/v1/calls")["calls"][0]["id"], CALL);
    assert_eq!(house.json("/api/v1/calls?trunk=gamma")["calls"].as_array().unwrap().len(), 0);
    assert_eq!(house.json(&format!("/api/v1/calls/{CALL}"))["state"], "connected");
    let (status, text) = house.get("/api/v1/calls/7.7.7");
    assert_eq!(status, 404);
    assert!(problem(&text).error.starts_with("there is no call `7.7.7`"), "{text}");
    assert_eq!(house.ask("DELETE", "/api/v1/calls/7.7.7", None).0, 404);
    assert!(!house.board.hung_up.load(Ordering::Relaxed));
    assert_eq!(house.ask("DELETE", &format!("/api/v1/calls/{CALL}"), None).0, 204);
    assert!(house.board.hung_up.load(Ordering::Relaxed));
}

#[test]
fn trunks_registrations_nodes_and_records_are_listed() {
    let house = House::new();
    let trunks = house.json("/api/v1/trunks");
    assert_eq!(trunks["trunks"][0]["gateways"][0]["state"], "up");
    assert_eq!(trunks["missing"][0]["why"], "down", "what is not there is named");
    assert_eq!(house.json("/api/v1/calls")["missing"].as_array().unwrap().len(), 0);
    assert_eq!(house.json("/api/v1/registrations")["registrations"][0]["name"], "alice");
    let nodes = house.json("/api/v1/nodes");
    assert_eq!(nodes["nodes"][0]["name"], "n1");
    assert!(nodes["nodes"][0]["calls"].is_null(), "what is not known is not shown as nothing");
    let records = house.json("/api/v1/cdrs?trunk=alpha&since=2026-01-01T01:00:00%2B01:00");
    assert_eq!(records["cdrs"][0]["since"], "2026-01-01T00:00:00.000Z");
    assert_eq!(records["cdrs"][0]["trunk"], "alpha");
}

#[test]
fn bad_parameters_are_refused_with_their_name() {
    let house = House::new();
    for (path, place) in [
        ("/api/v1/cdrs?since=yesterday", "since"),
        ("/api/v1/calls?limit=0", "limit"),
        ("/api/v1/calls?limit=10001", "limit"),
        ("/api/v1/calls?limit=x", "the parameters"),
        ("/api/v1/route?trunk=alpha", "the parameters"),
    ] {
        let (status, text) = house.get(path);
        assert_eq!((status, problem(&text).place.as_deref()), (400, Some(place)), "{path}: {text}");
    }
}
