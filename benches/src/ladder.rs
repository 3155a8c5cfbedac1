//! What it costs to be able to explain a call afterwards: a node as it comes beside one that keeps no ladder.

use anyhow::Result;

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Node};
use crate::signalling::{Switch, ends};

/// With a ladder a call may cost so many times what it costs without.
const LIMIT: f64 = 1.05;
/// Calls a second.
const RATE: f64 = 2_500.0;

/// Two nodes on one core, called in turn.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let Some(binary) = options.binary() else {
        eprintln!("ladder: skipped, no tandem binary");
        return Ok(Vec::new());
    };
    let folder = tempfile::tempdir()?;
    let nodes = [
        Node::new(binary.clone(), folder.path(), options.core)?,
        Node::without_ladder(binary, folder.path(), options.core)?,
    ];
    let (caller, callee) = ends();
    let mut switches = Vec::new();
    for (node, name) in nodes.iter().zip(["tandem", "without a ladder"]) {
        let process = node.start()?;
        node.apply(&node::tables("bypass", caller, callee))?;
        switches.push(Switch { name, process, address: node.sip() });
    }
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..options.repeat.max(1) {
        for (switch, samples) in switches.iter().zip(&mut samples) {
            let (cost, report) = switch.warm(RATE, options.seconds)?;
            eprintln!("  {} at {RATE:.0}/s: {cost:.1} µs a call, clean: {}", switch.name, report.is_clean());
            samples.push(cost);
        }
    }
    Ok(vec![Figure {
        name: format!("CPU a call with its ladder ({RATE:.0}/s)"),
        unit: "µs",
        ours: Spread::of(&samples[0]),
        peer: Spread::of(&samples[1]),
        peer_name: "without a ladder",
        limit: Limit::Ratio(LIMIT),
    }])
}
