//! An entry as it lies in the spool. A message is put there as it is, behind a head of one size; anything else, which is rare and has many
//! shapes, is left to serde. Only this process ever reads it.

use super::entry::{Entry, Hop, Passed, Tick, Way, What};
use super::hop;
use bytes::Bytes;

/// What an entry begins with, beside the ways of a message.
const NOTED: u8 = 3;
/// A message's way, time, length and addresses.
const HEAD: usize = 1 + 4 + 4 + hop::LENGTH;

/// One entry, to be written.
pub(super) enum Written<'a> {
    /// A message.
    Passed { at: Tick, way: Way, hop: Hop, length: u32, bytes: &'a [u8] },
    /// Anything else.
    Noted { at: Tick, what: &'a What },
}

impl Written<'_> {
    /// Writes it into this room; how long it is, nothing if the room is too small.
    pub(super) fn write(&self, room: &mut [u8]) -> Option<usize> {
        match self {
            Self::Passed { at, way, hop, length, bytes } => {
                let (head, rest) = room.split_first_chunk_mut::<HEAD>()?;
                head[0] = code(*way);
                head[1..5].copy_from_slice(&at.to_bits().to_le_bytes());
                head[5..9].copy_from_slice(&length.to_le_bytes());
                head[9..].copy_from_slice(&hop::write(hop));
                rest.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(HEAD + bytes.len())
            }
            Self::Noted { at, what } => {
                let (head, rest) = room.split_first_mut()?;
                *head = NOTED;
                Some(1 + postcard::to_slice(&(at, what), rest).ok()?.len())
            }
        }
    }
}

/// Reads one, with the way that it went if it is a message.
pub(super) fn read(written: &[u8]) -> Option<(Entry, Option<Hop>)> {
    if let Some(noted) = written.strip_prefix(&[NOTED]) {
        let (at, what) = postcard::from_bytes(noted).ok()?;
        return Some((Entry { at, what }, None));
    }
    let (head, bytes) = written.split_first_chunk::<HEAD>()?;
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let (at, length) = (Tick::of_bits(number(1)?), number(5)?);
    let (way, hop) = (way(head[0])?, hop::read(head.last_chunk()?)?);
    let passed = Passed { way, hop: 0, repeats: 0, last: at, length, bytes: Bytes::copy_from_slice(bytes) };
    Some((Entry { at, what: What::Passed(passed) }, Some(hop)))
}

const fn code(way: Way) -> u8 {
    match way {
        Way::In => 0,
        Way::Out => 1,
        Way::Unsent => 2,
    }
}

fn way(code: u8) -> Option<Way> {
    [Way::In, Way::Out, Way::Unsent].get(usize::from(code)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::call::effect::MediaSide;
    use sip::Transport;

    #[test]
    fn what_is_written_is_read_and_what_has_no_room_is_not_written() {
        let hop = Hop {
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().expect("an address"),
            remote: "[2001:db8::1]:40000".parse().expect("an address"),
        };
        let at = Tick::of_bits(123_456_789);
        for way in [Way::In, Way::Out, Way::Unsent] {
            for bytes in [&b""[..], b"INVITE sip:x@test SIP/2.0"] {
                let (mut room, passed) = ([9; 100], Written::Passed { at, way, hop, length: 70_000, bytes });
                let length = passed.write(&mut room).expect("there is room");
                let (entry, its) = read(&room[..length]).expect("it reads");
                let What::Passed(passed) = entry.what else { panic!("{:?}", entry.what) };
                assert_eq!((its, entry.at, passed.last, passed.way), (Some(hop), at, at, way));
                assert_eq!((passed.length, &passed.bytes[..], passed.repeats), (70_000, bytes, 0));
            }
        }
        let what = What::Heard(MediaSide::B);
        let (mut room, noted) = ([9; 100], Written::Noted { at, what: &what });
        let length = noted.write(&mut room).expect("there is room");
        let (entry, its) = read(&room[..length]).expect("it reads");
        assert!(entry.at == at && its.is_none() && matches!(entry.what, What::Heard(MediaSide::B)), "{entry:?}");
        let passed = Written::Passed { at, way: Way::In, hop, length: 5, bytes: b"12345" };
        assert_eq!(
            passed.write(&mut [0; HEAD + 4]).or(passed.write(&mut [0; HEAD - 1])).or(noted.write(&mut [])),
            None
        );
        assert!(read(b"").is_none() && read(&[0; HEAD - 1]).is_none() && read(&[4; HEAD]).is_none());
    }
}
