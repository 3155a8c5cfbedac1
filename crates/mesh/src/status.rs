//! What the control loop publishes for everybody to read without waiting.

use crate::handover::Handover;
use crate::liveness::State;
use arc_swap::ArcSwap;
use parking_lot::RwLock;
use routing::cluster::NodeId;
use sip::clock::Instant;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Another member, as this node sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// What it is taken for.
    pub state: State,
    /// The newest life that was heard of it.
    pub incarnation: u64,
    /// Whether parcels can be sent to it now.
    pub linked: bool,
    /// The protocol that both speak, by the last greeting; 0 where it is not linked.
    pub protocol: u32,
    /// The smoothed round trip, if there was one.
    pub rtt: Option<Duration>,
}

impl Peer {
    /// Whether it is heard.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Status {
    lease_until: AtomicU64,
    handover: RwLock<Option<Handover>>,
    peers: ArcSwap<Vec<Peer>>,
    changes: watch::Sender<u64>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            lease_until: AtomicU64::new(0),
            handover: RwLock::new(None),
            peers: ArcSwap::default(),
            changes: watch::channel(0).0,
        }
    }
}

impl Status {
    /// When the lease ends; the origin if there is none.
    pub(crate) fn lease_until(&self) -> Instant {
        Instant::from_micros(self.lease_until.load(Ordering::Acquire))
    }

    pub(crate) fn set_lease_until(&self, until: Instant) {
        self.lease_until.store(until.as_micros(), Ordering::Release);
    }

    pub(crate) fn acts_for(&self, shard: u16, now: Instant, leased: bool) -> bool {
        leased && self.handover.read().as_ref().is_some_and(|handover| handover.acts_for(shard, now, leased))
    }

    /// The machine of the shards: written by the control loop alone.
    pub(crate) const fn handover(&self) -> &RwLock<Option<Handover>> {
        &self.handover
    }

    pub(crate) fn peers(&self) -> Arc<Vec<Peer>> {
        self.peers.load_full()
    }

    pub(crate) fn set_peers(&self, peers: Vec<Peer>) {
        self.peers.store(Arc::new(peers));
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
