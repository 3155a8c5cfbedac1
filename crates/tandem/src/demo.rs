//! `tandem demo`: three sites as three processes, tables applied at one of them, partners that call into all three with
//! real audio, a live view, and a report that says whether everything held.

mod partners;
mod promises;
mod records;
mod scene;
mod stage;
mod view;

use crate::logging::say;
use clap::Args;
use partners::Partners;
use promises::{Facts, Promise};
use scene::{Death, Scene};
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

/// The site that is killed.
const VICTIM: usize = 1;

/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(500);

/// Runs it. Exit code 0 only if the sites became one switch and every call did what it was meant to, with clean audio
/// and its record.
///
/// # Errors
/// A node does not start, for instance because a port is taken.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    crate::limits::raise_open_files();
    let mut stage = Stage::start()?;
    say(&format!("tandem demo: three sites, each its own process: {}", stage.sites()));
    let formed = match stage.wait_formed()? {
        Ok(formed) => formed,
        Err(missing) => {
            say(&format!("BROKEN  the sites did not become one switch: {missing}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    say(&format!(
        "one cluster after {:.1} s: every node sees the others, and each acts for its share of shards",
        formed.as_secs_f64()
    ));
    let visible = stage.apply_tables()?;
    say(&format!(
        "tables applied at {}, and in force at all three sites {} ms later",
        stage.entrance(),
        visible.as_millis()
    ));
    let facts = perform(&mut stage, arguments.calls, visible)?;
    say(&format!(
        "{} came back on its data, and was one of the cluster again after {:.1} s",
        facts.death.node,
        facts.back.as_secs_f64()
    ));
    summary(&facts.usual).iter().for_each(|line| say(line));
    say("");
    let promises = promises::of(&facts);
    promises.iter().for_each(|promise| say(&shown(promise)));
    let held = promises.iter().all(|promise| promise.held);
    say(if held { "\nEverything that was promised held." } else { "\nSomething that was promised did not hold." });
    if !arguments.exit {
        say(&format!("\nThe sites stay up (Ctrl-C ends them). Try:\n{}", stage.hints()));
        stage.wait();
    }
    stage.stop();
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The calls of everyday in a few lines; what counts is checked by the promises below them.
fn summary(report: &load::Report) -> Vec<String> {
    let load::Report { offered, answered, failed, elapsed_seconds, .. } = report;
    let refused = report.busy + report.cancelled + report.not_answered;
    #[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
    let ms = |us: u64| us as f64 / 1000.0;
    let (setup, ringing) = (&report.setup_us, &report.post_dial_delay_us);
    let mut lines = vec![
        format!(
            "calls   {offered} placed in {elapsed_seconds:.1} s, {answered} answered, {refused} refused as meant, \
             {failed} failed"
        ),
        format!(
            "times   ringing after {:.1} ms (p99 {:.1}), answered after {:.0} ms (p99 {:.0})",
            ms(ringing.p50),
            ms(ringing.p99),
            ms(setup.p50),
            ms(setup.p99)
        ),
    ];
    if let Some(audio) = &report.audio {
        lines.push(format!(
            "audio   {} legs, {} packets sent, {} received; longest gap {} ms (up to {} ms of it ours)",
            audio.legs, audio.packets_sent, audio.packets_received, audio.longest_gap_ms.max, audio.own_pause_ms
        ));
    }
    lines
}

fn shown(promise: &Promise) -> String {
    format!("  {}  {}", if promise.held { "held  " } else { "BROKEN" }, promise.text)
}

/// The calls: those of everyday, and amid them more at once for the small carrier than it has channels.
fn perform(stage: &mut Stage, calls: u64, visible: Duration) -> anyhow::Result<Facts> {
    let began = Instant::now();
    let entrances = stage.entrances();
    let mut usual = Partners::usual(calls, &entrances)?;
    let mut burst: Option<Partners> = None;
    let mut death: Option<Death> = None;
    let mut view = view::View::open();
    while !usual.finished() || !burst.as_ref().is_some_and(Partners::finished) {
        std::thread::sleep(FRAME);
        stage.check_alive()?;
        if death.is_none() && usual.snapshot().offered >= calls * 2 / 3 {
            let node = stage.names()[VICTIM].1.clone();
            let carried = stage.kill(VICTIM);
            death = Some(Death { node, calls: carried, at: began.elapsed() });
        }
        if burst.is_none() && (usual.snapshot().offered >= calls / 3 || usual.finished()) {
            burst = Some(Partners::burst(&entrances)?);
        }
        let answers = stage.ask();
        let burst = burst.as_ref().map(Partners::snapshot);
        view.draw(&Scene::of(&stage.names(), &answers, began.elapsed(), usual.snapshot(), burst, death.clone()));
    }
    view.close();
    // The records of the calls that had ended there are still on its disk.
    let back = match stage.restart(VICTIM)? {
        Ok(back) => back,
        Err(missing) => anyhow::bail!("the site that was killed did not come back: {missing}"),
    };
    let burst = burst.as_mut().map(Partners::report).transpose()?.unwrap_or_default();
    let usual = usual.report()?;
    let offered = usual.offered + burst.offered;
    let finals = records::finals(&stage.records(), offered);
    let limit = stage.limit_of(partners::SMALL);
    let death = death.unwrap_or_default();
    Ok(Facts { calls, usual, burst, limit, visible, death, back, finals, idle: stage.wait_idle() })
}
