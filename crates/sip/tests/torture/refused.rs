//! Invalid messages: RFC 4475 §3.1.2, and those of §3.2 and §3.3 that no one can serve.

use crate::{refusal, request, unanswerable, understood, with};
use sip::message::ParseError;

const LINE: &str = "OPTIONS sip:bob@example.org SIP/2.0";

/// The headers below are lawful as the frame of each test: otherwise everything here would be refused for nothing.
#[test]
fn the_frame_itself_is_lawful() {
    understood(request(LINE, "", &[]));
}

/// §3.1.2.1: separators where no parameter is.
#[test]
fn stray_separators() {
    for via in ["SIP/2.0/UDP 192.0.2.1;;,;,,", "SIP/2.0/UDP", ",SIP/2.0 192.0.2.1", "SIP/2.0/UDP a b;branch=z9hG4bK1"] {
        assert_eq!(refusal(with("Via", via)), 400, "{via}");
    }
    assert_eq!(refusal(with("Contact", "\"Ann\" <sip:ann@example.net>, ;;,<sip:x")), 400);
}

/// §3.1.2.2, §3.1.2.3, §3.3.9: Content-Length that is too large, negative, no number, or there twice.
#[test]
fn content_lengths() {
    for value in
        ["9999", "-999", "+1", "1 1", "abc", "", "99999999999999999999999", "0\r\nl: 0", "0\r\nContent-Length: 5"]
    {
        let mut bytes = request(LINE, &format!("Content-Type: text/plain\r\nContent-Length: {value}\r\n"), &[]);
        bytes.extend_from_slice(b"body");
        assert_eq!(refusal(bytes), 400, "{value}");
    }
}

/// §3.1.2.4, §3.1.2.5: numbers too large for what they count.
#[test]
fn scalars_out_of_range() {
    for value in [
        "36893488147419103232 OPTIONS",
        "4294967296 OPTIONS",
        "2147483648 OPTIONS",
        "-1 OPTIONS",
        "1",
        "OPTIONS",
        "1 2 OPTIONS",
    ] {
        assert_eq!(refusal(with("CSeq", value)), 400, "{value}");
    }
    understood(with("CSeq", "2147483647 OPTIONS"));
    for value in ["256", "300", "-1", "+70", "x", ""] {
        assert_eq!(refusal(with("Max-Forwards", value)), 400, "{value}");
    }
    // An Expires beyond any clock is the largest there is, and one that makes no sense an hour (RFC 3261 §10.2.1.1).
    for (value, seconds) in
        [("10000000000000000000000000", u32::MAX), ("-1", 3_600), ("", 3_600), ("x", 3_600), ("60", 60)]
    {
        assert_eq!(understood(with("Expires", value)).expires(), Some(seconds), "{value}");
    }
    assert_eq!(understood(with("Retry-After", "949302838503028349304023988")).retry_after(), None);
    assert_eq!(refusal(response("SIP/2.0 503 x").replace("1 OPTIONS", "9292394834772304023312 OPTIONS")), 400);
}

fn response(line: &str) -> String {
    String::from_utf8(request(LINE, "", &[])).expect("text").replacen(LINE, line, 1)
}

/// §3.1.2.6: a quote that never closes.
#[test]
fn unbalanced_quotes() {
    for value in ["\"Mr. B <sip:bob@example.org>", "B\" <sip:bob@example.org>", "\"B\\\" <sip:bob@example.org>"] {
        assert_eq!(refusal(with("To", value)), 400, "{value}");
    }
}

/// §3.1.2.7, §3.1.2.8, §3.1.2.9, §3.1.2.10, §3.1.2.11: request lines with brackets, blanks and headers in them.
#[test]
fn request_lines() {
    for line in [
        "OPTIONS <sip:bob@example.org> SIP/2.0",
        "OPTIONS sip:bob@example.org; lr SIP/2.0",
        "OPTIONS  sip:bob@example.org SIP/2.0",
        "OPTIONS sip:bob@example.org  SIP/2.0",
        "OPTIONS sip:bob@example.org SIP/2.0  ",
        "OPTIONS sip:bob@example.org SIP/2.0\t",
        "OPTIONS sip:bob@example.org?Route=%3Csip:example.net%3E SIP/2.0",
        "OPTIONS bob SIP/2.0",
        "OPTIONS sip:bob@ SIP/2.0",
        "OPTIONS sip:@example.org SIP/2.0",
        "OPTIONS sip:bob@example.org:99999 SIP/2.0",
        "OPTIONS sip:bob@example.org@example.net SIP/2.0",
    ] {
        assert_eq!(refusal(request(line, "", &[])), 400, "{line}");
    }
}

/// §3.1.2.13: a bare URI with what would need brackets.
#[test]
fn contacts_that_need_brackets() {
    let value = "sip:ann@example.net?Route=%3Csip:p.example.net%3E";
    assert_eq!(refusal(request("REGISTER sip:example.org SIP/2.0", &format!("Contact: {value}\r\n"), &[])), 400);
    assert_eq!(refusal(with("Contact", "*")), 400, "only REGISTER has this one");
    understood(request("REGISTER sip:example.org SIP/2.0", "Contact: *\r\nExpires: 0\r\n", &[]));
}

/// §3.1.2.14, §3.1.2.15: blanks within brackets, and display names that would need quotes.
#[test]
fn addresses() {
    for value in [
        "\"B, A\" < sip:bob@example.org >",
        "B, A <sip:bob@example.org>",
        "<sip:bob@example.org",
        "sip:bob@example.org>",
        "",
    ] {
        assert_eq!(refusal(with("To", value)), 400, "{value}");
    }
}

/// §3.1.2.16: another version.
#[test]
fn versions() {
    assert_eq!(refusal(request("OPTIONS sip:bob@example.org SIP/7.0", "", &[])), 505);
    assert_eq!(refusal(request("OPTIONS sip:bob@example.org SIP/2.0.1", "", &[])), 505);
    understood(request("OPTIONS sip:bob@example.org sip/2.0", "", &[]));
}

/// §3.1.2.17, §3.1.2.18: CSeq names another method, known or not.
#[test]
fn methods_that_differ() {
    assert_eq!(refusal(with("CSeq", "8 INVITE")), 400);
    assert_eq!(refusal(with("CSeq", "8 options")), 400);
    assert_eq!(refusal(request("NEWMETHOD sip:bob@example.org SIP/2.0", "CSeq: 8 OTHERMETHOD\r\n", &["CSeq"])), 400);
    understood(request("NEWMETHOD sip:bob@example.org SIP/2.0", "CSeq: 8 NEWMETHOD\r\n", &["CSeq"]));
}

/// §3.1.2.19: a status code that is none.
#[test]
fn status_codes() {
    for code in ["4294967301", "099", "700", "20", "+20", "2000", ""] {
        assert_eq!(unanswerable(response(&format!("SIP/2.0 {code} OK"))), ParseError::StartLine, "{code}");
    }
}

/// §3.2.1: a branch of the cookie alone.
#[test]
fn a_branch_without_identity() {
    assert_eq!(refusal(with("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK")), 400);
    assert_eq!(refusal(with("Via", "SIP/2.0/UDP 192.0.2.1;Branch = z9hG4bK;rport")), 400);
}

/// §3.3.1: mandatory headers that are missing.
#[test]
fn missing_headers() {
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        assert_eq!(refusal(request(LINE, "", &[name])), 400, "{name}");
    }
}

/// §3.3.2, §3.3.3: Request-URI schemes that nobody serves.
#[test]
fn unknown_schemes_in_the_request_uri() {
    assert_eq!(refusal(request("OPTIONS noOneKnows:opaque SIP/2.0", "", &[])), 416);
    assert_eq!(refusal(request("OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", "", &[])), 416);
    understood(request("OPTIONS tel:+442071838750;phone-context=x SIP/2.0", "", &[]));
    understood(request("OPTIONS urn:service:sos SIP/2.0", "", &[]));
}

/// §3.3.8: headers that may be there once only.
#[test]
fn headers_that_are_there_twice() {
    for (line, name) in [
        ("From: <sip:eve@example.net>;tag=2", "From"),
        ("t: <sip:eve@example.net>", "To"),
        ("i: another", "Call-ID"),
        ("CSEQ: 2 OPTIONS", "CSeq"),
        ("max-forwards: 3", "Max-Forwards"),
    ] {
        assert_eq!(refusal(request(LINE, &format!("{line}\r\n"), &[])), 400, "{name}");
    }
}

/// Lines that are no headers, and values that could hide one in bytes that are no text.
#[test]
fn lines_that_are_no_headers() {
    for line in ["no colon here", ": no name", "bad name: x", "bad(name): x"] {
        assert_eq!(refusal(request(LINE, &format!("{line}\r\n"), &[])), 400, "{line}");
    }
    assert_eq!(refusal(with("Subject", "a\rRoute: <sip:evil.example.net>")), 400);
    // A line that would continue the request line continues nothing.
    assert_eq!(refusal(request(&format!("{LINE}\r\n Subject: x"), "CSeq: 1 OPTIONS\r\n", &["CSeq"])), 400);
    let mut bytes = request(LINE, "", &["Via"]);
    let at = bytes.len() - 2;
    bytes.splice(
        at..at,
        b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP \xff;branch=z9hG4bK2\r\n".iter().copied(),
    );
    assert_eq!(refusal(bytes), 400);
}
