//! Calendar times as operators write them (RFC 3339), to and from milliseconds.

use jiff::Timestamp;
use sip::clock::Wall;

/// In UTC, for example `2026-01-01T00:00:00Z`.
pub(crate) fn show(at: Wall) -> String {
    let time = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| format!("{} ms", at.0), |time| time.to_string())
}

/// Reads an RFC 3339 time; nothing if it is none, or before 1970.
pub(crate) fn read(text: &str) -> Option<Wall> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Wall)
}
