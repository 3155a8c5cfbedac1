//! The way of checkpoints to one backup: the newest state of each call, in batches, several of them on their way at a time.
//!
//! A slow backup costs memory for one state a call and nothing else: a newer state takes the place of one that waits.

use super::said::{Kept, Piece, Said, What};
use super::store::millis;
use crate::calls::actor::CallMessage;
use crate::calls::directory::CallRef;
use crate::clock;
use crate::shell::Shell;
use ::call::CallId;
use bytes::Bytes;
use mesh::Kind;
use parking_lot::Mutex;
use routing::cluster::{Liveness, NodeId};
use rustc_hash::FxHashMap;
use sip::clock::Instant;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Calls that may wait.
const WAITING: usize = 200_000;
/// Bytes of one batch: well below what a parcel holds.
const BATCH: usize = 256 << 10;
/// Batches on their way at a time.
const FLIGHTS: usize = 4;
/// A backup that has not answered by then has not kept it, as far as we know.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// A flight that was lost keeps its place for so long.
const AGAIN: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Lane {
    node: NodeId,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// A batch was lost since this was last asked.
    lost: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    items: FxHashMap<CallId, Item>,
    order: VecDeque<CallId>,
}

/// What waits for one call.
pub(super) struct Item {
    /// Who hears that it is kept; absent where that matters to nobody.
    pub(super) whose: Option<CallRef>,
    /// What.
    pub(super) what: Sent,
    /// Since when it waits.
    pub(super) since: Instant,
}

/// What goes to a backup.
pub(super) enum Sent {
    /// A state, with its number and when it was written.
    State { number: u32, written: Instant, bytes: Bytes },
    /// A state for the second time; the first copy is with that node.
    Spare { first: NodeId, number: u32, written: Instant, bytes: Bytes },
    /// Nothing new.
    Alive,
    /// It is over.
    Forget,
}

impl Sent {
    fn bytes(&self) -> usize {
        match self {
            Self::State { bytes, .. } | Self::Spare { bytes, .. } => bytes.len(),
            Self::Alive | Self::Forget => 0,
        }
    }
}

impl Lane {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, waiting: Mutex::default(), wake: Notify::new(), lost: AtomicBool::new(false) }
    }

    /// Puts something in; `false` if there is no room.
    pub(super) fn put(&self, call: CallId, item: Item) -> bool {
        let mut waiting = self.waiting.lock();
        let known = waiting.items.get(&call);
        if known.is_some() && matches!(item.what, Sent::Alive) {
            return true;
        }
        if known.is_none() {
            if waiting.items.len() >= WAITING {
                metrics::counter!("tandem_queue_full_total", "queue" => "checkpoints").increment(1);
                return false;
            }
            waiting.order.push_back(call);
        }
        waiting.items.insert(call, item);
        drop(waiting);
        self.wake.notify_one();
        true
    }

    /// Whether a batch was lost since the last time.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }

    /// The next batch, oldest first.
    fn batch(&self) -> Vec<(CallId, Item)> {
        let mut waiting = self.waiting.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH
            && let Some(call) = waiting.order.pop_front()
        {
            let Some(item) = waiting.items.remove(&call) else { continue };
            bytes += 24 + item.what.bytes();
            batch.push((call, item));
        }
        batch
    }
}

/// Carries what waits, for as long as the lane is wanted.
pub(super) async fn run(shell: Arc<Shell>, lane: Arc<Lane>) {
    let mut flights = JoinSet::new();
    loop {
        if flights.len() < FLIGHTS {
            let batch = lane.batch();
            if !batch.is_empty() {
                flights.spawn(carry(Arc::clone(&shell), Arc::clone(&lane), batch));
                continue;
            }
        }
        tokio::select! {
            () = lane.wake.notified(), if flights.len() < FLIGHTS => {}
            Some(_) = flights.join_next() => {}
        }
    }
}

async fn carry(shell: Arc<Shell>, lane: Arc<Lane>, batch: Vec<(CallId, Item)>) {
    let now = clock::now().mono;
    let pieces = batch.iter().map(|(call, item)| Piece { call: *call, what: told(item, now) }).collect();
    let said = Said::Keep { life: shell.protect.life(&shell), pieces };
    let answer = shell.cluster.ask(lane.node, Kind::Checkpoint, said.encode(), PATIENCE).await;
    let Some(Kept { not }) = answer.as_deref().and_then(Kept::decode) else {
        return lose(&shell, &lane, batch).await;
    };
    if let Some(oldest) = batch.iter().map(|(_, item)| item.since).min() {
        let lag = clock::now().mono.since(oldest);
        metrics::histogram!("tandem_checkpoint_lag_seconds").record(lag.as_secs_f64());
    }
    for (call, item) in batch {
        let Some(whose) = item.whose else { continue };
        match item.what {
            Sent::State { number, .. } | Sent::Spare { number, .. } if !not.contains(&call) => {
                if whose.cell.guard.kept(lane.node, number) {
                    whose.tell(CallMessage::Kept);
                }
            }
            // The backup has lost it, or has no room: the next look sends it again.
            Sent::State { .. } | Sent::Spare { .. } | Sent::Alive if not.contains(&call) => {
                whose.cell.guard.lost(lane.node);
                lane.lost.store(true, Ordering::Relaxed);
            }
            Sent::State { .. } | Sent::Spare { .. } | Sent::Alive | Sent::Forget => {}
        }
    }
}

/// A batch has no answer. States are sent again by the next look at their calls; that a call is over is sent until the backup has
/// heard it, or would one day take over a call that has ended.
async fn lose(shell: &Shell, lane: &Lane, batch: Vec<(CallId, Item)>) {
    metrics::counter!("tandem_checkpoint_batches_lost_total").increment(1);
    lane.lost.store(true, Ordering::Relaxed);
    let replicated = shell.cluster.replicated();
    let remembers = replicated.member(lane.node).is_some_and(|member| member.liveness != Liveness::Fenced);
    let over = batch.into_iter().filter(|(_, item)| remembers && matches!(item.what, Sent::Forget));
    over.for_each(|(call, item)| {
        lane.put(call, item);
    });
    tokio::time::sleep(AGAIN).await;
}

fn told(item: &Item, now: Instant) -> What {
    match &item.what {
        Sent::State { number, written, bytes } => {
            What::State { number: *number, age_ms: millis(now.since(*written)), silent_ms: 0, bytes: bytes.clone() }
        }
        Sent::Spare { first, number, written, bytes } => {
            What::Spare { first: *first, number: *number, age_ms: millis(now.since(*written)), bytes: bytes.clone() }
        }
        Sent::Alive => What::Alive,
        Sent::Forget => What::Forget,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(call: u64) -> CallId {
        CallId { shard: 0, epoch: 0, call }
    }

    fn item(what: Sent) -> Item {
        Item { whose: None, what, since: Instant::ORIGIN }
    }

    fn state(number: u32, bytes: usize) -> Item {
        item(Sent::State { number, written: Instant::ORIGIN, bytes: vec![0; bytes].into() })
    }

    #[test]
    fn a_newer_state_takes_the_place_of_one_that_waits() {
        let lane = Lane::new(2);
        assert!(lane.put(id(1), state(1, 10)) && lane.put(id(2), state(1, 10)));
        assert!(lane.put(id(1), state(2, 10)) && lane.put(id(1), item(Sent::Alive)));
        let batch = lane.batch();
        let numbers: Vec<_> =
            batch.iter().map(|(call, item)| (call.call, matches!(item.what, Sent::State { number: 2, .. }))).collect();
        assert_eq!(numbers, [(1, true), (2, false)], "in the order in which they came, each once");
        assert!(lane.batch().is_empty());
        lane.put(id(1), state(3, 10));
        lane.put(id(1), item(Sent::Forget));
        assert!(matches!(lane.batch()[..], [(_, Item { what: Sent::Forget, .. })]), "an end is never taken back");
    }

    #[test]
    fn a_batch_is_bounded_and_nothing_is_left_behind() {
        let lane = Lane::new(2);
        (0..100).for_each(|call| assert!(lane.put(id(call), state(1, 10_000))));
        let (mut batches, mut calls) = (0, 0);
        while let Some(batch) = Some(lane.batch()).filter(|batch| !batch.is_empty()) {
            assert!(batch.len() <= BATCH / 10_000 + 1);
            (batches, calls) = (batches + 1, calls + batch.len());
        }
        assert_eq!((batches, calls), (4, 100));
        assert!(lane.batch().is_empty(), "nothing waits");
    }
}
