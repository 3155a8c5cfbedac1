//! What a dispatcher needs of a message, found without parsing or allocating.

use crate::method::Method;
use crate::name::Name;
use crate::param::{decimal, find_outside_quotes_in};
use memchr::memchr;

/// The few values that say whose message this is. Each is a slice of the input, empty if it was not found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The method of a request; `None` for a response.
    pub method: Option<Method>,
    /// The status code of a response.
    pub code: Option<u16>,
    /// The branch of the topmost Via.
    pub branch: &'a [u8],
    /// The sent-by of the topmost Via, with its port (part of the transaction's key, RFC 3261 §17.2.3).
    pub sent_by: &'a [u8],
    /// Call-ID.
    pub call_id: &'a [u8],
    /// The tag in From.
    pub from_tag: &'a [u8],
    /// The tag in To.
    pub to_tag: &'a [u8],
    /// The CSeq number; `None` if malformed.
    pub cseq: Option<u32>,
    /// The CSeq method: for a response, what it answers.
    pub cseq_method: Option<Method>,
}

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
            if line.is_empty() || seen == 0b1_1111 {
                break;
            }
            rest = after;
            seen |= peek.header(line, seen);
        }
        Some(peek)
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

    /// Reads one header line; answers which of the five it was, as a bit. Only the first of each counts.
    fn header(&mut self, line: &'a [u8], seen: u8) -> u8 {
        let Some(colon) = memchr(b':', line) else { return 0 };
        let name = Name::of(line[..colon].trim_ascii_end());
        let wanted = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
        let Some(bit) = wanted.iter().position(|one| *one == name).map(|at| 1 << at) else { return 0 };
        if seen & bit != 0 {
            return 0;
        }
        let value = line[colon + 1..].trim_ascii();
        match bit {
            1 => self.via(value),
            2 => self.from_tag = tag(value),
            4 => self.to_tag = tag(value),
            8 => self.call_id = value,
            _ => self.cseq(value),
        }
        bit
    }

    fn via(&mut self, value: &'a [u8]) {
        let end = find_outside_quotes_in(value, b',').unwrap_or(value.len());
        let value = &value[..end];
        let head_end = memchr(b';', value).unwrap_or(value.len());
        let head = value[..head_end].trim_ascii();
        self.sent_by = head.rsplit(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
        self.branch = param(&value[head_end..], b"branch");
    }

    fn cseq(&mut self, value: &'a [u8]) {
        let mut words = value.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        self.cseq = words.next().and_then(|w| std::str::from_utf8(w).ok()).and_then(decimal);
        self.cseq_method = words.next().map(Method::of);
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
        assert_eq!((peek.branch, peek.sent_by), (&b"z9hG4bKa"[..], &b"h:5060"[..]));
        assert_eq!((peek.from_tag, peek.to_tag), (&b"yes"[..], &b""[..]));
        assert_eq!((peek.call_id, peek.cseq, peek.cseq_method), (&b"id@h"[..], Some(7), Some(Method::Invite)));
        let quoted = Peek::of(b"BYE sip:h SIP/2.0\r\nFrom: \"<>;tag=no\" <sip:a@h>;x=\";tag=no>\";tag=yes\r\n\r\n")
            .expect("sip");
        assert_eq!(quoted.from_tag, b"yes");
        let folded = Peek::of(b"BYE sip:h SIP/2.0\r\nTo: <sip:b@h>\r\n ;tag=t\r\nCall-ID: c\r\n\r\n").expect("sip");
        assert_eq!((folded.to_tag, folded.call_id), (&b"t"[..], &b"c"[..]));
        assert_eq!(Peek::of(b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\n").expect("sip").code, Some(200));
        assert_eq!(Peek::of(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}
