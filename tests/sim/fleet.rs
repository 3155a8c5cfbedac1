//! The nodes of a simulated cluster: where each lives, what stays of it while it is down, and the running node itself.

use crate::chronicle::Chronicle;
use crate::clients;
use crate::ledger::Ledger;
use crate::wire::{Wire, outside};
use mesh::times::Waits;
use routing::cluster::SHARDS;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use switch::shell::Shell;
use switch::trunks::Standing;
use switch::{clock, transport};
use topology::{Node, Topology};

/// Ports of media that nobody sends to.
const MEDIA: RangeInclusive<u16> = 20000..=20999;

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
    shelves: switch::Shelves,
    seed: u64,
    lives: Cell<u64>,
    setup: Setup,
}

/// What all nodes have in common.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) waits: Waits,
    /// Readers ask nobody how far the tables are.
    pub(crate) stale_reads: bool,
    /// Where nodes may keep files.
    pub(crate) folder: PathBuf,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) chronicle: Chronicle,
}

/// A node that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) mesh: mesh::Handle,
    pub(crate) tables: tables::Handle,
    pub(crate) shell: Arc<Shell>,
    runtime: tokio::runtime::Handle,
}

impl Fleet {
    pub(crate) fn new(topology: Topology, setup: &Setup) -> Self {
        let seat = |(number, node): (u64, &Node)| {
            Rc::new(Seat {
                node: node.clone(),
                host: outside(node.ip()),
                running: RefCell::default(),
                shelves: switch::Shelves::default(),
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
        let mut node = switch::Node::start(self.options(seed)).await?;
        let shell = Arc::clone(node.shell());
        let mesh = shell.cluster.mesh().expect("it has one").clone();
        let running = Running { mesh, tables: shell.tables.clone(), shell, runtime: tokio::runtime::Handle::current() };
        self.running.replace(Some(running.clone()));
        clients::start(&self.setup.ledger, &running, seed, self.setup.stale_reads);
        let why = node.failed().await;
        Err(format!("{} has given up: {why:?}", self.node.name).into())
    }

    fn options(&self, seed: u64) -> switch::Options {
        let mut mesh = mesh::Options::new(&self.node.name, &self.node.site, self.node.mesh);
        mesh.join = self.node.join.iter().map(ToString::to_string).collect();
        mesh.net = Arc::new(Wire);
        mesh.seed = seed;
        mesh.waits = self.setup.waits;
        let sip = transport::Options { udp: self.node.udp.clone(), workers: 1, ..transport::Options::default() };
        let media = relay::Options { still: true, ..relay::Options::new(vec![self.node.ip()], MEDIA) };
        switch::Options {
            name: self.node.name.clone(),
            site: self.node.site.clone(),
            data_dir: self.setup.folder.join(&self.node.name),
            sip,
            media,
            // Nobody has a name there, and nobody is asked for one.
            name_servers: vec![([127, 0, 0, 53], 53).into()],
            mesh: Some(mesh),
            ladder: switch::ladder::Options::default(),
            hep: None,
            otlp: None,
            surroundings: switch::Surroundings {
                net: Arc::new(Wire),
                shelves: Some(self.shelves.clone()),
                seed: Some(seed),
            },
        }
    }

    /// The machine dies, and not only the process.
    pub(crate) fn lose_unsynced(&self) {
        self.shelves.records.lose_unsynced();
    }

    /// The node is no more.
    pub(crate) fn clear(&self) {
        self.running.replace(None);
    }
}

impl Running {
    /// Where its tasks run.
    pub(crate) fn runtime(&self) -> tokio::runtime::Handle {
        self.runtime.clone()
    }

    /// The shards for which it would act at this moment.
    pub(crate) fn acting(&self) -> impl Iterator<Item = u16> + '_ {
        let _entered = self.runtime.enter();
        let now = clock::now().mono;
        (0..SHARDS).filter(move |shard| self.mesh.acts_for(*shard, now))
    }

    /// How a trunk stands on it.
    pub(crate) fn standing(&self, trunk: &str) -> Option<Standing> {
        self.shell.trunks.standings(&self.tables.view()).into_iter().find(|standing| &*standing.name == trunk)
    }

    /// Channels of a trunk that are held by calls which may have ended with their node.
    pub(crate) fn unsure(&self, trunk: &str) -> u32 {
        u32::try_from(self.shell.protect.unsure(&self.shell, trunk)).unwrap_or(u32::MAX)
    }

    /// Whether it knows where a phone is.
    pub(crate) fn knows(&self, phone: &str) -> bool {
        let _entered = self.runtime.enter();
        let user = |aor: &str| sip::uri::Uri::parse(aor).and_then(|uri| uri.user.map(str::to_owned));
        let known = self.shell.contacts.list(None, 1000, clock::now(), |_| true);
        known.iter().any(|address| user(&address.aor).as_deref() == Some(phone))
    }

    /// Whether nothing of a call is left: no channel and no port.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.shell.relay.gauges().sessions == 0
            && self.shell.trunks.standings(&self.tables.view()).iter().all(|standing| standing.used == 0)
    }

    /// Tells so many calls at most that no audio is heard any more; how many there were.
    pub(crate) fn end_silent(&self, most: usize) -> usize {
        let _entered = self.runtime.enter();
        let calls = self.shell.calls.directory.some(usize::MAX);
        calls.into_iter().take(most).filter(|(id, _)| self.shell.calls.hangup(*id, "media_timeout")).count()
    }

    /// Whether it holds its lease at this moment.
    pub(crate) fn leased(&self) -> bool {
        let _entered = self.runtime.enter();
        self.mesh.holds_lease(clock::now().mono)
    }
}
