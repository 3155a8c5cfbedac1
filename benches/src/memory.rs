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

/// Sockets of a relayed call: RTP and RTCP of two legs.
const SOCKETS: u64 = 4;

/// Holds many calls and looks at the node's proportional set size before and after.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    if options.binary().is_none() {
        eprintln!("memory: skipped, no tandem binary");
        return Ok(Vec::new());
    }
    let fitting = options.held.min(descriptors().saturating_sub(1000) / SOCKETS);
    if fitting < options.held {
        eprintln!("memory: this machine's limit of open files allows {fitting} relayed calls, not {}", options.held);
    }
    Ok(vec![
        held(options, fitting, "relay", Limit::AtMost(LIMIT))?,
        held(options, options.held, "bypass", Limit::None)?,
    ])
}

fn held(options: &Options, calls: u64, media: &str, limit: Limit) -> Result<Figure> {
    let (caller, callee) = ends();
    let mut samples = Vec::new();
    for _ in 0..options.repeat {
        let Some(binary) = options.binary() else { bail!("the binary is gone") };
        let folder = tempfile::tempdir()?;
        let node = Node::new(binary, folder.path(), options.core)?;
        let process = node.start()?;
        node.apply(&node::tables(media, caller, callee))?;
        // A few calls first, so that what is allocated once is not counted.
        hold(&process, 100)?;
        let cost = hold(&process, calls)?;
        eprintln!("  {cost:.1} KB a call at {calls} held ({media})");
        samples.push(cost);
    }
    Ok(Figure {
        name: format!("memory a call, {calls} held, {media}"),
        unit: "KB PSS",
        ours: Spread::of(&samples),
        peer: None,
        peer_name: "",
        limit,
    })
}

/// KB a call while `calls` are open. Media is set up but silent, so that the figure is of memory alone.
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
    std::thread::sleep(Duration::from_secs(2));
    let cost = (process.pss_kb() - before) / calls as f64;
    progress.stop();
    let Ok(report) = generator.join() else { bail!("the generator panicked") };
    eprint!("{}", report?);
    Ok(cost)
}
