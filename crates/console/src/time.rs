//! Times as the API shows them: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;
use sip::clock::Wall;
use std::time::SystemTime;

/// For example `2026-01-01T00:00:00.000Z`.
#[must_use]
pub fn show_time(at: Wall) -> String {
    let time = i64::try_from(at.0).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    format!("{time:.3}")
}

/// Reads an RFC 3339 time; nothing if it is none, or before 1970.
#[must_use]
pub fn parse_time(text: &str) -> Option<Wall> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Wall)
}

pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc_with_milliseconds() {
        assert_eq!(show_time(Wall(1_767_225_600_007)), "2026-01-01T00:00:00.007Z");
        assert_eq!(show_time(Wall(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(parse_time("2026-01-01T01:00:00.007+01:00"), Some(Wall(1_767_225_600_007)));
        assert_eq!(parse_time("yesterday"), None);
    }
}
