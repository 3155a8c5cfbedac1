//! The actor that takes proposals one after the other. The work itself runs on a blocking thread: no call waits for it.

use crate::history::Revision;
use crate::proposal::{Applied, Apply, Proposal, Signature};
use crate::revisions::Revisions;
use crate::{Error, Handle, Options, Transport};
use arc_swap::ArcSwapOption;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use routing::Document;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How often old views are looked at until nobody reads them.
const FREE_EVERY: Duration = Duration::from_secs(1);

/// The service: opened once, spawned by a supervisor, spawned again after a failure.
#[derive(Clone, Debug)]
pub struct Tables {
    shared: Arc<Shared>,
}

/// What the service and its handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) revisions: Arc<Revisions>,
    pub(crate) actor: ArcSwapOption<ActorRef<Message>>,
    pub(crate) queue: Arc<Semaphore>,
}

/// A message to the actor. Only a [`Handle`] makes one.
#[derive(Debug)]
pub struct Message(pub(crate) Request);

#[derive(Debug)]
pub(crate) enum Request {
    Propose(Proposal, Reply<Revision>),
    Apply(Box<(Document, Apply)>, Reply<Applied>),
    Rollback { to: Revision, by: Signature, dry_run: bool, reply: Reply<Applied> },
    Free,
}

/// Where the answer goes, and the place in the queue that it gives back.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) to: oneshot::Sender<Result<T, Error>>,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Tables {
    /// Opens the folder, reads every row and builds the first view. Blocks: a million prefixes take some seconds.
    ///
    /// # Errors
    /// The folder is in use, foreign, written by a newer version, damaged or not accessible.
    pub fn open(options: &Options, transport: Arc<dyn Transport>) -> Result<(Self, Handle), Error> {
        drop(transport);
        let shared = Arc::new(Shared {
            revisions: Arc::new(Revisions::open(options)?),
            actor: ArcSwapOption::empty(),
            queue: Arc::new(Semaphore::new(options.queue.max(1))),
        });
        Ok((Self { shared: shared.clone() }, Handle::new(shared)))
    }

    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Actor for Tables {
    type Msg = Message;
    /// Whether a look at the old views is due.
    type State = bool;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Message>, (): ()) -> Result<bool, ActorProcessingErr> {
        self.shared.actor.store(Some(Arc::new(myself)));
        Ok(false)
    }

    async fn post_stop(&self, _: ActorRef<Message>, _: &mut bool) -> Result<(), ActorProcessingErr> {
        self.shared.actor.store(None);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        Message(request): Message,
        freeing: &mut bool,
    ) -> Result<(), ActorProcessingErr> {
        let revisions = self.shared.revisions.clone();
        let left = match request {
            Request::Propose(proposal, reply) => {
                work(move || revisions.propose(&proposal), revisions_of(self), reply).await
            }
            Request::Apply(apply, reply) => {
                work(move || revisions.apply(&apply.0, &apply.1), revisions_of(self), reply).await
            }
            Request::Rollback { to, by, dry_run, reply } => {
                work(move || revisions.rollback(to, &by, dry_run), revisions_of(self), reply).await
            }
            Request::Free => {
                *freeing = false;
                blocking(move || Ok(revisions.publisher().free_retired())).await.unwrap_or(true)
            }
        };
        if left && !*freeing {
            *freeing = true;
            myself.send_after(FREE_EVERY, || Message(Request::Free));
        }
        Ok(())
    }
}

fn revisions_of(tables: &Tables) -> Arc<Revisions> {
    tables.shared.revisions.clone()
}

/// Does the work, answers, then frees what it made obsolete. Says whether old views are left.
async fn work<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    revisions: Arc<Revisions>,
    reply: Reply<T>,
) -> bool {
    let result = blocking(job).await;
    let Reply { to, place } = reply;
    // The place is free before the answer is seen, so one who asks again at once finds it.
    drop(place);
    // Whoever asked may have gone; the revision stands all the same.
    let _ = to.send(result);
    blocking(move || Ok(revisions.publisher().free_retired())).await.unwrap_or(true)
}

/// Runs on a thread that may block. A panic there is an error of this one job.
pub(crate) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(job).await {
        Ok(result) => result,
        Err(stopped) => Err(Error::Fault(stopped.to_string())),
    }
}
