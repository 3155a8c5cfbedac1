//! Writes messages: our own headers in order, foreign ones byte for byte.

use crate::message::{Field, Message};
use crate::method::Method;
use crate::name::Name;
use crate::param::find_outside_quotes;
use crate::status;
use crate::uri::host_ip;
use crate::via::Via;
use bytes::Bytes;
use memchr::{memchr, memchr2};
use std::fmt::{Display, Write as _};
use std::net::{IpAddr, SocketAddr};

/// A message under construction. Content-Length is written by [`Builder::finish`] or [`Builder::finish_with`].
#[derive(Debug)]
pub struct Builder {
    out: Vec<u8>,
}

/// Room for the headers of a usual request, and for a usual response without a body; both are then seldom grown.
const REQUEST_ROOM: usize = 1_024;
const RESPONSE_ROOM: usize = 768;

/// Lets `write!` append to bytes.
struct Sink<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Sink<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

impl Builder {
    /// Begins a request.
    #[must_use]
    pub fn request(method: Method, uri: &str) -> Self {
        Self::request_as(method.token(), uri)
    }

    /// Begins a request with the method's own text: for extension methods that we pass on.
    #[must_use]
    pub fn request_as(method: &str, uri: &str) -> Self {
        let mut builder = Self { out: Vec::with_capacity(REQUEST_ROOM) };
        for piece in [method, " ", uri, " SIP/2.0\r\n"] {
            builder.push_str(piece);
        }
        builder
    }

    /// Begins a response with the usual reason phrase.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::status_as(code, status::reason(code).as_bytes())
    }

    /// Begins a response with a reason phrase of its own.
    #[must_use]
    pub fn status_as(code: u16, reason: &[u8]) -> Self {
        let mut builder = Self { out: Vec::with_capacity(RESPONSE_ROOM) };
        builder.push_str("SIP/2.0 ");
        builder.push_number(code.into());
        builder.push_str(" ");
        if memchr2(b'\r', b'\n', reason).is_none() {
            builder.out.extend_from_slice(reason);
        } else {
            builder.out.extend(reason.iter().filter(|b| !matches!(b, b'\r' | b'\n')));
        }
        builder.push_str("\r\n");
        builder
    }

    /// Begins the response to `request` with what RFC 3261 §8.2.6 copies: every Via, From, To, Call-ID, CSeq.
    ///
    /// `to_tag` is added to To unless it has a tag already.
    #[must_use]
    pub fn response(request: &Message, code: u16, reason: Option<&str>, to_tag: &str) -> Self {
        let mut builder = reason.map_or_else(|| Self::status(code), |text| Self::status_as(code, text.as_bytes()));
        let mut source = request.source();
        // Only a dialog-forming response needs Record-Route; the caller adds it.
        for field in request.fields() {
            if field.name == Name::Via && source.is_some() {
                builder.top_via(request, field, source.take());
            } else if matches!(field.name, Name::Via | Name::From | Name::CallId | Name::CSeq) {
                builder.field_ref(request, field);
            } else if field.name == Name::To {
                builder.tagged_to(request, field, to_tag);
            }
        }
        builder
    }

    fn tagged_to(&mut self, request: &Message, field: &Field, to_tag: &str) {
        self.out.extend_from_slice(b"To: ");
        self.out.extend_from_slice(request.field_value(field));
        if !to_tag.is_empty() && request.to_tag().is_none() {
            self.out.extend_from_slice(b";tag=");
            self.out.extend_from_slice(to_tag.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Copies the line of the topmost Via and says in it where the request came from: `received` where the sent-by is
    /// another address or `rport` was asked for, and `rport` in the latter case (RFC 3581 §4).
    fn top_via(&mut self, request: &Message, field: &Field, source: Option<SocketAddr>) {
        let text = std::str::from_utf8(request.field_value(field)).unwrap_or("");
        let end = find_outside_quotes(text, b',').unwrap_or(text.len());
        let (Some(via), Some(source)) = (Via::parse(&text[..end]), source) else {
            return self.field_ref(request, field);
        };
        let wants_port = via.params.get("rport") == Some("");
        if !wants_port && host_ip(via.host) == Some(source.ip()) {
            return self.field_ref(request, field);
        }
        let head = text[..end].find(';').unwrap_or(end);
        self.out.extend_from_slice(b"Via: ");
        if let Some(at) = asks_for_port(&text.as_bytes()[head..end]) {
            self.push_str(&text[..head + at]);
            self.push_str("=");
            self.push_number(source.port().into());
            self.push_str(&text[head + at..end]);
            return self.end_via(source, &text[end..]);
        }
        self.out.extend_from_slice(text[..head].trim_end().as_bytes());
        for (name, value) in via.params.iter() {
            if name.eq_ignore_ascii_case("received") {
                continue;
            }
            self.push_str(";");
            match value {
                None | Some("") if name.eq_ignore_ascii_case("rport") => {
                    self.push_str("rport=");
                    self.push_number(source.port().into());
                }
                Some(value) => {
                    for piece in [name, "=", value] {
                        self.push_str(piece);
                    }
                }
                None => self.push_str(name),
            }
        }
        self.end_via(source, &text[end..]);
    }

    /// Says in a Via which address its request came from, and adds what follows it in its line.
    fn end_via(&mut self, source: SocketAddr, rest: &str) {
        self.push_str(";received=");
        match source.ip() {
            IpAddr::V4(ip) => {
                for (at, octet) in ip.octets().into_iter().enumerate() {
                    self.push_str(if at == 0 { "" } else { "." });
                    self.push_number(octet.into());
                }
            }
            // Writing to a vector cannot fail.
            IpAddr::V6(ip) => drop(write!(Sink(&mut self.out), "{ip}")),
        }
        self.push_str(rest);
        self.push_str("\r\n");
    }

    /// Adds a header of ours.
    #[must_use]
    pub fn header(mut self, name: Name, value: impl Display) -> Self {
        self.add(name, value);
        self
    }

    /// Adds a header of ours, in place. Line ends within the value are written as blanks.
    pub fn add(&mut self, name: Name, value: impl Display) {
        self.add_as(name.text(), value);
    }

    /// Adds a header that [`Name`] does not know, in place.
    pub fn add_as(&mut self, name: &str, value: impl Display) {
        self.push_str(name);
        self.push_str(": ");
        let from = self.out.len();
        let _ = write!(Sink(&mut self.out), "{value}");
        self.end_line(from);
    }

    /// [`Self::add`] of a value that is in pieces, which are written without going through `Display`.
    pub fn add_pieces(&mut self, name: Name, pieces: &[&str]) {
        self.push_str(name.text());
        self.push_str(": ");
        let from = self.out.len();
        for piece in pieces {
            self.push_str(piece);
        }
        self.end_line(from);
    }

    /// [`Self::add`] of a number.
    pub fn add_number(&mut self, name: Name, number: u32) {
        self.push_str(name.text());
        self.push_str(": ");
        self.push_number(number);
        self.push_str("\r\n");
    }

    /// [`Self::add`] of CSeq.
    pub fn add_cseq(&mut self, number: u32, method: &str) {
        self.push_str("CSeq: ");
        self.push_number(number);
        self.push_str(" ");
        let from = self.out.len();
        self.push_str(method);
        self.end_line(from);
    }

    fn push_str(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn push_number(&mut self, number: u32) {
        let (digits, from) = decimal_digits(number);
        self.out.extend_from_slice(&digits[from..]);
    }

    /// Ends the header line whose value begins at `from`, in which no line end may be.
    fn end_line(&mut self, from: usize) {
        if memchr2(b'\r', b'\n', &self.out[from..]).is_some() {
            for byte in &mut self.out[from..] {
                if matches!(*byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
        self.push_str("\r\n");
    }

    /// Copies one header line byte for byte.
    #[must_use]
    pub fn field(mut self, message: &Message, field: &Field) -> Self {
        self.field_ref(message, field);
        self
    }

    /// Copies one header line byte for byte, in place.
    pub fn field_ref(&mut self, message: &Message, field: &Field) {
        self.out.extend_from_slice(message.field_name(field));
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(message.field_value(field));
        self.out.extend_from_slice(b"\r\n");
    }

    /// Copies every line of the given headers byte for byte, in their order in `message`.
    #[must_use]
    pub fn copy(mut self, message: &Message, names: &[Name]) -> Self {
        self.copy_ref(message, names);
        self
    }

    /// Copies every line of the given headers byte for byte, in place.
    pub fn copy_ref(&mut self, message: &Message, names: &[Name]) {
        for field in message.fields().iter().filter(|field| names.contains(&field.name)) {
            self.field_ref(message, field);
        }
    }

    /// Ends a message without a body.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.push_str("Content-Length: 0\r\n\r\n");
        self.into_bytes()
    }

    /// Ends a message with a body; an empty one is as none.
    #[must_use]
    pub fn finish_with(mut self, content_type: &str, body: &[u8]) -> Bytes {
        if body.is_empty() {
            return self.finish();
        }
        let (digits, from) = decimal_digits(u32::try_from(body.len()).unwrap_or(u32::MAX));
        let length = &digits[from..];
        let pieces: [&[u8]; 6] =
            [b"Content-Type: ", content_type.as_bytes(), b"\r\nContent-Length: ", length, b"\r\n\r\n", body];
        // If it has to grow, then to what it will be.
        self.out.reserve_exact(pieces.iter().map(|piece| piece.len()).sum());
        for piece in pieces {
            self.out.extend_from_slice(piece);
        }
        self.into_bytes()
    }

    /// Messages are kept while they may have to be sent again, so they are not kept with much room to spare.
    fn into_bytes(self) -> Bytes {
        let spare = self.out.capacity() - self.out.len();
        // A copy, since allocators shrink in place without giving anything back.
        if spare > self.out.len() / 4 { Bytes::copy_from_slice(&self.out) } else { Bytes::from(self.out) }
    }
}

/// Where `rport` without a value ends in the parameters of a Via (RFC 3581 §3), if they hold nothing that has to be read with care or
/// taken out.
fn asks_for_port(params: &[u8]) -> Option<usize> {
    if memchr2(b'"', b'<', params).is_some() || memchr2(b' ', b'\t', params).is_some() {
        return None;
    }
    let (mut at, mut found) = (0, None);
    while at < params.len() {
        let end = memchr(b';', &params[at + 1..]).map_or(params.len(), |length| at + 1 + length);
        let piece = &params[at + 1..end];
        if piece.eq_ignore_ascii_case(b"rport") && (piece != b"rport" || found.replace(end).is_some()) {
            return None;
        }
        if piece.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"received")) {
            return None;
        }
        at = end;
    }
    found
}

/// The digits of a number, and where in the array they begin.
fn decimal_digits(number: u32) -> ([u8; 10], usize) {
    let (mut digits, mut from, mut rest) = ([b'0'; 10], 10, number);
    loop {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return (digits, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_carries_what_the_rfc_copies() {
        let text = "INVITE sip:b@h SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
                    Call-ID: c\r\nCSeq: 1 INVITE\r\nSubject: no\r\n\r\n";
        let request = Message::parse(Bytes::from_static(text.as_bytes())).expect("valid");
        let response = Message::parse(Builder::response(&request, 180, None, "t").finish()).expect("valid");
        assert_eq!(response.code(), Some(180));
        assert_eq!(response.to_tag(), Some("t"));
        assert_eq!(response.get(Name::Subject), None);
        assert_eq!(response.top_via().map(|via| via.branch()), Some("z9hG4bKx"));
    }

    #[test]
    fn the_topmost_via_says_where_the_request_came_from() {
        let respond = |vias: &str, source: &str| {
            let text =
                format!("BYE sip:b@h SIP/2.0\r\nVia: {vias}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n\r\n");
            let request =
                Message::parse(Bytes::from(text)).expect("valid").from_source(source.parse().expect("address"));
            let response = Message::parse(Builder::response(&request, 200, None, "").finish()).expect("valid");
            response.lines(Name::Via).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            respond("SIP/2.0/UDP 192.0.2.1;rPort;branch=x, SIP/2.0/UDP b;branch=y", "192.0.2.1:7"),
            ["SIP/2.0/UDP 192.0.2.1;rport=7;branch=x;received=192.0.2.1, SIP/2.0/UDP b;branch=y"]
        );
        for (asked, answered) in [
            (";branch=x;rport", ";branch=x;rport=7;received=192.0.2.10"),
            (";rport;branch=x, SIP/2.0/UDP b", ";rport=7;branch=x;received=192.0.2.10, SIP/2.0/UDP b"),
            (";a=\";rport\";rport", ";a=\";rport\";rport=7;received=192.0.2.10"),
            (" ; rport ;branch=x", ";rport=7;branch=x;received=192.0.2.10"),
            (";received=198.51.100.1;rport", ";rport=7;received=192.0.2.10"),
            (";rport=;branch=x", ";rport=7;branch=x;received=192.0.2.10"),
            (";rports;x", ";rports;x;received=192.0.2.10"),
        ] {
            let via = |params: &str| format!("SIP/2.0/UDP 192.0.2.1:5060{params}");
            assert_eq!(respond(&via(asked), "192.0.2.10:7"), [via(answered)], "{asked}");
        }
        assert_eq!(respond("SIP/2.0/UDP h;rport", "[2001:db8::1]:7"), ["SIP/2.0/UDP h;rport=7;received=2001:db8::1"]);
        assert_eq!(respond("SIP/2.0/UDP 192.0.2.1;branch=x", "192.0.2.1:7"), ["SIP/2.0/UDP 192.0.2.1;branch=x"]);
        assert_eq!(respond("SIP/2.0/UDP h;branch=x", "192.0.2.9:7"), ["SIP/2.0/UDP h;branch=x;received=192.0.2.9"]);
    }

    #[test]
    fn no_value_can_break_out_of_its_line() {
        let bytes = Builder::request(Method::Bye, "sip:h").header(Name::Subject, "a\r\nEvil: 1").finish();
        let message = Message::parse(bytes).expect("valid");
        assert_eq!(message.fields().len(), 2);
    }

    #[test]
    fn pieces_and_numbers_are_written_as_display_would() {
        let mut written = Builder::status(200);
        let mut displayed = Builder::status(200);
        for number in [0, 9, 10, 70, 4_294_967_295] {
            written.add_number(Name::MaxForwards, number);
            displayed.add(Name::MaxForwards, number);
            written.add_cseq(number, "FOO");
            displayed.add(Name::CSeq, format_args!("{number} FOO"));
        }
        written.add_pieces(Name::Subject, &["a", "", "b\r\nEvil: 1"]);
        displayed.add(Name::Subject, "ab\r\nEvil: 1");
        assert_eq!(written.finish_with("x/y", &[b'z'; 1_234]), displayed.finish_with("x/y", &[b'z'; 1_234]));
    }

    #[test]
    fn a_finished_message_has_little_room_to_spare() {
        for (headers, body) in [(1, 0), (1, 40), (30, 0), (30, 300), (60, 0), (60, 2_000)] {
            let mut builder = Builder::request(Method::Bye, "sip:h");
            for _ in 0..headers {
                builder.add(Name::Subject, "twenty bytes of text");
            }
            let bytes = builder.finish_with("x/y", &vec![b'z'; body]);
            let length = bytes.len();
            // What only one holds gives its vector back.
            let vector = Vec::from(bytes);
            assert!(vector.capacity() <= length + length / 4, "{} for {length}", vector.capacity());
        }
    }
}
