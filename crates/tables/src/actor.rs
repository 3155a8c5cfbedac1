//! The actor that stands before Raft: it starts and stops it, mends it after a failed write, and hands it the proposals one
//! batch after the other. What blocks runs on a blocking thread: no call waits for it.

use crate::calm::Calm;
use crate::command::RequestId;
use crate::front::Parts;
use crate::identity;
use crate::lead::{self, Answered, Queued};
use crate::raft::{Core, Running};
use crate::replica::Replica;
use crate::store::Engine;
use crate::sweep::Sweep;
use crate::{Error, Handle, Identity, Leadership, Options, Transport};
use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};

/// How often Raft is looked after, and old views are looked at until nobody reads them.
const TICK: Duration = Duration::from_secs(1);
/// Proposals of other nodes that may wait here.
const GUESTS: usize = 1024;
/// Proposals that are planned together at most.
const BATCH: usize = 512;

/// The service: opened once, spawned by a supervisor, spawned again after a failure.
#[derive(Clone, Debug)]
pub struct Tables {
    shared: Arc<Shared>,
}

/// What the service and its handles share.
pub(crate) struct Shared {
    pub(crate) core: Core,
    pub(crate) running: ArcSwapOption<Running>,
    pub(crate) identity: Mutex<Option<Identity>>,
    pub(crate) actor: ArcSwapOption<ActorRef<Message>>,
    /// Places for proposals that were made here, and for those of other nodes.
    pub(crate) queue: Arc<Semaphore>,
    pub(crate) guests: Arc<Semaphore>,
    /// What waits for an answer, by its name.
    pub(crate) waiting: Mutex<HashMap<RequestId, watch::Receiver<Answered>>>,
    pub(crate) parts: Parts,
    pub(crate) random: Mutex<StdRng>,
    pub(crate) options: Options,
    process: u64,
    asked: AtomicU64,
}

/// A message to the actor. Only a [`Handle`] makes one.
#[derive(Debug)]
pub struct Message(pub(crate) Request);

#[derive(Debug)]
pub(crate) enum Request {
    /// A proposal for the queue.
    Submit(Queued),
    /// The batch that was under way has ended.
    Ended,
    /// Raft is to run, with the identity that the folder now has.
    Run(oneshot::Sender<Result<(), Error>>),
    Tick,
}

/// What the actor keeps.
#[derive(Debug, Default)]
pub struct State {
    queue: VecDeque<Queued>,
    busy: bool,
    sweep: Sweep,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Tables {
    /// Opens the folder, reads every row and builds the first view. Blocks: a million prefixes take some seconds.
    ///
    /// # Errors
    /// The folder is in use, foreign, written by a newer version, damaged or not accessible.
    pub fn open(options: &Options, transport: Arc<dyn Transport>) -> Result<(Self, Handle), Error> {
        let engine = Arc::new(Engine::open(&options.storage)?);
        let replica = Arc::new(Replica::open(Arc::clone(&engine), options)?);
        let mut random = options.seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
        let process = random.next_u64();
        if options.seed.is_some() {
            crate::raft::seed(random.next_u64());
        }
        let shared = Arc::new(Shared {
            identity: Mutex::new(identity::read(&engine)?),
            core: Core { replica, transport, leadership: watch::channel(Leadership::default()).0 },
            running: ArcSwapOption::empty(),
            actor: ArcSwapOption::empty(),
            queue: Arc::new(Semaphore::new(options.queue.max(1))),
            guests: Arc::new(Semaphore::new(GUESTS)),
            waiting: Mutex::default(),
            parts: Parts::default(),
            random: Mutex::new(random),
            options: options.clone(),
            process,
            asked: AtomicU64::new(0),
        });
        Ok((Self { shared: shared.clone() }, Handle::new(shared)))
    }

    /// [`Tables::open`] on a thread that may block; in memory, where nothing does, at once.
    ///
    /// # Errors
    /// As [`Tables::open`].
    pub async fn open_apart(options: Options, transport: Arc<dyn Transport>) -> Result<(Self, Handle), Error> {
        if !options.storage.blocks() {
            return Self::open(&options, transport);
        }
        let opened = tokio::task::spawn_blocking(move || Self::open(&options, transport)).await;
        opened.map_err(|stopped| Error::Fault(stopped.to_string()))?
    }

    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Shared {
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId { process: self.process, number: self.asked.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) fn running(&self) -> Result<Arc<Running>, Error> {
        self.running.load_full().ok_or(Error::Stopped)
    }

    pub(crate) fn refuse(&self) -> Error {
        metrics::counter!("tandem_queue_full_total", "queue" => "tables").increment(1);
        Error::Busy
    }

    /// Makes Raft run again if it has stopped by itself, as after a write that failed.
    pub(crate) async fn revive(&self) -> Result<(), Error> {
        if self.running.load().as_ref().is_some_and(|running| running.failed().is_none()) {
            return Ok(());
        }
        if self.identity.lock().is_none() {
            return Err(Error::NotFounded);
        }
        self.run().await
    }

    /// Has the actor make Raft run.
    pub(crate) async fn run(&self) -> Result<(), Error> {
        let (to, answer) = oneshot::channel();
        let actor = self.actor.load_full().ok_or(Error::Stopped)?;
        actor.send_message(Message(Request::Run(to))).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// Starts Raft, or starts it anew if it has failed.
    async fn start(&self) -> Result<(), Error> {
        let Some(me) = self.identity.lock().as_ref().map(|identity| identity.node) else { return Ok(()) };
        if let Some(running) = self.running.load_full() {
            let Some(failed) = running.failed() else { return Ok(()) };
            tracing::error!(error = failed, "tables: Raft has stopped, and is started anew");
            self.halt().await;
        }
        let replica = &self.core.replica;
        let again = Arc::clone(replica);
        // RocksDB takes no write after a failed one.
        blocking(replica, move || {
            if again.engine.is_failed() {
                again.engine.reopen()?;
                again.reload()?;
            }
            Ok(())
        })
        .await?;
        self.running.store(Some(Arc::new(self.core.start(me).await?)));
        Ok(())
    }

    async fn halt(&self) {
        if let Some(running) = self.running.swap(None) {
            running.stop().await;
            self.core.leadership.send_modify(|leadership| (leadership.leader, leadership.me) = (None, false));
        }
    }
}

impl Actor for Tables {
    type Msg = Message;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<State, ActorProcessingErr> {
        let shared = &self.shared;
        // After a panic what was there still runs.
        shared.halt().await;
        shared.waiting.lock().clear();
        if shared.core.replica.engine.is_failed() {
            let replica = Arc::clone(&shared.core.replica);
            blocking(&shared.core.replica, move || replica.engine.reopen().and_then(|()| replica.reload())).await?;
        }
        if shared.identity.lock().is_none()
            && let Some(me) = &shared.options.alone
        {
            identity::found(shared, me).await?;
        }
        shared.start().await?;
        myself.send_interval(TICK, || Message(Request::Tick));
        shared.actor.store(Some(Arc::new(myself)));
        Ok(State::default())
    }

    async fn post_stop(&self, _: ActorRef<Message>, _: &mut State) -> Result<(), ActorProcessingErr> {
        let shared = &self.shared;
        shared.actor.store(None);
        if let Some(running) = shared.running.load_full() {
            running.hand_over().await;
        }
        shared.halt().await;
        let replica = Arc::clone(&shared.core.replica);
        blocking(&shared.core.replica, move || {
            replica.engine.close();
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message(request): Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match request {
            Request::Submit(queued) => state.queue.push_back(queued),
            Request::Ended => state.busy = false,
            Request::Run(to) => {
                // Whoever asked may have gone.
                let _ = to.send(self.shared.start().await);
            }
            Request::Tick => self.tick(state).await,
        }
        if !state.busy && !state.queue.is_empty() {
            state.busy = true;
            let length = state.queue.len().min(BATCH);
            self.run_batch(myself, state.queue.drain(..length).collect());
        }
        Ok(())
    }
}

impl Tables {
    fn run_batch(&self, myself: ActorRef<Message>, batch: VecDeque<Queued>) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let freed = Arc::clone(&shared.core.replica);
            let ids: Vec<RequestId> = batch.iter().map(|queued| queued.id).collect();
            let worker = Arc::clone(&shared);
            let ended = tokio::spawn(async move { lead::run(&worker, batch).await }).await;
            if let Err(error) = ended {
                // Who waits sees that the channel is closed.
                tracing::error!(%error, "tables: a batch of changes was stopped by a fault");
                let mut waiting = shared.waiting.lock();
                ids.iter().for_each(|id| drop(waiting.remove(id)));
            }
            // The actor may have stopped meanwhile.
            let _ = myself.send_message(Message(Request::Ended));
            free(freed).await;
        });
    }

    async fn tick(&self, state: &mut State) {
        let shared = &self.shared;
        if let Err(error) = shared.start().await {
            tracing::error!(%error, "tables: they cannot take part");
        }
        if let Some(running) = shared.running.load_full()
            && let Err(failure) = running.compact().await
        {
            tracing::warn!(?failure, "tables: the log stays as long as it is");
        }
        free(Arc::clone(&shared.core.replica)).await;
        state.sweep.sweep(shared);
    }
}

/// Frees old views, away from the calls.
async fn free(replica: Arc<Replica>) {
    let freed = Arc::clone(&replica);
    let freeing = blocking(&replica, move || {
        freed.publisher.free_retired();
        Ok(())
    });
    if let Err(error) = freeing.await {
        tracing::error!(%error, "tables: old views are kept");
    }
}

/// Runs on a thread that may block; in memory, where nothing does, at once. A panic there is an error of this one job.
pub(crate) async fn blocking<T: Send + 'static>(
    replica: &Replica,
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if !replica.engine.blocks() {
        return job();
    }
    let calmly = move || {
        let _calm = Calm::begin();
        job()
    };
    match tokio::task::spawn_blocking(calmly).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Fault(stopped.to_string())),
    }
}
