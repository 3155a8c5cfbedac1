//! The tables over HTTP.

use crate::house::{House, problem};
use serde_json::{Value, json};

const TABLES: &str = r#"
[[account]]
name = "acme"
currency = "EUR"
[[plan]]
name = "retail"
[[plan.route]]
prefix = "44"
trunks = ["alpha"]
[[trunk]]
name = "alpha"
[trunk.egress]
gateways = [{ address = "192.0.2.1:5060" }]
[[trunk]]
name = "pbx"
[trunk.ingress]
from = ["192.0.2.2/32"]
plan = "retail"
tech_prefix = "77"
[[number]]
number = "+442071230000"
to = "user:alice"
on_failure = "trunk:alpha"
[[number]]
number = "+442071230001"
to = "trunk:alpha"
[[user]]
name = "alice"
password = "wonderland"
"#;

fn put(house: &House, parameters: &str, text: &str) -> (u16, String) {
    let body = json!({ "files": [{ "name": "t.toml", "text": text }], "who": "ops", "comment": "try" });
    house.ask("PUT", &format!("/api/v1/tables{parameters}"), Some(body))
}

fn json(answer: (u16, String)) -> Value {
    assert_eq!(answer.0, 200, "{}", answer.1);
    serde_json::from_str(&answer.1).unwrap()
}

#[test]
fn tables_are_applied_shown_and_exported() {
    let house = House::new();
    let dry = json(put(&house, "?dry_run=true", TABLES));
    assert_eq!((&dry["revision"], &dry["dry_run"]), (&json!(0), &json!(true)));
    assert_eq!(house.tables.revision(), 0);
    let applied = json(put(&house, "", TABLES));
    assert_eq!(applied["revision"], 1);
    assert_eq!(applied["changes"], dry["changes"]);
    let (status, text) = house.get("/api/v1/tables");
    assert_eq!((status, &text), (200, &house.tables.export()));
    assert_eq!(json(put(&house, "", &text))["changes"], json!([]), "an export applied changes nothing");
    assert_eq!(house.json("/api/v1/history")["revisions"][0]["who"], "ops");
    let revision = house.json("/api/v1/history/1");
    assert_eq!(revision["changes"], applied["changes"]);
}

#[test]
fn pruning_and_rolling_back() {
    let house = House::new();
    json(put(&house, "", TABLES));
    let account = "[[account]]\nname = \"other\"\ncurrency = \"EUR\"\n";
    assert_eq!(json(put(&house, "?dry_run=true", account))["changes"].as_array().unwrap().len(), 1);
    assert_eq!(json(put(&house, "?prune=true", account))["changes"].as_array().unwrap().len(), 2);
    let back = json(house.ask("POST", "/api/v1/rollback", Some(json!({ "revision": 1 }))));
    assert_eq!(back["revision"], 3);
    assert_eq!(house.json("/api/v1/history")["revisions"][2]["rollback_to"], 1);
    let (status, text) = house.ask("POST", "/api/v1/rollback", Some(json!({ "revision": 9 })));
    assert_eq!(status, 404, "{text}");
}

#[test]
fn a_wrong_document_is_refused_with_every_place() {
    let house = House::new();
    json(put(&house, "", TABLES));
    let wrong = "[[user]]\nname = \"bob\"\naccount = \"nobody\"\npassword = \"x\"\n[[user]]\nname = \"eve\"\naccount = \"none\"\npassword = \"x\"\n";
    let (status, text) = put(&house, "", wrong);
    let first = problem(&text);
    assert_eq!((status, first.place.as_deref()), (422, Some("t.toml:3")), "{text}");
    assert_eq!(first.more[0].place.as_deref(), Some("t.toml:7"), "{text}");
    assert!(first.mend.is_some());
    let (status, text) = put(&house, "", "[[acount]]\n");
    assert_eq!((status, problem(&text).place.as_deref()), (422, Some("t.toml:1")), "{text}");
    let (status, text) = put(&house, "?expect=7", TABLES);
    assert_eq!(status, 409, "{text}");
    assert_eq!(house.tables.revision(), 1);
}

#[test]
fn a_route_is_explained() {
    let house = House::new();
    json(put(&house, "", TABLES));
    let route = house.json("/api/v1/route?trunk=pbx&called=77441234567&caller=%2B4420");
    assert_eq!(route["attempts"][0]["target"], "trunk:alpha", "{route}");
    assert_eq!(route["attempts"][0]["prefix"], "44");
    assert_eq!(route["candidates"][0]["kept"], true);
    let refused = house.json("/api/v1/route?trunk=pbx&called=77331234567");
    assert_eq!((&refused["attempts"], &refused["sip_code"]), (&json!([]), &json!(404)));
    let (status, text) = house.get("/api/v1/route?trunk=nobody&called=44");
    assert_eq!((status, problem(&text).place.as_deref()), (404, Some("trunk")));
    assert_eq!(house.get("/api/v1/route?trunk=pbx&called=44&at=noon").0, 400);
}

#[test]
fn numbers_stand_with_the_state_of_what_they_lead_to() {
    let house = House::new();
    let line = |number: u8, name: &str| {
        let user = format!("[[user]]\nname = \"{name}\"\npassword = \"{name}-secret\"\n");
        format!("{user}[[number]]\nnumber = \"+44207123000{number}\"\nto = \"user:{name}\"\n")
    };
    json(put(&house, "", &format!("{TABLES}{}{}", line(2, "bob"), line(3, "carol"))));
    let numbers = house.json("/api/v1/numbers");
    let states: Vec<&Value> = (0..4).map(|row| &numbers["numbers"][row]["state"]).collect();
    assert_eq!(states, ["registered", "up", "not registered", "unknown"]);
    assert_eq!(numbers["numbers"][0]["on_failure"], "trunk:alpha");
    assert_eq!((&numbers["more"], &numbers["missing"][0]["node"]), (&json!(false), &json!("n2")));
    let first = house.json("/api/v1/numbers?limit=1");
    assert_eq!((first["numbers"].as_array().unwrap().len(), &first["more"]), (1, &json!(true)));
}
