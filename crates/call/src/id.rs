//! The name of a call, and how it rides in everything that we send.
//!
//! `shard.epoch.call` stands in our tags, in the branch of our Vias and in the user part of our Contacts, so that any node
//! can tell whose message a stray one is without a look-up. The call part is random: nobody outside can guess
//! a tag.

use serde::{Deserialize, Serialize};
use sip::via::MAGIC_COOKIE;
use std::fmt;

/// Names one call in the whole cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId {
    /// The shard that owns it, 0–1023.
    pub shard: u16,
    /// The shard's epoch when the call began.
    pub epoch: u32,
    /// Random.
    pub call: u64,
}

impl CallId {
    /// Reads `shard.epoch.call`, each in hexadecimal.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (shard, rest) = number(text)?;
        let (epoch, rest) = number(rest.strip_prefix(b".")?)?;
        let (call, rest) = number(rest.strip_prefix(b".")?)?;
        let (shard, epoch) = (shard.try_into().ok()?, epoch.try_into().ok()?);
        rest.is_empty().then_some(Self { shard, epoch, call })
    }

    /// Finds the call in one of our tags, `shard.epoch.call-…`.
    #[must_use]
    pub fn in_tag(tag: &[u8]) -> Option<Self> {
        let end = tag.iter().position(|b| *b == b'-')?;
        Self::parse(&tag[..end])
    }

    /// Finds the call in one of our branches, `z9hG4bKshard.epoch.call-…`.
    #[must_use]
    pub fn in_branch(branch: &[u8]) -> Option<Self> {
        Self::in_tag(branch.strip_prefix(MAGIC_COOKIE.as_bytes())?)
    }
}

/// A number in hexadecimal, and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut digits) = (0_u64, 0);
    while let Some(digit) = text.get(digits).and_then(|byte| char::from(*byte).to_digit(16)) {
        // A digit more than there is room for.
        if number >> 60 != 0 {
            return None;
        }
        number = number << 4 | u64::from(digit);
        digits += 1;
    }
    (digits > 0).then(|| (number, &text[digits..]))
}

/// The longest name: 4, 8 and 16 digits.
#[derive(Default)]
struct Text {
    bytes: [u8; 30],
    length: usize,
}

impl Text {
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_hex(&mut self, number: u64) {
        hex(number).for_each(|digit| self.push(digit));
    }
}

/// The digits of a number in hexadecimal, without leading zeros.
pub(crate) fn hex(number: u64) -> impl Iterator<Item = u8> {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
    (0..digits).rev().map(move |at| b"0123456789abcdef"[(number >> (4 * at)) as usize & 0xf])
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::default();
        text.push_hex(self.shard.into());
        text.push(b'.');
        text.push_hex(self.epoch.into());
        text.push(b'.');
        text.push_hex(self.call);
        f.write_str(std::str::from_utf8(&text.bytes[..text.length]).unwrap_or(""))
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_standard_library_writes_their_numbers() {
        for (shard, epoch, call) in [(0, 0, 0), (1, 15, 16), (1023, u32::MAX, u64::MAX), (u16::MAX, 0x0a00, 0xf000)] {
            assert_eq!(CallId { shard, epoch, call }.to_string(), format!("{shard:x}.{epoch:x}.{call:x}"));
        }
    }

    #[test]
    fn tags_and_branches_lead_to_the_call() {
        let id = CallId { shard: 1023, epoch: 7, call: u64::MAX };
        assert_eq!(CallId::in_tag(format!("{id}-a1").as_bytes()), Some(id));
        assert_eq!(CallId::in_branch(format!("z9hG4bK{id}-2").as_bytes()), Some(id));
        let foreign = ["", "abc", "1.2.3", "1.2-x", "z9hG4bK-1", "1.2.3.4-x", "1..3-x", "+1.2.3-x", "1.2.g-x", "-"];
        let too_large = ["10000.0.0-x", "0.100000000.0-x", "0.0.10000000000000000-x"];
        assert_eq!(CallId::in_tag(b"0003ff.0.00000000000000000000A-x"), CallId::in_tag(b"3ff.0.a-x"));
        for foreign in foreign.into_iter().chain(too_large) {
            assert_eq!(CallId::in_tag(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
