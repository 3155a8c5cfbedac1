//! Who may do what.

use crate::house::{CALL, House, problem};
use console::{Error, Listener, Options, Token};
use serde_json::Value;

const READER: &str = "a-token-that-reads-only";
const ADMIN: &str = "a-token-that-may-do-all";

fn house() -> House {
    let token = |token: &str, scope: &str| Token { token: token.into(), scopes: vec![scope.into()] };
    House::with(vec![token(READER, "read"), token(ADMIN, "admin")])
}

/// Method, path and whether a scope is needed, of everything that the console says it has.
fn operations(house: &House) -> Vec<(String, String, Option<String>)> {
    let document = house.json("/api/v1/openapi.json");
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            let scope = operation["security"][0]["token"][0].as_str().map(ToOwned::to_owned);
            (method.to_uppercase(), path.replace("{id}", "x").replace("{revision}", "0").replace("{name}", "x"), scope)
        })
    });
    all.collect()
}

#[test]
fn every_operation_asks_for_its_scope() {
    let mut house = house();
    let operations = operations(&house);
    assert!(operations.len() > 15, "{operations:?}");
    for (method, path, scope) in operations {
        house.token = None;
        let (status, text) = house.ask(&method, &path, None);
        assert_eq!(status == 401, scope.is_some(), "{method} {path}: {status} {text}");
        let Some(scope) = scope else { continue };
        house.token = Some("a-token-that-nobody-knows");
        assert_eq!(house.ask(&method, &path, None).0, 401, "{method} {path}");
        house.token = Some(READER);
        assert_eq!(house.ask(&method, &path, None).0 == 403, scope != "read", "{method} {path} {scope}");
        house.token = Some(ADMIN);
        let status = house.ask(&method, &path, None).0;
        assert!(!matches!(status, 401 | 403 | 405 | 500), "{method} {path}: {status}");
    }
}

#[test]
fn the_text_of_messages_is_only_for_who_may_see_records_or_end_calls() {
    let token = |token: &str, scope: &str| Token { token: token.into(), scopes: vec!["read".into(), scope.into()] };
    let scopes = [("records", 200), ("calls", 200), ("metrics", 403)];
    let tokens = scopes.map(|(scope, _)| token(&format!("a-token-for-the-{scope}"), scope));
    let mut house = House::with(tokens.to_vec());
    let path = format!("/api/v1/calls/{CALL}");
    for (scope, expected) in scopes {
        let token = format!("a-token-for-the-{scope}");
        house.token = Some(token.leak());
        let (status, text) = house.get(&path);
        assert!(status == 200 && !text.contains("BYE"), "{scope}: {status} {text}");
        let (status, text) = house.get(&format!("{path}?messages=true"));
        assert_eq!((status, text.contains("BYE")), (expected, expected == 200), "{scope}: {text}");
    }
}

#[test]
fn the_interface_that_was_promised_is_there() {
    let document = House::new().json("/api/v1/openapi.json");
    for path in [
        "calls",
        "trunks",
        "registrations",
        "nodes",
        "numbers",
        "tables",
        "history",
        "rollback",
        "route",
        "cdrs",
        "cluster",
        "imports",
    ] {
        assert!(document["paths"][format!("/api/v1/{path}")].is_object(), "{path}");
    }
    let dry_run = |value: &Value| value["name"] == "dry_run";
    assert!(document["paths"]["/api/v1/tables"]["put"]["parameters"].as_array().unwrap().iter().any(dry_run));
}

#[test]
fn secrets_do_not_show() {
    let token = Token { token: ADMIN.into(), scopes: vec!["admin".into()] };
    let options = Options { listen: "127.0.0.1:0".parse().unwrap(), tokens: vec![token] };
    assert!(!format!("{options:?}").contains(ADMIN));
}

#[test]
fn a_console_that_anybody_could_reach_does_not_start() {
    let options = Options { listen: "0.0.0.0:0".parse().unwrap(), tokens: vec![] };
    assert!(matches!(options.check(), Err(Error::Open(_))));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bound = runtime.block_on(Listener::bind(&options));
    assert!(matches!(bound.map(|_| ()), Err(Error::Open(_))));
}

#[test]
fn a_foreign_host_name_is_refused_without_tokens() {
    let (status, text) = crate::rude::ask(
        House::new().address,
        "GET /api/v1/tables HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(status, 403, "{text}");
    assert!(problem(&text).mend.is_some());
}
