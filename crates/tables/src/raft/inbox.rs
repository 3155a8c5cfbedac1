//! Raft's messages from other nodes.

use super::machine::{Data, on_blocking};
use super::network::{Ballot, Piece, Progress};
use super::{Raft, Types, codec};
use crate::replica::{Received, Replica};
use crate::{Error, RaftCall};
use bytes::Bytes;
use openraft::Snapshot;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest};
use parking_lot::Mutex;
use routing::cluster::NodeId;
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Takes messages; a snapshot that comes in is kept here until it is whole.
pub(super) struct Inbox {
    replica: Arc<Replica>,
    incoming: Arc<Mutex<Option<Incoming>>>,
}

struct Incoming {
    from: NodeId,
    number: u64,
    at: u64,
    crc: crc32fast::Hasher,
    to: Sink,
}

enum Sink {
    File(PathBuf, File),
    Bytes(Vec<u8>),
}

/// What a piece led to.
enum Taken {
    Next(u64),
    Whole(Received),
}

impl Inbox {
    pub(super) fn new(replica: Arc<Replica>) -> Self {
        Self { replica, incoming: Arc::default() }
    }

    pub(super) async fn take(&self, raft: &Raft, from: NodeId, call: RaftCall, body: Bytes) -> Result<Bytes, Error> {
        let garbled = |what| Error::Message { from, what };
        match call {
            RaftCall::Append => {
                let (mut request, bodies): (AppendEntriesRequest<Types>, _) = codec::read(body).map_err(garbled)?;
                codec::fill(&mut request.entries, bodies).map_err(garbled)?;
                answer(raft.append_entries(request).await)
            }
            RaftCall::Vote => match codec::read(body).map_err(garbled)?.0 {
                Ballot::Vote(request) => answer(raft.vote(request).await),
                Ballot::PreVote(request) => answer(raft.pre_vote(request).await),
            },
            RaftCall::Snapshot => {
                let (piece, bytes) = codec::read(body).map_err(garbled)?;
                self.snapshot(raft, from, piece, bytes).await
            }
            RaftCall::Transfer => {
                let (request, _): (TransferLeaderRequest<Types>, _) = codec::read(body).map_err(garbled)?;
                answer(raft.handle_transfer_leader(request).await)
            }
            RaftCall::Forward => Err(garbled("it is none of Raft's".into())),
        }
    }

    async fn snapshot(&self, raft: &Raft, from: NodeId, piece: Piece, bytes: Bytes) -> Result<Bytes, Error> {
        let (incoming, replica) = (Arc::clone(&self.incoming), Arc::clone(&self.replica));
        let Piece { vote, meta, number, offset, length, crc } = piece;
        let job = move || {
            let mut incoming = incoming.lock();
            let taken = take_piece(&mut incoming, &replica, (from, number), offset, &bytes, (length, crc));
            taken.map_err(|source| Error::File { path: replica.engine.dir().to_path_buf(), source })
        };
        let taken = on_blocking(&self.replica, job).await.map_err(|error| Error::Write(error.to_string()))?;
        let progress = match taken {
            Taken::Next(at) => Progress::From(at),
            Taken::Whole(received) => {
                let snapshot = Snapshot { meta, snapshot: Data::Received(received) };
                let response = raft.install_full_snapshot(vote, snapshot).await;
                Progress::Done(response.map_err(|fatal| Error::Write(fatal.to_string()))?)
            }
        };
        codec::write(&progress, &[])
    }
}

/// Takes a piece if it is the next one, and says from where to go on otherwise.
fn take_piece(
    slot: &mut Option<Incoming>,
    replica: &Replica,
    sending: (NodeId, u64),
    offset: u64,
    bytes: &[u8],
    (length, crc): (u64, u32),
) -> io::Result<Taken> {
    if offset == 0 || slot.as_ref().is_none_or(|incoming| (incoming.from, incoming.number) != sending) {
        *slot = Some(Incoming::begin(replica, sending)?);
    }
    let Some(incoming) = slot.as_mut().filter(|incoming| incoming.at == offset) else {
        return Ok(Taken::Next(slot.as_ref().map_or(0, |incoming| incoming.at)));
    };
    match &mut incoming.to {
        Sink::File(_, file) => file.write_all(bytes)?,
        Sink::Bytes(all) => all.extend_from_slice(bytes),
    }
    incoming.crc.update(bytes);
    incoming.at += bytes.len() as u64;
    if incoming.at < length {
        return Ok(Taken::Next(incoming.at));
    }
    let Some(whole) = slot.take() else { return Ok(Taken::Next(0)) };
    if whole.at != length || whole.crc.finalize() != crc {
        tracing::warn!(from = sending.0, "tables: a snapshot came in damaged and is asked for again");
        return Ok(Taken::Next(0));
    }
    Ok(Taken::Whole(match whole.to {
        Sink::File(path, _) => Received::File(path),
        Sink::Bytes(bytes) => Received::Bytes(bytes),
    }))
}

impl Incoming {
    fn begin(replica: &Replica, (from, number): (NodeId, u64)) -> io::Result<Self> {
        let to = match replica.engine.snapshot_dir() {
            None => Sink::Bytes(Vec::new()),
            Some(dir) => {
                std::fs::create_dir_all(&dir)?;
                let path = dir.join(format!("from-{from}-{number}"));
                let file = File::create(&path)?;
                Sink::File(path, file)
            }
        };
        Ok(Self { from, number, at: 0, crc: crc32fast::Hasher::new(), to })
    }
}

fn answer<T: Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Result<Bytes, Error> {
    codec::write(&result.map_err(|fatal| Error::Write(fatal.to_string()))?, &[])
}
