//! `tandem demo`: a node as a process of its own, sample tables, partners that call through it with real audio, a live
//! view, and a report that says whether everything held.

mod partners;
mod reconcile;
mod stage;
mod view;

use crate::logging::say;
use clap::Args;
use partners::Partners;
use stage::Stage;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// `tandem demo`
#[derive(Args)]
pub(crate) struct Arguments {
    /// How many calls the partners place.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    calls: u64,
    /// End with the report instead of staying up.
    #[arg(long)]
    exit: bool,
}

/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(500);

/// Runs it. Exit code 0 only if every call did what it was meant to, with clean audio and its record.
///
/// # Errors
/// The node does not start, for instance because a port is taken.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    crate::limits::raise_open_files();
    say("tandem demo: one node on 127.0.1.1, a PBX on 127.0.9.1, carriers on 127.0.9.10 and 127.0.9.20");
    let mut stage = Stage::start()?;
    say(&format!("node is up: API and metrics on {}", stage.url()));
    stage.apply_tables()?;
    say("tables are applied: acme-pbx may call +44 through alpha, and through beta when alpha is busy elsewhere");
    let began = Instant::now();
    let mut partners = Partners::start(arguments.calls)?;
    let mut view = view::View::default();
    while !partners.finished() {
        std::thread::sleep(FRAME);
        stage.check_alive()?;
        view.draw(&view::Frame::take(&partners, &stage, began.elapsed()));
    }
    view.finish();
    let report = partners.report()?;
    say(&report.to_string());
    let promises = reconcile::check(&stage, &report, arguments.calls);
    say("");
    for promise in &promises {
        say(&format!("  {}  {}", if promise.held { "held  " } else { "BROKEN" }, promise.text));
    }
    let held = promises.iter().all(|promise| promise.held);
    say(if held { "\nEverything that was promised held." } else { "\nSomething that was promised did not hold." });
    if !arguments.exit {
        say(&format!("\nThe node stays up. Try:  TANDEM_NODE={} tandem trunks   (Ctrl-C ends it)", stage.url()));
        stage.wait();
    }
    stage.stop();
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
