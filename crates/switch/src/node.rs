//! One node: the supervision tree of ARCHITECTURE.md, built bottom up and stopped top down.

use crate::calls::{self, Calls};
use crate::cdr;
use crate::clients::Clients;
use crate::clock;
use crate::cluster::{self, Cluster, Inward, Knock, Teller};
use crate::counters::Messages;
use crate::data_dir::Claim;
use crate::dispatch::Dispatcher;
use crate::ending;
use crate::error::Error;
use crate::hep;
use crate::ladder::{self, Ladders};
use crate::otlp;
use crate::protect::Protect;
use crate::registrations::{self, Contacts, Registrations};
use crate::resolver::Resolver;
use crate::shell::Shell;
use crate::stall::Stall;
use crate::supervise::{Child, Plan, Strategy, Supervisor};
use crate::transport::{self, Inbox, Transports};
use crate::trunks::{self, Trunks};
use ::call::{Local, Locals, Settings};
use mesh::Mesh;
use ractor::{Actor, ActorCell, ActorRef};
use sip::digest::Challenger;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Live calls of one node at the most; past it INVITEs get 503.
const CALLS: usize = 200_000;

/// How long a digest may be computed from one nonce: phones keep it from one REGISTER to the next.
const NONCE: Duration = Duration::from_secs(3600);

/// What one node is made of.
#[derive(Clone)]
pub struct Options {
    /// Unique in the cluster.
    pub name: String,
    /// The failure domain.
    pub site: String,
    /// Tables, outbox and records.
    pub data_dir: PathBuf,
    /// SIP listeners.
    pub sip: transport::Options,
    /// The media relay.
    pub media: relay::Options,
    /// Name servers; empty for those of the system.
    pub name_servers: Vec<SocketAddr>,
    /// What is kept to explain calls.
    pub ladder: ladder::Options,
    /// Where copies of messages go, if anywhere.
    pub hep: Option<hep::Options>,
    /// Where traces of calls go, if anywhere.
    pub otlp: Option<otlp::Options>,
    /// How it finds the other nodes; `None` for a node alone. Its SIP addresses and its clock are filled in here.
    pub mesh: Option<mesh::Options>,
    /// What is around it; the default but for a simulation.
    pub surroundings: Surroundings,
}

/// What a simulation replaces of the machine. A network of the mesh is in the mesh's own options.
#[derive(Clone)]
pub struct Surroundings {
    /// Datagrams of SIP.
    pub net: Arc<dyn transport::net::Net>,
    /// Tables and outbox are here and not in `data_dir`.
    pub shelves: Option<Shelves>,
    /// What the tables leave to chance follows from it.
    pub seed: Option<u64>,
}

/// What stays of a node in memory while it is down.
#[derive(Clone, Debug, Default)]
pub struct Shelves {
    /// The tables.
    pub tables: tables::Shelf,
    /// The call records.
    pub records: cdr::Shelf,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { net: Arc::new(transport::net::System), shelves: None, seed: None }
    }
}

/// A running node.
pub struct Node {
    shell: Arc<Shell>,
    root: ActorRef<crate::supervise::Never>,
    ended: JoinHandle<()>,
    returning: JoinHandle<()>,
    options: Options,
    registrations: Registrations,
    inward: Arc<Inward>,
    #[allow(dead_code, reason = "held as long as the node runs")]
    claim: Claim,
}

impl Node {
    /// Binds every port, opens every store, then starts the actors. Nothing runs if anything of it fails. Returns when the node
    /// takes part in its cluster: a node that joins waits for that as long as it takes.
    ///
    /// # Errors
    /// [`Error`] says which part, and why.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let claim = Claim::new(&options.data_dir)?;
        let transports = Transports::bind(options.sip.clone(), &*options.surroundings.net)?;
        let locals = locals(&transports);
        let mut media = options.media.clone();
        media.clock = || clock::now().mono;
        let relay = relay::Handle::prepare(media)?;
        let inward = Arc::new(Inward::default());
        let others = Others::open(&options, &locals, &inward).await?;
        let cdr = cdr::Handle::open(cdr::Options {
            data_dir: options.data_dir.clone(),
            node: options.name.clone(),
            site: options.site.clone(),
            alone: options.mesh.is_none(),
            shelf: options.surroundings.shelves.as_ref().map(|shelves| shelves.records.clone()),
        })?;
        let shell = Arc::new(Shell {
            calls: Calls::new(CALLS),
            resolver: Resolver::open(&options.name_servers, &locals)?,
            locals,
            transports,
            cluster: Cluster::new(others.tables.clone(), others.mesh.as_ref().map(mesh::Service::handle)),
            tables: others.tables.clone(),
            trunks: Trunks::default(),
            contacts: Contacts::default(),
            relay,
            protect: Protect::new(),
            cdr,
            ladders: Ladders::new(
                options.ladder,
                options.hep.clone().map(hep::Queue::new),
                options.otlp.clone().map(otlp::Queue::new),
            ),
            clients: Clients::default(),
            messages: Messages::default(),
            settings: OnceLock::new(),
            stall: Stall::default(),
            stopping: AtomicBool::new(false),
            records_fail: AtomicBool::new(false),
            random: Shell::random(),
        });
        let registrations = Registrations::new(Arc::clone(&shell));
        let dispatcher = Arc::new(Dispatcher::new(Arc::clone(&shell), registrations.clone()));
        inward.open(Arc::clone(&shell), Arc::clone(&dispatcher), registrations.clone());
        let names = (options.name.clone(), options.site.clone());
        let plan = tree(&shell, names, &registrations, dispatcher, others);
        // A refusal comes up through the supervisors as the failure of an actor, and says more by itself.
        let refusal = || shell.cluster.mesh().and_then(mesh::Handle::refusal);
        let spawned = Actor::spawn(None, Supervisor, plan).await;
        let (root, ended) = spawned.map_err(|error| refusal().map_or_else(|| error.into(), Error::Mesh))?;
        let returning = tokio::spawn(ending::take_part(Arc::clone(&shell), options.data_dir.clone()));
        Ok(Self { shell, root, ended, returning, options, registrations, inward, claim })
    }

    /// Who answers questions of other nodes about what is alive here.
    pub fn answer_with(&self, teller: Arc<dyn Teller>) {
        self.inward.answer_with(teller);
    }

    /// What everything shares.
    #[must_use]
    pub fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// Who is registered.
    #[must_use]
    pub fn registrations(&self) -> &Registrations {
        &self.registrations
    }

    /// The top of the tree.
    #[cfg(test)]
    pub(crate) fn root(&self) -> ActorCell {
        self.root.get_cell()
    }

    /// What it was started with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Returns when the node cannot go on: its tree has given up, and the process should be started anew, or the cluster
    /// refuses it for good, which is said.
    pub async fn failed(&mut self) -> Option<Error> {
        let mesh = self.shell.cluster.mesh().cloned();
        let expelled = async {
            match mesh {
                Some(mesh) => mesh.expelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut self.ended => None,
            error = expelled => Some(error.into()),
        }
    }

    /// Calls that are not over.
    #[must_use]
    pub fn calls(&self) -> usize {
        ending::calls(&self.shell)
    }

    /// Takes no new calls from now on, and empties the node for at most `patience`: the calls go to other nodes, or end by themselves
    /// where there is none. Answers how many are left. For [`Node::stop`], which ends those.
    pub fn drain(&self, patience: Duration) -> impl Future<Output = usize> + Send + use<> {
        ending::empty(Arc::clone(&self.shell), self.options.data_dir.clone(), patience)
    }

    /// Ends every call with BYE and record, waits for them at most `patience`, and stops the tree.
    pub async fn stop(self, patience: Duration) {
        self.returning.abort();
        self.shell.stopping.store(true, Ordering::Relaxed);
        calls::hangup_all(&self.shell.calls, "shutdown");
        let deadline = tokio::time::Instant::now() + patience;
        while !self.shell.calls.directory.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.shell.trunks.leave().await;
        // While the mesh is still there: without it nobody is told, and the others wait until they hold this node dead.
        self.shell.tables.hand_over().await;
        self.shell.protect.stop();
        if self.shell.cluster.mesh().and_then(mesh::Handle::refusal).is_some() {
            self.shell.cdr.disown();
        }
        self.root.stop(Some("shutdown".to_owned()));
        let _ = self.ended.await;
    }
}

/// The tables, and what connects them with those of other nodes.
struct Others {
    keeper: tables::Tables,
    tables: tables::Handle,
    mesh: Option<mesh::Service>,
}

impl Others {
    /// Reads every row, which may take seconds: on a thread that may block.
    async fn open(options: &Options, locals: &Locals, inward: &Arc<Inward>) -> Result<Self, Error> {
        let Surroundings { net, shelves, seed } = &options.surroundings;
        let storage = match shelves {
            Some(shelves) => tables::Storage::Shelf(shelves.tables.clone()),
            None => tables::Storage::Disk(options.data_dir.join("tables")),
        };
        let mesh = options.mesh.clone().map(|options| Mesh::new(surrounded(options, locals, net))).transpose()?;
        let (alone, transport) = match &mesh {
            Some(mesh) => (None, mesh.transport()),
            None => {
                let alone = Some(tables::member(&options.name, &options.site, ""));
                (alone, Arc::new(tables::Alone) as Arc<dyn tables::Transport>)
            }
        };
        let stored = tables::Options { alone, seed: *seed, ..tables::Options::meshed(storage) };
        let (keeper, tables) = tables::Tables::open_apart(stored, transport).await?;
        let mesh = mesh.map(|mesh| mesh.service(tables.clone(), Arc::clone(inward) as Arc<dyn mesh::Receiver>));
        Ok(Self { keeper, tables, mesh })
    }
}

/// What the mesh has to know of SIP: where others knock when they do not hear us, and the clock that actors read.
fn surrounded(mut options: mesh::Options, locals: &Locals, net: &Arc<dyn transport::net::Net>) -> mesh::Options {
    let udp = locals.sip.iter().filter(|local| local.transport == sip::Transport::Udp);
    options.sip = udp.map(|local| local.advertised.to_string()).collect();
    options.clock = Arc::new(|| clock::now().mono);
    options.knock = Arc::new(Knock(Arc::clone(net)));
    options
}

fn locals(transports: &Transports) -> Locals {
    let local = |(transport, bound, told): (sip::Transport, SocketAddr, SocketAddr)| Local {
        transport,
        bound,
        advertised: told.to_string().into(),
    };
    Locals { sip: transports.locals().into_iter().map(local).collect() }
}

/// What calls are told, once the cluster is known: all nodes sign challenges alike, so that one may check what another asked.
fn settle(shell: &Shell) {
    let secret = shell.cluster.replicated().secret;
    let settings = Settings { challenger: Challenger::new(secret, routing::REALM, NONCE), ..Settings::default() };
    // After a restart of the tree it is there already, and the same.
    let _ = shell.settings.set(settings);
    shell.cluster.refresh();
}

/// Waits until the cluster is known: at once for a node that was part of it before, so that it goes on from its last tables
/// while the others are out of reach; for a new one when it is taken in.
async fn enter(shell: &Shell) -> Result<(), Error> {
    let mut changes = shell.tables.cluster_watch();
    while shell.cluster.replicated().id.is_empty() {
        let changed = async { changes.changed().await.map_err(|_| Error::Tables(tables::Error::Stopped)) };
        match shell.cluster.mesh() {
            Some(mesh) => tokio::select! {
                error = mesh.expelled() => return Err(error.into()),
                changed = changed => changed?,
            },
            None => changed.await?,
        }
    }
    settle(shell);
    Ok(())
}

type Started = Result<ActorCell, Error>;

/// Start order is the order of dependency; what fails takes down what was started after it.
fn tree(
    shell: &Arc<Shell>,
    names: (String, String),
    registrations: &Registrations,
    inbox: Arc<Dispatcher>,
    others: Others,
) -> Plan {
    let Others { keeper, mesh, .. } = others;
    let tables = Child::new("tables", move |up| {
        let keeper = keeper.clone();
        async move { Ok::<_, Error>(Actor::spawn_linked(None, keeper, (), up).await?.0.get_cell()) }
    });
    let mesh = mesh.map(|service| {
        Child::new("mesh", move |up| {
            let service = service.clone();
            async move { Ok::<_, Error>(service.spawn(up).await?) }
        })
    });
    let relay = child(shell, "relay", |shell, up| async move { supervised(relay_plan(&shell), up).await });
    let shared = registrations.clone();
    let followed = registrations.clone();
    let follower = child(shell, "cluster", move |shell, up| {
        let registrations = followed.clone();
        async move {
            enter(&shell).await?;
            cluster::spawn_follower(shell, registrations, up).await
        }
    });
    let registrations_child = Child::new("registrations", move |up| {
        let shared = shared.clone();
        async move { supervised(registrations::plan(&shared), up).await }
    });
    let trunks = child(shell, "trunks", |shell, up| async move { trunks::spawn(shell, up).await });
    let copying = shell
        .cluster
        .mesh()
        .map(|_| child(shell, "cdr_copies", |shell, up| async move { cdr::copying::spawn(shell, up).await }));
    let cdrs = child(shell, "cdrs", |shell, up| async move { shell.cdr.spawn(up).await });
    let hep = shell.ladders.hep().map(|_| child(shell, "hep", |shell, up| async move { hep::spawn(shell, up).await }));
    let otlp = shell.ladders.otlp().map(|_| {
        child(shell, "otlp", move |shell, up| {
            let names = names.clone();
            async move { otlp::spawn(shell, names, up).await }
        })
    });
    let calls = child(shell, "calls", |shell, up| async move { supervised(calls::plan(&shell), up).await });
    let inbox: Arc<dyn Inbox> = inbox;
    let transports = child(shell, "transports", move |shell, up| {
        let inbox = Arc::clone(&inbox);
        async move { supervised(transport::plan(&shell.transports, &inbox), up).await }
    });
    let first = std::iter::once(tables).chain(mesh);
    let former = first.chain([follower, relay, registrations_child, trunks]).chain(copying);
    let children = former.chain([cdrs]).chain(hep).chain(otlp).chain([calls, transports]).collect();
    Plan { name: "node", strategy: Strategy::RestForOne, children }
}

fn child<F, R>(shell: &Arc<Shell>, name: &'static str, start: F) -> Child
where
    F: Fn(Arc<Shell>, ActorCell) -> R + Send + Sync + 'static,
    R: Future<Output = Started> + Send + 'static,
{
    let shell = Arc::clone(shell);
    Child::new(name, move |up| start(Arc::clone(&shell), up))
}

async fn supervised(plan: Plan, up: ActorCell) -> Started {
    let (actor, _) = Actor::spawn_linked(None, Supervisor, plan, up).await?;
    Ok(actor.get_cell())
}

/// One actor a packet worker.
fn relay_plan(shell: &Arc<Shell>) -> Plan {
    let shards = (0..shell.relay.shards()).map(|index| {
        let relay = shell.relay.clone();
        Child::new("relay_shard", move |up| {
            let relay = relay.clone();
            async move { Ok::<_, Error>(relay::spawn_shard(&relay, index, up).await?.get_cell()) }
        })
    });
    Plan { name: "relay", strategy: Strategy::OneForOne, children: shards.collect() }
}
