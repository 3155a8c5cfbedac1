//! Whether this node can say that there is no such call. 481 ends a call at whoever hears it (RFC 5057 §5.1), so only the
//! owner of the call's shard says it, and only once whoever kept the shard's calls has had the time to hand them over.

use arc_swap::ArcSwap;
use routing::cluster::{Cluster, SHARDS};
use sip::clock::Instant;
use std::sync::Arc;
use std::time::Duration;

/// For so long after a shard has come to a node its calls may still be handed over.
const HANDED_OVER: Duration = Duration::from_secs(10);

/// Since when each shard is in its present epoch, as seen from here.
pub(super) struct Epochs(ArcSwap<Vec<Seen>>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    epoch: u32,
    /// Nothing: since before there could be a call in it.
    since: Option<Instant>,
}

impl Epochs {
    /// The shards at the start of a node. One that was a member before may be given its calls back.
    pub(super) fn new(cluster: &Cluster, returned: bool, now: Instant) -> Self {
        let since = returned.then_some(now);
        let seen = (0..SHARDS).map(|number| Seen { epoch: cluster.shard(number).epoch, since });
        Self(ArcSwap::from_pointee(seen.collect()))
    }

    /// Looks at the shards anew.
    pub(super) fn follow(&self, cluster: &Cluster, now: Instant) {
        let before = self.0.load();
        let moved = |number: u16, was: Seen| cluster.shard(number).epoch != was.epoch;
        if !(0..SHARDS).zip(before.iter()).any(|(number, was)| moved(number, *was)) {
            return;
        }
        let seen = (0..SHARDS).zip(before.iter()).map(|(number, was)| match moved(number, *was) {
            // The first owner of a shard takes nothing over.
            true if was.epoch == 0 => Seen { epoch: cluster.shard(number).epoch, since: was.since },
            true => Seen { epoch: cluster.shard(number).epoch, since: Some(now) },
            false => *was,
        });
        self.0.store(Arc::new(seen.collect()));
    }

    /// Whether the calls of a shard that is acted for here must all have been handed over, those of an epoch among them.
    pub(super) fn is_complete(&self, shard: u16, epoch: u32, now: Instant) -> bool {
        let Some(seen) = self.0.load().get(usize::from(shard)).copied() else { return true };
        epoch <= seen.epoch && seen.since.is_none_or(|since| now.since(since) > HANDED_OVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use routing::cluster::{ClusterChange, Move, Outcome};

    fn after(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn change(cluster: &mut Cluster, change: ClusterChange) {
        assert!(matches!(cluster.apply(&change), Outcome::Done { .. }), "{change:?}");
    }

    fn founded() -> Cluster {
        let mut cluster = Cluster::default();
        let founder = tables::member("fra-1", "fra", "127.0.1.1:7060");
        change(&mut cluster, ClusterChange::Found { id: "one".to_owned(), secret: [1; 32], founder });
        cluster
    }

    fn move_first(cluster: &mut Cluster, owner: Option<u64>) {
        let epoch = cluster.shard(0).epoch;
        change(cluster, ClusterChange::Place(vec![Move { shard: 0, epoch, owner, backup: None }]));
    }

    #[test]
    fn a_new_cluster_knows_all_of_its_calls_and_a_node_that_returns_waits() {
        let epochs = Epochs::new(&Cluster::default(), false, after(1));
        let cluster = founded();
        epochs.follow(&cluster, after(2));
        assert!(epochs.is_complete(0, 1, after(2)));
        let epochs = Epochs::new(&cluster, true, after(1));
        assert!(!epochs.is_complete(0, 1, after(11)));
        assert!(epochs.is_complete(0, 1, after(12)));
    }

    #[test]
    fn a_shard_that_moved_is_complete_later_and_the_others_stay_so() {
        let mut cluster = founded();
        let epochs = Epochs::new(&cluster, false, after(1));
        move_first(&mut cluster, None);
        epochs.follow(&cluster, after(20));
        epochs.follow(&cluster, after(25));
        assert!(!epochs.is_complete(0, 1, after(30)), "counted from the first look");
        assert!(epochs.is_complete(1, 1, after(20)));
        assert!(epochs.is_complete(0, 1, after(31)));
    }

    #[test]
    fn a_call_of_an_epoch_that_is_not_known_here_is_not_said_to_be_absent() {
        let epochs = Epochs::new(&founded(), false, after(1));
        assert!(!epochs.is_complete(0, 2, after(100)));
    }
}
