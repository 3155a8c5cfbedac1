//! Whom this node has followed as its leader, and since when: what a new leader may conclude of the one before it.

use crate::times::{LEASE, MARGIN};
use routing::cluster::NodeId;
use sip::clock::Instant;

/// The last other leader that was seen.
#[derive(Debug, Default)]
pub(super) struct Followed(Option<Seen>);

#[derive(Clone, Copy, Debug)]
struct Seen {
    node: NodeId,
    term: u64,
    since: Instant,
}

impl Followed {
    /// Another node leads in this term, as far as this one knows, or nobody does.
    pub(super) fn see(&mut self, now: Instant, leader: Option<NodeId>, term: u64) {
        let Some(node) = leader else { return };
        if self.0.is_none_or(|seen| (seen.node, seen.term) != (node, term)) {
            self.0 = Some(Seen { node, term, since: now });
        }
    }

    /// The former leader, if it can only have a lease that it gave itself: by the log nobody has led between it and this node,
    /// and it has led for so long that whatever its own former leader granted it has run out.
    pub(super) fn former(&self, now: Instant, by_the_log: Option<NodeId>) -> Option<NodeId> {
        let Seen { node, since, .. } = self.0?;
        (by_the_log == Some(node) && now.since(since) >= LEASE + MARGIN).then_some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_leader_is_one_that_led_for_long_and_was_the_last_by_the_log() {
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        let mut followed = Followed::default();
        assert_eq!(followed.former(at(5000), Some(1)), None, "nobody was seen");
        followed.see(at(100), Some(1), 4);
        followed.see(at(900), None, 4);
        followed.see(at(1000), Some(1), 4);
        assert_eq!(followed.former(at(1299), Some(1)), None, "it may have been granted a lease before");
        assert_eq!(followed.former(at(1300), Some(1)), Some(1));
        assert_eq!(followed.former(at(1300), Some(2)), None, "another has led since");
        assert_eq!(followed.former(at(1300), None), None, "the log does not say");
        followed.see(at(2000), Some(1), 6);
        assert_eq!(followed.former(at(3000), Some(1)), None, "somebody may have led in term 5");
    }
}
