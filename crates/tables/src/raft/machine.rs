//! The state machine: hands entries to the replica, on a thread that may block.

use super::{Entry, Id, Members, Types};
use crate::Error;
use crate::calm::Calm;
use crate::command::Answer;
use crate::replica::{Load, Received, Replica};
use futures_util::{Stream, StreamExt};
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StoredMembership};
use std::io;
use std::sync::Arc;

/// Entries that are applied together: one write and one view.
const TOGETHER: usize = 1024;

/// The replica as openraft sees it.
#[derive(Clone)]
pub(crate) struct Machine(pub(super) Arc<Replica>);

/// The data of a snapshot.
#[derive(Debug)]
pub(crate) enum Data {
    /// The state itself: it is read when the snapshot is sent, and may be newer then.
    Here,
    /// One that came in.
    Received(Received),
}

impl Machine {
    /// The state is its own snapshot: it is in the store already, behind the log.
    fn snapshot(&self) -> Option<SnapshotOf<Types, Data>> {
        let summary = self.0.summary();
        let last_log_id = summary.applied?;
        let meta = SnapshotMeta { last_log_id: Some(last_log_id), last_membership: summary.members };
        Some(Snapshot { meta, snapshot: Data::Here })
    }

    async fn apply_all(&self, entries: Vec<(Id, Load)>) -> io::Result<Vec<Answer>> {
        let replica = Arc::clone(&self.0);
        on_blocking(&self.0, move || replica.apply(entries)).await
    }
}

/// Runs where it may block; in memory nothing does.
pub(super) async fn on_blocking<T: Send + 'static>(
    replica: &Replica,
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> io::Result<T> {
    if !replica.engine.blocks() {
        return job().map_err(io::Error::other);
    }
    let calmly = move || {
        let _calm = Calm::begin();
        job()
    };
    tokio::task::spawn_blocking(calmly).await.map_err(io::Error::other)?.map_err(io::Error::other)
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Data;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<Id>, Members), io::Error> {
        let summary = self.0.summary();
        Ok((summary.applied, summary.members))
    }

    async fn apply<Strm>(&mut self, entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut together = entries.ready_chunks(TOGETHER);
        while let Some(chunk) = together.next().await {
            let (mut loads, mut responders) = (Vec::with_capacity(chunk.len()), Vec::with_capacity(chunk.len()));
            for item in chunk {
                let (entry, responder) = item?;
                loads.push(load(entry));
                responders.push(responder);
            }
            let answers = self.apply_all(loads).await?;
            for (responder, answer) in responders.into_iter().zip(answers) {
                if let Some(responder) = responder {
                    responder.send(answer);
                }
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, _: &SnapshotMetaOf<Types>, snapshot: Data) -> Result<(), io::Error> {
        let Data::Received(received) = snapshot else { return Ok(()) };
        let replica = Arc::clone(&self.0);
        on_blocking(&self.0, move || replica.install_snapshot(received)).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, Data>>, io::Error> {
        Ok(self.snapshot())
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Data;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Data>, io::Error> {
        self.snapshot().ok_or_else(|| io::Error::other("nothing is applied yet"))
    }
}

fn load(entry: Entry) -> (Id, Load) {
    let id = entry.log_id;
    let load = match entry.payload {
        EntryPayload::Blank => Load::Blank,
        EntryPayload::Normal(command) => Load::Command(command),
        EntryPayload::Membership(members) => Load::Members(StoredMembership::new(Some(id), members)),
    };
    (id, load)
}
