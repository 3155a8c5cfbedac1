//! One run of Raft on a store: started with an identity, and stopped before the store is let go of.

use super::inbox::Inbox;
use super::log::{self, Log, Writing};
use super::machine::Machine;
use super::network::Network;
use super::{Id, Members, Raft, Types, Vote};
use crate::command::{Answer, Command};
use crate::replica::{self, Replica};
use crate::store::Batch;
use crate::{Error, Leadership, RaftCall, Transport};
use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, LinearizableReadError, RaftError};
use openraft::{BasicNode, ChangeMembers, Config, Membership, RaftMetrics, ReadPolicy, SnapshotPolicy};
use parking_lot::Mutex;
use routing::cluster::{Cluster, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Times of Raft, in ms.
const HEARTBEAT_MS: u64 = 150;
/// Nobody votes sooner than the second after the leader was last heard; who stands waits for some time between both in addition.
const ELECTION_MS: (u64, u64) = (300, 700);
/// For so long after a leader has sent what a quorum confirms nobody votes for another one.
pub const NO_VOTE: Duration = Duration::from_millis(ELECTION_MS.1);
/// After how many entries the log is cut, and how many stay for nodes that lag.
const COMPACT_EVERY: u64 = 5000;
const KEPT: u64 = 1000;
/// Bytes of entries at which the log is cut sooner, as after an import, and how many entries stay then.
const HEAVY: usize = 64 << 20;
const KEPT_OF_HEAVY: u64 = 64;
/// How long a leader that stops waits for another to lead.
const TRANSFER: Duration = Duration::from_millis(1500);

/// Why Raft did not do it.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// This node does not lead, or does no longer; whether it was done is not known.
    NotLeader(String),
    /// The store does not take anything any more.
    Broken(String),
    /// It cannot be done.
    Refused(String),
}

/// A run.
pub(crate) struct Running {
    pub(crate) me: NodeId,
    raft: Raft,
    log: Log,
    inbox: Inbox,
    writing: Mutex<Option<Writing>>,
    watching: JoinHandle<()>,
}

/// What a run needs.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) replica: Arc<Replica>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) leadership: watch::Sender<Leadership>,
}

impl Core {
    /// Starts Raft for a node that is, or is to be, a member.
    pub(crate) async fn start(&self, me: NodeId) -> Result<Running, Error> {
        let config = Arc::new(config()?);
        let replica = Arc::clone(&self.replica);
        let (log, writing) = Log::open(Arc::clone(&replica.engine))?;
        let network = Network { me, replica: Arc::clone(&replica), transport: Arc::clone(&self.transport) };
        let machine = Machine(Arc::clone(&replica));
        let raft = Raft::new(me, config, network.clone(), log.clone(), machine).await;
        let raft = raft.map_err(|fatal| Error::Write(fatal.to_string()))?;
        let watching = tokio::spawn(watch_metrics(raft.clone(), network, self.leadership.clone()));
        if raft.voter_ids().eq([me]) {
            // Nobody else could lead, so there is nothing to wait for. If Raft has failed already, asking it says so.
            let _ = raft.trigger().elect(false).await;
        }
        Ok(Running { me, raft, log, inbox: Inbox::new(replica), writing: Mutex::new(Some(writing)), watching })
    }

    /// What a store must hold so that its node leads a cluster of its own.
    pub(crate) fn founding(&self, batch: &mut Batch, cluster: &Cluster, me: NodeId, mesh: &str) -> Result<(), Error> {
        let vote = Vote::new(1, me);
        let id = Id::new(vote.leader_id, 1);
        let node = BTreeMap::from([(me, BasicNode::new(mesh))]);
        let membership = Membership::new(vec![BTreeSet::from([me])], node);
        let membership = membership.map_err(|error| Error::Fault(error.to_string()))?;
        replica::founding(batch, cluster, id, &Members::new(Some(id), membership))?;
        log::founding(batch, id, &vote)
    }
}

fn config() -> Result<Config, Error> {
    let config = Config {
        cluster_name: "tandem".into(),
        heartbeat_interval: HEARTBEAT_MS,
        election_timeout_min: ELECTION_MS.0,
        election_timeout_max: ELECTION_MS.1,
        install_snapshot_timeout: 120_000,
        max_payload_entries: 256,
        replication_lag_threshold: COMPACT_EVERY,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(COMPACT_EVERY),
        max_in_snapshot_log_to_keep: KEPT,
        purge_batch_size: KEPT / 4,
        enable_pre_vote: Some(true),
        // A leader that comes back does not know what it had committed, so it is elected like everybody else.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate().map_err(|error| Error::Fault(error.to_string()))
}

impl Running {
    /// Writes an entry; its index and what applying it said.
    pub(crate) async fn write(&self, command: Command) -> Result<(u64, Answer), Failure> {
        let written = self.raft.client_write(command).await.map_err(write_failure)?;
        Ok((written.log_id.index, written.data))
    }

    /// Returns when this node is known to lead and has applied everything that earlier leaders have committed.
    pub(crate) async fn barrier(&self) -> Result<(), Failure> {
        let leased = self.raft.get_read_linearizer(ReadPolicy::LeaseRead).await;
        let linearizer = match leased {
            Ok(linearizer) => linearizer,
            // The lease of a leader begins with the first answers of the others.
            Err(_) => self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(read_failure)?,
        };
        linearizer.await_ready(&self.raft).await.map_err(fatal_failure)?;
        Ok(())
    }

    /// The entry that a reader must have seen to have seen everything so far.
    pub(crate) async fn read_index(&self) -> Result<u64, Failure> {
        let read = self.raft.get_read_log_id(ReadPolicy::ReadIndex).await.map_err(read_failure)?;
        Ok(read.0.index())
    }

    /// How long ago this leader sent what a quorum of the voters has confirmed: for [`NO_VOTE`] from then on nobody else
    /// is elected, unless this leader itself hands its lead over. Nothing while it does not lead.
    pub(crate) fn quorum_age(&self) -> Option<Duration> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        if now.current_leader != Some(self.me) {
            return None;
        }
        if self.raft.voter_ids().eq([self.me]) {
            return Some(Duration::ZERO);
        }
        now.last_quorum_acked.map(|acked| openraft::Instant::elapsed(&acked.into_inner()))
    }

    /// Whether a quorum has confirmed this leader recently.
    pub(crate) async fn is_confirmed(&self) -> bool {
        self.raft.get_read_log_id(ReadPolicy::LeaseRead).await.is_ok()
    }

    pub(crate) async fn add_learner(&self, node: NodeId, address: String) -> Result<u64, Failure> {
        let added = self.raft.add_learner(node, BasicNode::new(address), false).await;
        Ok(added.map_err(write_failure)?.log_id.index)
    }

    pub(crate) async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<u64, Failure> {
        if self.voters() == voters {
            return self.read_index().await;
        }
        let changed = self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), true).await;
        Ok(changed.map_err(write_failure)?.log_id.index)
    }

    pub(crate) async fn remove_learner(&self, node: NodeId) -> Result<u64, Failure> {
        let gone = ChangeMembers::RemoveNodes(BTreeSet::from([node]));
        Ok(self.raft.change_membership(gone, true).await.map_err(write_failure)?.log_id.index)
    }

    pub(crate) fn voters(&self) -> BTreeSet<NodeId> {
        self.raft.voter_ids().collect()
    }

    pub(crate) fn learners(&self) -> BTreeSet<NodeId> {
        self.raft.learner_ids().collect()
    }

    /// Why Raft has stopped by itself.
    pub(crate) fn failed(&self) -> Option<String> {
        self.raft.metrics().borrow_watched().running_state.as_ref().err().map(ToString::to_string)
    }

    pub(crate) async fn take(&self, from: NodeId, call: RaftCall, body: Bytes) -> Result<Bytes, Error> {
        self.inbox.take(&self.raft, from, call, body).await
    }

    /// Cuts the log if it has grown by many bytes in few entries.
    pub(crate) async fn compact(&self) -> Result<(), Failure> {
        if self.log.grown() < HEAVY {
            return Ok(());
        }
        let (cut, applied) = {
            let metrics = self.raft.metrics();
            let now = metrics.borrow_watched();
            let index = |id: Option<Id>| id.map_or(0, |id| id.index);
            (index(now.snapshot), index(now.last_applied))
        };
        if cut < applied {
            self.raft.trigger().snapshot().await.map_err(fatal_failure)?;
        }
        let upto = cut.saturating_sub(KEPT_OF_HEAVY);
        self.raft.trigger().purge_log(upto).await.map_err(fatal_failure)
    }

    /// Gives the lead to the voter whose log is the longest, and waits until another leads.
    pub(crate) async fn hand_over(&self) {
        let metrics = self.raft.metrics();
        let target = {
            let now = metrics.borrow_watched();
            let voters = self.voters();
            let others =
                now.replication.iter().flatten().filter(|(node, _)| **node != self.me && voters.contains(node));
            others.max_by_key(|(_, matched)| **matched).map(|(node, _)| *node)
        };
        let Some(target) = target else { return };
        if self.raft.trigger().transfer_leader(target).await.is_err() {
            return;
        }
        let wait = self.raft.wait(Some(TRANSFER));
        let other = wait.metrics(|now| now.current_leader.is_some_and(|leader| leader != self.me), "another leads");
        if other.await.is_err() {
            tracing::warn!(to = target, "tables: nobody took the lead in time; the others will elect one");
        }
    }

    /// Ends every task and thread of the run.
    pub(crate) async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::error!(%error, "tables: Raft has ended badly");
        }
        self.watching.abort();
        let writing = self.writing.lock().take();
        if let Some(writing) = writing
            && self.log.blocks()
            && let Err(error) = tokio::task::spawn_blocking(move || writing.stop()).await
        {
            tracing::error!(%error, "tables: the log has ended badly");
        }
    }
}

/// Tells everybody what Raft says of itself.
async fn watch_metrics(raft: Raft, network: Network, leadership: watch::Sender<Leadership>) {
    let mut metrics = raft.metrics();
    loop {
        let now = describe(&metrics.borrow_and_update(), &network);
        metrics::gauge!("tandem_raft_term").set(now.term as f64);
        metrics::gauge!("tandem_raft_leader").set(if now.me { 1.0 } else { 0.0 });
        metrics::gauge!("tandem_raft_log_lag").set(now.committed.saturating_sub(now.applied) as f64);
        metrics::gauge!("tandem_raft_log_last").set(now.log as f64);
        leadership.send_if_modified(|before| {
            let other = *before != now;
            *before = now;
            other
        });
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

fn describe(metrics: &RaftMetrics<Types>, network: &Network) -> Leadership {
    let members = &metrics.membership_config;
    let leader = metrics.current_leader.filter(|_| metrics.running_state.is_ok());
    let index = |id: Option<Id>| id.map_or(0, |id| id.index);
    let matched = metrics.replication.iter().flatten();
    Leadership {
        leader: leader.map(|leader| (leader, network.address_of(leader, members))),
        term: metrics.current_term,
        me: leader == Some(network.me),
        log: metrics.last_log_index.unwrap_or(0),
        committed: index(metrics.cluster_committed.max(metrics.local_committed)),
        applied: index(metrics.last_applied),
        matched: matched.map(|(node, id)| (*node, id.map(|id| id.index))).collect(),
    }
}

fn write_failure(error: RaftError<Types, ClientWriteError<Types>>) -> Failure {
    match error {
        RaftError::Fatal(fatal) => fatal_failure(fatal),
        RaftError::APIError(ClientWriteError::ForwardToLeader(error) | ClientWriteError::LogEntryDiscarded(error)) => {
            Failure::NotLeader(error.to_string())
        }
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => Failure::Refused(error.to_string()),
        RaftError::APIError(ClientWriteError::PreconditionFailed(error)) => Failure::Refused(error.to_string()),
    }
}

fn read_failure(error: RaftError<Types, LinearizableReadError<Types>>) -> Failure {
    match error {
        RaftError::Fatal(fatal) => fatal_failure(fatal),
        RaftError::APIError(error) => Failure::NotLeader(error.to_string()),
    }
}

fn fatal_failure(fatal: Fatal<Types>) -> Failure {
    match fatal {
        Fatal::StorageError(error) => Failure::Broken(error.to_string()),
        Fatal::Panicked | Fatal::Stopped => Failure::NotLeader(fatal.to_string()),
    }
}
