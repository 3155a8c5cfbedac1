//! Who has been heard since a call was answered: one-way audio is noticed while the call is up, not in its record.

use crate::{Event, Side};
use sip::clock::Instant;

/// What had come of each side when it began to be watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearing {
    since: Instant,
    before: [u64; 2],
}

impl Hearing {
    pub(super) const fn new(since: Instant, before: [u64; 2]) -> Self {
        Self { since, before }
    }

    pub(super) const fn since(self) -> Instant {
        self.since
    }

    /// What there is to tell, now that so much has come; nothing if both sides were heard.
    pub(super) fn verdict(self, now: [u64; 2]) -> Option<Event> {
        let heard = |side: Side| now[side.index()] > self.before[side.index()];
        let heard = match (heard(Side::A), heard(Side::B)) {
            (true, true) => return None,
            (true, false) => Some(Side::A),
            (false, true) => Some(Side::B),
            (false, false) => None,
        };
        Some(Event::Unheard { heard })
    }
}
