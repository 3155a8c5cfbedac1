//! `[ladder]`: what is kept to explain calls.

use serde::Deserialize;
use std::time::Duration;

/// Bounds of what is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ladder {
    /// Messages and decisions of one call; 0 keeps none of any call.
    pub messages: usize,
    /// Megabytes of all calls that have ended.
    pub megabytes: usize,
    /// For how long these are kept.
    pub minutes: u64,
}

/// The least that shows how a call began and how it stands.
const LEAST: usize = 16;
const MOST: usize = 256;
/// A terabyte: more is a mistake.
const MEGABYTES: usize = 1 << 20;
const WEEK_MINUTES: u64 = 7 * 24 * 60;

impl Default for Ladder {
    fn default() -> Self {
        let usual = switch::ladder::Options::default();
        Self { messages: usual.messages, megabytes: usual.kept_bytes >> 20, minutes: usual.kept_for.as_secs() / 60 }
    }
}

impl Ladder {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.messages != 0 && !(LEAST..=MOST).contains(&self.messages) {
            return Err(("ladder.messages", format!("must be {LEAST} to {MOST}, or 0 to keep none")));
        }
        if self.megabytes > MEGABYTES {
            return Err(("ladder.megabytes", format!("must be at most {MEGABYTES}")));
        }
        if self.minutes > WEEK_MINUTES {
            return Err(("ladder.minutes", format!("must be at most {WEEK_MINUTES}, which is a week")));
        }
        Ok(())
    }

    /// The same for the switch.
    #[must_use]
    pub(crate) fn options(&self) -> switch::ladder::Options {
        switch::ladder::Options {
            messages: self.messages,
            kept_bytes: self.megabytes << 20,
            kept_for: Duration::from_secs(self.minutes * 60),
        }
    }
}
