//! The nodes of a simulated cluster: where each lives, what stays of it while it is down, and the running node itself.

use crate::chronicle::Chronicle;
use crate::clients;
use crate::ledger::Ledger;
use crate::wire::{Wire, outside};
use mesh::times::Waits;
use mesh::{Clock, Mesh, Parcel, Receiver, Reply};
use ractor::Actor;
use routing::cluster::{NodeId, SHARDS};
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use supervise::{Child, Plan, Strategy, Supervisor};
use tables::{Shelf, Storage};
use topology::{Node, Topology};

/// The nodes, in the order of the topology.
pub(crate) struct Fleet {
    pub(crate) topology: Topology,
    pub(crate) seats: Vec<Rc<Seat>>,
}

/// One node, up or down.
pub(crate) struct Seat {
    pub(crate) node: Node,
    /// Where turmoil has it.
    pub(crate) host: IpAddr,
    pub(crate) running: RefCell<Option<Running>>,
    shelf: Shelf,
    seed: u64,
    lives: Cell<u64>,
    setup: Setup,
}

/// What all nodes have in common.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) waits: Waits,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) chronicle: Chronicle,
}

/// A node that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) mesh: mesh::Handle,
    pub(crate) tables: tables::Handle,
    clock: Clock,
    runtime: tokio::runtime::Handle,
}

impl Fleet {
    pub(crate) fn new(topology: Topology, setup: &Setup) -> Self {
        let seat = |(number, node): (u64, &Node)| {
            Rc::new(Seat {
                node: node.clone(),
                host: outside(node.ip()),
                running: RefCell::default(),
                shelf: Shelf::default(),
                seed: setup.seed.wrapping_mul(10_000).wrapping_add(number * 100),
                lives: Cell::new(0),
                setup: setup.clone(),
            })
        };
        let seats = (1..).zip(&topology.nodes).map(seat).collect();
        Self { topology, seats }
    }

    /// The nodes that run.
    pub(crate) fn up(&self) -> impl Iterator<Item = (&Seat, Running)> {
        self.seats.iter().filter_map(|seat| seat.running.borrow().clone().map(|running| (&**seat, running)))
    }

    /// The node that leads the tables, as the nodes with the newest term have it.
    pub(crate) fn leader(&self) -> Option<String> {
        let leads = |(seat, running): (&Seat, Running)| {
            let leadership = running.tables.leadership().borrow().clone();
            leadership.me.then(|| (leadership.term, seat.node.name.clone()))
        };
        self.up().filter_map(leads).max().map(|(_, name)| name)
    }

    /// The place of a node.
    pub(crate) fn place(&self, name: &str) -> usize {
        self.seats.iter().position(|seat| seat.node.name == name).expect("a node of the topology")
    }
}

impl Seat {
    /// The software of the host: starts the node on what its last life has left, and runs until it is killed.
    pub(crate) async fn live(self: Rc<Self>) -> turmoil::Result {
        let life = self.lives.get() + 1;
        self.lives.set(life);
        self.setup.chronicle.note(format_args!("{} starts, life {life}", self.node.name));
        let seed = self.seed + life;
        let mut options = mesh::Options::new(&self.node.name, &self.node.site, self.node.mesh);
        options.join = self.node.join.iter().map(ToString::to_string).collect();
        options.net = Arc::new(Wire);
        options.seed = seed;
        options.waits = self.setup.waits;
        let clock = Arc::clone(&options.clock);
        let mesh = Mesh::new(options)?;
        let stored =
            tables::Options { seed: Some(seed), ..tables::Options::meshed(Storage::Shelf(self.shelf.clone())) };
        let tables = tables::Handle::open(stored, mesh.transport()).await?;
        let service = mesh.service(tables.clone(), Arc::new(Deaf));
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
        let (_root, ended) = Actor::spawn(None, Supervisor, plan).await?;
        let running = Running { mesh: handle, tables, clock, runtime: tokio::runtime::Handle::current() };
        self.running.replace(Some(running.clone()));
        clients::start(&self.setup.ledger, &running, seed);
        ended.await?;
        Err(format!("{} has given up", self.node.name).into())
    }

    /// The node is no more.
    pub(crate) fn clear(&self) {
        self.running.replace(None);
    }
}

/// Nobody is behind this mesh.
struct Deaf;

impl Receiver for Deaf {
    fn receive(&self, _: NodeId, _: Parcel, _: Option<Reply>) {}
}

impl Running {
    /// The shards for which it would act at this moment.
    pub(crate) fn acting(&self) -> impl Iterator<Item = u16> + '_ {
        let _entered = self.runtime.enter();
        let now = (self.clock)();
        (0..SHARDS).filter(move |shard| self.mesh.acts_for(*shard, now))
    }

    /// Whether it holds its lease at this moment.
    pub(crate) fn leased(&self) -> bool {
        let _entered = self.runtime.enter();
        self.mesh.holds_lease((self.clock)())
    }
}
