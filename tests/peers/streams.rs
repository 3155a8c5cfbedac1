//! What TCP does to messages: pieces, several at once, and connections that make no sense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tests::datagram::request;
use tests::tables::Tables;
use tests::{Lab, Node};

/// A connection from one of the lab's own addresses is not to be had with the standard library alone, so these come
/// from 127.0.0.1: a stranger, of whom OPTIONS is taken and an INVITE is not.
fn connect(node: &Node<'_>) -> TcpStream {
    let stream = TcpStream::connect(node.sip()).expect("the node listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out can be set");
    stream.set_nodelay(true).expect("a stream can be made not to gather");
    stream
}

fn options(node: &Node<'_>, stream: &TcpStream, call_id: &str) -> String {
    let from = stream.local_addr().expect("a connection has an address");
    request("OPTIONS", &node.sip(), from, call_id).replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

/// How many answers come before the stream falls silent for a moment, or is closed.
fn answers(stream: &mut TcpStream, expected: usize) -> usize {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while text.matches("SIP/2.0 200").count() < expected {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
    text.matches("SIP/2.0 200").count()
}

#[test]
fn several_messages_in_one_segment_are_several_messages() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let mut stream = connect(&node);
    let text: String = (0..5).map(|number| options(&node, &stream, &format!("several{number}"))).collect();
    stream.write_all(text.as_bytes()).expect("the node reads");
    assert_eq!(answers(&mut stream, 5), 5);
}

#[test]
fn a_message_in_pieces_is_one_message() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let mut stream = connect(&node);
    let text = format!("\r\n\r\n{}", options(&node, &stream, "pieces"));
    for piece in text.as_bytes().chunks(7) {
        stream.write_all(piece).expect("the node reads");
        stream.flush().expect("the node reads");
    }
    assert_eq!(answers(&mut stream, 1), 1);
}

#[test]
fn a_stream_that_is_no_sip_is_closed_and_harms_nobody() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let mut senseless = connect(&node);
    let mut endless = connect(&node);
    let mut good = connect(&node);
    let _ = senseless.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    // A header section without end must not be gathered for ever.
    for _ in 0..400 {
        if endless.write_all(&[b'A'; 1_024]).is_err() {
            break;
        }
    }
    let text = options(&node, &good, "good");
    good.write_all(text.as_bytes()).expect("the node reads");
    assert_eq!(answers(&mut good, 1), 1);
    let mut buffer = [0; 1_024];
    assert!(!matches!(endless.read(&mut buffer), Ok(1..)), "nothing is to be said to an endless header");
    node.stop();
}
