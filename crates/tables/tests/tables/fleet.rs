//! Several nodes in one process, joined by a network in memory that can be cut and slowed.

use crate::desk::{account, document};
use bytes::Bytes;
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use routing::Tables as Rows;
use routing::cluster::{ClusterChange, Member, NodeId, Outcome};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tables::{
    Answering, Apply, Error, Handle, Identity, Message, Options, PACKED, RaftCall, Revision, Storage, Tables,
    Transport, Unreachable, member,
};
use tempfile::TempDir;

/// The network.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Wires>);

#[derive(Default)]
struct Wires {
    nodes: Mutex<HashMap<String, (NodeId, Handle)>>,
    /// Ways that are cut, from one node to another.
    cut: Mutex<HashSet<(NodeId, NodeId)>>,
    round_trip: Mutex<Duration>,
    /// Answers to these calls of these nodes get lost, so many times.
    lost: Mutex<HashMap<(NodeId, RaftCall), u32>>,
    /// Bytes of entries that were sent.
    entries: AtomicUsize,
}

/// One node's end of it.
struct Plug {
    net: Net,
    me: Arc<Mutex<NodeId>>,
}

/// Bytes of a message at most, as between real nodes.
const MESSAGE: usize = 4 << 20;

impl Transport for Plug {
    fn call(&self, to: NodeId, address: &str, call: RaftCall, body: Bytes, patience: Duration) -> Answering {
        let (net, me, address) = (self.net.clone(), *self.me.lock(), address.to_owned());
        Box::pin(async move {
            let away = || Unreachable(format!("node {to} at {address} is away"));
            let half = *net.0.round_trip.lock() / 2;
            let found = net.0.nodes.lock().get(&address).cloned();
            let Some((there, handle)) = found else { return Err(away()) };
            if net.is_cut(me, there) || body.len() > MESSAGE {
                // As a network does: nothing comes back.
                tokio::time::sleep(patience.min(Duration::from_millis(300))).await;
                return Err(away());
            }
            tokio::time::sleep(half).await;
            if call == RaftCall::Append {
                net.0.entries.fetch_add(body.len(), Ordering::Relaxed);
            }
            let answer = handle.serve(me, call, body).await.map_err(|error| Unreachable(error.to_string()));
            tokio::time::sleep(half).await;
            let answer = answer.and_then(|bytes| if bytes.len() > MESSAGE { Err(away()) } else { Ok(bytes) });
            if net.is_cut(there, me) || net.loses(me, call) { Err(away()) } else { answer }
        })
    }
}

impl Net {
    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.0.cut.lock().contains(&(from, to))
    }

    fn loses(&self, from: NodeId, call: RaftCall) -> bool {
        let mut lost = self.0.lost.lock();
        let Some(left) = lost.get_mut(&(from, call)).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// The next answers to these calls of this node get lost.
    pub(crate) fn lose_answers(&self, from: NodeId, call: RaftCall, times: u32) {
        self.0.lost.lock().insert((from, call), times);
    }

    /// Bytes of entries that were sent so far.
    pub(crate) fn entries(&self) -> usize {
        self.0.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn slow(&self, round_trip: Duration) {
        *self.0.round_trip.lock() = round_trip;
    }

    /// Cuts the nodes off from all others.
    pub(crate) fn part(&self, some: &[NodeId], others: &[NodeId]) {
        let mut cut = self.0.cut.lock();
        for (a, b) in some.iter().flat_map(|a| others.iter().map(move |b| (*a, *b))) {
            cut.extend([(a, b), (b, a)]);
        }
    }

    pub(crate) fn heal(&self) {
        self.0.cut.lock().clear();
    }
}

/// One node.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) id: NodeId,
    actor: ActorRef<Message>,
    task: tokio::task::JoinHandle<()>,
}

/// A cluster: node `n` stands at place `n - 1`.
pub(crate) struct Fleet {
    pub(crate) net: Net,
    pub(crate) nodes: Vec<Option<Node>>,
    base: PathBuf,
    /// Removed with the fleet.
    _temporary: Option<TempDir>,
    disk: bool,
    /// What its nodes say that they speak.
    protocol: u32,
}

fn address(number: usize) -> String {
    format!("node-{number}:1")
}

impl Fleet {
    /// So many voters.
    pub(crate) async fn new(voters: usize, disk: bool) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().to_path_buf();
        Self { _temporary: Some(temporary), disk, ..Self::empty(base) }.grow(voters).await
    }

    /// The same, of a release that speaks this.
    pub(crate) async fn speaking(protocol: u32, voters: usize) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let base = temporary.path().to_path_buf();
        Self { _temporary: Some(temporary), disk: false, protocol, ..Self::empty(base) }.grow(voters).await
    }

    /// Nodes in folders under `base`: founded there, or going on from an earlier run.
    pub(crate) async fn at(base: &Path, voters: usize) -> Self {
        let mut fleet = Self::empty(base.to_path_buf());
        if !fleet.folder(voters).exists() {
            return fleet.grow(voters).await;
        }
        for number in 1..=voters {
            fleet.nodes.push(None);
            fleet.start(number as NodeId).await;
        }
        fleet
    }

    fn empty(base: PathBuf) -> Self {
        Self { net: Net::default(), nodes: Vec::new(), base, _temporary: None, disk: true, protocol: PACKED }
    }

    async fn grow(self, voters: usize) -> Self {
        let mut fleet = self;
        fleet.add().await;
        for _ in 1..voters {
            fleet.add().await;
        }
        fleet.vote(&(1..=voters as NodeId).collect::<Vec<_>>()).await;
        fleet
    }

    pub(crate) async fn vote(&self, voters: &[NodeId]) {
        let voters: BTreeSet<NodeId> = voters.iter().copied().collect();
        self.any().handle.set_voters(voters.clone()).await.unwrap();
        until("all voters are known", || self.up().all(|node| node.handle.voters() == voters)).await;
    }

    /// One node more: it founds the cluster, or joins as a learner.
    pub(crate) async fn add(&mut self) -> NodeId {
        let number = self.nodes.len() + 1;
        let me = Member { protocol: self.protocol, ..member(&format!("n{number}"), "a", &address(number)) };
        if number == 1 {
            let node = self.spawn(1).await;
            node.handle.found(me).await.unwrap();
            self.nodes.push(Some(node));
            return 1;
        }
        let Outcome::Done { node: id, .. } = self.any().handle.change_cluster(ClusterChange::Join(me)).await.unwrap()
        else {
            panic!("it may join")
        };
        let node = self.spawn(number).await;
        let cluster = self.any().handle.cluster().id.clone();
        node.handle.join_as(Identity { cluster, node: id, name: format!("n{number}") }).await.unwrap();
        self.any().handle.add_learner(id, address(number)).await.unwrap();
        self.nodes.push(Some(node));
        id
    }

    async fn spawn(&self, number: usize) -> Node {
        let id = number as NodeId;
        let storage = if self.disk { Storage::Disk(self.folder(number)) } else { Storage::Memory };
        let options = Options { queue: 4096, ..Options::meshed(storage) };
        let plug = Plug { net: self.net.clone(), me: Arc::new(Mutex::new(id)) };
        let (service, handle) = Tables::open(&options, Arc::new(plug)).unwrap();
        let (actor, task) = Actor::spawn(None, service, ()).await.unwrap();
        self.net.0.nodes.lock().insert(address(number), (id, handle.clone()));
        Node { handle, id, actor, task }
    }

    pub(crate) fn folder(&self, number: usize) -> PathBuf {
        self.base.join(format!("tables{number}"))
    }

    pub(crate) fn node(&self, number: NodeId) -> &Node {
        self.nodes[number as usize - 1].as_ref().expect("it is up")
    }

    pub(crate) fn up(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    fn any(&self) -> &Node {
        self.up().next().expect("one is up")
    }

    /// The node that leads, once one does.
    pub(crate) async fn leader(&self) -> &Node {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            for node in self.up() {
                if node.handle.leads().await {
                    return node;
                }
            }
            assert!(Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Somebody who does not lead.
    pub(crate) async fn follower(&self) -> &Node {
        let leader = self.leader().await.id;
        self.up().find(|node| node.id != leader).expect("there are others")
    }

    /// Stops a node as planned.
    pub(crate) async fn stop(&mut self, number: NodeId) {
        let node = self.nodes[number as usize - 1].take().expect("it is up");
        let Node { handle, actor, task, .. } = node;
        actor.stop(None);
        task.await.unwrap();
        self.net.0.nodes.lock().remove(&address(number as usize));
        drop(handle);
    }

    /// Starts a stopped node with its folder.
    pub(crate) async fn start(&mut self, number: NodeId) {
        let node = self.spawn(number as usize).await;
        self.nodes[number as usize - 1] = Some(node);
    }

    /// Waits until all nodes that are up show what the first shows after a look at the leader.
    pub(crate) async fn agree(&self) -> Rows {
        for node in self.up() {
            node.handle.read_index().await.unwrap();
        }
        let all: Vec<_> = self.up().map(|node| (node.handle.view().tables().clone(), node.handle.history())).collect();
        let revision = self.any().handle.revision();
        until("all are at one revision", || self.up().all(|node| node.handle.revision() >= revision)).await;
        for (node, (rows, history)) in self.up().zip(&all) {
            assert_eq!(rows, &all[0].0, "node {}", node.id);
            assert_eq!(history, &all[0].1, "node {}", node.id);
        }
        all[0].0.clone()
    }
}

impl Node {
    pub(crate) async fn add(&self, name: &str) -> Result<Revision, Error> {
        Ok(self.handle.apply(document(&account(name)), Apply::default()).await?.revision)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.handle.load().account(name).is_some()
    }
}

/// Waits for something that must come, but not for ever.
pub(crate) async fn until(what: &str, mut come: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !come() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The bytes of a folder's files.
pub(crate) fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
