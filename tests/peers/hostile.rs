//! What nobody decent sends: the node answers what can be answered, drops the rest, and goes on.

use std::time::{Duration, Instant};

use tests::datagram::{Datagrams, request};
use tests::tables::{CALLER, GATEWAY, PORT, Tables};
use tests::{Lab, Node, Sipp};

const WAIT: Duration = Duration::from_secs(5);

/// A known partner that floods.
const FLOODER: u8 = 60;
/// Somebody unknown who floods.
const STRANGER: u8 = 61;

/// The node still answers an OPTIONS from the same socket.
#[track_caller]
fn assert_answers(node: &Node<'_>, socket: &Datagrams, after: &str) {
    let options = request("OPTIONS", &node.sip(), socket.address(), &format!("alive{}", after.len()));
    socket.clear();
    socket.send(&node.sip(), options.as_bytes());
    assert!(socket.receive_start("SIP/2.0 200", WAIT).is_some(), "no answer after {after:?}\n{}", node.log());
}

/// A well-formed INVITE of this socket.
fn invite(node: &Node<'_>, socket: &Datagrams, call_id: &str) -> String {
    request("INVITE", &node.sip(), socket.address(), call_id)
}

#[test]
fn what_cannot_be_read_is_dropped() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let socket = Datagrams::bind(&lab, CALLER, PORT);
    let nothing: [&[u8]; 12] = [
        b"",
        b"\0",
        b"\r\n\r\n",
        b"\r\n",
        b"hello",
        b"INVITE",
        b"INVITE sip:x SIP/2.0",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 99999999999999999999 What\r\nVia: SIP/2.0/UDP x\r\n\r\n",
        &[0xff; 4_000],
        &[b'A'; 60_000],
    ];
    for datagram in nothing {
        socket.send(&node.sip(), datagram);
    }
    assert_answers(&node, &socket, "datagrams that are no messages");
    node.wait_metric("tandem_sip_rejected_total", "", |count| count >= 1.0);
    node.stop();
}

#[test]
fn what_is_wrong_in_one_place_gets_its_4xx() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let socket = Datagrams::bind(&lab, CALLER, PORT);
    let change = |name: &str, from: &str, to: &str| {
        let message = invite(&node, &socket, name);
        assert!(message.contains(from), "{from}");
        message.replace(from, to)
    };
    let wrong = [
        ("no-cseq-number", change("a1", "CSeq: 1 INVITE", "CSeq: INVITE"), "400"),
        ("cseq-of-another-method", change("a2", "CSeq: 1 INVITE", "CSeq: 1 BYE"), "400"),
        ("cseq-too-large", change("a3", "CSeq: 1 INVITE", "CSeq: 4294967296 INVITE"), "400"),
        ("length-beyond-the-end", change("a4", "Content-Length: 0", "Content-Length: 900"), "400"),
        ("length-no-number", change("a5", "Content-Length: 0", "Content-Length: -1"), "400"),
        ("scheme-unknown", change("a6", "INVITE sip:441234@", "INVITE nobody:441234@"), "416"),
        ("hops-used-up", change("a7", "Max-Forwards: 70", "Max-Forwards: 0"), "483"),
        ("extension-unknown", change("a8", "Max-Forwards: 70", "Max-Forwards: 70\r\nRequire: nobodyKnowsThis"), "420"),
        ("version-unknown", change("a9", " SIP/2.0\r\nVia", " SIP/7.0\r\nVia"), "505"),
    ];
    for (name, message, code) in wrong {
        socket.clear();
        socket.send(&node.sip(), message.as_bytes());
        let deadline = Instant::now() + WAIT;
        let mut answer = None;
        while answer.is_none() && Instant::now() < deadline {
            answer = socket.receive_start("SIP/2.0 ", WAIT).filter(|answer| {
                // Nobody acknowledges the refusals, so those of before come again.
                let call_id = message.lines().find(|line| line.starts_with("Call-ID")).expect("it has one");
                !answer.starts_with("SIP/2.0 1") && answer.contains(&format!("{call_id}\r\n"))
            });
        }
        let answer = answer.unwrap_or_else(|| panic!("{name}: no answer"));
        assert!(answer.starts_with(&format!("SIP/2.0 {code}")), "{name}: expected {code}:\n{answer}");
    }
    assert_answers(&node, &socket, "wrong messages");
    node.wait_idle();
    node.stop();
}

#[test]
fn requests_outside_any_call_get_481() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let socket = Datagrams::bind(&lab, CALLER, PORT);
    for method in ["BYE", "CANCEL", "PRACK", "UPDATE", "INFO"] {
        let message =
            request(method, &node.sip(), socket.address(), method).replace(">\r\nCall-ID", ">;tag=gone\r\nCall-ID");
        socket.send(&node.sip(), message.as_bytes());
        let answer = socket.receive_start("SIP/2.0 ", WAIT).unwrap_or_else(|| panic!("{method}: no answer"));
        assert!(answer.starts_with("SIP/2.0 481"), "{method}: {answer}");
    }
    socket.send(&node.sip(), request("ACK", &node.sip(), socket.address(), "ACK").as_bytes());
    assert_eq!(socket.receive(Duration::from_millis(200)), None, "an ACK is never answered");
    assert_answers(&node, &socket, "requests outside a call");
}

#[test]
fn truncated_and_mutated_messages_do_not_end_the_node() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let socket = Datagrams::bind(&lab, CALLER, PORT);
    let message = request("OPTIONS", &node.sip(), socket.address(), "mutant").into_bytes();
    for length in 0..message.len() {
        socket.send(&node.sip(), &message[..length]);
    }
    let mut state = 1_u64;
    for _ in 0..2_000 {
        let mut mutant = message.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 33).expect("31 bits") % mutant.len();
            mutant[at] = state.to_le_bytes()[3];
        }
        socket.send(&node.sip(), &mutant);
    }
    let other = Datagrams::bind(&lab, GATEWAY, PORT);
    assert_answers(&node, &other, "mutated messages");
    node.stop();
}

#[test]
fn a_flood_from_one_source_does_not_harm_another() {
    let lab = Lab::alone();
    let flooder = format!(
        "[[trunk]]\nname = \"flooder\"\naccount = \"acme\"\ncps = 5\n\
         [trunk.ingress]\nfrom = [\"{}/32\"]\nplan = \"retail\"\ncaller_policy = \"pass\"",
        lab.host(FLOODER)
    );
    let tables = Tables::usual(&lab).with(&flooder);
    let node = Node::start(&lab, &tables);
    let callee = Sipp::new(&lab, GATEWAY, "callee_load").load(100_000, 20).serve(100_000);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "200"]).load(100, 20).call(&node.sip(), "441234");
    let known = Datagrams::bind(&lab, FLOODER, PORT);
    let unknown = Datagrams::bind(&lab, STRANGER, PORT);
    let end = Instant::now() + Duration::from_secs(4);
    let mut sent = 0_u64;
    while Instant::now() < end {
        for _ in 0..5 {
            sent += 1;
            known.send(&node.sip(), invite(&node, &known, &format!("k{sent}")).as_bytes());
            unknown.send(&node.sip(), invite(&node, &unknown, &format!("u{sent}")).as_bytes());
        }
        // About 1,000 datagrams a second from each: far more than any partner, not enough to fill the socket's buffer.
        std::thread::sleep(Duration::from_millis(5));
    }
    let caller = caller.done();
    assert_eq!(caller.statistic("FailedCall(C)"), 0, "the flood harmed another source");
    assert!(node.metric("tandem_sip_rejected_total", "") > 1_000.0, "{sent} sent, and the bucket did not hold them");
    callee.kill();
}
