//! A request of ours as it went out: the few values that a dialog is formed from, found without parsing all of it again.

use crate::message::Message;
use crate::peek::Peek;
use bytes::Bytes;
use std::ops::Range;

/// See the module.
#[derive(Clone, Debug)]
pub struct Sent {
    bytes: Bytes,
    uri: Place,
    from: Place,
    tag: Place,
    call_id: Place,
    number: u32,
}

/// Where a value stands; a request that we send is shorter than 64 KB.
#[derive(Clone, Copy, Debug)]
struct Place(u16, u16);

impl Place {
    fn of(part: &[u8], whole: &[u8]) -> Option<Self> {
        if part.is_empty() {
            return Some(Self(0, 0));
        }
        let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
        Some(Self(u16::try_from(start).ok()?, u16::try_from(start + part.len()).ok()?))
    }

    fn range(self) -> Range<usize> {
        usize::from(self.0)..usize::from(self.1)
    }
}

impl Sent {
    /// Reads a request; `None` if it is none, or not text where it has to be.
    #[must_use]
    pub fn of(bytes: Bytes) -> Option<Self> {
        let peek = Peek::of(&bytes)?;
        peek.method?;
        let mut words = bytes.split(|byte| *byte == b' ');
        let uri = words.nth(1)?;
        let parts = [uri, peek.from(), peek.from_tag(), peek.call_id()];
        if parts.iter().any(|part| std::str::from_utf8(part).is_err()) {
            return None;
        }
        let [uri, from, tag, call_id] = parts.map(|part| Place::of(part, &bytes));
        let (uri, from, tag, call_id, number) = (uri?, from?, tag?, call_id?, peek.cseq()?);
        Some(Self { uri, from, tag, call_id, number, bytes })
    }

    fn text(&self, place: Place) -> &str {
        self.bytes.get(place.range()).and_then(|part| std::str::from_utf8(part).ok()).unwrap_or("")
    }

    /// All of it.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.text(self.uri)
    }

    /// The value of From.
    #[must_use]
    pub fn from(&self) -> &str {
        self.text(self.from)
    }

    /// Our tag.
    #[must_use]
    pub fn from_tag(&self) -> &str {
        self.text(self.tag)
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.text(self.call_id)
    }

    /// The number in CSeq.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The whole message, parsed.
    #[must_use]
    pub fn message(&self) -> Option<Message> {
        Message::parse(self.bytes.clone()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_whole_message_says() {
        let text = "INVITE sip:+4420@192.0.2.1:5060;user=phone SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
                    From: \"A, \\\"B\\\"\" <sip:a@h;tag=no>;tag=one\r\nTo: <sip:b@h>\r\nCall-ID: x y@h\r\nCSeq: 7 INVITE\r\n\
                    Content-Length: 3\r\n\r\nabc";
        let sent = Sent::of(Bytes::from(text)).expect("a request");
        let message = sent.message().expect("parses");
        assert_eq!(sent.uri(), message.uri());
        assert_eq!(Some(sent.from()), message.get(crate::Name::From));
        assert_eq!((sent.from_tag(), message.from_tag()), ("one", Some("one")));
        assert_eq!(sent.call_id(), message.call_id());
        assert_eq!(Some(sent.number()), message.cseq().map(|cseq| cseq.number));
        for broken in ["SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n", "INVITE sip:h SIP/2.0\r\nFrom: x\r\n\r\n", ""] {
            assert!(Sent::of(Bytes::from(broken)).is_none(), "{broken}");
        }
    }
}
