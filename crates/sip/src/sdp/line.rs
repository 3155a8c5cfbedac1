//! The lines of a body: where each begins and ends. It never looks at what a value means.

use super::direction::Direction;
use super::{Error, MAX_BYTES, MAX_LINES};

/// One `letter=value` line as a range of the body. The line itself begins two bytes before the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// The letter before the `=`.
    pub(super) letter: u8,
    /// First byte of the value.
    pub(super) start: u32,
    /// Byte after the value; the line's end (CRLF or LF) follows.
    pub(super) end: u32,
}

impl Line {
    /// The value's bytes.
    pub(super) fn value(self, body: &[u8]) -> &[u8] {
        &body[self.start as usize..self.end as usize]
    }

    /// The value as text; empty where it is not UTF-8, so that such a line is kept but never understood.
    pub(super) fn text(self, body: &[u8]) -> &str {
        std::str::from_utf8(self.value(body)).unwrap_or_default()
    }

    /// The whole line without its end.
    pub(super) fn whole(self, body: &[u8]) -> &[u8] {
        &body[self.start as usize - 2..self.end as usize]
    }

    /// The value of an `a=` line with this name; empty where there is none. Only a line that has the name is decoded.
    pub(super) fn named<'a>(self, body: &'a [u8], name: &str) -> Option<&'a str> {
        let rest = self.value(body).strip_prefix(name.as_bytes()).filter(|_| self.letter == b'a')?;
        match rest {
            [] => Some(""),
            [b':', value @ ..] => Some(std::str::from_utf8(value).unwrap_or_default()),
            _ => None,
        }
    }

    /// The direction that an `a=` line says, if it says one.
    pub(super) fn direction(self, body: &[u8]) -> Option<Direction> {
        // All four names have eight letters.
        (self.letter == b'a' && self.end - self.start == 8).then(|| Direction::from_attribute(self.text(body)))?
    }

    /// Name and value of an `a=` line; the value is empty where there is none.
    pub(super) fn attribute(self, body: &[u8]) -> Option<(&str, &str)> {
        if self.letter != b'a' {
            return None;
        }
        let text = self.text(body);
        Some(text.split_once(':').unwrap_or((text, "")))
    }
}

/// Splits a body into its lines. CRLF and a bare LF both end one; blank lines are skipped.
pub(super) fn split(body: &[u8]) -> Result<Vec<Line>, Error> {
    if body.len() > MAX_BYTES {
        return Err(Error::TooLong);
    }
    let mut lines = Vec::with_capacity(memchr::memchr_iter(b'\n', body).count().min(MAX_LINES) + 1);
    let mut start = 0;
    for (index, end) in memchr::memchr_iter(b'\n', body).chain(std::iter::once(body.len())).enumerate() {
        let mut raw = &body[start..end];
        while let [head @ .., b'\r'] = raw {
            raw = head;
        }
        if !raw.is_empty() {
            if lines.len() == MAX_LINES {
                return Err(Error::TooManyLines);
            }
            lines.push(one(raw, start, index)?);
        }
        start = end + 1;
    }
    Ok(lines)
}

/// Reads one line that is not blank.
fn one(raw: &[u8], start: usize, index: usize) -> Result<Line, Error> {
    let bad = Error::Line { line: number(index) };
    match raw {
        [letter, b'=', value @ ..] if letter.is_ascii_alphabetic() => {
            // A bare CR or a NUL would let a value pretend to be two lines to the next reader.
            if value.iter().any(|byte| matches!(byte, b'\r' | 0)) {
                return Err(bad);
            }
            let at = |offset: usize| u32::try_from(offset).map_err(|_| Error::TooLong);
            Ok(Line { letter: *letter, start: at(start + 2)?, end: at(start + raw.len())? })
        }
        _ => Err(bad),
    }
}

/// The number of a line as people count.
fn number(index: usize) -> u16 {
    u16::try_from(index.saturating_add(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_line_ends_and_blank_lines_are_read() {
        let body = b"v=0\r\ns=-\nt=0 0\r\n\r\n";
        let lines = split(body).unwrap();
        let values: Vec<&[u8]> = lines.iter().map(|line| line.whole(body)).collect();
        assert_eq!(values, [b"v=0".as_slice(), b"s=-", b"t=0 0"]);
    }

    #[test]
    fn a_bare_cr_or_nul_inside_a_value_is_refused() {
        assert_eq!(split(b"v=0\r\ns=a\rb\r\n"), Err(Error::Line { line: 2 }));
        assert_eq!(split(b"v=0\r\ns=a\0b\r\n"), Err(Error::Line { line: 2 }));
        assert_eq!(split(b"v=0\r\nnonsense\r\n"), Err(Error::Line { line: 2 }));
    }

    #[test]
    fn limits_hold() {
        assert_eq!(split(&vec![b'a'; MAX_BYTES + 1]), Err(Error::TooLong));
        assert_eq!(split("a=x\n".repeat(MAX_LINES + 1).as_bytes()), Err(Error::TooManyLines));
        assert_eq!(split("a=x\n".repeat(MAX_LINES).as_bytes()).map(|lines| lines.len()), Ok(MAX_LINES));
    }
}
