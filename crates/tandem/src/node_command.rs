//! `tandem node`: the composition root. Everything is checked first, then bound, then started.

use crate::config::Config;
use crate::limits;
use crate::logging::{self, say};
use crate::machine::Machine;
use crate::switchboard::{self, Board};
use crate::watchdog;
use anyhow::Context as _;
use clap::Args;
use console::{Listener, Recorder};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use switch::{Node, transport};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// `tandem node`
#[derive(Args)]
pub(crate) struct Arguments {
    /// The node's file.
    #[arg(short, long, default_value = "/etc/tandem/node.toml")]
    config: PathBuf,
    /// Only check the file.
    #[arg(long)]
    check: bool,
    /// How log lines look.
    #[arg(long, value_enum, default_value = "text")]
    log: logging::Format,
}

/// How long calls may take to clear when the process is told to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or Ctrl-C, and then until its calls are elsewhere or over, for `[node] drain_seconds` at the most. Exit code 1
/// if the node gave up by itself.
///
/// # Errors
/// The file is wrong, a port is taken, a store is broken, the cluster refuses the node.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = Config::load(&arguments.config)?;
    let http = http_options(&config);
    http.check().with_context(|| format!("{}: [http]", arguments.config.display()))?;
    if arguments.check {
        config.not_yet().iter().for_each(|line| say(&format!("{}: {line}", arguments.config.display())));
        say(&format!("{}: valid", arguments.config.display()));
        return Ok(ExitCode::SUCCESS);
    }
    logging::start(arguments.log);
    config.not_yet().iter().for_each(|line| tracing::warn!("{line}"));
    check_files(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("tandem").build()?;
    runtime.block_on(serve(&config, http))
}

fn http_options(config: &Config) -> console::Options {
    let token =
        |token: &crate::config::Token| console::Token { token: token.token.clone(), scopes: token.scopes.clone() };
    console::Options { listen: config.http.listen, tokens: config.http.tokens.iter().map(token).collect() }
}

/// A relay without descriptors refuses calls long after the start, so it is said now.
fn check_files(config: &Config) {
    let allowed = limits::raise_open_files();
    let needed = media(config).descriptors() + 1_000;
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            "the limit of open files is below what the media ports need; raise it (LimitNOFILE=) or narrow [media] ports"
        );
    }
}

fn media(config: &Config) -> relay::Options {
    let [first, last] = config.media.ports;
    let mut options = relay::Options::new(config.media.addresses(), first..=last);
    options.advertise = config.media.advertise;
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    options.start = usize::try_from(since_1970.subsec_nanos()).unwrap_or(0);
    if let Some(workers) = config.media.workers {
        options.workers = workers;
    }
    options
}

fn options(config: &Config) -> switch::Options {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    switch::Options {
        name: config.node.name.clone(),
        site: config.node.site.clone(),
        data_dir: config.node.data_dir.clone(),
        sip: transport::Options {
            udp: config.sip.udp.clone(),
            tcp: config.sip.tcp.clone(),
            advertise: config.sip.advertise,
            workers,
        },
        media: media(config),
        name_servers: Vec::new(),
        mesh: config.cluster.listen.map(|listen| mesh_options(config, listen)),
        ladder: config.ladder.options(),
        hep: config.hep.as_ref().map(crate::config::Hep::options),
        otlp: config.otlp.as_ref().map(crate::config::Otlp::options),
        surroundings: switch::Surroundings::default(),
    }
}

fn mesh_options(config: &Config, listen: SocketAddr) -> mesh::Options {
    mesh::Options {
        join: config.cluster.join.iter().map(ToString::to_string).collect(),
        tls: config.cluster.tls.as_ref().map(|tls| mesh::Files {
            ca: tls.ca.clone(),
            cert: tls.cert.clone(),
            key: tls.key.clone(),
        }),
        witness: config.node.witness,
        http: config.http.listen.to_string(),
        ..mesh::Options::new(&config.node.name, &config.node.site, listen)
    }
}

/// The recorder of metrics; one that counts nothing where `TANDEM_METRICS` is `off`, as the benchmark wants it.
fn recorder(node: &str, site: &str) -> anyhow::Result<Recorder> {
    if std::env::var("TANDEM_METRICS").is_ok_and(|wanted| wanted == "off") {
        tracing::warn!("TANDEM_METRICS=off: this node counts nothing, and no alert about it is of use");
        return Ok(Recorder::aside(node, site)?);
    }
    Ok(Recorder::install(node, site)?)
}

async fn serve(config: &Config, http: console::Options) -> anyhow::Result<ExitCode> {
    let recorder = recorder(&config.node.name, &config.node.site)?;
    let listener = Listener::bind(&http).await?;
    let mut node = Node::start(options(config)).await?;
    // What the node has just read of its certificates, it goes by until it ends.
    let certificates = config.cluster.tls.iter().flat_map(|tls| [&tls.ca, &tls.cert]);
    let machine = Machine::new(&config.node.data_dir, certificates);
    let board = Arc::new(Board::new(&node, machine));
    let console = listener.console(board, node.shell().tables.clone(), recorder);
    let address = console.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let console = tokio::spawn(console.serve(async move {
        let _ = stopped.await;
    }));
    let publishing = tokio::spawn(switchboard::publish(Arc::clone(node.shell())));
    watchdog::start()?;
    tracing::info!(node = %config.node.name, site = %config.node.site, http = %address, "takes calls");
    let mut signals = Signals::new()?;
    tokio::select! {
        why = node.failed() => return gave_up(why),
        () = signals.next() => {}
    }
    let patience = Duration::from_secs(config.node.drain_seconds.into());
    tracing::info!(
        calls = node.calls(),
        patience_s = patience.as_secs(),
        "ends when its calls are elsewhere or over; a second signal ends them at once"
    );
    let emptied = node.drain(patience);
    tokio::select! {
        why = node.failed() => return gave_up(why),
        left = emptied => tracing::info!(left, "clears the calls that are left and ends"),
        () = signals.next() => tracing::warn!("a second signal: clears its calls at once and ends"),
    }
    node.stop(PATIENCE).await;
    publishing.abort();
    let _ = stop.send(());
    let _ = console.await;
    Ok(ExitCode::SUCCESS)
}

/// Whether what keeps a node from starting may be gone at the next try, though nothing of its file changes: a process that still
/// holds the port or the folder.
pub(crate) fn may_pass(error: &anyhow::Error) -> bool {
    let in_use = |source: &std::io::Error| source.kind() == std::io::ErrorKind::AddrInUse;
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(switch::Error::Listen { source, .. }) if in_use(source))
            || matches!(cause.downcast_ref(), Some(switch::Error::DataDirTaken { .. }))
            || matches!(cause.downcast_ref(), Some(mesh::Error::Listen { taken: true, .. }))
            || matches!(cause.downcast_ref(), Some(console::Error::Bind { source, .. }) if in_use(source))
    })
}

/// The node ended by itself. A reason ends the process as wrong input does: starting it anew would change nothing.
fn gave_up(why: Option<switch::Error>) -> anyhow::Result<ExitCode> {
    if let Some(error) = why {
        return Err(error).context("the node cannot take part in the cluster");
    }
    tracing::error!("the node gave up: its actors kept failing");
    Ok(ExitCode::FAILURE)
}

/// What tells the process to end: SIGTERM, or Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
