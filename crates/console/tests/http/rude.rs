//! Clients that do not behave.

use crate::house::{House, problem};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Sends bytes as they are, and reads until the connection is closed; the status and the body of the answer.
pub(crate) fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let status = text.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
    (status, text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

fn post(house: &House, headers: &str, body: &str) -> (u16, String) {
    let head = format!(
        "POST /api/v1/rollback HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    ask(house.address, &format!("{head}{headers}\r\n{body}"))
}

#[test]
fn a_body_that_is_not_what_it_should_be_is_refused() {
    let house = House::new();
    let json = "content-type: application/json\r\n";
    let (status, text) = post(&house, "content-type: text/plain\r\n", "{\"revision\":0}");
    assert_eq!(status, 415, "a form of another page could send this: {text}");
    let (status, text) = post(&house, json, "{\"revision\":");
    assert_eq!((status, problem(&text).place.unwrap().starts_with("the body, line 1")), (400, true));
    let (status, text) = post(&house, json, "{\"revision\":0,\"revison\":1}");
    assert_eq!(status, 400, "{text}");
    let (status, text) = post(&house, json, "{\"revision\":-1}");
    assert_eq!(status, 400, "{text}");
}

#[test]
fn a_body_that_is_too_long_is_refused_before_it_is_read() {
    let house = House::new();
    let head =
        "POST /api/v1/rollback HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let (status, text) = ask(house.address, &format!("{head}content-length: 1048577\r\n\r\n"));
    assert_eq!((status, problem(&text).error.contains("1048576")), (413, true), "{text}");
    // Without a length it is counted.
    let chunk = format!("100001\r\n{}\r\n0\r\n\r\n", " ".repeat(0x10_0001));
    let (status, text) = ask(house.address, &format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}"));
    assert_eq!((status, problem(&text).mend.is_some()), (413, true), "{text}");
    // The tables may be larger.
    let head = head.replace("POST /api/v1/rollback", "PUT /api/v1/tables");
    let (status, _) = ask(house.address, &format!("{head}content-length: 268435457\r\n\r\n"));
    assert_eq!(status, 413);
    let large = format!("{{\"files\":[]{}}}", " ".repeat(0x10_0001));
    let (status, text) = ask(house.address, &format!("{head}content-length: {}\r\n\r\n{large}", large.len()));
    assert_eq!(status, 200, "{text}");
}

#[test]
fn unknown_paths_and_methods_are_problems_too() {
    let house = House::new();
    let (status, text) = house.get("/api/v1/nothing");
    assert_eq!((status, problem(&text).mend.is_some()), (404, true));
    let (status, text) = house.ask("DELETE", "/api/v1/tables", None);
    assert_eq!((status, problem(&text).mend.is_some()), (405, true));
}

#[test]
fn a_panic_in_one_answer_leaves_the_others_alone() {
    let house = House::new();
    let mut stream = TcpStream::connect(house.address).unwrap();
    stream.write_all(b"DELETE /api/v1/calls/panics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    assert!(!text.starts_with("HTTP/1.1 2"), "{text}");
    assert_eq!(house.get("/healthz").0, 200);
}

#[test]
fn noise_is_answered_or_dropped() {
    let house = House::new();
    // The connection would stay open for a further request, so the client ends it.
    let ask = |noise: &str| {
        let mut stream = TcpStream::connect(house.address).unwrap();
        stream.write_all(noise.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).split(' ').nth(1).map_or(0, |status| status.parse().unwrap_or(999))
    };
    for noise in [
        "\0\0\0\0",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\r\n",
        "GET /api/v1/calls/%FF HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        let status: u16 = ask(noise);
        assert!(status == 0 || status >= 400, "{noise:?}: {status}");
    }
    assert_eq!(house.get("/healthz").0, 200);
}
