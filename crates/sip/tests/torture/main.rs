//! The rules that RFC 4475 and RFC 5118 torture parsers with, each in a message of our own: what is valid is understood
//! value by value, what is invalid is refused as the RFC says.

#![allow(clippy::expect_used, reason = "a test")]

mod ipv6;
mod refused;
mod understood;

use bytes::Bytes;
use sip::Message;
use sip::message::{ParseError, Reject};

/// A lawful request with `line` as its first and `headers` added; `without` names the mandatory headers to leave out.
fn request(line: &str, headers: &str, without: &[&str]) -> Vec<u8> {
    let method = line.split(' ').next().unwrap_or("");
    let mandatory = [
        ("Via", "SIP/2.0/UDP gw.example.net;branch=z9hG4bKtorture".to_owned()),
        ("Max-Forwards", "70".to_owned()),
        ("From", "<sip:ann@example.net>;tag=f1".to_owned()),
        ("To", "<sip:bob@example.org>".to_owned()),
        ("Call-ID", "torture@gw".to_owned()),
        ("CSeq", format!("1 {method}")),
    ];
    let mut text = format!("{line}\r\n");
    for (name, value) in mandatory.iter().filter(|(name, _)| !without.contains(name)) {
        text += &format!("{name}: {value}\r\n");
    }
    (text + headers + "\r\n").into_bytes()
}

/// A lawful request whose header `name` has the given value instead.
fn with(name: &str, value: &str) -> Vec<u8> {
    request("OPTIONS sip:bob@example.org SIP/2.0", &format!("{name}: {value}\r\n"), &[name])
}

/// Parses and checks; for what has to be understood.
fn understood(bytes: impl Into<Vec<u8>>) -> Message {
    let message = Message::parse(Bytes::from(bytes.into())).expect("a message");
    if let Err(reject) = message.check() {
        panic!("{} {}: {}", reject.code, reject.reason, String::from_utf8_lossy(message.bytes()));
    }
    message
}

/// The code of the refusal; for what has to be refused.
fn refusal(bytes: impl Into<Vec<u8>>) -> u16 {
    let message = Message::parse(Bytes::from(bytes.into())).expect("something that can be answered");
    match message.check() {
        Ok(()) => panic!("was understood: {}", String::from_utf8_lossy(message.bytes())),
        Err(Reject { code, .. }) => code,
    }
}

/// Why it cannot even be answered.
fn unanswerable(bytes: impl Into<Vec<u8>>) -> ParseError {
    Message::parse(Bytes::from(bytes.into())).expect_err("nothing that can be answered")
}
