//! Routing: the look-up in a plan of a million prefixes (criterion, in the `routing` crate), its way from disk, and how
//! long an INVITE waits while a change beside it is swapped in.

use anyhow::{Context, Result, bail};
use load::Progress;
use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, ADDRESS, Node};
use crate::signalling::ends;

/// Seconds from the start of the node to its readiness.
const LIMIT: f64 = 5.0;

/// Nanoseconds that the 99th percentile of an answer may take.
const LOOKUP_LIMIT: f64 = 1000.0;

/// Milliseconds that an INVITE may wait while a change is swapped in.
const WAIT_LIMIT: f64 = 5.0;
/// Calls a second while changes are swapped in, and how far apart those are.
const RATE: f64 = 200.0;
const PAUSE: Duration = Duration::from_millis(500);

/// Runs all of it.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let mut figures = lookups(options)?;
    figures.extend(loading(options)?);
    Ok(figures)
}

/// The benchmark of the `routing` crate, whose lines of percentiles become figures.
fn lookups(options: &Options) -> Result<Vec<Figure>> {
    let mut found: Vec<(String, Vec<f64>)> = Vec::new();
    for _ in 0..options.repeat {
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["bench", "-p", "routing", "--bench", "prefix"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cargo bench -p routing")?;
        if !output.status.success() {
            bail!("cargo bench -p routing failed");
        }
        let text = String::from_utf8_lossy(&output.stdout);
        eprint!("{text}");
        for (name, p99) in text.lines().filter_map(percentile) {
            match found.iter_mut().find(|(known, _)| known == name) {
                Some((_, samples)) => samples.push(p99),
                None => found.push((name.to_owned(), vec![p99])),
            }
        }
    }
    let figure = |(name, samples): (String, Vec<f64>)| Figure {
        limit: if name.contains("clock") { Limit::None } else { Limit::AtMost(LOOKUP_LIMIT) },
        name: format!("{name}, p99"),
        unit: "ns",
        ours: Spread::of(&samples),
        peer: None,
        peer_name: "",
        pairs: None,
    };
    Ok(found.into_iter().map(figure).collect())
}

/// Reads `NAME: p50 A ns, p99 B ns, …`.
fn percentile(line: &str) -> Option<(&str, f64)> {
    let (name, rest) = line.split_once(": p50 ")?;
    let p99 = rest.split_once(", p99 ")?.1.split(' ').next()?;
    Some((name, p99.parse().ok()?))
}

/// From the start of a node that has the plan on disk to its readiness.
fn loading(options: &Options) -> Result<Vec<Figure>> {
    let Some(binary) = options.binary() else {
        eprintln!("routing: loading is skipped, no tandem binary");
        return Ok(Vec::new());
    };
    let folder = tempfile::tempdir()?;
    let node = Node::new(binary, folder.path(), options.core)?;
    let (caller, callee) = ends();
    let mut tables = node::tables("bypass", caller, callee);
    for prefix in 0..options.prefixes {
        write!(tables, "[[plan.route]]\nprefix = \"{}\"\ntrunks = [\"out\"]\n", 1_000_000 + prefix)?;
    }
    let running = node.start()?;
    let start = Instant::now();
    node.apply(&tables)?;
    eprintln!("  {} prefixes applied in {:.1} s", options.prefixes, start.elapsed().as_secs_f64());
    let wait = waiting(options, &node)?;
    drop(running);
    let mut seconds = Vec::new();
    for _ in 0..options.repeat {
        let start = Instant::now();
        let running = node.start()?;
        seconds.push(start.elapsed().as_secs_f64());
        drop(running);
    }
    Ok(vec![
        wait,
        Figure {
            name: format!("start with {} prefixes to ready", options.prefixes),
            unit: "s",
            ours: Spread::of(&seconds),
            peer: None,
            peer_name: "",
            pairs: None,
            limit: Limit::AtMost(LIMIT),
        },
    ])
}

/// The longest time from an INVITE to the ringing that comes back through the node, while one row is changed again and
/// again beside the plan, and while nothing is changed: the machine's own share.
fn waiting(options: &Options, node: &Node) -> Result<Figure> {
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..options.repeat {
        for (changes, samples) in [true, false].into_iter().zip(&mut samples) {
            let (wait, applied) = longest_wait(options, node, changes)?;
            eprintln!("  {wait:.1} ms at most from INVITE to ringing, {applied} changes");
            samples.push(wait);
        }
    }
    Ok(Figure {
        name: format!("longest wait, a row changed beside {}", options.prefixes),
        unit: "ms",
        ours: Spread::of(&samples[0]),
        peer: Spread::of(&samples[1]),
        peer_name: "without changes",
        pairs: None,
        limit: Limit::AtMost(WAIT_LIMIT),
    })
}

/// Milliseconds, and how many changes were made meanwhile.
fn longest_wait(options: &Options, node: &Node, changes: bool) -> Result<(f64, u32)> {
    let (caller, callee) = ends();
    let mut calls = load::Options::new(caller, Some(callee), ADDRESS.parse()?);
    (calls.rate, calls.duration) = (RATE, Duration::from_secs(options.seconds));
    calls.hold = Duration::from_millis(500);
    let generator = std::thread::spawn(move || load::run(&calls, &Progress::default()));
    let mut applied = 0;
    while !generator.is_finished() {
        std::thread::sleep(PAUSE);
        if changes && !generator.is_finished() {
            applied += 1;
            node.apply(&node::spare_trunk(applied))?;
        }
    }
    let Ok(report) = generator.join() else { bail!("the generator panicked") };
    let report = report?;
    if report.failed > 0 {
        bail!("calls failed while tables changed: {report}");
    }
    Ok((report.post_dial_delay_us.max as f64 / 1000.0, applied))
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_line_of_percentiles_is_read() {
        assert_eq!(percentile("longest prefix: p50 120 ns, p99 431 ns, p99.9 2 ns"), Some(("longest prefix", 431.0)));
        assert_eq!(percentile("memory: 12.0 bytes a prefix"), None);
    }
}
