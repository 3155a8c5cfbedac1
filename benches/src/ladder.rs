//! What it costs to see a node and to be able to explain a call afterwards: a node as it comes, beside one that keeps no ladder, and
//! beside one that neither counts nor logs anything either.

use anyhow::Result;

use crate::Options;
use crate::beside;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Node, Seen};
use crate::signalling::{Switch, WARM};

/// A call may cost so many times what it costs without its ladder; and without metrics and spans as well.
const LIMIT: f64 = 1.05;
/// Calls a second through each of them.
const RATE: f64 = 850.0;
/// Seconds of calls that make one sample.
const SAMPLE: u64 = 16;
/// The nodes, in the order in which they are started and called.
const NODES: [(&str, Seen); 3] =
    [("tandem", Seen::All), ("without a ladder", Seen::NoLadder), ("unseen", Seen::Nothing)];

/// CPU of a call in microseconds, of each node.
type Costs = [f64; NODES.len()];

/// Three nodes on one core, called at the same time ([`beside`]), which have carried as many calls. The place among them matters too, by a hundredth or two:
/// they are measured in one order and in the other.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let Some(binary) = options.binary() else {
        eprintln!("ladder: skipped, no tandem binary");
        return Ok(Vec::new());
    };
    let mut samples = [const { Vec::new() }; NODES.len()];
    for turned in [false, true] {
        let folder = tempfile::tempdir()?;
        let mut switches = Vec::new();
        for (place, number) in (0..NODES.len()).zip(0..) {
            let (name, seen) = NODES[if turned { NODES.len() - 1 - place } else { place }];
            let node = Node::seen(binary.clone(), folder.path(), options.core, number + 1, seen)?;
            let (process, (caller, callee)) = (node.start()?, beside::ends_of(number.into()));
            node.apply(&node::tables("bypass", caller, callee))?;
            switches.push(Switch { name, process, address: node.sip() });
        }
        together(&switches, WARM)?;
        for _ in 0..options.repeat.max(1) {
            let (mut costs, clean) = together(&switches, SAMPLE)?;
            if turned {
                costs.reverse();
            }
            let told: Vec<String> =
                NODES.iter().zip(&costs).map(|((name, _), cost)| format!("{name} {cost:.1} µs")).collect();
            eprintln!("  at {RATE:.0}/s each: {} a call, clean: {clean}", told.join(", "));
            samples.iter_mut().zip(costs).for_each(|(samples, cost)| samples.push(cost));
        }
    }
    let figure = |name: &str, peer: usize| Figure {
        name: format!("{name} ({} × {RATE:.0}/s)", NODES.len()),
        unit: "µs",
        ours: Spread::of(&samples[0]),
        peer: Spread::of(&samples[peer]),
        peer_name: NODES[peer].0,
        pairs: Spread::of_pairs(&samples[0], &samples[peer]),
        limit: Limit::Ratio(LIMIT),
    };
    Ok(vec![figure("CPU a call with its ladder", 1), figure("CPU a call with ladder, metrics, spans", 2)])
}

/// CPU of a call through each, called at the same time, in microseconds; and whether no call was in any trouble.
fn together(switches: &[Switch], seconds: u64) -> Result<(Costs, bool)> {
    let spent = || switches.iter().map(|switch| switch.process.cpu_us()).collect::<Vec<_>>();
    let addresses: Vec<_> = switches.iter().map(|switch| switch.address).collect();
    let before = spent();
    let reports = beside::offer(&addresses, RATE, seconds)?;
    let mut costs = Costs::default();
    for (cost, ((after, before), report)) in costs.iter_mut().zip(spent().into_iter().zip(before).zip(&reports)) {
        *cost = (after - before) / report.offered.max(1) as f64;
    }
    Ok((costs, reports.iter().all(load::Report::is_clean)))
}
