//! Bodies of several parts (RFC 2046 §5.1, RFC 5621): the session description is found, the rest is kept as it came.
//!
//! Parts within parts are not looked into: nobody puts a session description there.

use crate::message::Message;
use crate::name::Name;
use crate::param::Params;
use bytes::Bytes;
use memchr::memmem;
use std::ops::Range;

/// Most parts of a body; one with more is not read as parts at all.
pub const MAX_PARTS: usize = 16;

/// A body in parts.
#[derive(Clone, Debug)]
pub struct Multipart {
    body: Bytes,
    parts: Vec<Part>,
}

/// Where one part stands in the body.
#[derive(Clone, Debug)]
struct Part {
    headers: Range<usize>,
    content: Range<usize>,
}

impl Multipart {
    /// Reads a body. `None` if the type is not `multipart/…` or the boundary is missing, in the value or in the body.
    #[must_use]
    pub fn parse(content_type: &str, body: Bytes) -> Option<Self> {
        let delimiter = delimiter(content_type)?;
        let mut parts = Vec::new();
        let mut from = delimiter_line(&body, 0, &delimiter)?;
        while !from.last {
            if parts.len() == MAX_PARTS {
                return None;
            }
            let next = delimiter_line(&body, from.after, &delimiter)?;
            parts.push(part(&body, from.after..next.before));
            from = next;
        }
        Some(Self { body, parts })
    }

    /// How many parts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The Content-Type of a part; empty if it has none (which means plain text) or there is no such part.
    #[must_use]
    pub fn content_type(&self, part: usize) -> &str {
        let Some(part) = self.parts.get(part) else { return "" };
        header_lines(&self.body[part.headers.clone()])
            .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(':'))
            .find(|(name, _)| Name::of(name.trim_end().as_bytes()) == Name::ContentType)
            .map_or("", |(_, value)| value.trim())
    }

    /// The content of a part; empty if there is no such part.
    #[must_use]
    pub fn content(&self, part: usize) -> Bytes {
        self.parts.get(part).map_or_else(Bytes::new, |part| self.body.slice(part.content.clone()))
    }

    /// The first part that is a session description.
    #[must_use]
    pub fn sdp(&self) -> Option<usize> {
        (0..self.parts.len()).find(|part| is_sdp(self.content_type(*part)))
    }

    /// The body with the content of one part replaced and everything else byte for byte as it came.
    ///
    /// A Content-Length within the part, which would now lie, is left out.
    #[must_use]
    pub fn replace(&self, part: usize, content: &[u8]) -> Vec<u8> {
        let Some(part) = self.parts.get(part) else { return self.body.to_vec() };
        let mut out = Vec::with_capacity(self.body.len() + content.len());
        out.extend_from_slice(&self.body[..part.headers.start]);
        for line in header_lines(&self.body[part.headers.clone()]) {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            if Name::of(name.trim_ascii_end()) != Name::ContentLength {
                out.extend_from_slice(line);
            }
        }
        out.extend_from_slice(&self.body[part.headers.end..part.content.start]);
        out.extend_from_slice(content);
        out.extend_from_slice(&self.body[part.content.end..]);
        out
    }
}

impl Message {
    /// The session description: the body itself, or the part of it that is one.
    #[must_use]
    pub fn sdp(&self) -> Option<Bytes> {
        let content_type = self.get(Name::ContentType).filter(|_| self.has_body())?;
        if is_sdp(content_type) {
            return Some(self.body());
        }
        let multipart = Multipart::parse(content_type, self.body())?;
        multipart.sdp().map(|part| multipart.content(part))
    }
}

/// Whether a Content-Type value says `application/sdp`.
#[must_use]
pub fn is_sdp(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/sdp")
}

/// `--boundary` of a `multipart/…` type.
fn delimiter(content_type: &str) -> Option<Vec<u8>> {
    let (kind, params) = content_type.split_once(';')?;
    if !kind.trim_start().get(..10)?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let boundary = Params::new(params).get("boundary")?;
    let boundary = boundary.strip_prefix('"').and_then(|b| b.strip_suffix('"')).unwrap_or(boundary);
    (1..=70).contains(&boundary.len()).then(|| format!("--{boundary}").into_bytes())
}

/// A line that separates parts.
struct Delimiter {
    /// Where the part before it ends: the line end before the delimiter belongs to the delimiter.
    before: usize,
    /// Where the part after it begins.
    after: usize,
    /// Whether it closes the body.
    last: bool,
}

fn delimiter_line(body: &[u8], from: usize, delimiter: &[u8]) -> Option<Delimiter> {
    let mut search = from;
    loop {
        let at = search + memmem::find(body.get(search..)?, delimiter)?;
        let end = at + delimiter.len();
        search = end;
        let last = body[end..].starts_with(b"--");
        let tail = &body[end..];
        let line = tail.iter().position(|b| *b == b'\n').map_or(tail.len(), |at| at + 1);
        let begins_line = at == from || body[at - 1] == b'\n';
        if begins_line && (last || tail[..line].iter().all(u8::is_ascii_whitespace)) {
            let mut before = at;
            for byte in *b"\n\r" {
                if before > from && body[before - 1] == byte {
                    before -= 1;
                }
            }
            return Some(Delimiter { before, after: end + line, last });
        }
    }
}

/// Cuts a part into headers (each line with its end) and content.
fn part(body: &[u8], range: Range<usize>) -> Part {
    let mut at = range.start;
    while at < range.end {
        let rest = &body[at..range.end];
        let line = rest.iter().position(|b| *b == b'\n').map_or(rest.len(), |end| end + 1);
        if rest[..line].trim_ascii().is_empty() {
            return Part { headers: range.start..at, content: at + line..range.end };
        }
        at += line;
    }
    // No empty line: headers only.
    Part { headers: range.clone(), content: range.end..range.end }
}

/// Header lines with their continuation lines and line ends.
fn header_lines(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = section;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            end += rest[end..].iter().position(|b| *b == b'\n').map_or(rest.len() - end, |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/mixed; boundary=\"b 1\"";
    const BODY: &str = "preamble\r\n--b 1\r\nContent-Type: application/isup;version=x\r\n\r\n\0\x01--b 1\r\n\r\n--b 1 \r\n\
                        content-TYPE:\r\n Application/SDP\r\nContent-Length: 5\r\nContent-ID: <1>\r\n\r\nv=0\r\n\r\n--b 1--\r\nepilogue";

    fn multipart() -> Multipart {
        Multipart::parse(TYPE, Bytes::from_static(BODY.as_bytes())).expect("two parts")
    }

    #[test]
    fn parts_are_found_with_their_types() {
        let multipart = multipart();
        assert_eq!(multipart.len(), 2);
        assert_eq!(multipart.content_type(0), "application/isup;version=x");
        assert_eq!(&multipart.content(0)[..], b"\0\x01--b 1\r\n");
        assert_eq!(multipart.sdp(), Some(1));
        assert_eq!(&multipart.content(1)[..], b"v=0\r\n");
    }

    #[test]
    fn replacing_a_part_keeps_the_rest() {
        let expected = BODY.replace("Content-Length: 5\r\n", "").replace("v=0", "v=1\r\ns=-");
        assert_eq!(String::from_utf8(multipart().replace(1, b"v=1\r\ns=-\r\n")).expect("text"), expected);
    }

    #[test]
    fn what_has_no_parts() {
        let body = || Bytes::from_static(BODY.as_bytes());
        assert!(Multipart::parse("application/sdp; boundary=x", body()).is_none());
        assert!(Multipart::parse("multipart/mixed", body()).is_none());
        assert!(Multipart::parse("multipart/mixed; boundary=other", body()).is_none());
        let unclosed = Bytes::from_static(b"--x\r\n\r\na\r\n--x\r\n");
        assert!(Multipart::parse("multipart/mixed;boundary=x", unclosed).is_none());
        let many = Bytes::from("--x\r\n\r\na\r\n".repeat(MAX_PARTS + 1) + "--x--");
        assert!(Multipart::parse("multipart/mixed;boundary=x", many).is_none());
    }
}
