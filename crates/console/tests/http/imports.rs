//! Files that are imported over HTTP.

use crate::house::{House, problem};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn send(house: &House, path: &str, kind: &str, body: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.post(format!("http://{}/api/v1/{path}", house.address)).header("content-type", kind);
    let mut response = request.send(body).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

fn state(house: &House) -> Value {
    house.json("/api/v1/imports")["imports"][0].clone()
}

#[test]
fn a_file_is_imported_and_its_state_can_be_read() {
    let house = House::new();
    let text = "prefix,rate\n".repeat(100_000);
    let path = "import/rates?deck=alpha&from=2026-01-01&replace=true&who=ops&file=a.csv&id=7";
    let (status, answer) = send(&house, path, "text/csv", &text);
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["rows"], 100_000);
    let summary = answer["summary"].as_str().unwrap();
    assert!(summary.contains("alpha") && summary.contains("by ops replace true"), "{summary}");
    let state = state(&house);
    assert_eq!((&state["id"], &state["stage"], &state["what"]), (&"7".into(), &"done".into(), &"rates".into()));
    assert_eq!((&state["bytes"], &state["rows"]), (&text.len().into(), &100_000.into()));
}

#[test]
fn a_mistake_in_the_middle_is_answered_though_the_file_goes_on() {
    let house = House::new();
    // Far more than all buffers between the two hold: the sender must come to the end to hear the answer.
    let text = format!("ok\nwrong\n{}", "x".repeat(40 << 20));
    let (status, answer) = send(&house, "import/ported?file=p.csv", "text/csv", &text);
    assert_eq!((status, problem(&answer).place.as_deref()), (422, Some("p.csv:2")), "{answer}");
    assert_eq!((&state(&house)["stage"], &state(&house)["error"]), (&"failed".into(), &"wrong".into()));
}

#[test]
fn what_is_no_import_is_refused_before_its_body() {
    let house = House::new();
    for (path, kind, expected) in [
        ("import/rates", "text/csv", 400),
        ("import/rates?deck=a&from=soon", "text/csv", 400),
        ("import/numbers?deck=a", "text/csv", 400),
        ("import/numbers", "text/plain", 415),
        ("import/words", "text/csv", 404),
    ] {
        assert_eq!(send(&house, path, kind, "").0, expected, "{path}");
    }
    assert!(state(&house).is_null());
}

/// Begins an import and leaves it in the middle of its body.
fn half(house: &House, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.address).unwrap();
    let head = format!(
        "POST /api/v1/import/ported?id={id} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/csv\r\n\
         content-length: 1000\r\n\r\nab\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_run_at_a_time_and_one_whose_sender_leaves_comes_to_nothing() {
    let house = House::new();
    let count = |stage: &str| {
        let all = house.json("/api/v1/imports");
        all["imports"].as_array().unwrap().iter().filter(|state| state["stage"] == stage).count()
    };
    let one = half(&house, "1");
    let mut two = half(&house, "2");
    wait("both are read", || count("reading") == 2);
    let (status, text) = send(&house, "import/ported?id=3", "text/csv", "");
    assert_eq!((status, problem(&text).mend.is_some()), (503, true), "{text}");
    drop(one);
    wait("its sender left", || count("failed") == 1);
    assert_eq!(send(&house, "import/ported?id=2", "text/csv", "").0, 409, "the other one goes on under its name");
    two.write_all("c\n".repeat(500).as_bytes()).unwrap();
    two.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = two.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"rows\":499"), "{answer}");
}
