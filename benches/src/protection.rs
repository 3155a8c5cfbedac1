//! What protection costs: a call through one of three sites, whose state and record go to another one, beside the same call
//! through a node alone; and how long the other site takes to confirm a state.
//!
//! What a cluster costs without calls is measured first and taken off: it does not grow with them.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

use crate::Options;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Metrics, Node};
use crate::process::Process;
use crate::signalling::{self, ends};

/// With checkpoints a call may cost so many times what it costs without.
const LIMIT: f64 = 1.3;
/// Calls a second.
const RATE: f64 = 1000.0;
/// A state is confirmed after the round trip, which is nothing here, and so many milliseconds.
const CONFIRMED_MS: f64 = 5.0;
/// A new cluster is one within this time.
const FORMED: Duration = Duration::from_secs(60);

/// Three nodes, or one.
struct Group {
    nodes: Vec<Node>,
    processes: Vec<Process>,
    /// CPU of all nodes while nothing is called, microseconds a second: the first node's and that of the others.
    idle: [f64; 2],
}

impl Group {
    fn start(nodes: Vec<Node>, seconds: u64) -> Result<Self> {
        let mut processes = Vec::new();
        for node in &nodes {
            processes.push(node.start()?);
        }
        let mut group = Self { nodes, processes, idle: [0.0; 2] };
        group.wait_until_one()?;
        let (caller, callee) = ends();
        group.nodes[0].apply(&node::tables("bypass", caller, callee))?;
        let (before, start) = (group.cpu_us(), Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        let (after, elapsed) = (group.cpu_us(), start.elapsed().as_secs_f64());
        group.idle = [0, 1].map(|who| (after[who] - before[who]) / elapsed);
        Ok(group)
    }

    /// Waits until each node sees all the others.
    fn wait_until_one(&self) -> Result<()> {
        let (others, start) = (self.nodes.len() - 1, Instant::now());
        let sees_all = |node: &Node| node.metrics().is_ok_and(|seen| seen.sum("tandem_node_up") >= others as f64);
        while !self.nodes.iter().all(sees_all) {
            if start.elapsed() > FORMED {
                bail!("the {} nodes are not one cluster after {} s", others + 1, FORMED.as_secs());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// CPU of the first node, and of the others together.
    fn cpu_us(&self) -> [f64; 2] {
        let (first, others) = self.processes.split_at(1);
        [first, others].map(|processes| processes.iter().map(Process::cpu_us).sum())
    }

    /// CPU of a call in microseconds, the idle cost taken off: on the node that it enters, and on the others.
    fn cost(&self, seconds: u64) -> Result<[f64; 2]> {
        let (spent, report) = signalling::warm(node::ADDRESS.parse()?, RATE, seconds, || self.cpu_us())?;
        let cost = [0, 1].map(|who| spent[who] - self.idle[who] / RATE);
        eprintln!(
            "  {} node(s) at {RATE:.0}/s: {:.1} + {:.1} µs a call, clean: {}",
            self.nodes.len(),
            cost[0],
            cost[1],
            report.is_clean()
        );
        Ok(cost)
    }
}

/// Pairs of runs, each with nodes of its own: there is room for one group at a time on a core.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let Some(binary) = options.binary() else {
        eprintln!("protection: skipped, no tandem binary");
        return Ok(Vec::new());
    };
    let (mut alone, mut with, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let (mut confirmed, mut late) = (Vec::new(), Vec::new());
    for _ in 0..options.repeat {
        let folder = tempfile::tempdir()?;
        let one = Group::start(vec![Node::new(binary.clone(), folder.path(), options.core)?], options.seconds)?;
        alone.push(one.cost(options.seconds)?[0]);
        drop(one);
        let folder = tempfile::tempdir()?;
        let three = Group::start(Node::sites(&binary, folder.path(), options.core)?, options.seconds)?;
        let before = three.nodes[0].metrics()?;
        let cost = three.cost(options.seconds)?;
        with.push(cost[0] + cost[1]);
        own.push(cost[0]);
        let after = three.nodes[0].metrics()?;
        confirmed.push(quantile(&before, &after, 0.99) * 1000.0);
        let of = |metrics: &Metrics| metrics.sum("tandem_checkpoints_late_total");
        late.push(of(&after) - of(&before));
    }
    let figure = |name: &str, unit, ours: &[f64], peer: &[f64], limit| Figure {
        name: name.into(),
        unit,
        ours: Spread::of(ours),
        peer: Spread::of(peer),
        peer_name: "a node alone",
        pairs: Spread::of_pairs(ours, peer),
        limit,
    };
    Ok(vec![
        figure("CPU a protected call, all three nodes", "µs", &with, &alone, Limit::Ratio(LIMIT)),
        figure("CPU a protected call, its own node", "µs", &own, &alone, Limit::None),
        figure("a state confirmed by its backup, p99", "ms", &confirmed, &[], Limit::AtMost(CONFIRMED_MS)),
        figure("calls that did not wait for their backup", "calls", &late, &[], Limit::AtMost(0.0)),
    ])
}

/// A quantile of the time until a state was confirmed, in seconds, between two scrapes; within a bucket as if evenly spread.
fn quantile(before: &Metrics, after: &Metrics, quantile: f64) -> f64 {
    const NAME: &str = "tandem_checkpoint_wait_seconds";
    let (before, after) = (before.buckets(NAME), after.buckets(NAME));
    let earlier = |bound: f64| before.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
    let counts: Vec<(f64, f64)> = after.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
    let wanted = counts.last().map_or(0.0, |(_, all)| all * quantile);
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= wanted && count > below {
            return low + (bound - low) * (wanted - below) / (count - below);
        }
        (low, below) = (bound, count);
    }
    f64::INFINITY
}
