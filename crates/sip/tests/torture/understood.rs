//! Valid messages: RFC 4475 §3.1.1, and those of §3.2 to §3.4 that a parser must let through to who decides.

use crate::{request, understood, with};
use sip::addr::NameAddr;
use sip::message::unsupported_extensions;
use sip::uri::{Scheme, Uri};
use sip::{Message, Method, Name};

/// §3.1.1.1: white space, folding and odd case wherever the grammar lets it be.
#[test]
fn odd_white_space() {
    let message = understood(
        "INVITE sip:bob@example.org;odd SIP/2.0\r\ntO :\r\n sip:bob@example.org ;  tag\t= b2\r\n\
         FROM\t: \"A \\\\\\\"\"   <sip:ann@example.net>\r\n  ;\r\n tag = a1\r\nmax-FORWARDS: 0070\r\ni: white@gw\r\n\
         Content-Length   : 4\r\ncSEQ: 0012\r\n\tINVITE\r\nVia  : SIP /  2.0\r\n /UDP\r\n\t192.0.2.7;branch=z9hG4bKfolded\r\n\
         s :\r\nNew-Header:  a value\r\n that goes on\r\nNo-Sense: ;;,,;,\r\nc: application/sdp\r\nRoute:\r\n\t<sip:p.example.net;lr;x=y;z>\r\n\
         v:  SIP / 2.0 / TCP   second.example.net  ;\r\n  branch = z9hG4bK2nd ,\r\n SIP / 2.0 / UDP  192.0.2.8   ; branch=\r\n z9hG4bK3rd\r\n\
         m:\"Q \\\"\\\"\" <sip:ann@gw.example.net> ; p =\r\n v ;\r\n  q2 ; q = 0.5\r\n\r\nbody",
    );
    assert_eq!((message.method(), message.call_id()), (Method::Invite, "white@gw"));
    assert_eq!((message.from_tag(), message.to_tag()), (Some("a1"), Some("b2")));
    assert_eq!(message.from().map(|from| from.display_text()).as_deref(), Some("A \\\""));
    assert_eq!((message.max_forwards(), message.cseq().map(|cseq| cseq.number)), (Some(70), Some(12)));
    let vias: Vec<_> = message.values(Name::Via).map(|v| sip::via::Via::parse(v).expect("a Via")).collect();
    let branches: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch())).collect();
    assert_eq!(
        branches,
        [
            ("UDP", "192.0.2.7", "z9hG4bKfolded"),
            ("TCP", "second.example.net", "z9hG4bK2nd"),
            ("UDP", "192.0.2.8", "z9hG4bK3rd")
        ]
    );
    assert_eq!(message.get(Name::Subject), Some(""));
    assert_eq!(message.get_other("new-header").map(|v| v.split_whitespace().count()), Some(5));
    let contact = message.contact().expect("a Contact");
    assert_eq!(
        (contact.uri, contact.params.get("p"), contact.params.get("q")),
        ("sip:ann@gw.example.net", Some("v"), Some("0.5"))
    );
    assert_eq!(&message.body()[..], b"body");
}

/// §3.1.1.2: every character that a token, a user part, a quoted string and a Call-ID may hold.
#[test]
fn unusual_characters() {
    let user = "0_.!~*'()&=+$,;?/:pw&=+$,%5b";
    let line = format!("AZaz09-.!%*_+`'~ sip:{user}@example.org SIP/2.0");
    let odd = "From: t` t'~ <sip:x@y>;p-.!%*_+`'~=\"\u{442}\u{435}\u{441}\u{442};\\\"\";tag=-.!%*_+`'~\r\n\
               Call-ID: w%-.!*_+`'~()<>:\\/\"[]?{}@w\"<\r\nTo: \"\\\u{1}\\\0\\\u{7f}\" <sip:bob@example.org>\r\nX-.!%*_+`'~:\u{feff}\u{5927}\r\n";
    let message = understood(request(&line, odd, &["From", "Call-ID", "To"]));
    assert_eq!((message.method(), message.method_text()), (Method::Other, "AZaz09-.!%*_+`'~"));
    assert_eq!(Uri::parse(message.uri()).and_then(|uri| uri.user), Some("0_.!~*'()&=+$,;?/"));
    assert_eq!(message.from_tag(), Some("-.!%*_+`'~"));
    assert_eq!(message.call_id(), "w%-.!*_+`'~()<>:\\/\"[]?{}@w\"<");
    assert_eq!(message.to().map(|to| to.display_text()).as_deref(), Some("\u{1}\0\u{7f}"));
}

/// §3.1.1.3, §3.1.1.4: escapes in a user part are undone once and only there; %00 is a character as any other.
#[test]
fn escapes_in_uris() {
    let number = |uri: &str| Uri::parse(uri).and_then(|uri| uri.number());
    assert_eq!(number("sip:sip%3Aann%40example.net@example.org").as_deref(), Some("sip:ann@example.net"));
    assert_eq!(number("sip:a%2541@example.org").as_deref(), Some("a%41"));
    let message = understood(with("Contact", "<sip:%00@example.net>, <sip:%00%00@example.net>"));
    let users: Vec<_> = message.values(Name::Contact).filter_map(|v| number(NameAddr::parse(v)?.uri)).collect();
    assert_eq!(users, ["\0", "\0\0"]);
}

/// §3.1.1.5: where escapes mean nothing: methods and header names.
#[test]
fn escapes_elsewhere_are_plain_text() {
    let message = understood(request(
        "INV%49TE sip:example.org SIP/2.0",
        "Contact: <sip:1@example.net>\r\nC%6Fntact: <sip:2@example.net>\r\n",
        &[],
    ));
    assert_eq!((message.method(), message.method_text()), (Method::Other, "INV%49TE"));
    assert_eq!(message.values(Name::Contact).count(), 1);
    assert_eq!(message.get_other("c%6fntact"), Some("<sip:2@example.net>"));
}

/// §3.1.1.6: no white space between a display name and `<`.
#[test]
fn a_display_name_right_before_its_bracket() {
    let message = understood(with("From", "ann<sip:ann@example.net>;tag=9"));
    let from = message.from().expect("a From");
    assert_eq!((from.display, from.uri, from.tag()), ("ann", "sip:ann@example.net", Some("9")));
}

/// §3.1.1.7: long values, and many of them.
#[test]
fn long_values() {
    let long = "x".repeat(1_500);
    let vias: String =
        (0..12).map(|n| format!("Via: SIP/2.0/TCP hop{n}.example.net;branch=z9hG4bK{long}{n}\r\n")).collect();
    let host = "h.".repeat(100) + "example";
    let headers = format!(
        "To: \"{long}\" <sip:bob@example.org:5070;{long}={long};{long}>\r\nFrom: <sip:{long}@{host}>;tag={long};p={long}\r\n\
         Call-ID: {long}@gw\r\nX-{long}: {long}\r\n{vias}"
    );
    let message = understood(request("OPTIONS sip:bob@example.org SIP/2.0", &headers, &["To", "From", "Call-ID"]));
    assert_eq!(message.values(Name::Via).count(), 13);
    assert_eq!((message.from_tag().map(str::len), message.call_id().len()), (Some(1_500), 1_503));
    assert_eq!(message.to().and_then(|to| to.parsed_uri()?.port), Some(5070));
}

/// §3.1.1.8: in a datagram, what follows Content-Length is not looked at.
#[test]
fn bytes_after_the_message() {
    let mut bytes = request("REGISTER sip:example.org SIP/2.0", "Content-Length: 0\r\n", &[]);
    bytes.extend(request("INVITE sip:bob@example.org SIP/2.0", "", &[]));
    let message = understood(bytes);
    assert_eq!((message.method(), message.body().len()), (Method::Register, 0));
}

/// §3.1.1.9: parameters of the user part are not those of the URI.
#[test]
fn semicolons_in_the_user_part() {
    let uri = Uri::parse("sip:bob;ext=12%40x@example.org;lr").expect("a URI");
    assert_eq!((uri.user, uri.host), (Some("bob;ext=12%40x"), "example.org"));
    assert!(uri.params.has("lr") && !uri.params.has("ext"));
}

/// §3.1.1.10: a Via may name a transport that nobody knows.
#[test]
fn transports_that_nobody_knows() {
    let message = understood(request(
        "OPTIONS sip:bob@example.org SIP/2.0",
        "Via: SIP/2.0/SCTP a;branch=z9hG4bK1\r\nVia: SIP/2.0/PIGEON b;branch=z9hG4bK2\r\n",
        &[],
    ));
    let transports: Vec<_> =
        message.values(Name::Via).filter_map(sip::via::Via::parse).map(|via| via.transport).collect();
    assert_eq!(transports, ["UDP", "SCTP", "PIGEON"]);
}

/// §3.1.1.11: a body of several parts, one of them binary.
#[test]
fn a_body_in_parts() {
    let mut body = b"--cut\r\nContent-Type: application/octet-stream\r\n\r\n\0\xff\r\n\r\n\xfe\r\n--cut\r\n".to_vec();
    body.extend_from_slice(b"Content-Type: application/sdp\r\n\r\nv=0\r\n\r\n--cut--\r\n");
    let headers = format!("Content-Type: multipart/mixed;boundary=cut\r\nContent-Length: {}\r\n", body.len());
    let mut bytes = request("INVITE sip:bob@example.org SIP/2.0", &headers, &[]);
    bytes.extend_from_slice(&body);
    let message = understood(bytes);
    assert_eq!(&message.body()[..], body);
    assert_eq!(message.sdp().as_deref(), Some(&b"v=0\r\n"[..]));
}

/// Prose in another character set than UTF-8 harms nobody; `refused` has what may not be so written.
#[test]
fn prose_in_latin_1() {
    let mut bytes = request("OPTIONS sip:bob@example.org SIP/2.0", "", &[]);
    let at = bytes.len() - 2;
    bytes.splice(at..at, b"Subject: Gr\xfc\xdfe\r\nUser-Agent: T\xe9l\xe9\r\n".iter().copied());
    let message = understood(bytes);
    let values: Vec<_> = message.fields().iter().map(|field| message.field_value(field)).collect();
    assert!(values.contains(&&b"Gr\xfc\xdfe"[..]), "kept byte for byte");
}

fn response(line: &str) -> Message {
    let copied = String::from_utf8(request("OPTIONS sip:x SIP/2.0", "", &["Max-Forwards"])).expect("text");
    understood(copied.replacen("OPTIONS sip:x SIP/2.0", line, 1))
}

/// §3.1.1.12, §3.1.1.13: reason phrases of any language, and none.
#[test]
fn reason_phrases() {
    let phrase = "= 2**3 \u{43d}\u{435} \u{442}\u{430}\u{43a} : ;\"<>";
    assert_eq!(response(&format!("SIP/2.0 200 {phrase}")).reason_phrase(), phrase.as_bytes());
    let empty = response("SIP/2.0 100 ");
    assert_eq!((empty.code(), empty.reason_phrase(), empty.method()), (Some(100), &b""[..], Method::Options));
}

/// §3.1.2.12: a Date that makes no sense harms nobody who does not need it.
#[test]
fn a_bad_date_is_left_alone() {
    let message = understood(with("Date", "Fri, 41 Jan 2010 25:99:00 EST"));
    assert_eq!(message.get(Name::Date), Some("Fri, 41 Jan 2010 25:99:00 EST"));
}

/// §3.3.2 to §3.3.4: unknown schemes outside the Request-URI are for who uses the value.
#[test]
fn unknown_schemes_in_addresses() {
    let message = understood(request(
        "REGISTER sip:example.org SIP/2.0",
        "To: isbn:0123456789\r\nFrom: <http://www.example.net/~ann?x=y>;tag=1\r\nContact: <name:Ann_B>\r\n",
        &["To", "From"],
    ));
    assert_eq!(message.to().and_then(|to| to.parsed_uri()).map(|uri| uri.scheme), Some(Scheme::Other));
    assert_eq!(message.contact().map(|contact| contact.uri), Some("name:Ann_B"));
}

/// §3.3.5: extensions that we lack; Proxy-Require is none of a user agent's business.
#[test]
fn extensions_that_we_lack() {
    let message = understood(with("Require", "noSuch, timer\r\nProxy-Require: norThis\r\nRequire: orThat"));
    assert_eq!(unsupported_extensions(&message, &["TIMER"]), ["noSuch", "orThat"]);
    let ack = understood(request("ACK sip:bob@example.org SIP/2.0", "Require: noSuch\r\n", &[]));
    assert_eq!(unsupported_extensions(&ack, &[]), [""; 0]);
}

/// §3.3.6: a body that nobody understands is for the core to refuse.
#[test]
fn an_unknown_body() {
    let mut bytes = request("INVITE sip:bob@example.org SIP/2.0", "c: application/x-none\r\nl: 3\r\n", &[]);
    bytes.extend_from_slice(b"abc");
    let message = understood(bytes);
    assert!(message.body_is_unsupported(&["application/sdp"]) && !message.has_sdp());
}

/// §3.3.7: an authorization scheme that nobody knows is as none.
#[test]
fn an_unknown_authorization_scheme() {
    let message = understood(with("Authorization", "NoOneKnowsThis opaque=x, realm=\"r\", username=\"u\""));
    assert_eq!(sip::digest::Credentials::of(&message, "r", false), None);
}

/// §3.3.11: no hops left; who forwards answers 483.
#[test]
fn no_hops_left() {
    assert_eq!(understood(with("Max-Forwards", "0")).max_forwards(), Some(0));
}

/// §3.3.12, §3.3.13: parameters within the brackets are the URI's, those outside the header's.
#[test]
fn parameters_inside_and_outside_of_brackets() {
    for (value, of_uri, of_header) in [
        ("sip:ann@gw.example.net;unknown", false, true),
        ("<sip:ann@gw.example.net>;unknown", false, true),
        ("<sip:ann@gw.example.net;unknown>", true, false),
    ] {
        let message = understood(request("REGISTER sip:example.org SIP/2.0", &format!("Contact: {value}\r\n"), &[]));
        let contact = message.contact().expect("a Contact");
        assert_eq!(contact.parsed_uri().map(|uri| uri.params.has("unknown")), Some(of_uri), "{value}");
        assert_eq!(contact.params.has("unknown"), of_header, "{value}");
    }
}

/// §3.3.14: headers within a Contact's URI are kept.
#[test]
fn headers_in_a_contact() {
    let uri = "sip:ann@example.net?Route=%3Csip:p.example.net%3E";
    let message = understood(request("REGISTER sip:example.org SIP/2.0", &format!("Contact: <{uri}>\r\n"), &[]));
    assert_eq!(message.contact().map(|contact| contact.uri), Some(uri));
    assert_eq!(Uri::parse(uri).map(|uri| uri.headers), Some("Route=%3Csip:p.example.net%3E"));
}

/// §3.3.15: an Accept without session descriptions.
#[test]
fn an_accept_without_sdp() {
    assert!(!understood(with("Accept", "text/x-none")).accepts_sdp());
}

/// §3.3.10: a Via with a broadcast address is a matter of where the response is sent.
#[test]
fn a_broadcast_address_in_a_via() {
    let message =
        understood(with("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1, SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK2"));
    assert_eq!(message.values(Name::Via).count(), 2);
}

/// §3.4.1: what RFC 2543 made: no tag, no cookie in the branch, no Max-Forwards.
#[test]
fn a_request_of_rfc_2543() {
    let bytes = request(
        "INVITE sip:bob@example.org SIP/2.0",
        "Via: SIP/2.0/UDP old.example.net\r\nFrom: <sip:ann@example.net>\r\n",
        &["Via", "From", "Max-Forwards"],
    );
    let message = understood(bytes);
    assert_eq!((message.from_tag(), message.max_forwards()), (None, None));
    assert_eq!(message.top_via().map(|via| via.branch()), Some(""));
}
