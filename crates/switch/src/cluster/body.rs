//! How the bodies of parcels are written: a version, then postcard. A version that is not known is refused, never guessed.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What this release writes. It rises when a body gains or loses a field.
const VERSION: u8 = 1;

/// Writes a body.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut out = vec![VERSION];
    // Writing plain data to a growing vector cannot fail.
    out = postcard::to_extend(value, out).expect("a body can always be written");
    out.into()
}

/// Reads a body; nothing if it is of another version or damaged.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (version, rest) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    postcard::from_bytes(rest).ok()
}
