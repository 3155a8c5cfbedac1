//! From bytes to the index: start line, header lines, body.

use super::known::Known;
use super::text::Text;
use super::{Field, Message, Span, Start, bit};
use crate::method::Method;
use crate::name::Name;
use crate::param::decimal;
use bytes::{Buf as _, Bytes};
use memchr::memchr;

/// Why bytes are not a message that could be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Nothing but line ends: a keep-alive (RFC 5626 §3.5.1), not an error of anyone.
    #[error("keep-alive")]
    KeepAlive,
    /// Larger than [`MAX_MESSAGE`].
    #[error("message too large")]
    TooLarge,
    /// The first line is neither a request line nor a status line.
    #[error("bad start line")]
    StartLine,
    /// More than [`MAX_FIELDS`] header lines.
    #[error("too many headers")]
    TooManyHeaders,
    /// The header section never ends, or holds a line without a colon before anything could be read.
    #[error("bad header section")]
    Headers,
}

/// The largest message that we read: the largest UDP payload there is.
pub const MAX_MESSAGE: usize = 65_535;
/// The most header lines that we index.
pub const MAX_FIELDS: usize = 256;
/// For how many header lines there is room at first.
const USUAL_FIELDS: usize = 20;

pub(super) fn parse(bytes: Bytes) -> Result<Message, ParseError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(ParseError::TooLarge);
    }
    let mut bytes = bytes;
    let lead = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if lead == bytes.len() {
        return Err(ParseError::KeepAlive);
    }
    bytes.advance(lead);
    let index = match index(&bytes)? {
        Some(index) => index,
        None => {
            bytes = unfold(&bytes);
            index(&bytes)?.ok_or(ParseError::Headers)?
        }
    };
    Ok(whole(index, bytes))
}

/// The message that an index makes of its bytes.
fn whole(index: Index, bytes: Bytes) -> Message {
    let available = bytes.len() - index.body;
    let length =
        index.declared.map_or(available, |length| usize::try_from(length).unwrap_or(usize::MAX).min(available));
    // Each CR that ends a line was counted with it, so any more stands alone.
    let has_lone_cr = memchr::memchr_iter(b'\r', &bytes[..index.body]).count() != index.line_ends;
    let (start, first, second, version) = index.start;
    let mut message = Message {
        start,
        first,
        second,
        version,
        fields: index.fields,
        present: index.present,
        repeated: index.repeated,
        has_lone_cr,
        known: Known::default(),
        body: span(index.body, index.body + length),
        declared_body: index.declared,
        available_body: u16::try_from(available).unwrap_or(u16::MAX),
        source: None,
        text: Text::of(bytes),
    };
    message.known = Known::of(&message);
    message
}

/// What one pass over the header section finds.
struct Index {
    start: (Start, Span, Span, Span),
    fields: Vec<Field>,
    present: u64,
    repeated: u64,
    /// The first Content-Length, if it is a number.
    declared: Option<u64>,
    /// How many lines of the section end with CRLF.
    line_ends: usize,
    /// Where the body begins.
    body: usize,
}

/// `None` if a line is folded.
fn index(bytes: &[u8]) -> Result<Option<Index>, ParseError> {
    let mut lines = Lines { bytes, at: 0, line_ends: 0 };
    let line = lines.next().ok_or(ParseError::StartLine)?;
    let start = start_line(bytes, line)?;
    let mut fields = Vec::with_capacity(USUAL_FIELDS);
    let (mut present, mut repeated, mut declared) = (0, 0, None);
    // A datagram cut short in its headers ends the section as an empty line would; `check` then misses what is missing.
    while let Some(line) = lines.next() {
        if line.start == line.end {
            break;
        }
        if bytes.get(lines.at).is_some_and(|byte| is_blank(*byte)) {
            return Ok(None);
        }
        if fields.len() == MAX_FIELDS {
            return Err(ParseError::TooManyHeaders);
        }
        let field = field(bytes, line);
        if field.name == Name::ContentLength && declared.is_none() {
            declared = std::str::from_utf8(field.value.of(bytes)).ok().and_then(decimal);
        }
        repeated |= present & bit(field.name);
        present |= bit(field.name);
        fields.push(field);
    }
    if fields.is_empty() {
        return Err(ParseError::Headers);
    }
    Ok(Some(Index { start, fields, present, repeated, declared, line_ends: lines.line_ends, body: lines.at }))
}

fn span(start: usize, end: usize) -> Span {
    // MAX_MESSAGE bounds both.
    Span { start: u16::try_from(start).unwrap_or(u16::MAX), end: u16::try_from(end).unwrap_or(u16::MAX) }
}

/// Lines end with CRLF, or with a bare LF from sloppy senders.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    /// How many lines so far ended with CRLF.
    line_ends: usize,
}

impl Lines<'_> {
    fn next(&mut self) -> Option<Span> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let rest = &self.bytes[self.at..];
        let start = self.at;
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        let has_cr = length > 0 && rest[length - 1] == b'\r';
        self.at = (start + length + 1).min(self.bytes.len());
        self.line_ends += usize::from(has_cr && length < rest.len());
        Some(span(start, start + length - usize::from(has_cr)))
    }
}

/// Turns the line end before a continuation line into blanks, which keeps every offset (RFC 3261 §7.3.1).
fn unfold(bytes: &[u8]) -> Bytes {
    let mut out = bytes.to_vec();
    for at in folds(bytes) {
        out[at] = b' ';
        if at > 0 && out[at - 1] == b'\r' {
            out[at - 1] = b' ';
        }
    }
    Bytes::from(out)
}

/// Positions of each LF in the header section that a blank or tab follows.
fn folds(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut from = 0;
    let mut first = true;
    std::iter::from_fn(move || {
        loop {
            let at = from + memchr(b'\n', bytes.get(from..)?)?;
            let line_was_empty = at == from || (at == from + 1 && bytes[from] == b'\r');
            if line_was_empty {
                return None;
            }
            from = at + 1;
            // The start line is never folded.
            let fold = !first && matches!(bytes.get(from), Some(b' ' | b'\t'));
            first = false;
            if fold {
                return Some(at);
            }
        }
    })
}

fn start_line(bytes: &[u8], line: Span) -> Result<(Start, Span, Span, Span), ParseError> {
    let text = line.of(bytes);
    let base = usize::from(line.start);
    let first_end = memchr(b' ', text).ok_or(ParseError::StartLine)?;
    if text.len() > 4 && text[..4].eq_ignore_ascii_case(b"SIP/") {
        let rest = &text[first_end + 1..];
        let code_end = memchr(b' ', rest).unwrap_or(rest.len());
        let code = std::str::from_utf8(&rest[..code_end]).ok().filter(|c| c.len() == 3).and_then(decimal);
        let code: u16 = code.filter(|c| (100..700).contains(c)).ok_or(ParseError::StartLine)?;
        let reason = base + first_end + 1 + (code_end + 1).min(rest.len());
        let version = span(base, base + first_end);
        return Ok((Start::Response { code }, version, span(reason, usize::from(line.end)), version));
    }
    let method = &text[..first_end];
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(ParseError::StartLine);
    }
    // Blanks at the end stay with the version, where `check` finds them (RFC 4475 §3.1.2.9).
    let last =
        memchr::memrchr(b' ', &text[..trim_end(text)]).filter(|last| *last > first_end).ok_or(ParseError::StartLine)?;
    let version = &text[last + 1..];
    if version.len() < 4 || !version[..4].eq_ignore_ascii_case(b"SIP/") {
        return Err(ParseError::StartLine);
    }
    let start = Start::Request { method: Method::of(method) };
    Ok((
        start,
        span(base, base + first_end),
        span(base + first_end + 1, base + last),
        span(base + last + 1, usize::from(line.end)),
    ))
}

/// Whether a byte may stand in a token (RFC 3261 §25.1).
pub(crate) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// A line without a colon becomes a field with an empty name, which `check` refuses.
fn field(bytes: &[u8], line: Span) -> Field {
    let text = line.of(bytes);
    let base = usize::from(line.start);
    let colon = memchr(b':', text).unwrap_or(0);
    let name_end = trim_end(&text[..colon]);
    let value_from = (colon + 1).min(text.len());
    let lead = text[value_from..].iter().take_while(|b| is_blank(**b)).count();
    let start = value_from + lead;
    let end = start.max(trim_end(text));
    Field {
        name: Name::of(&text[..name_end]),
        name_at: span(base, base + name_end),
        value: span(base + start, base + end),
    }
}

fn trim_end(text: &[u8]) -> usize {
    text.len() - text.iter().rev().take_while(|b| is_blank(**b)).count()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        parse(Bytes::copy_from_slice(text.as_bytes())).expect("a message")
    }

    #[test]
    fn folded_lines_are_joined_and_compact_names_known() {
        let m = message(
            "\r\nINVITE sip:a@h SIP/2.0\r\nv: SIP/2.0/UDP h\r\n ;branch=z9hG4bK1,\r\n\tSIP/2.0/UDP i\r\ni:x\r\nl: 3\r\n\r\nabcdef",
        );
        assert_eq!(m.method(), Method::Invite);
        assert_eq!(m.values(Name::Via).count(), 2);
        assert_eq!(m.get(Name::CallId), Some("x"));
        assert_eq!(&m.body()[..], b"abc");
    }

    #[test]
    fn the_body_is_not_unfolded() {
        let m = message("OPTIONS sip:h SIP/2.0\r\nFrom: x\r\n\r\na\r\n b");
        assert_eq!(&m.body()[..], b"a\r\n b");
    }

    #[test]
    fn responses_with_and_without_reason() {
        let m = message("SIP/2.0 180 Ringing now\r\nFrom: x\r\n\r\n");
        assert_eq!((m.code(), m.reason_phrase()), (Some(180), &b"Ringing now"[..]));
        assert_eq!(message("SIP/2.0 404\r\nFrom: x\r\n\r\n").reason_phrase(), b"");
    }

    #[test]
    fn what_no_one_can_answer() {
        let parse = |text: &'static str| parse(Bytes::from_static(text.as_bytes())).map(|_| ());
        assert_eq!(parse("\r\n\r\n"), Err(ParseError::KeepAlive));
        assert_eq!(parse("hello\r\n"), Err(ParseError::StartLine));
        assert_eq!(parse("SIP/2.0 4294967301 x\r\na: b\r\n\r\n"), Err(ParseError::StartLine));
        assert_eq!(parse("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Err(ParseError::StartLine));
        assert_eq!(parse("INVITE sip:h SIP/2.0\r\n\r\n"), Err(ParseError::Headers));
    }
}
