//! What everybody else holds of the tables.

mod cluster;

use crate::actor::{Message, Reply, Request, Shared, Tables, blocking};
use crate::history::{Revision, RevisionInfo};
use crate::proposal::{Applied, Apply, Proposal, Signature};
use crate::{Error, Options, Transport};
use arc_swap::Guard;
use ractor::{Actor, ActorCell};
use routing::{Document, View};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Reads the published view, and asks for changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// [`Tables::open`] on a thread that may block. Nothing can be proposed before [`Handle::spawn`].
    ///
    /// # Errors
    /// As [`Tables::open`].
    pub async fn open(options: Options, transport: Arc<dyn Transport>) -> Result<Self, Error> {
        blocking(move || Tables::open(&options, transport)).await.map(|(_, handle)| handle)
    }

    /// Starts the actor that takes proposals, under its supervisor; again after it has failed.
    ///
    /// # Errors
    /// [`Error::Stopped`]: the supervisor is going down.
    pub async fn spawn(&self, supervisor: ActorCell) -> Result<ActorCell, Error> {
        let service = Tables::new(self.shared.clone());
        let (actor, _) = Actor::spawn_linked(None, service, (), supervisor).await.map_err(|_| Error::Stopped)?;
        Ok(actor.get_cell())
    }

    /// The current view. Never waits.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.shared.revisions.publisher().view()
    }

    /// The current view for a short look, without counting a reference: for the path of calls. Not to be held over an await.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<View>> {
        self.shared.revisions.publisher().guard()
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.load().revision
    }

    /// The revisions that are kept, the oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<RevisionInfo> {
        self.shared.revisions.history()
    }

    /// The current tables as TOML. Takes a second for a million rows: not for the path of calls.
    #[must_use]
    pub fn export(&self) -> String {
        self.view().tables().to_toml()
    }

    /// Makes a change as one revision. When this returns the change is durable and [`Handle::view`] shows it. A change that
    /// changes nothing makes no revision.
    ///
    /// # Errors
    /// [`Error::Refused`] with every reason, [`Error::Moved`], [`Error::Busy`], [`Error::Write`]: nothing has changed.
    pub async fn propose(&self, proposal: Proposal) -> Result<Revision, Error> {
        self.ask(|reply| Request::Propose(proposal, reply)).await
    }

    /// Makes the tables as the document says, in one revision, or says what that would change.
    ///
    /// # Errors
    /// As [`Handle::propose`].
    pub async fn apply(&self, document: Document, apply: Apply) -> Result<Applied, Error> {
        if apply.dry_run {
            let revisions = self.shared.revisions.clone();
            return blocking(move || revisions.apply(&document, &apply)).await;
        }
        self.ask(|reply| Request::Apply(Box::new((document, apply)), reply)).await
    }

    /// Makes the tables as they were at `to`, as a new revision, or says what that would change.
    ///
    /// # Errors
    /// [`Error::NoRevision`], or as [`Handle::propose`].
    pub async fn rollback(&self, to: Revision, by: Signature, dry_run: bool) -> Result<Applied, Error> {
        self.ask(|reply| Request::Rollback { to, by, dry_run, reply }).await
    }

    /// What the revision changed, a line a row.
    ///
    /// # Errors
    /// [`Error::NoRevision`], or the history cannot be read.
    pub async fn show(&self, revision: Revision) -> Result<Vec<String>, Error> {
        let revisions = self.shared.revisions.clone();
        blocking(move || revisions.show(revision)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let place = self.shared.queue.clone().try_acquire_owned().map_err(|_| self.refuse())?;
        let (to, answer) = oneshot::channel();
        let message = Message(request(Reply { to, place }));
        let actor = self.shared.actor.load_full().ok_or(Error::Stopped)?;
        actor.send_message(message).map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }

    fn refuse(&self) -> Error {
        metrics::counter!("tandem_queue_full_total", "queue" => "tables").increment(1);
        Error::Busy
    }
}
