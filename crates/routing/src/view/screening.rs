//! All screens taken together, ready for look-ups.

use crate::digits::Prefix;
use crate::index::PrefixIndex;
use crate::model::{Emergency, Screen};
use crate::tables::Tables;
use std::collections::BTreeSet;

/// What may not be called or call, and the emergency numbers.
#[derive(Debug, Default)]
pub(crate) struct Screening {
    called: PrefixIndex,
    caller: PrefixIndex,
    emergency: Vec<Emergency>,
}

impl Screening {
    pub(crate) fn build(tables: &Tables) -> Self {
        let screens = || tables.screens().values();
        let index = |prefixes: fn(&Screen) -> &[Prefix]| {
            let sorted: BTreeSet<Prefix> = screens().flat_map(|screen| prefixes(screen)).copied().collect();
            PrefixIndex::build(sorted.into_iter().map(|prefix| (prefix, 0)))
        };
        Self {
            called: index(|screen| &screen.block_called),
            caller: index(|screen| &screen.block_caller),
            emergency: screens().flat_map(|screen| screen.emergency.iter().cloned()).collect(),
        }
    }

    pub(crate) fn blocks_called(&self, digits: Prefix) -> bool {
        self.called.longest(digits).is_some()
    }

    /// A caller without a number is blocked only by the empty prefix.
    pub(crate) fn blocks_caller(&self, digits: Prefix) -> bool {
        self.caller.longest(digits).is_some()
    }

    /// The emergency number that `called` is: written without `+`, or `urn:service:sos` (RFC 5031 §4.2) with or without a
    /// kind of service.
    pub(crate) fn emergency(&self, called: &str) -> Option<&Emergency> {
        if let Some(service) = called.get(..15).filter(|head| head.eq_ignore_ascii_case("urn:service:sos")) {
            let exact = called.len() == service.len() || called.as_bytes()[15] == b'.';
            return self.emergency.first().filter(|_| exact);
        }
        if self.emergency.is_empty() || called.starts_with('+') {
            return None;
        }
        let digits: Prefix = called.parse().ok()?;
        self.emergency.iter().find(|entry| entry.number == digits)
    }
}
