//! The streams that other nodes have opened here: one of a kind a node, the newest life and the newest stream win.

use parking_lot::Mutex;
use routing::cluster::NodeId;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Which stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Lane {
    Control,
    Parcels,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Inbound(Mutex<BTreeMap<NodeId, Node>>);

#[derive(Debug, Default)]
struct Node {
    /// The newest life that has opened a stream; remembered when its streams have ended.
    incarnation: u64,
    lanes: BTreeMap<Lane, oneshot::Sender<()>>,
}

/// A node that has opened a stream in a newer life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Older(pub(crate) u64);

impl Inbound {
    /// A stream opens. What comes back ends when another takes its place.
    pub(crate) fn open(&self, node: NodeId, incarnation: u64, lane: Lane) -> Result<oneshot::Receiver<()>, Older> {
        let mut nodes = self.0.lock();
        let known = nodes.entry(node).or_default();
        if incarnation < known.incarnation {
            return Err(Older(known.incarnation));
        }
        if incarnation > known.incarnation {
            // The streams of the older life end, whichever they are.
            *known = Node { incarnation, lanes: BTreeMap::new() };
        }
        let (holds, replaced) = oneshot::channel();
        known.lanes.insert(lane, holds);
        Ok(replaced)
    }

    /// Whether this is still the newest life that was heard of.
    pub(crate) fn is_current(&self, node: NodeId, incarnation: u64) -> bool {
        self.0.lock().get(&node).is_none_or(|known| known.incarnation <= incarnation)
    }

    /// Forgets nodes that are no members any more, and ends their streams.
    pub(crate) fn retain(&self, is_member: impl Fn(NodeId) -> bool) {
        self.0.lock().retain(|node, _| is_member(*node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_life_ends_all_streams_of_the_older_and_is_never_replaced_by_it() {
        let inbound = Inbound::default();
        let mut control = inbound.open(2, 5, Lane::Control).expect("opens");
        let mut parcels = inbound.open(2, 5, Lane::Parcels).expect("opens");
        assert_eq!(inbound.open(2, 4, Lane::Control).expect_err("older"), Older(5));
        assert!(control.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty), "still open");
        let mut newer = inbound.open(2, 6, Lane::Control).expect("opens");
        for old in [&mut control, &mut parcels] {
            assert!(old.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed), "ended");
        }
        assert!(inbound.is_current(2, 6) && !inbound.is_current(2, 5));
        assert!(newer.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn the_same_life_replaces_only_the_same_stream() {
        let inbound = Inbound::default();
        let mut control = inbound.open(2, 5, Lane::Control).expect("opens");
        let mut parcels = inbound.open(2, 5, Lane::Parcels).expect("opens");
        let _again = inbound.open(2, 5, Lane::Control).expect("opens");
        assert!(control.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed));
        assert!(parcels.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty));
    }
}
