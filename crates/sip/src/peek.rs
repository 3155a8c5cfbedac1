//! What a dispatcher needs of a message, found without parsing or allocating.

use crate::method::Method;
use crate::param::{decimal, find_outside_quotes_in};
use memchr::memchr;

/// The few values that say whose message this is. Each is looked for when it is asked for: most messages are known by one of them,
/// and that stands near the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The method of a request; `None` for a response.
    pub method: Option<Method>,
    /// The status code of a response.
    pub code: Option<u16>,
    /// What follows the first line.
    rest: &'a [u8],
}

/// A header that is looked for: its name, and its compact form, 0 if it has none.
#[derive(Clone, Copy)]
struct Wanted(&'static [u8], u8);

const VIA: Wanted = Wanted(b"via", b'v');
const FROM: Wanted = Wanted(b"from", b'f');
const TO: Wanted = Wanted(b"to", b't');
const CALL_ID: Wanted = Wanted(b"call-id", b'i');
const CSEQ: Wanted = Wanted(b"cseq", 0);

impl Wanted {
    /// The value of a header line, if it is this one.
    fn value(self, line: &[u8]) -> Option<&[u8]> {
        let Self(name, compact) = self;
        let first = line.first()? | 0x20;
        let rest = match line.split_at_checked(name.len()) {
            Some((head, rest)) if first == name[0] && head.eq_ignore_ascii_case(name) => rest,
            _ if first == compact => &line[1..],
            _ => return None,
        };
        Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii())
    }
}

impl<'a> Peek<'a> {
    /// Reads the first line. `None` if it is no SIP start line.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let lead = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let (line, rest) = next_line(&bytes[lead..])?;
        Some(Self { rest, ..Self::start(line)? })
    }

    /// The value of the first line of a header; empty if there is none.
    fn value(&self, wanted: Wanted) -> &'a [u8] {
        let mut rest = self.rest;
        while let Some((line, after)) = next_header(rest).filter(|(line, _)| !line.is_empty()) {
            if let Some(value) = wanted.value(line) {
                return value;
            }
            rest = after;
        }
        &[]
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

    /// From.
    #[must_use]
    pub fn from(&self) -> &'a [u8] {
        self.value(FROM)
    }

    /// The tag in From.
    #[must_use]
    pub fn from_tag(&self) -> &'a [u8] {
        tag(self.value(FROM))
    }

    /// The tag in To.
    #[must_use]
    pub fn to_tag(&self) -> &'a [u8] {
        tag(self.value(TO))
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &'a [u8] {
        self.value(CALL_ID)
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

    fn top_via(&self) -> &'a [u8] {
        let value = self.value(VIA);
        &value[..find_outside_quotes_in(value, b',').unwrap_or(value.len())]
    }

    fn cseq_words(&self) -> impl Iterator<Item = &'a [u8]> {
        self.value(CSEQ).split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
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
        let odd = Peek::of(b"BYE sip:h SIP/2.0\r\nTimestamp: 1\r\nT\t: <sip:b@h>;tag=t\r\nCSeqs: 1\r\ncSEQ :2 BYE\r\n\r\nCall-ID: body")
            .expect("sip");
        assert_eq!((odd.to_tag(), odd.cseq(), odd.call_id()), (&b"t"[..], Some(2), &b""[..]));
        assert_eq!(Peek::of(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}
