//! Nodes of a cluster under test.

use crate::wire::{Socket, Wire};
use bytes::Bytes;
use mesh::{Clock, Error, Handle, Kind, Mesh, Options, Parcel, Receiver, Reply};
use ractor::{Actor, ActorRef};
use routing::cluster::NodeId;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supervise::{Child, Never, Plan, Strategy, Supervisor};
use tables::Storage;

/// How long anything may take, in virtual time.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What the nodes share.
#[derive(Default)]
pub(crate) struct Lab {
    pub(crate) wire: Wire,
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) tables: tables::Handle,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) socket: Socket,
    pub(crate) clock: Clock,
    pub(crate) address: String,
    root: ActorRef<Never>,
}

/// Keeps what it is told; answers a question with its own body reversed, and refuses one that is empty. Questions about
/// checkpoints are kept unanswered.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) told: Mutex<Vec<(NodeId, Parcel)>>,
    pub(crate) kept: Mutex<Vec<Reply>>,
}

impl Receiver for Inbox {
    fn receive(&self, from: NodeId, parcel: Parcel, reply: Option<Reply>) {
        match reply {
            None => self.told.lock().expect("whole").push((from, parcel)),
            Some(reply) if parcel.kind == Kind::Checkpoint => self.kept.lock().expect("whole").push(reply),
            Some(_) if parcel.body.is_empty() => {}
            Some(reply) => reply.send(parcel.body.iter().rev().copied().collect()),
        }
    }
}

impl Lab {
    /// What the `number`-th node is started with: named after its site, on an address of its own.
    pub(crate) fn options(&self, site: &str, number: u16) -> Options {
        let address = format!("127.0.0.{number}:7060").parse().expect("an address");
        let mut options = Options::new(&format!("{site}-{number}"), site, address);
        options.seed = u64::from(number);
        options
    }

    /// Starts a node; it enters in its own time.
    pub(crate) async fn start(&self, options: Options, storage: Storage) -> Node {
        let socket = self.wire.socket();
        self.start_on(Options { net: Arc::new(socket.clone()), ..options }, storage, socket).await
    }

    pub(crate) async fn start_on(&self, options: Options, storage: Storage, socket: Socket) -> Node {
        let (clock, address, seed) = (Arc::clone(&options.clock), options.mesh.clone(), options.seed);
        let mesh = Mesh::new(options).expect("good options");
        let mut stored = tables::Options::meshed(storage);
        stored.seed = Some(seed);
        let tables = tables::Handle::open(stored, mesh.transport()).await.expect("opens");
        let inbox = Arc::new(Inbox::default());
        let service = mesh.service(tables.clone(), inbox.clone());
        let handle = service.handle();
        let keeper = tables.clone();
        let children = vec![
            Child::new("tables", move |up| {
                let keeper = keeper.clone();
                async move { keeper.spawn(up).await }
            }),
            Child::new("mesh", move |up| {
                let service = service.clone();
                async move { service.spawn(up).await }
            }),
        ];
        let plan = Plan { name: "node", strategy: Strategy::RestForOne, children };
        let (root, _) = Actor::spawn(None, Supervisor, plan).await.expect("starts");
        Node { handle, tables, inbox, socket, clock, address, root }
    }

    /// Founds a cluster with a node in each of these sites, in this order.
    pub(crate) async fn cluster(&self, sites: &[&str]) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        for (site, number) in sites.iter().zip(1..) {
            let mut options = self.options(site, number);
            options.join = nodes.iter().map(|node| node.address.clone()).collect();
            let node = self.start(options, Storage::Memory).await;
            node.entered().await.expect("it enters");
            nodes.push(node);
        }
        for node in &nodes {
            node.sees("everybody", |node| {
                node.handle.peers().iter().filter(|peer| peer.linked && peer.is_up()).count() == sites.len() - 1
            })
            .await;
            node.sees("its lease", Node::leased).await;
        }
        nodes
    }
}

impl Node {
    pub(crate) async fn entered(&self) -> Result<(), Error> {
        tokio::time::timeout(SOON, self.handle.entered()).await.expect("it enters or is refused in time")
    }

    /// Waits until it is so.
    pub(crate) async fn sees(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let watched = async {
            // Not every figure is announced, so that it is looked at in short steps of virtual time as well.
            while !is_so(self) {
                let mut changes = self.handle.watch();
                changes.mark_unchanged();
                let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
            }
        };
        let in_time = tokio::time::timeout(SOON, watched).await;
        let raft = self.tables.leadership().borrow().clone();
        let (me, voters, peers) = (self.handle.me(), self.tables.voters(), self.handle.peers());
        assert!(in_time.is_ok(), "node {me} does not see {what}: {raft:?}, voters {voters:?}, {peers:?}");
    }

    pub(crate) fn leased(&self) -> bool {
        self.handle.holds_lease((self.clock)())
    }

    pub(crate) fn acting(&self) -> usize {
        let now = (self.clock)();
        (0..routing::cluster::SHARDS).filter(|shard| self.handle.acts_for(*shard, now)).count()
    }

    pub(crate) fn owned(&self, by: NodeId) -> usize {
        self.handle.cluster().shards().iter().filter(|shard| shard.owner == Some(by)).count()
    }

    pub(crate) fn leads(&self) -> bool {
        self.tables.leadership().borrow().me
    }

    pub(crate) async fn stop(self) {
        self.root.stop_and_wait(None, Some(SOON)).await.expect("it stops");
    }
}

pub(crate) fn parcel(kind: Kind, body: &'static str) -> Parcel {
    Parcel { kind, body: Bytes::from_static(body.as_bytes()) }
}

pub(crate) fn folder(dir: &tempfile::TempDir, name: &str) -> Storage {
    Storage::Disk(PathBuf::from(dir.path()).join(name))
}
