//! The state that every node has alike, after the same entries: rows and their past, the cluster, the answers given.
//!
//! Applies entries in the order of the log, into one batch of the store and one view for all that come together. Decides
//! nothing: what stands in the log was validated by the leader; only a wrong base is refused.

mod answers;
mod apply;
mod imports;
mod snapshot;

pub(crate) use apply::Load;
pub(crate) use imports::{filled, heads};
pub(crate) use snapshot::{Received, Taken, remove};

use crate::command::RequestId;
use crate::history::{Revision, RevisionInfo};
use crate::publisher::Publisher;
use crate::raft::{Id, Members};
use crate::store::{self, Batch, Engine, Family};
use crate::{Error, Options};
use answers::Answers;
use imports::Imports;
use parking_lot::{Mutex, MutexGuard};
use routing::cluster::{Cluster, NodeId};
use routing::{Change, Tables, View};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// [`Cluster`], as JSON.
const CLUSTER_KEY: &[u8] = b"cluster";
/// The last entry that was applied.
const APPLIED_KEY: &[u8] = b"applied";
/// Who votes and who listens.
const MEMBERS_KEY: &[u8] = b"members";

/// The state, its store and what of it is published.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) engine: Arc<Engine>,
    pub(crate) publisher: Publisher,
    /// The last entry that is written and published.
    pub(crate) applied: watch::Sender<u64>,
    summary: Mutex<Summary>,
    state: Mutex<State>,
    kept: u64,
}

/// What of the state is looked at by those who must not wait: the state itself is locked as long as a batch is applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    pub(crate) applied: Option<Id>,
    pub(crate) members: Members,
    /// The open imports, each with the pieces that are there.
    pub(crate) imports: Vec<(RequestId, u32)>,
    pub(crate) former: Option<NodeId>,
}

/// Ahead of what is published only while a batch is applied.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tables: Tables,
    pub(crate) revision: Revision,
    rows: u64,
    /// The oldest revision in the history.
    first: Revision,
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) applied: Option<Id>,
    /// Whose entries stand before those of the last leader: nobody else can have led between the two and have had an entry
    /// committed. Known once the first entry of the last leader was applied here.
    former: Option<NodeId>,
    pub(crate) members: Members,
    pub(crate) answers: Answers,
    pub(crate) imports: Imports,
}

impl Replica {
    /// Reads everything.
    pub(crate) fn open(engine: Arc<Engine>, options: &Options) -> Result<Self, Error> {
        let (state, history) = State::load(&engine)?;
        let view = View::build(&state.tables, state.revision);
        let publisher = Publisher::new(view, history, Arc::clone(&state.cluster), options.revisions_kept);
        let kept = options.revisions_kept.max(1) as u64;
        let applied = watch::channel(state.applied.map_or(0, |id| id.index)).0;
        let summary = Mutex::new(state.summary());
        Ok(Self { engine, publisher, applied, summary, state: Mutex::new(state), kept })
    }

    /// Reads everything again, after the store was opened again, and publishes it if it is something else.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        let (loaded, history) = State::load(&self.engine)?;
        *state = loaded;
        if self.publisher.guard().revision != state.revision {
            let view = View::build(&state.tables, state.revision);
            self.publisher.publish(Arc::new(view));
        }
        self.publisher.set_history(history);
        self.publisher.publish_cluster(&state.cluster);
        self.settle(&state);
        Ok(())
    }

    /// Says that the state is written and published.
    fn settle(&self, state: &State) {
        *self.summary.lock() = state.summary();
        self.applied.send_replace(state.applied.map_or(0, |id| id.index));
    }

    /// Where the state stands. Never waits for what is under way.
    pub(crate) fn summary(&self) -> Summary {
        self.summary.lock().clone()
    }

    /// The state itself: only for threads that may block.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What a revision of the past changed, as lines.
    pub(crate) fn show(&self, revision: Revision) -> Result<Vec<String>, Error> {
        let (before, change) = self.change(revision)?;
        Ok(change.lines(&before))
    }

    /// A revision of the past, and the tables that it changed.
    pub(crate) fn change(&self, revision: Revision) -> Result<(Tables, Change), Error> {
        let now = self.publisher.view();
        // The first state has no change that led to it.
        let Some(previous) = revision.checked_sub(1) else { return Ok(Default::default()) };
        let before = self.tables_at(now.tables(), now.revision, previous)?;
        self.known(revision, now.revision)?;
        Ok((before, store::change(&self.engine, revision)?))
    }

    /// The tables as they were at `to`, of those of `newest`.
    pub(crate) fn tables_at(&self, now: &Tables, newest: Revision, to: Revision) -> Result<Tables, Error> {
        self.known(to, newest)?;
        let mut tables = now.clone();
        for revision in (to + 1..=newest).rev() {
            tables.apply_unchecked(&store::inverse(&self.engine, revision)?);
        }
        Ok(tables)
    }

    /// The oldest state that can be returned to is the one before the oldest change that is kept.
    fn known(&self, asked: Revision, newest: Revision) -> Result<(), Error> {
        let oldest = self.publisher.oldest().map_or(newest, |oldest| oldest.saturating_sub(1));
        if (oldest..=newest).contains(&asked) { Ok(()) } else { Err(Error::NoRevision { asked, oldest, newest }) }
    }
}

impl State {
    fn summary(&self) -> Summary {
        Summary {
            applied: self.applied,
            members: self.members.clone(),
            imports: self.imports.list(),
            former: self.former,
        }
    }

    fn load(engine: &Engine) -> Result<(Self, VecDeque<RevisionInfo>), Error> {
        let loaded = store::load(engine)?;
        let state = Self {
            tables: loaded.tables,
            revision: loaded.revision,
            rows: loaded.rows,
            first: loaded.history.front().map_or(loaded.revision + 1, |info| info.revision),
            cluster: store::read(engine, Family::Cluster, CLUSTER_KEY)?.unwrap_or_default(),
            applied: store::read(engine, Family::Cluster, APPLIED_KEY)?,
            members: store::read(engine, Family::Cluster, MEMBERS_KEY)?.unwrap_or_default(),
            answers: Answers::load(engine)?,
            imports: Imports::load(engine)?,
            former: None,
        };
        Ok((state, loaded.history))
    }
}

/// What founds a cluster of one node, as if a snapshot of it had been installed: no node can take part without the rows that
/// the founder brings along.
pub(crate) fn founding(batch: &mut Batch, cluster: &Cluster, applied: Id, members: &Members) -> Result<(), Error> {
    batch.put(Family::Cluster, CLUSTER_KEY, store::encode(cluster)?);
    batch.put(Family::Cluster, APPLIED_KEY, store::encode(&Some(applied))?);
    batch.put(Family::Cluster, MEMBERS_KEY, store::encode(members)?);
    Ok(())
}
