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
        let text = std::str::from_utf8(text).ok().filter(|t| t.len() <= 32)?;
        let mut parts = text.split('.');
        let shard = u16::from_str_radix(parts.next()?, 16).ok()?;
        let epoch = u32::from_str_radix(parts.next()?, 16).ok()?;
        let call = u64::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some(Self { shard, epoch, call })
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

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:x}", self.shard, self.epoch, self.call)
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
    fn tags_and_branches_lead_to_the_call() {
        let id = CallId { shard: 1023, epoch: 7, call: u64::MAX };
        assert_eq!(CallId::in_tag(format!("{id}-a1").as_bytes()), Some(id));
        assert_eq!(CallId::in_branch(format!("z9hG4bK{id}-2").as_bytes()), Some(id));
        for foreign in ["", "abc", "1.2.3", "1.2-x", "z9hG4bK-1", "1.2.3.4-x"] {
            assert_eq!(CallId::in_tag(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
