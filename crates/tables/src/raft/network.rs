//! Raft's messages to one other node, through the [`Transport`].

use super::machine::{Data, on_blocking};
use super::{Id, Types, Vote, codec};
use crate::replica::{Received, Replica, Taken, remove};
use crate::{RaftCall, Transport};
use bytes::Bytes;
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2, SnapshotMeta};
use routing::cluster::NodeId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The least time that another node has for an answer: a round trip between far sites and a sync.
const PATIENCE: Duration = Duration::from_millis(600);
/// For a piece of a snapshot; the last one is answered when the snapshot is installed.
const PIECE_PATIENCE: Duration = Duration::from_secs(5);
const INSTALL_PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a snapshot in one message.
const PIECE: usize = 768 << 10;
/// How often a piece is sent in vain before the snapshot is given up.
const TRIES: u32 = 20;

/// What all connections of a node share.
#[derive(Clone)]
pub(super) struct Network {
    pub(super) me: NodeId,
    pub(super) replica: Arc<Replica>,
    pub(super) transport: Arc<dyn Transport>,
}

/// The way to one node.
pub(super) struct Link {
    network: Network,
    to: NodeId,
    /// Where it was when it became a member of Raft.
    address: String,
}

/// [`RaftCall::Vote`].
#[derive(Serialize, Deserialize)]
pub(super) enum Ballot {
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
}

/// [`RaftCall::Snapshot`]; the bytes stand behind it.
#[derive(Serialize, Deserialize)]
pub(super) struct Piece {
    pub(super) vote: Vote,
    pub(super) meta: SnapshotMetaOf<Types>,
    /// Tells one sending from the next.
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Of the whole.
    pub(super) crc: u32,
}

/// The answer to a [`Piece`].
#[derive(Serialize, Deserialize)]
pub(super) enum Progress {
    /// Send from here on.
    From(u64),
    /// It is installed, or a newer leader is known.
    Done(SnapshotResponse<Types>),
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Link {
        Link { network: self.clone(), to: target, address: node.addr.clone() }
    }
}

impl Link {
    /// A node that has started anew may have moved.
    fn address(&self) -> String {
        let cluster = self.network.replica.publisher.cluster();
        let known = cluster.member(self.to).map(|member| member.mesh.to_string()).filter(|mesh| !mesh.is_empty());
        known.unwrap_or_else(|| self.address.clone())
    }

    async fn call<T: DeserializeOwned>(&self, call: RaftCall, body: Bytes, patience: Duration) -> Result<T, Fault> {
        let answer = self.network.transport.call(self.to, &self.address(), call, body, patience);
        let answer = tokio::time::timeout(patience, answer).await;
        let bytes = answer.map_err(|_| Fault::Away(format!("node {} does not answer", self.to)))?;
        let bytes = bytes.map_err(|unreachable| Fault::Away(unreachable.0))?;
        codec::read(bytes).map(|(answer, _)| answer).map_err(Fault::Garbled)
    }

    async fn send_snapshot(&self, vote: Vote, taken: &mut Taken) -> Result<SnapshotResponse<Types>, Fault> {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let last_log_id: Option<Id> = taken.applied;
        let meta = SnapshotMeta { last_log_id, last_membership: taken.members.clone() };
        let (mut offset, mut failures) = (0, 0);
        loop {
            let bytes = read_piece(taken, offset).map_err(|error| Fault::Garbled(error.to_string()))?;
            let last = offset + bytes.len() as u64 == taken.length;
            let (length, crc) = (taken.length, taken.crc);
            let piece = Piece { vote, meta: meta.clone(), number, offset, length, crc };
            let body = codec::write(&piece, &[&bytes]).map_err(|error| Fault::Garbled(error.to_string()))?;
            let patience = if last { INSTALL_PATIENCE } else { PIECE_PATIENCE };
            match self.call(RaftCall::Snapshot, body, patience).await {
                Ok(Progress::Done(response)) => return Ok(response),
                Ok(Progress::From(next)) => (offset, failures) = (next.min(taken.length), 0),
                Err(fault) if failures >= TRIES => return Err(fault),
                Err(_) => {
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

fn read_piece(taken: &mut Taken, offset: u64) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(taken.length.saturating_sub(offset)).unwrap_or(PIECE).min(PIECE);
    match &taken.body {
        Received::Bytes(bytes) => {
            let at = usize::try_from(offset).map_err(std::io::Error::other)?;
            Ok(bytes[at..at + length].to_vec())
        }
        Received::File(path) => {
            let mut file = std::fs::File::open(path)?;
            file.seek(SeekFrom::Start(offset))?;
            let mut piece = vec![0; length];
            file.read_exact(&mut piece)?;
            Ok(piece)
        }
    }
}

/// Why there is no answer.
enum Fault {
    Away(String),
    Garbled(String),
}

impl From<Fault> for RPCError<Types> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(what) => Self::Unreachable(Unreachable::from_string(what)),
            Fault::Garbled(what) => Self::Network(NetworkError::from_string(what)),
        }
    }
}

impl From<Fault> for StreamingError<Types> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(what) => Self::Unreachable(Unreachable::from_string(what)),
            Fault::Garbled(what) => Self::Network(NetworkError::from_string(what)),
        }
    }
}

fn written(bytes: Result<Bytes, crate::Error>) -> Result<Bytes, RPCError<Types>> {
    bytes.map_err(|error| RPCError::Network(NetworkError::from_string(error)))
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Data;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let body = written(codec::write(&rpc, &codec::bodies(&rpc.entries)))?;
        Ok(self.call(RaftCall::Append, body, option.hard_ttl().max(PATIENCE)).await?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let body = written(codec::write(&Ballot::Vote(rpc), &[]))?;
        Ok(self.call(RaftCall::Vote, body, option.hard_ttl()).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let body = written(codec::write(&Ballot::PreVote(rpc), &[]))?;
        Ok(self.call(RaftCall::Vote, body, option.hard_ttl()).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        _: SnapshotOf<Types, Data>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        // Taken now, of the state as it is: newer than what Raft asked for, and as good.
        let replica = Arc::clone(&self.network.replica);
        let name = format!("to-{}", self.to);
        let job = move || replica.take_snapshot(&name);
        let taken = on_blocking(&self.network.replica, job).await;
        let mut taken = taken.map_err(|error| StreamingError::Network(NetworkError::from_string(error)))?;
        tracing::info!(to = self.to, bytes = taken.length, "tables: sending a snapshot");
        let result = tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &mut taken) => sent.map_err(StreamingError::from),
        };
        if let Received::File(path) = &taken.body {
            remove(path);
        }
        result
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let body = written(codec::write(&rpc, &[]))?;
        Ok(self.call(RaftCall::Transfer, body, option.hard_ttl()).await?)
    }

    fn backoff(&self) -> Option<Backoff> {
        // A node that comes back must have the log again at once; an attempt costs one message.
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(200))))
    }
}

impl Network {
    pub(super) fn address_of(&self, node: NodeId, members: &super::Members) -> String {
        let cluster = self.replica.publisher.cluster();
        let known = cluster.member(node).map(|member| member.mesh.to_string()).filter(|mesh| !mesh.is_empty());
        known.or_else(|| members.get_node(&node).map(|node| node.addr.clone())).unwrap_or_default()
    }
}
