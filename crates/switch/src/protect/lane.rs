//! The way of checkpoints to one backup: the newest state of each call, in batches, several of them on their way at a time. What
//! somebody waits for goes at once or almost; anything else is gathered for longer, and most of it is replaced before it leaves.
//!
//! A slow backup costs memory for one state a call and nothing else: a newer state takes the place of one that waits.

use super::said::{Kept, Piece, Said, What};
use super::store::millis;
use crate::calls::actor::CallMessage;
use crate::calls::directory::CallRef;
use crate::clock;
use crate::shell::Shell;
use ::call::CallId;
use ::call::effect::Point;
use bytes::Bytes;
use mesh::Kind;
use parking_lot::Mutex;
use routing::cluster::{Liveness, NodeId};
use rustc_hash::FxHashMap;
use sip::clock::Instant;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Calls that may wait.
const WAITING: usize = 200_000;
/// Bytes of one batch: well below what a parcel holds.
const BATCH: usize = 256 << 10;
/// What a state that is not written down yet counts for.
const TYPICAL: usize = 2_048;
/// Room for so many states is made at once.
const TOGETHER: usize = 64;
/// Batches on their way at a time.
const FLIGHTS: usize = 4;
/// Calls that a batch sees through itself when it is confirmed.
const DRIVEN: usize = 8;
/// A backup that has not answered by then has not kept it, as far as we know.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What nobody waits for waits itself at the most so long: a batch costs a call on either side about as much as a state. A batch
/// that leaves for another reason takes along what has waited for half of it.
const GATHER: Duration = Duration::from_millis(50);
/// What a message waits for leaves at once, unless a batch has left just before: then it gathers others like it until so long after that.
/// Nobody who calls notices it, and at a thousand calls a second it is what several batches would have cost.
const BRIEF: Duration = Duration::from_micros(2_500);

/// A flight that was lost keeps its place for so long.
const AGAIN: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Lane {
    node: NodeId,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// A batch was lost since this was last asked.
    lost: AtomicBool,
    /// The longest that any state of a batch took, …
    lag: metrics::Histogram,
    /// … and how long each took that something waited for.
    waits: metrics::Histogram,
}

#[derive(Default)]
struct Waiting {
    items: FxHashMap<CallId, Item>,
    /// Calls with something that is waited for, oldest first, …
    brief: VecDeque<CallId>,
    /// … and when it is time for them.
    brief_due: Option<Instant>,
    /// All others, and when each is due. What has left in the meantime, or is in a hurry by now, is passed over.
    soon: VecDeque<(CallId, Instant)>,
    /// When the last batch left.
    left: Option<Instant>,
}

/// What waits for one call.
pub(super) struct Item {
    /// Who hears that it is kept; absent where that matters to nobody.
    pub(super) whose: Option<CallRef>,
    /// What.
    pub(super) what: Sent,
    /// Since when it waits.
    pub(super) since: Instant,
    /// How long it may wait.
    pub(super) haste: Haste,
}

/// How soon a batch leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Haste {
    /// As soon as it is [`BRIEF`] after the last batch: a message waits for it to be kept.
    Brief,
    /// Within [`GATHER`].
    Soon,
}

/// What goes to a backup.
pub(super) enum Sent {
    /// A state, with its number and when it was written. Without bytes, the call's newest at the moment of leaving.
    State { number: u32, written: Instant, bytes: Option<Bytes> },
    /// A state for the second time; the first copy is with that node.
    Spare { first: NodeId, number: u32, written: Instant, bytes: Option<Bytes> },
    /// The answer was acknowledged: what that adds to the state with the number before, which was sent.
    Acknowledged { number: u32, written: Instant },
    /// Nothing new.
    Alive,
    /// It is over.
    Forget,
}

impl Sent {
    /// What is sent of a state that was written at this point; `is_known` where the backup has the one before and can add to it.
    pub(super) fn at(point: Point, is_known: bool, (number, written, bytes): (u32, Instant, Option<Bytes>)) -> Self {
        if is_known && point == Point::C3 && bytes.is_none() {
            Self::Acknowledged { number, written }
        } else {
            Self::State { number, written, bytes }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::State { bytes, .. } | Self::Spare { bytes, .. } => bytes.as_ref().map_or(TYPICAL, Bytes::len),
            Self::Acknowledged { .. } | Self::Alive | Self::Forget => 0,
        }
    }
}

impl Lane {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            waiting: Mutex::default(),
            wake: Notify::new(),
            lost: AtomicBool::new(false),
            lag: metrics::histogram!("tandem_checkpoint_lag_seconds"),
            waits: metrics::histogram!("tandem_checkpoint_wait_seconds"),
        }
    }

    /// Puts something in; `false` if there is no room.
    pub(super) fn put(&self, call: CallId, mut item: Item) -> bool {
        let mut waiting = self.waiting.lock();
        let before = waiting.due();
        // The runtime's timers ring up to a millisecond late: whoever comes by then sees to it.
        let is_due = item.haste == Haste::Brief && waiting.brief_due.is_some_and(|due| due <= item.since);
        let known = waiting.items.get(&call).map(|known| (known.haste, known.since));
        if known.is_some() && matches!(item.what, Sent::Alive) {
            return true;
        }
        if known.is_none() && waiting.items.len() >= WAITING {
            metrics::counter!("tandem_queue_full_total", "queue" => "checkpoints").increment(1);
            return false;
        }
        if let (Some(_), Sent::Acknowledged { number, written }) = (known, &item.what) {
            // The state before it may be what waits: both go as one.
            item.what = Sent::State { number: *number, written: *written, bytes: None };
        }
        match (known, item.haste) {
            // Whoever waited for a state before this one waits for this one.
            (Some((Haste::Brief, since)), _) => (item.haste, item.since) = (Haste::Brief, since),
            (_, Haste::Brief) => {
                let due = waiting.left.map_or(item.since, |left| item.since.max(left + BRIEF));
                waiting.brief_due = waiting.brief_due.or(Some(due));
                waiting.brief.push_back(call);
            }
            (Some((Haste::Soon, _)), Haste::Soon) => {}
            (None, Haste::Soon) => waiting.soon.push_back((call, item.since + GATHER)),
        }
        waiting.items.insert(call, item);
        let is_sooner = waiting.due().is_some_and(|due| before.is_none_or(|before| due < before));
        drop(waiting);
        if is_sooner || is_due {
            self.wake.notify_one();
        }
        true
    }

    /// When the next batch is due; never while nothing waits.
    fn due(&self) -> Option<Instant> {
        self.waiting.lock().due()
    }

    /// The next batch, which leaves now: what is waited for, and of the rest what has waited for long enough; all of it if nothing else
    /// is there.
    fn batch(&self, now: Instant) -> Vec<(CallId, Item)> {
        let mut waiting = self.waiting.lock();
        let (mut batch, mut bytes) = (Vec::with_capacity(waiting.items.len().min(TOGETHER)), 0);
        let mut add = |call, item: Item| {
            bytes += 24 + item.what.bytes();
            batch.push((call, item));
            bytes < BATCH
        };
        let mut has_room = true;
        let takes_all = waiting.brief.is_empty();
        while has_room && let Some(call) = waiting.brief.pop_front() {
            has_room = waiting.items.remove(&call).is_none_or(|item| add(call, item));
        }
        if waiting.brief.is_empty() {
            waiting.brief_due = None;
        }
        while has_room
            && let Some((call, _)) = waiting.soon.pop_front_if(|(_, due)| takes_all || *due <= now + GATHER / 2)
        {
            has_room = waiting.items.remove(&call).is_none_or(|item| add(call, item));
        }
        if !batch.is_empty() {
            waiting.left = Some(now);
        }
        batch
    }

    /// Whether a batch was lost since the last time.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }
}

impl Waiting {
    fn due(&self) -> Option<Instant> {
        self.brief_due.into_iter().chain(self.soon.front().map(|(_, due)| *due)).min()
    }
}

/// Carries what waits, for as long as the lane is wanted.
pub(super) async fn run(shell: Arc<Shell>, lane: Arc<Lane>) {
    let mut flights = JoinSet::new();
    let alarm = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(alarm);
    // What the alarm is set to: most turns of this loop leave it as it is.
    let mut rings = None;
    loop {
        let is_free = flights.len() < FLIGHTS;
        let (now, due) = (clock::now().mono, lane.due());
        if is_free && due.is_some_and(|due| due <= now) {
            let batch = lane.batch(now);
            if !batch.is_empty() {
                launch(&mut flights, carry(Arc::clone(&shell), Arc::clone(&lane), batch)).await;
            }
            continue;
        }
        if let Some(at) = due.filter(|_| due != rings) {
            alarm.as_mut().reset(tokio::time::Instant::now() + at.since(now));
            rings = due;
        }
        tokio::select! {
            () = lane.wake.notified(), if is_free => {}
            () = alarm.as_mut(), if is_free && due.is_some() => rings = None,
            Some(_) = flights.join_next() => {}
        }
    }
}

/// Begins a flight: what it says is on its way when this returns, ahead of whatever leaves later. A task that was spawned with it may be
/// run after one that was spawned behind it, and the state of a call would come after its end, to be taken over one day.
async fn launch(flights: &mut JoinSet<()>, flight: impl Future<Output = ()> + Send + 'static) {
    let mut flight = Box::pin(flight);
    let begun = poll_fn(|context| Poll::Ready(flight.as_mut().poll(context))).await;
    if begun.is_pending() {
        flights.spawn(flight);
    }
}

async fn carry(shell: Arc<Shell>, lane: Arc<Lane>, mut batch: Vec<(CallId, Item)>) {
    let (now, mut pieces) = (clock::now().mono, Vec::with_capacity(batch.len()));
    batch.retain(|(call, item)| {
        let what = told(item, now);
        let is_told = what.is_some();
        pieces.extend(what.map(|what| Piece { call: *call, what }));
        is_told
    });
    if batch.is_empty() {
        return;
    }
    let said = Said::Keep { life: shell.protect.life(&shell), pieces };
    let answer = shell.cluster.ask(lane.node, Kind::Checkpoint, said.encode(), PATIENCE).await;
    let Some(Kept { not }) = answer.as_deref().and_then(Kept::decode) else {
        return lose(&shell, &lane, batch).await;
    };
    let kept = clock::now().mono;
    let waited = |item: &Item| kept.since(item.since).as_secs_f64();
    if let Some(lag) = batch.iter().map(|(_, item)| waited(item)).reduce(f64::max) {
        lane.lag.record(lag);
    }
    let brief = batch.iter().filter(|(_, item)| item.haste == Haste::Brief);
    brief.for_each(|(_, item)| lane.waits.record(waited(item)));
    let mut driven = 0;
    for (call, item) in batch {
        let Some(whose) = item.whose else { continue };
        match item.what {
            Sent::State { number, .. } | Sent::Spare { number, .. } | Sent::Acknowledged { number, .. }
                if !not.contains(&call) =>
            {
                if whose.cell.guard.kept(lane.node, number) {
                    go_on(&shell, call, &whose, &mut driven);
                }
            }
            // The backup has lost it, or has no room: the next look sends it again.
            Sent::State { .. } | Sent::Spare { .. } | Sent::Acknowledged { .. } | Sent::Alive
                if not.contains(&call) =>
            {
                whose.cell.guard.lost(lane.node);
                lane.lost.store(true, Ordering::Relaxed);
            }
            Sent::State { .. } | Sent::Spare { .. } | Sent::Acknowledged { .. } | Sent::Alive | Sent::Forget => {}
        }
    }
}

/// A call goes on, here and now where few do: to be woken costs it more than its turn does. Where many do, their actors share the work.
fn go_on(shell: &Arc<Shell>, call: CallId, whose: &CallRef, driven: &mut usize) {
    *driven += 1;
    match shell.calls.directory.find(call) {
        Some(place) if *driven <= DRIVEN => place.drive(shell, call, CallMessage::Kept),
        Some(_) | None => drop(whose.tell(CallMessage::Kept)),
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

/// What is said of a call; nothing if it has no state any more, of which more is on its way.
fn told(item: &Item, now: Instant) -> Option<What> {
    let newest = || item.whose.as_ref()?.cell.checkpoint(clock::now()).map(|(bytes, _)| bytes);
    let state = |bytes: &Option<Bytes>| bytes.clone().or_else(newest).filter(|bytes| !bytes.is_empty());
    Some(match &item.what {
        Sent::State { number, written, bytes } => {
            let bytes = state(bytes)?;
            What::State { number: *number, age_ms: millis(now.since(*written)), silent_ms: 0, bytes }
        }
        Sent::Spare { first, number, written, bytes } => {
            let bytes = state(bytes)?;
            What::Spare { first: *first, number: *number, age_ms: millis(now.since(*written)), bytes }
        }
        Sent::Acknowledged { number, .. } => What::Acknowledged { number: *number },
        Sent::Alive => What::Alive,
        Sent::Forget => What::Forget,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(call: u64) -> CallId {
        CallId { shard: 0, epoch: 0, call }
    }

    fn item(what: Sent) -> Item {
        Item { whose: None, what, since: Instant::ORIGIN, haste: Haste::Soon }
    }

    fn state(number: u32, bytes: usize) -> Item {
        item(Sent::State { number, written: Instant::ORIGIN, bytes: Some(vec![0; bytes].into()) })
    }

    #[test]
    fn a_newer_state_takes_the_place_of_one_that_waits() {
        let lane = Lane::new(2);
        assert!(lane.put(id(1), state(1, 10)) && lane.put(id(2), state(1, 10)));
        assert!(lane.put(id(1), state(2, 10)) && lane.put(id(1), item(Sent::Alive)));
        let batch = lane.batch(Instant::ORIGIN);
        let numbers: Vec<_> =
            batch.iter().map(|(call, item)| (call.call, matches!(item.what, Sent::State { number: 2, .. }))).collect();
        assert_eq!(numbers, [(1, true), (2, false)], "in the order in which they came, each once");
        assert!(lane.batch(Instant::ORIGIN).is_empty());
        lane.put(id(1), state(3, 10));
        lane.put(id(1), item(Sent::Forget));
        assert!(
            matches!(lane.batch(Instant::ORIGIN)[..], [(_, Item { what: Sent::Forget, .. })]),
            "an end is never taken back"
        );
    }

    #[test]
    fn only_an_acknowledgement_is_told_without_its_state_and_only_to_who_knows_the_one_before() {
        let whole = |point, is_known, bytes| {
            let sent = Sent::at(point, is_known, (3, Instant::ORIGIN, bytes));
            assert!(matches!(sent, Sent::State { number: 3, .. } | Sent::Acknowledged { number: 3, .. }));
            matches!(sent, Sent::State { .. })
        };
        assert!(!whole(Point::C3, true, None));
        assert!(whole(Point::C3, false, None), "it speaks an older protocol, or lacks the state before");
        assert!(whole(Point::C3, true, Some(Bytes::from_static(b"state"))), "it is written down already");
        let others = [Point::C0, Point::C1, Point::C2, Point::C4];
        assert!(others.into_iter().all(|point| whole(point, true, None)));
    }

    #[test]
    fn an_acknowledgement_behind_a_state_that_waits_goes_as_one_with_it() {
        let lane = Lane::new(2);
        let acknowledged = || item(Sent::Acknowledged { number: 2, written: Instant::ORIGIN });
        assert!(lane.put(id(1), acknowledged()) && lane.put(id(2), state(1, 10)) && lane.put(id(2), acknowledged()));
        let batch = lane.batch(Instant::ORIGIN);
        assert!(matches!(batch[0].1.what, Sent::Acknowledged { number: 2, .. }));
        assert!(matches!(batch[1].1.what, Sent::State { number: 2, bytes: None, .. }), "the newest, as it leaves");
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn what_somebody_waits_for_goes_at_once_or_almost_and_takes_along_what_has_waited() {
        let lane = Lane::new(2);
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let put = |call, ms, haste| {
            let what = Sent::State { number: 1, written: at(ms), bytes: None };
            lane.put(id(call), Item { whose: None, what, since: at(ms), haste })
        };
        let calls = |ms| lane.batch(at(ms)).iter().map(|(id, item)| (id.call, item.since)).collect::<Vec<_>>();
        assert_eq!(lane.due(), None);
        assert!(put(1, 0, Haste::Soon) && put(2, 35, Haste::Soon) && put(1, 36, Haste::Soon));
        assert_eq!(lane.due(), Some(at(0) + GATHER), "the oldest decides");
        assert!(put(3, 37, Haste::Brief) && put(3, 38, Haste::Soon));
        assert_eq!(lane.due(), Some(at(37)), "a newer state of that call is waited for as much");
        assert_eq!(calls(38), [(3, at(37)), (1, at(36))], "what came a moment ago stays");
        assert_eq!(lane.due(), Some(at(35) + GATHER));
        assert!(put(1, 39, Haste::Brief) && put(2, 39, Haste::Brief));
        assert_eq!(lane.due(), Some(at(38) + BRIEF), "behind the last batch it gathers others");
        assert_eq!((calls(40), lane.due()), (vec![(1, at(39)), (2, at(39))], Some(at(35) + GATHER)));
        assert!(put(2, 42, Haste::Soon) && put(4, 60, Haste::Soon));
        assert_eq!(calls(85), [(2, at(42)), (4, at(60))], "where nobody waits all go together");
        assert_eq!((calls(86), lane.due()), (vec![], None));
        assert!(put(1, 160, Haste::Brief));
        assert_eq!(lane.due(), Some(at(160)), "long behind the last one nothing waits");
    }

    #[tokio::test]
    async fn a_batch_whose_time_has_come_is_seen_to_by_whoever_comes_then() {
        let lane = Lane::new(2);
        let put = |call, us| {
            let what = Sent::State { number: 1, written: Instant::from_micros(us), bytes: None };
            lane.put(id(call), Item { whose: None, what, since: Instant::from_micros(us), haste: Haste::Brief })
        };
        let is_woken = async || tokio::time::timeout(Duration::ZERO, lane.wake.notified()).await.is_ok();
        assert!(put(1, 0) && is_woken().await && lane.batch(Instant::ORIGIN).len() == 1);
        assert!(put(2, 1_000) && is_woken().await, "to be on time");
        assert!(put(3, 2_000) && !is_woken().await, "it is not time yet");
        assert!(put(4, 2_500) && is_woken().await);
    }

    #[test]
    fn a_batch_is_bounded_and_nothing_is_left_behind() {
        for haste in [Haste::Soon, Haste::Brief] {
            let lane = Lane::new(2);
            (0..100).for_each(|call| assert!(lane.put(id(call), Item { haste, ..state(1, 10_000) })));
            let (mut batches, mut calls) = (0, 0);
            while let Some(due) = lane.due() {
                let batch = lane.batch(due);
                assert!(batch.len() <= BATCH / 10_000 + 1);
                (batches, calls) = (batches + 1, calls + batch.len());
            }
            assert_eq!((batches, calls), (4, 100), "{haste:?}");
            assert!(lane.batch(Instant::ORIGIN).is_empty(), "nothing waits");
        }
    }

    #[tokio::test]
    async fn what_leaves_first_is_on_its_way_first_whenever_its_task_runs() {
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut flights = JoinSet::new();
        for number in 0..3 {
            let said = said.clone();
            let flight = async move {
                said.send(number).expect("it is heard");
                if number > 0 {
                    std::future::pending::<()>().await;
                }
            };
            launch(&mut flights, flight).await;
            assert_eq!(heard.try_recv(), Ok(number), "nothing else has run");
        }
        assert_eq!(flights.len(), 2, "the first is there already");
    }
}
