//! The view that everybody reads, and the old views until nobody reads them.

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use routing::View;
use std::sync::Arc;

/// Old views kept back at most; beyond that the last reader frees them.
const RETIRED_LIMIT: usize = 16;

/// Publishes views. A view of a million prefixes takes a tenth of a second to free, so the publisher outlives every reader of
/// an old view and frees it itself, away from the calls.
#[derive(Debug, Default)]
pub(crate) struct Publisher {
    current: ArcSwap<View>,
    retired: Mutex<Vec<Arc<View>>>,
}

impl Publisher {
    pub(crate) fn new(view: View) -> Self {
        Self { current: ArcSwap::from_pointee(view), retired: Mutex::default() }
    }

    pub(crate) fn guard(&self) -> Guard<Arc<View>> {
        self.current.load()
    }

    pub(crate) fn view(&self) -> Arc<View> {
        self.current.load_full()
    }

    pub(crate) fn publish(&self, view: Arc<View>) {
        let old = self.current.swap(view);
        self.retired.lock().push(old);
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
