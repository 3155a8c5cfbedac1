//! Entries become state.

use super::{APPLIED_KEY, CLUSTER_KEY, MEMBERS_KEY, Replica, State, imports};
use crate::Error;
use crate::command::{Answer, Command, Made, RequestId, Told};
use crate::delta::{self, Delta};
use crate::history::{Revision, RevisionInfo};
use crate::raft::{Id, Members};
use crate::store::{self, Batch, Engine, Family};
use routing::cluster::ClusterChange;
use routing::{Change, Touched, View};
use std::sync::Arc;

/// What an entry carries.
#[derive(Debug)]
pub(crate) enum Load {
    /// The first entry of a leader.
    Blank,
    Command(Command),
    Members(Members),
}

/// What one batch of entries does, besides the state.
#[derive(Default)]
struct Effects {
    batch: Batch,
    /// For the indexes of the view.
    touched: Touched,
    made: Vec<RevisionInfo>,
    cluster: bool,
    members: bool,
}

impl Replica {
    /// Applies entries in their order; one answer for each. When this returns they are written and published.
    pub(crate) fn apply(&self, entries: Vec<(Id, Load)>) -> Result<Vec<Answer>, Error> {
        let mut guard = self.state();
        let state = &mut *guard;
        let mut effects = Effects::default();
        let mut answers = Vec::with_capacity(entries.len());
        for (id, load) in entries {
            if matches!(load, Load::Command(Command::CommitStaged { .. })) {
                // What was staged in this very batch must be there to be read.
                self.write(state, &mut effects)?;
            }
            if let Some(last) = state.applied.filter(|last| last.leader_id != id.leader_id) {
                state.former = Some(last.leader_id.node_id);
            }
            state.applied = Some(id);
            answers.push(match load {
                Load::Blank => Answer::Nothing,
                Load::Members(members) => {
                    state.members = members;
                    effects.members = true;
                    Answer::Nothing
                }
                Load::Command(command) => self.command(state, &mut effects, command)?,
            });
        }
        self.write(state, &mut effects)?;
        self.publish(state, effects);
        self.settle(state);
        Ok(answers)
    }

    /// Not synced: the log is, and it stands before this in the same write-ahead log.
    fn write(&self, state: &mut State, effects: &mut Effects) -> Result<(), Error> {
        let batch = &mut effects.batch;
        batch.put(Family::Cluster, APPLIED_KEY, store::encode(&state.applied)?);
        if effects.cluster {
            batch.put(Family::Cluster, CLUSTER_KEY, store::encode(&state.cluster)?);
        }
        if effects.members {
            batch.put(Family::Cluster, MEMBERS_KEY, store::encode(&state.members)?);
        }
        let oldest = (state.revision + 1).saturating_sub(self.kept);
        if state.first < oldest {
            store::forget_revisions(batch, state.first, oldest);
            state.first = oldest;
        }
        self.engine.write(std::mem::take(batch), false)
    }

    fn publish(&self, state: &State, effects: Effects) {
        if !effects.made.is_empty() {
            let before = self.publisher.view();
            let view = View::rebuild(&before, &state.tables, &effects.touched, state.revision);
            self.publisher.publish(Arc::new(view));
            self.publisher.remember(effects.made);
        }
        if effects.cluster {
            self.publisher.publish_cluster(&state.cluster);
        }
    }

    fn command(&self, state: &mut State, effects: &mut Effects, command: Command) -> Result<Answer, Error> {
        match command {
            Command::Change { base, revisions } => changes(&self.engine, state, effects, base, revisions),
            Command::Cluster { id, change } => cluster(state, effects, id, &change),
            Command::Stage { import, piece, body, .. } => {
                let taken = state.imports.stage(&mut effects.batch, import, piece, &body);
                Ok(if taken { Answer::Nothing } else { Answer::Crowded })
            }
            Command::CommitStaged { id, import, pieces, base, info } => {
                staged(&self.engine, state, effects, id, import, pieces, (base, info))
            }
            Command::Discard { import } => {
                state.imports.close(&mut effects.batch, import);
                Ok(Answer::Nothing)
            }
        }
    }
}

fn changes(
    engine: &Engine,
    state: &mut State,
    effects: &mut Effects,
    base: Revision,
    revisions: Vec<Made>,
) -> Result<Answer, Error> {
    // All of a batch are made at once, so one that was made says it of all.
    let told = |made: &Made| match state.answers.get(made.id) {
        Some(Told::Revision(revision)) => Some(*revision),
        Some(Told::Cluster(_)) | None => None,
    };
    let again: Vec<Revision> = revisions.iter().filter_map(told).collect();
    if !again.is_empty() {
        return Ok(if again.len() == revisions.len() { Answer::Made(again) } else { Answer::Moved(state.revision) });
    }
    if state.revision != base {
        return Ok(Answer::Moved(state.revision));
    }
    let mut numbers = Vec::with_capacity(revisions.len());
    for Made { id, info, change } in revisions {
        numbers.push(info.revision);
        make(engine, state, effects, id, info, &change)?;
    }
    Ok(Answer::Made(numbers))
}

fn make(
    engine: &Engine,
    state: &mut State,
    effects: &mut Effects,
    id: RequestId,
    info: RevisionInfo,
    change: &Change,
) -> Result<(), Error> {
    let Delta { change, inverse, counts } = delta::make(&mut state.tables, change);
    state.rows = (state.rows + counts.added).saturating_sub(counts.deleted);
    state.revision = info.revision;
    store::put_revision(engine, &mut effects.batch, &info, &change, &inverse, state.rows)?;
    state.answers.put(&mut effects.batch, id, Told::Revision(info.revision))?;
    effects.touched.add_change(&change);
    effects.made.push(info);
    Ok(())
}

fn cluster(state: &mut State, effects: &mut Effects, id: RequestId, change: &ClusterChange) -> Result<Answer, Error> {
    if let Some(Told::Cluster(outcome)) = state.answers.get(id) {
        return Ok(Answer::Cluster(outcome.clone()));
    }
    let outcome = Arc::make_mut(&mut state.cluster).apply(change);
    state.answers.put(&mut effects.batch, id, Told::Cluster(outcome.clone()))?;
    effects.cluster = true;
    Ok(Answer::Cluster(outcome))
}

fn staged(
    engine: &Engine,
    state: &mut State,
    effects: &mut Effects,
    id: RequestId,
    import: RequestId,
    expected: u32,
    (base, info): (Revision, RevisionInfo),
) -> Result<Answer, Error> {
    if let Some(Told::Revision(revision)) = state.answers.get(id) {
        return Ok(Answer::Made(vec![*revision]));
    }
    if state.revision != base {
        return Ok(Answer::Moved(state.revision));
    }
    let there = state.imports.open().get(&import).map_or(0, |staging| staging.pieces());
    if there != expected {
        return Ok(Answer::Incomplete { there });
    }
    let (_, heads) = imports::heads(engine, import)?;
    let after = imports::filled(engine, import, &state.tables, &heads)?;
    let (revision, before) = (info.revision, (&state.tables, state.rows));
    state.rows = store::put_large(engine, &mut effects.batch, &info, before, &after, &mut effects.touched)?;
    (state.tables, state.revision) = (after, revision);
    state.answers.put(&mut effects.batch, id, Told::Revision(revision))?;
    effects.made.push(info);
    state.imports.close(&mut effects.batch, import);
    Ok(Answer::Made(vec![revision]))
}
