//! A SIP message as an index over its raw bytes.
//!
//! Nothing is decoded before it is asked for, and nothing that we do not touch is ever re-written: a header's bytes are
//! those that came in. Whether the message *makes sense* is the business of [`crate::message::Message::check`].

mod check;
mod extension;
mod known;
mod parse;
mod text;

pub use check::Reject;
pub use extension::unsupported_extensions;
pub use parse::ParseError;
pub use parse::{MAX_FIELDS, MAX_MESSAGE};

use crate::method::Method;
use crate::name::Name;
use crate::param::{split_outside_quotes, trim};
use bytes::Bytes;
use known::Known;
use std::fmt;
use std::net::SocketAddr;
use text::Text;

/// A range of bytes of a message, which [`MAX_MESSAGE`] lets 16 bits count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }

    fn range(self) -> std::ops::Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

/// The first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// `METHOD uri SIP/2.0`
    Request {
        /// The method; an extension's text is [`Message::method_text`].
        method: Method,
    },
    /// `SIP/2.0 code reason`
    Response {
        /// 100–699.
        code: u16,
    },
}

/// One header line (after unfolding): which header, and where its name and value stand.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Which header.
    pub name: Name,
    name_at: Span,
    value: Span,
}

/// A message that framing and the line structure found whole.
#[derive(Clone)]
pub struct Message {
    text: Text,
    start: Start,
    /// Method and URI of a request, or code and reason of a response.
    first: Span,
    second: Span,
    version: Span,
    fields: Vec<Field>,
    /// A bit for each [`Name`] that is there, and for each that is there more than once.
    present: u64,
    repeated: u64,
    /// Whether a CR in the header section is followed by anything but LF.
    has_lone_cr: bool,
    known: Known,
    body: Span,
    /// What Content-Length said, if it was there and a number.
    declared_body: Option<u64>,
    /// Bytes after the header section, which a datagram may have more of than Content-Length declares.
    available_body: u16,
    /// The address that a request came from, once the transport has said so.
    source: Option<SocketAddr>,
}

impl Message {
    /// Reads one message: a whole datagram, or exactly what [`crate::peek`] or a framer cut from a stream.
    ///
    /// Folded lines are joined. A datagram's bytes past Content-Length are dropped (RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`ParseError`] if it cannot be answered at all: no start line, no header section.
    pub fn parse(bytes: Bytes) -> Result<Self, ParseError> {
        parse::parse(bytes)
    }

    /// Notes where a request came from, so that its responses carry `received` and `rport` in the topmost Via
    /// (RFC 3261 §18.2.1, RFC 3581 §4).
    #[must_use]
    pub fn from_source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// The address that it came from, if that was noted.
    #[must_use]
    pub fn source(&self) -> Option<SocketAddr> {
        self.source
    }

    /// Checks what RFC 3261 demands of every message: version, mandatory headers, their syntax and agreement.
    ///
    /// # Errors
    /// [`Reject`]: the response that a request deserves; a response with an error is dropped.
    pub fn check(&self) -> Result<(), Reject> {
        check::check(self)
    }

    /// The raw bytes (folded lines joined).
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        self.text.bytes()
    }

    /// The first line.
    #[must_use]
    pub fn start(&self) -> Start {
        self.start
    }

    /// The method of a request, or of the request that a response answers (from CSeq).
    #[must_use]
    pub fn method(&self) -> Method {
        match self.start {
            Start::Request { method } => method,
            Start::Response { .. } => self.cseq().map_or(Method::Other, |cseq| cseq.method),
        }
    }

    /// The request's method as written.
    #[must_use]
    pub fn method_text(&self) -> &str {
        self.text_at(self.first)
    }

    /// Whether this is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }

    /// The status code of a response.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self.start {
            Start::Response { code } => Some(code),
            Start::Request { .. } => None,
        }
    }

    /// The Request-URI as written; empty for a response or when it is not UTF-8.
    #[must_use]
    pub fn uri(&self) -> &str {
        if self.is_request() { self.text_at(self.second) } else { "" }
    }

    /// The reason phrase of a response, which may be any bytes.
    #[must_use]
    pub fn reason_phrase(&self) -> &[u8] {
        if self.is_request() { b"" } else { self.second.of(self.bytes()) }
    }

    /// Every header line, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A header's name as written (it may be compact).
    #[must_use]
    pub fn field_name(&self, field: &Field) -> &[u8] {
        field.name_at.of(self.bytes())
    }

    /// A header's value, without the white space around it.
    #[must_use]
    pub fn field_value(&self, field: &Field) -> &[u8] {
        field.value.of(self.bytes())
    }

    /// The value of the first header line of that name, if it is UTF-8.
    #[must_use]
    pub fn get(&self, name: Name) -> Option<&str> {
        self.lines(name).next()
    }

    /// Every line of that name that is UTF-8.
    pub fn lines(&self, name: Name) -> impl Iterator<Item = &str> {
        let fields = if self.has(name) { &self.fields[..] } else { &[] };
        fields.iter().filter(move |field| field.name == name).filter_map(|field| self.text.get(field.value))
    }

    /// Whether a line of that name is there, whatever it holds.
    #[must_use]
    pub fn has(&self, name: Name) -> bool {
        self.present & bit(name) != 0
    }

    /// Every value of a header that is a list, whether joined by commas or on lines of its own.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &str> {
        self.lines(name).flat_map(|line| split_outside_quotes(line, b',')).map(trim).filter(|v| !v.is_empty())
    }

    /// The first line of an extension header, named in any case.
    #[must_use]
    pub fn get_other(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|field| self.field_name(field).eq_ignore_ascii_case(name.as_bytes()))
            .and_then(|field| self.text.get(field.value))
    }

    /// Whether a list of option tags (Supported, Require, Allow…) holds `token`, in any case.
    #[must_use]
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(token))
    }

    /// The body, as long as Content-Length says.
    #[must_use]
    pub fn body(&self) -> Bytes {
        self.bytes().slice(self.body.range())
    }

    /// Whether there is a body.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.body.end > self.body.start
    }

    /// The text of a span; empty if it is not UTF-8.
    fn text_at(&self, span: Span) -> &str {
        self.text.get(span).unwrap_or("")
    }

    /// Where `part`, which was read from this message, stands in it; any empty text stands at the beginning.
    fn span_of(&self, part: &str) -> Span {
        let start = part.as_ptr().addr().wrapping_sub(self.bytes().as_ptr().addr());
        match (u16::try_from(start), u16::try_from(start.wrapping_add(part.len()))) {
            (Ok(start), Ok(end)) if !part.is_empty() => Span { start, end },
            _ => Span::default(),
        }
    }
}

const fn bit(name: Name) -> u64 {
    1 << (name as u32)
}

/// Shows no number and no address.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.start {
            Start::Request { .. } => write!(f, "Message({})", self.method_text()),
            Start::Response { code } => write!(f, "Message({code})"),
        }
    }
}
