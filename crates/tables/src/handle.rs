//! What everybody else holds of the tables.

mod cluster;

use crate::actor::{Shared, Tables, blocking};
use crate::ask::{Ask, Done};
use crate::history::{Revision, RevisionInfo};
use crate::plan::change_of;
use crate::proposal::{Applied, Apply, Proposal, Signature};
use crate::{Error, Options, Transport, front};
use arc_swap::Guard;
use ractor::{Actor, ActorCell};
use routing::{Document, View};
use std::sync::Arc;

/// Reads the published view, and asks for changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
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
        Tables::open_apart(options, transport).await.map(|(_, handle)| handle)
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
        self.shared.core.replica.publisher.view()
    }

    /// The current view for a short look, without counting a reference: for the path of calls. Not to be held over an await.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<View>> {
        self.shared.core.replica.publisher.guard()
    }

    /// The current revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.load().revision
    }

    /// The revisions that are kept, the oldest first.
    #[must_use]
    pub fn history(&self) -> Vec<RevisionInfo> {
        self.shared.core.replica.publisher.history()
    }

    /// The current tables as TOML. Takes a second for a million rows: not for the path of calls.
    #[must_use]
    pub fn export(&self) -> String {
        self.view().tables().to_toml()
    }

    /// Makes a change as one revision, from any node. When this returns the change is durable on a quorum and
    /// [`Handle::view`] shows it. A change that changes nothing makes no revision.
    ///
    /// # Errors
    /// [`Error::Refused`] with every reason, [`Error::Moved`], [`Error::Busy`]: nothing has changed. [`Error::Write`],
    /// [`Error::NoQuorum`]: it is not known to have been made; it may yet be, once.
    pub async fn propose(&self, proposal: Proposal) -> Result<Revision, Error> {
        let Proposal { change, by, expect } = proposal;
        self.ask(Ask::Propose { change, by, expect }).await?.revision()
    }

    /// Makes the tables as the document says, in one revision, or says what that would change.
    ///
    /// # Errors
    /// As [`Handle::propose`].
    pub async fn apply(&self, document: Document, apply: Apply) -> Result<Applied, Error> {
        let Apply { prune, dry_run, by, expect } = apply;
        if dry_run {
            let view = self.view();
            return blocking(&self.shared.core.replica, move || would_apply(&view, &document, prune, expect)).await;
        }
        self.ask(Ask::Apply { document, prune, by, expect }).await?.applied()
    }

    /// Makes the tables as they were at `to`, as a new revision, or says what that would change.
    ///
    /// # Errors
    /// [`Error::NoRevision`], or as [`Handle::propose`].
    pub async fn rollback(&self, to: Revision, by: Signature, dry_run: bool) -> Result<Applied, Error> {
        if dry_run {
            let (view, replica) = (self.view(), Arc::clone(&self.shared.core.replica));
            let job = move || {
                let target = replica.tables_at(view.tables(), view.revision, to)?;
                let lines = view.tables().diff(&target).lines(view.tables());
                Ok(Applied { revision: view.revision, lines })
            };
            return blocking(&self.shared.core.replica, job).await;
        }
        self.ask(Ask::Rollback { to, by }).await?.applied()
    }

    /// What the revision changed, a line a row.
    ///
    /// # Errors
    /// [`Error::NoRevision`], or the history cannot be read.
    pub async fn show(&self, revision: Revision) -> Result<Vec<String>, Error> {
        let replica = Arc::clone(&self.shared.core.replica);
        blocking(&self.shared.core.replica, move || replica.show(revision)).await
    }

    /// Asks the leader for a place in this node's queue.
    async fn ask(&self, ask: Ask) -> Result<Done, Error> {
        if self.shared.actor.load().is_none() {
            return Err(Error::Stopped);
        }
        let place = self.shared.queue.clone().try_acquire_owned().map_err(|_| self.shared.refuse())?;
        front::ask(&self.shared, ask, Some(place)).await
    }
}

fn would_apply(view: &View, document: &Document, prune: bool, expect: Option<Revision>) -> Result<Applied, Error> {
    if let Some(expected) = expect
        && expected != view.revision
    {
        return Err(Error::Moved { expected, found: view.revision });
    }
    let lines = change_of(view.tables(), document, prune)?.lines(view.tables());
    Ok(Applied { revision: view.revision, lines })
}
