//! What everybody reads, and the old views until nobody reads them.

use crate::history::{Revision, RevisionInfo};
use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use routing::View;
use routing::cluster::Cluster;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// Old views kept back at most; beyond that the last reader frees them.
const RETIRED_LIMIT: usize = 16;

/// Publishes views. A view of a million prefixes takes a tenth of a second to free, so the publisher outlives every reader of
/// an old view and frees it itself, away from the calls.
#[derive(Debug)]
pub(crate) struct Publisher {
    current: ArcSwap<View>,
    retired: Mutex<Vec<Arc<View>>>,
    history: Mutex<VecDeque<RevisionInfo>>,
    kept: usize,
    cluster: ArcSwap<Cluster>,
    cluster_version: watch::Sender<u64>,
}

impl Publisher {
    pub(crate) fn new(view: View, history: VecDeque<RevisionInfo>, cluster: Arc<Cluster>, kept: usize) -> Self {
        metrics::gauge!("tandem_table_revision").set(view.revision as f64);
        let cluster_version = watch::channel(cluster.version).0;
        Self {
            current: ArcSwap::from_pointee(view),
            retired: Mutex::default(),
            history: Mutex::new(history),
            kept: kept.max(1),
            cluster: ArcSwap::new(cluster),
            cluster_version,
        }
    }

    pub(crate) fn guard(&self) -> Guard<Arc<View>> {
        self.current.load()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.current.load_full()
    }

    pub(crate) fn publish(&self, view: Arc<View>) {
        metrics::gauge!("tandem_table_revision").set(view.revision as f64);
        let old = self.current.swap(view);
        self.retired.lock().push(old);
    }

    pub(crate) fn history(&self) -> Vec<RevisionInfo> {
        self.history.lock().iter().cloned().collect()
    }

    /// The oldest revision of the history.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.history.lock().front().map(|info| info.revision)
    }

    pub(crate) fn set_history(&self, history: VecDeque<RevisionInfo>) {
        *self.history.lock() = history;
    }

    pub(crate) fn remember(&self, made: Vec<RevisionInfo>) {
        let mut history = self.history.lock();
        for info in made {
            tracing::info!(revision = info.revision, who = info.who, comment = info.comment, "tables changed");
            history.push_back(info);
        }
        while history.len() > self.kept {
            history.pop_front();
        }
    }

    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        self.cluster.load_full()
    }

    pub(crate) fn cluster_watch(&self) -> watch::Receiver<u64> {
        self.cluster_version.subscribe()
    }

    pub(crate) fn publish_cluster(&self, cluster: &Arc<Cluster>) {
        self.cluster.store(Arc::clone(cluster));
        self.cluster_version.send_if_modified(|version| {
            let risen = *version != cluster.version;
            *version = cluster.version;
            risen
        });
    }

    /// Frees the old views that nobody reads any more, and says whether some are left. Blocks for the time of freeing.
    pub(crate) fn free_retired(&self) -> bool {
        let (free, left) = {
            let mut retired = self.retired.lock();
            let beyond = retired.len().saturating_sub(RETIRED_LIMIT);
            let mut free: Vec<_> = retired.drain(..beyond).collect();
            free.extend(retired.extract_if(.., |view| Arc::strong_count(view) == 1));
            (free, !retired.is_empty())
        };
        drop(free);
        left
    }
}
