//! What protection costs: a call through one of three sites, whose state and record go to another one, beside the same call
//! through a node alone; and how long the other site takes to confirm a state.
//!
//! The node alone and the three run on one core and are called at the same time ([`beside`]). What a cluster costs without calls is
//! measured first and taken off: it does not grow with them. How long a state waits is measured with nothing beside the cluster.

use anyhow::{Result, bail};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Options;
use crate::beside;
use crate::figure::{Figure, Limit, Spread};
use crate::node::{self, Metrics, Node};
use crate::process::Process;
use crate::signalling::{self, WARM};

/// With checkpoints a call may cost so many times what it costs without.
const LIMIT: f64 = 1.3;
/// Calls a second, of each group of nodes.
const RATE: f64 = 1000.0;
/// Seconds of calls that make one sample.
const SAMPLE: u64 = 16;
/// A state is confirmed after the round trip, which is nothing here, and so many milliseconds.
const CONFIRMED_MS: f64 = 5.0;
/// A new cluster is one within this time.
const FORMED: Duration = Duration::from_secs(60);

/// One node, or three.
struct Group {
    nodes: Vec<Node>,
    processes: Vec<Process>,
}

impl Group {
    /// Starts `nodes`, whose calls run between the ends of that number.
    fn start(nodes: Vec<Node>, ends: u16) -> Result<Self> {
        let mut processes = Vec::new();
        for node in &nodes {
            processes.push(node.start()?);
        }
        let group = Self { nodes, processes };
        group.wait_until_one()?;
        let (caller, callee) = beside::ends_of(ends);
        group.nodes[0].apply(&node::tables("bypass", caller, callee))?;
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
}

/// CPU of a call in microseconds, what is spent without calls taken off: through a node alone, and through three, of its own node and of
/// the others.
#[derive(Clone, Copy, Default)]
struct Cost {
    alone: f64,
    own: f64,
    others: f64,
}

/// A node alone and three of a cluster, called at the same time, `repeat` samples. Who is started first and called first is worth a
/// hundredth or two.
fn costs(binary: &Path, options: &Options, alone_first: bool) -> Result<Vec<Cost>> {
    let folder = tempfile::tempdir()?;
    let alone =
        || Group::start(vec![Node::beside_sites(binary, folder.path(), options.core)?], u16::from(!alone_first));
    let sites = || Group::start(Node::sites(binary, folder.path(), options.core)?, u16::from(alone_first));
    let (alone, sites) = match alone_first {
        true => (alone()?, sites()?),
        false => {
            let sites = sites()?;
            (alone()?, sites)
        }
    };
    let spent = || [[alone.cpu_us()[0], 0.0], sites.cpu_us()];
    let less = |after: [[f64; 2]; 2], before: [[f64; 2]; 2], divisor: f64| {
        [0, 1].map(|group: usize| [0, 1].map(|who: usize| (after[group][who] - before[group][who]) / divisor))
    };
    let mut addresses = [alone.nodes[0].sip(), sites.nodes[0].sip()];
    if !alone_first {
        addresses.reverse();
    }
    let (before, start) = (spent(), Instant::now());
    std::thread::sleep(Duration::from_secs(options.seconds));
    let idle = less(spent(), before, start.elapsed().as_secs_f64() * RATE);
    beside::offer(&addresses, RATE, WARM)?;
    let mut costs = Vec::new();
    for _ in 0..options.repeat.max(1) {
        let before = spent();
        let reports = beside::offer(&addresses, RATE, SAMPLE)?;
        let calls = reports.iter().map(|report| report.offered).sum::<u64>().max(1) as f64 / 2.0;
        let cost = less(less(spent(), before, calls), idle, 1.0);
        let cost = Cost { alone: cost[0][0], own: cost[1][0], others: cost[1][1] };
        eprintln!(
            "  at {RATE:.0}/s each: a node alone {:.1}, three nodes {:.1} + {:.1} µs a call, clean: {}",
            cost.alone,
            cost.own,
            cost.others,
            reports.iter().all(load::Report::is_clean)
        );
        costs.push(cost);
    }
    Ok(costs)
}

/// What a cluster with nothing beside it says of its states: the p99 of the time until one was confirmed, in milliseconds, and how many
/// calls did not wait.
fn confirmations(binary: &Path, options: &Options) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let group = Group::start(Node::sites(binary, folder.path(), options.core)?, 0)?;
    let before = group.nodes[0].metrics()?;
    let (_, report) = signalling::warm(node::ADDRESS.parse()?, RATE, options.seconds, || group.cpu_us())?;
    let after = group.nodes[0].metrics()?;
    let late = |metrics: &Metrics| metrics.sum("tandem_checkpoints_late_total");
    let (confirmed, late) = (quantile(&before, &after, 0.99) * 1000.0, late(&after) - late(&before));
    eprintln!(
        "  three nodes at {RATE:.0}/s: confirmed within {confirmed:.2} ms, late {late}, clean: {}",
        report.is_clean()
    );
    Ok((confirmed, late))
}

pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let Some(binary) = options.binary() else {
        eprintln!("protection: skipped, no tandem binary");
        return Ok(Vec::new());
    };
    let mut measured = Vec::new();
    for alone_first in [true, false] {
        measured.extend(costs(&binary, options, alone_first)?);
    }
    let (mut confirmed, mut late) = (Vec::new(), Vec::new());
    for _ in 0..options.repeat {
        let (within, too_late) = confirmations(&binary, options)?;
        confirmed.push(within);
        late.push(too_late);
    }
    let of = |what: fn(&Cost) -> f64| measured.iter().map(what).collect::<Vec<_>>();
    let (alone, own, all) = (of(|cost| cost.alone), of(|cost| cost.own), of(|cost| cost.own + cost.others));
    let beside = |name: &str, ours: &[f64], limit| Figure {
        name: name.into(),
        unit: "µs",
        ours: Spread::of(ours),
        peer: Spread::of(&alone),
        peer_name: "a node alone",
        pairs: Spread::of_pairs(ours, &alone),
        limit,
    };
    let told = |name: &str, unit, ours: &[f64], limit| Figure {
        name: name.into(),
        unit,
        ours: Spread::of(ours),
        peer: None,
        peer_name: "",
        pairs: None,
        limit,
    };
    Ok(vec![
        beside("CPU a protected call, all three nodes", &all, Limit::Ratio(LIMIT)),
        beside("CPU a protected call, its own node", &own, Limit::None),
        told("a state confirmed by its backup, p99", "ms", &confirmed, Limit::AtMost(CONFIRMED_MS)),
        told("calls that did not wait for their backup", "calls", &late, Limit::AtMost(0.0)),
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
