//! What it costs to be able to explain a call afterwards: a node as it comes beside one that keeps no ladder.

use anyhow::Result;

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Node};
use crate::signalling::{Switch, WARM, ends};

/// With a ladder a call may cost so many times what it costs without.
const LIMIT: f64 = 1.05;
/// Calls a second.
const RATE: f64 = 2_500.0;
/// Seconds of calls to one node, then to the other: the machine costs more from one minute to the next than what is measured here.
const TURN: u64 = 2;
/// Turns of each node that make one sample.
const TURNS: usize = 8;

/// Two nodes on one core, called in short turns. What a node does for calls that have ended falls into the turns of the other and is
/// counted all the same.
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
    for switch in &switches {
        switch.calls(RATE, WARM)?;
    }
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..options.repeat.max(1) {
        let (costs, clean) = in_turns(&switches)?;
        for ((switch, samples), cost) in switches.iter().zip(&mut samples).zip(costs) {
            eprintln!("  {} at {RATE:.0}/s: {cost:.1} µs a call, clean: {clean}", switch.name);
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

/// CPU of a call through each, in microseconds, and whether no call was in any trouble.
fn in_turns(switches: &[Switch]) -> Result<(Vec<f64>, bool)> {
    let spent = || switches.iter().map(|switch| switch.process.cpu_us()).collect::<Vec<_>>();
    let (before, mut offered, mut clean) = (spent(), vec![0; switches.len()], true);
    for turn in 0..TURNS {
        for place in 0..switches.len() {
            // Whoever was last goes on: none is always behind the other.
            let which = if turn % 2 == 0 { place } else { switches.len() - 1 - place };
            let report = Switch::offer(switches[which].address, RATE, TURN)?;
            offered[which] += report.offered;
            clean &= report.is_clean();
        }
    }
    let spent = spent().into_iter().zip(before).map(|(after, before)| after - before);
    let costs = spent.zip(offered).map(|(spent, calls)| spent / calls.max(1) as f64);
    Ok((costs.collect(), clean))
}
