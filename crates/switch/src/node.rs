//! One node: the supervision tree of ARCHITECTURE.md, built bottom up and stopped top down.

use crate::calls::{self, Calls};
use crate::cdr;
use crate::clients::Clients;
use crate::clock;
use crate::counters::Messages;
use crate::data_dir::Claim;
use crate::dispatch::Dispatcher;
use crate::error::Error;
use crate::registrations::{self, Contacts, Registrations};
use crate::resolver::Resolver;
use crate::shell::Shell;
use crate::supervise::{Child, Plan, Strategy, Supervisor};
use crate::transport::{self, Inbox, Transports};
use crate::trunks::{self, Trunks};
use ::call::{Local, Locals, Settings};
use ractor::{Actor, ActorCell, ActorRef};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use sip::digest::Challenger;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Live calls of one node at the most; past it INVITEs get 503.
const CALLS: usize = 200_000;

/// How long a digest may be computed from one nonce: phones keep it from one REGISTER to the next.
const NONCE: Duration = Duration::from_secs(3600);

/// What one node is made of.
#[derive(Clone, Debug)]
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
}

/// A running node.
pub struct Node {
    shell: Arc<Shell>,
    root: ActorRef<crate::supervise::Never>,
    ended: JoinHandle<()>,
    options: Options,
    registrations: Registrations,
    #[allow(dead_code, reason = "held as long as the node runs")]
    claim: Claim,
}

impl Node {
    /// Binds every port, opens every store, then starts the actors. Nothing runs if anything of it fails.
    ///
    /// # Errors
    /// [`Error`] says which part, and why.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let claim = Claim::new(&options.data_dir)?;
        let transports = Transports::bind(options.sip.clone())?;
        let mut media = options.media.clone();
        media.clock = || clock::now().mono;
        let relay = relay::Handle::prepare(media)?;
        let (keeper, tables) = open_tables(&options).await?;
        let cdr = cdr::Handle::open(cdr::Options {
            data_dir: options.data_dir.clone(),
            node: options.name.clone(),
            site: options.site.clone(),
        })?;
        let contacts = Contacts::default();
        let locals = locals(&transports);
        let shell = Arc::new(Shell {
            calls: Calls::new(CALLS),
            resolver: Resolver::open(&options.name_servers, &locals)?,
            locals,
            transports,
            tables,
            trunks: Trunks::default(),
            contacts: contacts.clone(),
            relay,
            cdr,
            clients: Clients::default(),
            messages: Messages::default(),
            settings: settings(),
            stopping: AtomicBool::new(false),
            records_fail: AtomicBool::new(false),
            random: Shell::random(),
        });
        let registrations = Registrations::new(Arc::clone(&shell));
        let plan = tree(&shell, &registrations, keeper);
        let (root, ended) = Actor::spawn(None, Supervisor, plan).await?;
        Ok(Self { shell, root, ended, options, registrations, claim })
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

    /// Returns when the tree has given up: the process should end then, and be started anew.
    pub async fn failed(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Ends every call with BYE and record, waits for them at most `patience`, and stops the tree.
    pub async fn stop(self, patience: Duration) {
        self.shell.stopping.store(true, Ordering::Relaxed);
        calls::hangup_all(&self.shell.calls, "shutdown");
        let deadline = tokio::time::Instant::now() + patience;
        while !self.shell.calls.directory.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.shell.trunks.leave().await;
        self.root.stop(Some("shutdown".to_owned()));
        let _ = self.ended.await;
    }
}

/// Reads every row, which may take seconds: on a thread that may block. Without a mesh the node is a cluster of its own.
async fn open_tables(options: &Options) -> Result<(tables::Tables, tables::Handle), Error> {
    let alone = tables::member(&options.name, &options.site, "");
    let dir = options.data_dir.join("tables");
    let options = tables::Options { alone: Some(alone), ..tables::Options::new(dir) };
    let opened = tokio::task::spawn_blocking(move || tables::Tables::open(&options, Arc::new(tables::Alone))).await;
    Ok(opened.map_err(std::io::Error::other)??)
}

fn locals(transports: &Transports) -> Locals {
    let local = |(transport, bound, told): (sip::Transport, SocketAddr, SocketAddr)| Local {
        transport,
        bound,
        advertised: told.to_string().into(),
    };
    Locals { sip: transports.locals().into_iter().map(local).collect() }
}

fn settings() -> Settings {
    let mut secret = [0; 32];
    StdRng::from_os_rng().fill_bytes(&mut secret);
    Settings { challenger: Challenger::new(secret, routing::REALM, NONCE), ..Settings::default() }
}

type Started = Result<ActorCell, Error>;

/// Start order is the order of dependency; what fails takes down what was started after it.
fn tree(shell: &Arc<Shell>, registrations: &Registrations, keeper: tables::Tables) -> Plan {
    let tables = Child::new("tables", move |up| {
        let keeper = keeper.clone();
        async move { Ok::<_, Error>(Actor::spawn_linked(None, keeper, (), up).await?.0.get_cell()) }
    });
    let relay = child(shell, "relay", |shell, up| async move { supervised(relay_plan(&shell), up).await });
    let shared = registrations.clone();
    let registrations_child = Child::new("registrations", move |up| {
        let shared = shared.clone();
        async move { supervised(registrations::plan(&shared), up).await }
    });
    let trunks = child(shell, "trunks", |shell, up| async move { trunks::spawn(shell, up).await });
    let cdrs = child(shell, "cdrs", |shell, up| async move { shell.cdr.spawn(up).await });
    let calls = child(shell, "calls", |shell, up| async move { supervised(calls::plan(&shell), up).await });
    let inbox: Arc<dyn Inbox> = Arc::new(Dispatcher::new(Arc::clone(shell), registrations.clone()));
    let transports = child(shell, "transports", move |shell, up| {
        let inbox = Arc::clone(&inbox);
        async move { supervised(transport::plan(&shell.transports, &inbox), up).await }
    });
    let children = vec![tables, relay, registrations_child, trunks, cdrs, calls, transports];
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
