//! The side-by-side capacity benchmarks: Tandem against Kamailio and rtpengine, in one run on one machine.
//!
//! The switch under test runs on one core, the generator on another one, and pairs are interleaved, because the same
//! switch costs a different amount an hour later. What counts is the ratio; absolute figures belong to the machine.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a command whose output is its purpose")]

mod beside;
mod endurance;
mod figure;
mod kamailio;
mod ladder;
mod media;
mod memory;
mod node;
mod process;
mod protection;
mod routing;
mod rtpengine;
mod signalling;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// CPU a call, and the clean peak.
    Signalling,
    /// CPU a relayed packet.
    Media,
    /// What a call's copy in another site costs.
    Protection,
    /// What a call's ladder costs.
    Ladder,
    /// CPU a call after minutes of calls.
    Endurance,
    /// Memory a held call.
    Memory,
    /// Look-up in, and loading of, a plan of a million prefixes.
    Routing,
    /// All of them.
    All,
}

/// Capacity of Tandem beside its peers.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// The binary under test; without it `target/release/tandem`, or the one beside this program.
    #[arg(long)]
    tandem: Option<PathBuf>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How often each measurement is made.
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// The rate at which pairs are compared instead of a search for the peak, calls a second; may be given several times.
    #[arg(long)]
    rate: Vec<f64>,
    /// The calls held for the memory figure.
    #[arg(long, default_value_t = 20_000)]
    held: u64,
    /// The prefixes of the plan that is loaded.
    #[arg(long, default_value_t = 1_000_000)]
    prefixes: u64,
    /// The core of the switch under test; the generator takes the next one.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

impl Options {
    /// The binary under test, where there is one.
    fn binary(&self) -> Option<PathBuf> {
        let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("tandem")));
        let given = self.tandem.clone().or(beside).filter(|path| path.is_file());
        given.or_else(|| Some(PathBuf::from("target/release/tandem")).filter(|path| path.is_file()))
    }
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    load::pin_to_core(options.core + 1).context("the generator needs a core of its own beside the switch's")?;
    if options.binary().is_none() {
        eprintln!("no tandem binary (build it with `cargo build --release`, or name it with --tandem): peers alone");
    }
    let wanted = |what| options.what == What::All || options.what == what;
    let mut figures = Vec::new();
    if wanted(What::Signalling) {
        figures.extend(signalling::measure(&options)?);
    }
    if wanted(What::Media) {
        figures.extend(media::measure(&options)?);
    }
    if wanted(What::Protection) {
        figures.extend(protection::measure(&options)?);
    }
    if wanted(What::Ladder) {
        figures.extend(ladder::measure(&options)?);
    }
    if wanted(What::Endurance) {
        figures.extend(endurance::measure(&options)?);
    }
    if wanted(What::Memory) {
        figures.extend(memory::measure(&options)?);
    }
    if wanted(What::Routing) {
        figures.extend(routing::measure(&options)?);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        print!("{}", figure::table(&figures));
    }
    Ok(if figures.iter().any(figure::Figure::is_over) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
