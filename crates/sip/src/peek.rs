//! What a dispatcher needs of a message, found without parsing or allocating.

use crate::method::Method;
use crate::name::Name;
use crate::param::{decimal, find_outside_quotes_in};
use memchr::memchr;

/// The few values that say whose message this is. The lines are found in one pass; what stands in them is read only when it is
/// asked for, since most messages are known by one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The method of a request; `None` for a response.
    pub method: Option<Method>,
    /// The status code of a response.
    pub code: Option<u16>,
    /// The value of the first Via, From, To, Call-ID and CSeq line, in this order; empty if it was not found.
    values: [&'a [u8]; WANTED.len()],
}

const WANTED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
const ALL: u8 = (1 << WANTED.len()) - 1;

impl<'a> Peek<'a> {
    /// Scans the header section once. `None` if the first line is no SIP start line.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let lead = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let bytes = &bytes[lead..];
        let (line, mut rest) = next_line(bytes)?;
        let mut peek = Self::start(line)?;
        let mut seen = 0_u8;
        while let Some((line, after)) = next_header(rest) {
            if line.is_empty() || seen == ALL {
                break;
            }
            rest = after;
            seen |= peek.header(line, seen);
        }
        Some(peek)
    }

    /// The branch of the topmost Via; empty if there is none.
    #[must_use]
    pub fn branch(&self) -> &'a [u8] {
        let value = self.top_via();
        param(&value[memchr(b';', value).unwrap_or(value.len())..], b"branch")
    }

    /// The sent-by of the topmost Via, with its port (part of the transaction's key, RFC 3261 §17.2.3).
    #[must_use]
    pub fn sent_by(&self) -> &'a [u8] {
        let value = self.top_via();
        let head = value[..memchr(b';', value).unwrap_or(value.len())].trim_ascii();
        head.rsplit(|b| b.is_ascii_whitespace()).next().unwrap_or_default()
    }

    /// The tag in From.
    #[must_use]
    pub fn from_tag(&self) -> &'a [u8] {
        tag(self.values[1])
    }

    /// The tag in To.
    #[must_use]
    pub fn to_tag(&self) -> &'a [u8] {
        tag(self.values[2])
    }

    /// Call-ID.
    #[must_use]
    pub const fn call_id(&self) -> &'a [u8] {
        self.values[3]
    }

    /// The CSeq number; `None` if malformed.
    #[must_use]
    pub fn cseq(&self) -> Option<u32> {
        self.cseq_words().next().and_then(|word| std::str::from_utf8(word).ok()).and_then(decimal)
    }

    /// The CSeq method: for a response, what it answers.
    #[must_use]
    pub fn cseq_method(&self) -> Option<Method> {
        self.cseq_words().nth(1).map(Method::of)
    }

    fn start(line: &'a [u8]) -> Option<Self> {
        let (first, rest) = line.split_at(memchr(b' ', line)?);
        if first.len() >= 4 && first[..4].eq_ignore_ascii_case(b"SIP/") {
            let code = std::str::from_utf8(rest.get(1..4)?).ok().and_then(decimal)?;
            return Some(Self { code: Some(code), ..Self::default() });
        }
        let version = &line[memchr::memrchr(b' ', line)? + 1..];
        let is_sip = version.len() > 4 && version[..4].eq_ignore_ascii_case(b"SIP/");
        is_sip.then(|| Self { method: Some(Method::of(first)), ..Self::default() })
    }

    /// Notes one header line; answers which of the five it was, as a bit. Only the first of each counts.
    fn header(&mut self, line: &'a [u8], seen: u8) -> u8 {
        let Some(colon) = memchr(b':', line) else { return 0 };
        let name = Name::of(line[..colon].trim_ascii_end());
        let Some(at) = WANTED.iter().position(|one| *one == name).filter(|at| seen & (1 << at) == 0) else { return 0 };
        self.values[at] = line[colon + 1..].trim_ascii();
        1 << at
    }

    fn top_via(&self) -> &'a [u8] {
        let value = self.values[0];
        &value[..find_outside_quotes_in(value, b',').unwrap_or(value.len())]
    }

    fn cseq_words(&self) -> impl Iterator<Item = &'a [u8]> {
        self.values[4].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
    }
}

fn next_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    let end = memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = &bytes[..end];
    let rest = bytes.get(end + 1..).unwrap_or_default();
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// One header line with the continuation lines that belong to it (RFC 3261 §7.3.1), line ends inside included.
pub(crate) fn next_header(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, mut rest) = next_line(bytes)?;
    if line.is_empty() || !matches!(rest.first(), Some(b' ' | b'\t')) {
        return Some((line, rest));
    }
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        rest = next_line(rest)?.1;
    }
    Some((bytes[..bytes.len() - rest.len()].trim_ascii_end(), rest))
}

/// The tag of a From or To: the parameters begin after `>`, or at the first `;` without brackets.
fn tag(value: &[u8]) -> &[u8] {
    let open = find_outside_quotes_in(value, b'<');
    let from = match open {
        Some(open) => memchr(b'>', &value[open..]).map(|close| open + close),
        None => memchr(b';', value),
    };
    param(&value[from.unwrap_or(value.len())..], b"tag")
}

/// The value of a parameter in `;name=value` text.
fn param<'a>(text: &'a [u8], name: &[u8]) -> &'a [u8] {
    let mut rest = text;
    loop {
        let end = find_outside_quotes_in(rest, b';').unwrap_or(rest.len());
        let piece = &rest[..end];
        let eq = memchr(b'=', piece).unwrap_or(piece.len());
        if piece[..eq].trim_ascii().eq_ignore_ascii_case(name) {
            return piece.get(eq + 1..).unwrap_or_default().trim_ascii();
        }
        match rest.get(end + 1..) {
            Some(after) => rest = after,
            None => return &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_a_response() {
        let peek = Peek::of(
            b"INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h:5060;branch=z9hG4bKa, SIP/2.0/UDP i;branch=z9hG4bKb\r\n\
              f: \"x;tag=no\" <sip:a@h;tag=no>;tag=yes\r\nTo: <sip:b@h>\r\ni: id@h\r\nCSeq:  7\tINVITE\r\n\r\n",
        )
        .expect("sip");
        assert_eq!(peek.method, Some(Method::Invite));
        assert_eq!((peek.branch(), peek.sent_by()), (&b"z9hG4bKa"[..], &b"h:5060"[..]));
        assert_eq!((peek.from_tag(), peek.to_tag()), (&b"yes"[..], &b""[..]));
        assert_eq!((peek.call_id(), peek.cseq(), peek.cseq_method()), (&b"id@h"[..], Some(7), Some(Method::Invite)));
        let quoted = Peek::of(b"BYE sip:h SIP/2.0\r\nFrom: \"<>;tag=no\" <sip:a@h>;x=\";tag=no>\";tag=yes\r\n\r\n")
            .expect("sip");
        assert_eq!(quoted.from_tag(), b"yes");
        let folded = Peek::of(b"BYE sip:h SIP/2.0\r\nTo: <sip:b@h>\r\n ;tag=t\r\nCall-ID: c\r\n\r\n").expect("sip");
        assert_eq!((folded.to_tag(), folded.call_id()), (&b"t"[..], &b"c"[..]));
        assert_eq!(Peek::of(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n").expect("sip").code, Some(200));
        assert_eq!(Peek::of(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}
