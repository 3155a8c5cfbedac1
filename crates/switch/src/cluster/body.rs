//! How the bodies of parcels are written: a version, then postcard. A version that is not known is refused, never guessed.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::cell::Cell;

/// What this release writes. It rises when a body gains or loses a field.
const VERSION: u8 = 1;

/// Room of this size is kept for the next body.
const ROOM: usize = 256 << 10;

thread_local! {
    /// Where bodies are written before their size is known: a vector that grew from one byte would move each of them many times.
    static DESK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes a body.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut out = DESK.take();
    out.clear();
    out.push(VERSION);
    // Writing plain data to a growing vector cannot fail.
    out = postcard::to_extend(value, out).expect("a body can always be written");
    let body = Bytes::copy_from_slice(&out);
    if out.capacity() <= ROOM {
        DESK.set(out);
    }
    body
}

/// Reads a body; nothing if it is of another version or damaged.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (version, rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    postcard::from_bytes(rest).ok()
}
