//! How long a plan of many prefixes takes to apply, to change by one row, and to open again; and what it costs in memory.
//!
//! `cargo run --release -p tables --example load [PREFIXES]`

#![allow(clippy::print_stdout)]

use ractor::Actor;
use routing::{Change, Document, Row, RowKey};
use std::error::Error;
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use tables::{Alone, Apply, Handle, Options, Proposal, Tables};

const TRUNKS: usize = 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let prefixes: u32 = arguments.get(1).map_or(Ok(1_000_000), |text| text.parse())?;
    if let Some(dir) = arguments.get(2) {
        return fill(Path::new(dir), prefixes).await;
    }
    println!("prefixes          {prefixes}");
    let dir = std::env::temp_dir().join(format!("tables-load-{}", std::process::id()));
    // In a process of its own, so that memory below is that of a node that was started on a filled store.
    let filled = std::process::Command::new(&arguments[0]).arg(prefixes.to_string()).arg(&dir).status()?;
    if filled.success() {
        measure(&dir).await?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

async fn measure(dir: &Path) -> Result<(), Box<dyn Error>> {
    let clock = Clock::start();
    drop(Tables::open(&Options::new(dir), Arc::new(Alone))?);
    println!("open, from log    {clock}");
    let clock = Clock::start();
    let (service, handle) = Tables::open(&Options::new(dir), Arc::new(Alone))?;
    println!("open              {clock}");
    println!("memory            {} MB, peak {} MB", status_mb("VmRSS:"), status_mb("VmHWM:"));
    let (actor, task) = Actor::spawn(None, service, ()).await?;
    for round in 0..5 {
        change_one(&handle, round).await?;
    }
    println!("memory            {} MB, peak {} MB", status_mb("VmRSS:"), status_mb("VmHWM:"));
    actor.stop(None);
    task.await?;
    Ok(())
}

async fn fill(dir: &Path, prefixes: u32) -> Result<(), Box<dyn Error>> {
    let (service, handle) = Tables::open(&Options::new(dir), Arc::new(Alone))?;
    let (actor, task) = Actor::spawn(None, service, ()).await?;
    let text = document(prefixes);
    let clock = Clock::start();
    let document = Document::parse(&[("tables.toml".into(), text)]).map_err(|errors| format!("{errors:?}"))?;
    println!("parse             {clock}");
    let clock = Clock::start();
    handle.apply(document, Apply::default()).await?;
    println!("first apply       {clock}");
    actor.stop(None);
    task.await?;
    Ok(())
}

fn document(prefixes: u32) -> String {
    let mut text = String::new();
    for trunk in 0..TRUNKS {
        let _ = writeln!(text, "[[trunk]]\nname = \"t{trunk}\"\n[trunk.egress]");
        let _ = writeln!(text, "gateways = [{{ address = \"192.0.2.{trunk}:5060\" }}]");
    }
    text.push_str("[[plan]]\nname = \"big\"\n");
    for number in 0..prefixes {
        let (first, second) = (number as usize % TRUNKS, (number as usize / 7) % TRUNKS);
        let second = if first == second { (second + 1) % TRUNKS } else { second };
        let prefix = 1_000_000 + number;
        let _ = writeln!(text, "[[plan.route]]\nprefix = \"{prefix}\"\ntrunks = [\"t{first}\", \"t{second}\"]");
    }
    text
}

/// Changes one route, with a reader beside it.
async fn change_one(handle: &Handle, round: u32) -> Result<(), Box<dyn Error>> {
    let prefix = (1_000_000 + round).to_string().parse()?;
    let key = RowKey::Route { plan: "big".into(), prefix, hours: None };
    let Some(Row::Route(mut route)) = handle.view().tables().get(&key) else { return Err("no such route".into()) };
    let mut trunks = route.trunks.to_vec();
    trunks.reverse();
    route.trunks = trunks.into();
    let (stop, stopped) = channel::<()>();
    let reader = handle.clone();
    let looks = std::thread::spawn(move || longest_look(&reader, &stopped));
    let (clock, start) = (Clock::start(), Instant::now());
    let change = Change { put: vec![Row::Route(route)], delete: vec![] };
    handle.propose(Proposal { change, ..Proposal::default() }).await?;
    let took = start.elapsed();
    drop(stop);
    let longest = looks.join().map_err(|_| "the reader panicked")?;
    println!("one-row change    {took:.1?} ({clock} with the reader); longest look at the view {longest:.1?}");
    Ok(())
}

/// The longest look at the view, without the time that other processes had the processor.
fn longest_look(handle: &Handle, stopped: &Receiver<()>) -> Duration {
    let mut longest = Duration::ZERO;
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        let (before, start) = (in_line(), Instant::now());
        drop(handle.view());
        let took = start.elapsed();
        longest = longest.max(took.saturating_sub(in_line().saturating_sub(before)));
    }
    longest
}

/// How long this thread has stood in line for a processor.
fn in_line() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or_default())
}

/// Time on the wall, and of the processor, which says more on a busy machine.
struct Clock {
    wall: Instant,
    ticks: u64,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), ticks: ticks() }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1?} wall, {:.2} s CPU", self.wall.elapsed(), (ticks() - self.ticks) as f64 / 100.0)
    }
}

/// Hundredths of a second that this process has run: user and system, fields 14 and 15 of its line.
fn ticks() -> u64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn status_mb(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}
