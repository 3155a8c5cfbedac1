//! A session description that keeps the bytes it was read from. It never changes them.

use super::address::Host;
use super::direction::Direction;
use super::line::{self, Line};
use super::media::{self, Media};
use super::{Error, MAX_MEDIA};
use bytes::Bytes;
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;

/// A session description (RFC 8866): the body and an index of its lines.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    body: Bytes,
    lines: Vec<Line>,
    /// Index of each `m=` line in `lines`.
    media: SmallVec<[u16; 4]>,
}

/// The `o=` line of somebody else (RFC 8866 §5.2). Identifiers stay text: some are longer than 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoteOrigin<'a> {
    /// The user's login, often `-`.
    pub username: &'a str,
    /// The session identifier.
    pub id: &'a str,
    /// The version of the description.
    pub version: &'a str,
    /// The address as written.
    pub address: &'a str,
}

impl fmt::Debug for Session {
    /// Sizes only: a body may hold SRTP keys, and a log may not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, media) = (self.body.len(), self.media.len());
        f.debug_struct("Session").field("bytes", &bytes).field("media", &media).finish_non_exhaustive()
    }
}

impl Session {
    /// Reads a body and copies it.
    ///
    /// # Errors
    /// A limit of this module is passed, the body does not begin with `v=0`, or a line that matters cannot be read.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        // Refused before the copy, so that a huge body costs nothing.
        if body.len() > super::MAX_BYTES {
            return Err(Error::TooLong);
        }
        Self::from_bytes(Bytes::copy_from_slice(body))
    }

    /// Reads a body without copying it.
    ///
    /// # Errors
    /// As [`Session::parse`].
    pub fn from_bytes(body: Bytes) -> Result<Self, Error> {
        let lines = line::split(&body)?;
        if lines.first().is_none_or(|first| first.letter != b'v' || first.text(&body).trim() != "0") {
            return Err(Error::Version);
        }
        let mut media = SmallVec::new();
        for (index, line) in lines.iter().enumerate() {
            let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
            match line.letter {
                b'm' if media.len() == MAX_MEDIA => return Err(Error::TooManyMedia),
                b'm' => {
                    media::check(line.text(&body), number)?;
                    media.push(number - 1);
                }
                b'c' if Host::parse(line.text(&body)).is_none() => return Err(Error::Connection { line: number }),
                _ => {}
            }
        }
        Ok(Self { body, lines, media })
    }

    /// The body as it was read.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The `o=` line, if there is one that can be read.
    #[must_use]
    pub fn origin(&self) -> Option<RemoteOrigin<'_>> {
        let mut words = self.value(b'o')?.split_ascii_whitespace();
        let (username, id, version) = (words.next()?, words.next()?, words.next()?);
        Some(RemoteOrigin { username, id, version, address: words.nth(2)? })
    }

    /// The session's name, if given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.value(b's')
    }

    /// The first time description, if given.
    #[must_use]
    pub fn time(&self) -> Option<&str> {
        self.value(b't')
    }

    /// The address for media that name none of their own.
    #[must_use]
    pub fn connection(&self) -> Option<Host<'_>> {
        Host::parse(self.value(b'c')?)
    }

    /// The direction for media that name none of their own.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.session_lines().iter().find_map(|line| line.direction(&self.body)).unwrap_or_default()
    }

    /// Session attributes, in order: name and value, the value empty where there is none.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.session_lines().iter().filter_map(|line| line.attribute(&self.body))
    }

    /// The value of the first session attribute of this name; empty if the attribute has none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.session_lines().iter().find_map(|line| line.named(&self.body, name))
    }

    /// How many media descriptions there are.
    #[must_use]
    pub fn media_count(&self) -> usize {
        self.media.len()
    }

    /// One media description, in the order of the body.
    #[must_use]
    pub fn media(&self, index: usize) -> Option<Media<'_>> {
        (index < self.media.len()).then(|| Media::new(self, self.media_range(index)))
    }

    /// All media descriptions in order.
    pub fn medias(&self) -> impl Iterator<Item = Media<'_>> {
        (0..self.media.len()).map(|index| Media::new(self, self.media_range(index)))
    }

    /// The lines before the first `m=`.
    pub(super) fn session_lines(&self) -> &[Line] {
        let end = self.media.first().map_or(self.lines.len(), |first| usize::from(*first));
        &self.lines[..end]
    }

    /// The lines of a range.
    pub(super) fn lines(&self, range: Range<u16>) -> &[Line] {
        &self.lines[usize::from(range.start)..usize::from(range.end)]
    }

    /// The lines of a media description, its `m=` first.
    fn media_range(&self, index: usize) -> Range<u16> {
        let total = u16::try_from(self.lines.len()).unwrap_or(u16::MAX);
        self.media[index]..self.media.get(index + 1).copied().unwrap_or(total)
    }

    /// The value of the first session line with this letter.
    fn value(&self, letter: u8) -> Option<&str> {
        self.session_lines().iter().find(|line| line.letter == letter).map(|line| line.text(&self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ALL, BARESIP, Random};
    use super::*;

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line() {
        let refused = |body: &str| Session::parse(body.as_bytes()).unwrap_err();
        assert_eq!(refused(""), Error::Version);
        assert_eq!(refused("s=-\r\nv=0\r\n"), Error::Version);
        assert_eq!(refused("v=1\r\n"), Error::Version);
        assert_eq!(refused("v=0\r\nc=IN IP4\r\n"), Error::Connection { line: 2 });
        for media in ["audio", "audio 70000 RTP/AVP 0", "audio x RTP/AVP 0", "audio 4000", "audio 4000/x RTP/AVP 0"] {
            assert_eq!(refused(&format!("v=0\r\nm={media}\r\n")), Error::Media { line: 2 }, "{media}");
        }
        let formats = " 0".repeat(super::super::MAX_FORMATS + 1);
        assert_eq!(refused(&format!("v=0\r\nm=audio 4 RTP/AVP{formats}\r\n")), Error::TooManyFormats { line: 2 });
        let media = "m=audio 4 RTP/AVP 0\r\n".repeat(MAX_MEDIA + 1);
        assert_eq!(refused(&format!("v=0\r\n{media}")), Error::TooManyMedia);
    }

    #[test]
    fn the_origin_of_the_other_side_is_read() {
        let session = Session::parse(BARESIP.as_bytes()).unwrap();
        let origin = session.origin().unwrap();
        assert_eq!((origin.id, origin.version, origin.address), ("1764000001", "764100002", "192.0.2.20"));
        assert_eq!(session.attribute("tool"), Some("baresip 2.0.1"));
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut random = Random(7);
        for round in 0..20_000 {
            let mut body = ALL[round % ALL.len()].as_bytes().to_vec();
            for _ in 0..1 + random.below(6) {
                let at = random.below(body.len());
                if body.is_empty() {
                    break;
                }
                match random.below(4) {
                    0 => body[at] = u8::try_from(random.below(256)).unwrap_or(0),
                    1 => body.truncate(at.max(1)),
                    2 => body.insert(at, b"\r\n =:/0m"[random.below(8)]),
                    _ => drop(body.drain(at..(at + random.below(40)).min(body.len()))),
                }
            }
            let Ok(session) = Session::parse(&body) else { continue };
            for media in session.medias() {
                let _ = (media.rtp_address(), media.rtcp_address(false), media.direction(), media.payloads().count());
                let _ = (media.cryptos().count(), media.fingerprint(), media.ptime(), media.kind(), media.proto());
            }
        }
    }
}
