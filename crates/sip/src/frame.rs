//! Cuts a stream into messages (RFC 3261 §18.3).
//!
//! On a stream only Content-Length says where a message ends, so a message without one, or with a doubtful one, cannot be
//! skipped: the connection has to be closed. The framer looks at nothing else; [`crate::Message::parse`] reads the rest.

use crate::name::Name;
use crate::peek::next_header;
use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;

/// Longest header section that a stream may carry, in bytes.
pub const MAX_HEADERS: usize = 16 * 1024;
/// Longest message that a stream may carry, in bytes.
pub const MAX_MESSAGE: usize = crate::message::MAX_MESSAGE;

/// What came out of the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// One whole message.
    Message(Bytes),
    /// A line end between messages: a stray one, or the pong to our ping (RFC 5626 §3.5.1).
    LineEnd,
    /// The second line end in a row: a ping, to be answered with one CRLF.
    Ping,
}

/// Why the stream can be followed no longer. The connection is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// The header section is longer than [`MAX_HEADERS`].
    #[error("header section too long")]
    HeadersTooLong,
    /// The message is longer than [`MAX_MESSAGE`].
    #[error("message too long")]
    MessageTooLong,
    /// No Content-Length.
    #[error("no Content-Length")]
    NoContentLength,
    /// Content-Length is no number, or there are two that differ.
    #[error("bad Content-Length")]
    BadContentLength,
}

/// The state of one stream. It holds at most one unfinished message.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// Bytes of the buffer in which no end of a header section was found.
    scanned: usize,
    /// Length of the message at the front of the buffer, once its headers are complete.
    length: Option<usize>,
    after_line_end: bool,
}

impl Framer {
    /// At the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the shell reads bytes into; to be followed by [`Self::next_frame`] until it answers `None`.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Appends bytes that were read elsewhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not complete: the shell then has patience for a while only.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next piece, `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`]: the stream has to be closed. Every further call errs as well.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.length.is_none()
            && let Some(frame) = self.line_end()
        {
            return Ok(Some(frame));
        }
        let Some(length) = self.message_length()? else { return Ok(None) };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.length = None;
        self.scanned = 0;
        self.after_line_end = false;
        Ok(Some(Frame::Message(self.buffer.split_to(length).freeze())))
    }

    fn line_end(&mut self) -> Option<Frame> {
        let length = match *self.buffer.as_ref() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => return None,
        };
        self.buffer.advance(length);
        self.after_line_end = !self.after_line_end;
        Some(if self.after_line_end { Frame::LineEnd } else { Frame::Ping })
    }

    fn message_length(&mut self) -> Result<Option<usize>, FrameError> {
        if self.length.is_some() {
            return Ok(self.length);
        }
        let Some(headers) = self.find_headers()? else { return Ok(None) };
        let length = content_length(&self.buffer[..headers])?.saturating_add(headers);
        if length > MAX_MESSAGE {
            return Err(FrameError::MessageTooLong);
        }
        self.length = Some(length);
        Ok(self.length)
    }

    /// Length of the header section with its empty line.
    fn find_headers(&mut self) -> Result<Option<usize>, FrameError> {
        while let Some(at) = memchr(b'\n', &self.buffer[self.scanned..]) {
            let next = self.scanned + at + 1;
            let end = match self.buffer[next..] {
                [b'\n', ..] => next + 1,
                [b'\r', b'\n', ..] => next + 2,
                // Whether this line end closes the section depends on bytes that are still to come.
                [] | [b'\r'] => break,
                _ => {
                    self.scanned = next;
                    continue;
                }
            };
            if end > MAX_HEADERS {
                return Err(FrameError::HeadersTooLong);
            }
            return Ok(Some(end));
        }
        if self.buffer.len() > MAX_HEADERS { Err(FrameError::HeadersTooLong) } else { Ok(None) }
    }
}

/// Reads Content-Length from a header section, long or compact, folded or not.
fn content_length(section: &[u8]) -> Result<usize, FrameError> {
    let mut found = None;
    let mut rest = section;
    while let Some((line, after)) = next_header(rest) {
        rest = after;
        let Some(colon) = memchr(b':', line) else { continue };
        if Name::of(line[..colon].trim_ascii_end()) != Name::ContentLength {
            continue;
        }
        let value = line[colon + 1..].trim_ascii();
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
        let number: usize = number.ok_or(FrameError::BadContentLength)?;
        if found.is_some_and(|before| before != number) {
            return Err(FrameError::BadContentLength);
        }
        found = Some(number);
    }
    found.ok_or(FrameError::NoContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next_frame().expect("a stream that can be followed")).collect()
    }

    fn fails(stream: &[u8]) -> FrameError {
        let mut framer = Framer::new();
        framer.push(stream);
        loop {
            match framer.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("waits for more"),
                Err(error) => return error,
            }
        }
    }

    #[test]
    fn messages_follow_each_other_with_and_without_bodies() {
        let mut framer = Framer::new();
        framer.push(b"A b SIP/2.0\r\nl: 2\r\n\r\nxyB b SIP/2.0\r\nContent-Length:\r\n  0\r\n\r\nC b");
        let expected: [&'static [u8]; 2] =
            [b"A b SIP/2.0\r\nl: 2\r\n\r\nxy", b"B b SIP/2.0\r\nContent-Length:\r\n  0\r\n\r\n"];
        assert_eq!(frames(&mut framer), expected.map(|m| Frame::Message(Bytes::from_static(m))));
        assert!(framer.is_partial());
    }

    #[test]
    fn a_ping_is_two_line_ends_in_a_row() {
        let mut framer = Framer::new();
        framer.push(b"\r\n\r\n\r\n");
        assert_eq!(frames(&mut framer), [Frame::LineEnd, Frame::Ping, Frame::LineEnd]);
        framer.push(b"B b SIP/2.0\r\nl:0\r\n\r\n\r\n");
        assert!(matches!(frames(&mut framer)[..], [Frame::Message(_), Frame::LineEnd]), "a message lies between");
        framer.push(b"\r");
        assert_eq!(frames(&mut framer), []);
        framer.push(b"\n");
        assert_eq!(frames(&mut framer), [Frame::Ping]);
        assert!(!framer.is_partial());
    }

    #[test]
    fn what_closes_the_connection() {
        assert_eq!(fails(b"A b SIP/2.0\r\nFrom: x\r\n\r\n"), FrameError::NoContentLength);
        for bad in ["-1", "+1", "", "1 2", "0x1", "99999999999999999999999"] {
            assert_eq!(
                fails(format!("A b SIP/2.0\r\nl: {bad}\r\n\r\n").as_bytes()),
                FrameError::BadContentLength,
                "{bad}"
            );
        }
        assert_eq!(fails(b"A b SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n"), FrameError::BadContentLength);
        assert_eq!(fails(b"A b SIP/2.0\r\nl: 65536\r\n\r\n"), FrameError::MessageTooLong);
        assert_eq!(fails(&vec![b'a'; MAX_HEADERS + 1]), FrameError::HeadersTooLong);
        assert_eq!(fails(&b"a: b\r\n".repeat(4_000)), FrameError::HeadersTooLong);
    }
}
