//! Routing: the look-up in a plan of a million prefixes (criterion, in the `routing` crate), and its way from disk.

use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::process::Command;
use std::time::Instant;

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Node};
use crate::signalling::ends;

/// Seconds from the start of the node to its readiness.
const LIMIT: f64 = 5.0;

/// Nanoseconds that the 99th percentile of an answer may take.
const LOOKUP_LIMIT: f64 = 1000.0;

/// Runs both.
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
    drop(running);
    let mut seconds = Vec::new();
    for _ in 0..options.repeat {
        let start = Instant::now();
        let running = node.start()?;
        seconds.push(start.elapsed().as_secs_f64());
        drop(running);
    }
    Ok(vec![Figure {
        name: format!("start with {} prefixes to ready", options.prefixes),
        unit: "s",
        ours: Spread::of(&seconds),
        peer: None,
        peer_name: "",
        limit: Limit::AtMost(LIMIT),
    }])
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
