//! Memory a held call, signalling and media together.

use anyhow::{Result, bail};
use load::Progress;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Node};
use crate::process::{Process, descriptors};
use crate::signalling::ends;

/// KB a call.
const LIMIT: f64 = 24.0;
/// Calls set up a second.
const SETUP: u64 = 500;

/// Until the last of the calls is as quiet as held calls are: their ladders are packed after four seconds, and all of them are
/// looked at within four.
const QUIET: Duration = Duration::from_secs(20);

/// Sockets of a relayed call: RTP and RTCP of two legs.
const SOCKETS: u64 = 4;

/// The lower end of the step from which the cost of one more call is taken.
const FEW: u64 = 1000;
/// Runs of each size: memory varies little.
const RUNS: usize = 2;

/// Holds many calls and looks at the node's proportional set size before and after.
///
/// A relayed call needs four sockets, so with media the limit of open files decides how many can be held. What is asked
/// for and cannot be held is said to be not measured; what can be is measured, and the cost of one more call beside it,
/// which does not carry what is allocated once.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    if options.binary().is_none() {
        eprintln!("memory: skipped, no tandem binary");
        return Ok(Vec::new());
    }
    let fitting = options.held.min(descriptors().saturating_sub(1000) / SOCKETS);
    let mut figures = Vec::new();
    if fitting < options.held {
        eprintln!(
            "memory: {} calls with media are not measured: they need {} descriptors, and the hard limit of open files here is \
             {}; measured with {fitting}, and the cost of one more",
            options.held,
            options.held * SOCKETS,
            descriptors()
        );
        figures.push(figure(&format!("{} held, relay", options.held), &[], Limit::AtMost(LIMIT)));
    }
    let many = held(options, fitting, "relay")?;
    if fitting > FEW {
        let few = held(options, FEW, "relay")?;
        let more = |(many, few): (&f64, &f64)| (many - few) / (fitting - FEW) as f64;
        let marginal: Vec<f64> = many.iter().zip(&few).map(more).collect();
        figures.push(figure(&format!("one more, {FEW} to {fitting} held, relay"), &marginal, Limit::AtMost(LIMIT)));
    }
    let each = |total: &[f64], calls: u64| total.iter().map(|total| total / calls as f64).collect::<Vec<_>>();
    figures.push(figure(&format!("{fitting} held, relay"), &each(&many, fitting), Limit::AtMost(LIMIT)));
    let without = held(options, options.held, "bypass")?;
    figures.push(figure(&format!("{} held, bypass", options.held), &each(&without, options.held), Limit::None));
    Ok(figures)
}

fn figure(what: &str, samples: &[f64], limit: Limit) -> Figure {
    let ours = Spread::of(samples);
    Figure {
        name: format!("memory a call, {what}"),
        unit: "KB PSS",
        ours,
        peer: None,
        peer_name: "",
        pairs: None,
        limit,
    }
}

/// KB of all calls together, in a new node each time.
fn held(options: &Options, calls: u64, media: &str) -> Result<Vec<f64>> {
    let (caller, callee) = ends();
    let mut samples = Vec::new();
    for _ in 0..options.repeat.min(RUNS) {
        let Some(binary) = options.binary() else { bail!("the binary is gone") };
        let folder = tempfile::tempdir()?;
        let node = Node::new(binary, folder.path(), options.core)?;
        let process = node.start()?;
        node.apply(&node::tables(media, caller, callee))?;
        // A few calls first, so that what is allocated once is not counted.
        hold(&process, 100)?;
        let cost = hold(&process, calls)?;
        eprintln!("  {:.1} KB a call at {calls} held ({media})", cost / calls as f64);
        samples.push(cost);
    }
    Ok(samples)
}

/// KB while `calls` are open. Media is set up but silent, so that the figure is of memory alone.
fn hold(process: &Process, calls: u64) -> Result<f64> {
    let (caller, callee) = ends();
    let mut options = load::Options::new(caller, Some(callee), node::ADDRESS.parse()?);
    options.rate = SETUP as f64;
    options.calls = Some(calls);
    options.duration = Duration::from_secs(calls / SETUP + 5);
    options.hold = Duration::from_secs(600);
    let progress = Arc::new(Progress::default());
    let shared = Arc::clone(&progress);
    let before = process.pss_kb();
    let generator = std::thread::spawn(move || load::run(&options, &shared));
    let start = Instant::now();
    while progress.snapshot().answered < calls {
        let now = progress.snapshot();
        if generator.is_finished() || now.failed > 0 || start.elapsed() > Duration::from_secs(calls / SETUP + 60) {
            progress.stop();
            bail!("the calls are not all answered: {now:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(QUIET);
    let cost = process.pss_kb() - before;
    progress.stop();
    let Ok(report) = generator.join() else { bail!("the generator panicked") };
    eprint!("{}", report?);
    Ok(cost)
}
