//! What breaks when: the plans of `cluster/faults`, and plans drawn from a seed that know more ways for a network to fail.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt;
use topology::{Action, Plan, Topology};

/// How long the faults of a drawn plan go on, in ms.
const DRAWN_MS: u64 = 16_000;

/// One thing that happens to the nodes at these places.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Deed {
    /// A step of a plan in `cluster/faults`: dying is dying with the machine there, and a process that stands still is one
    /// whose messages wait, both ways.
    Planned(Action),
    /// The process dies, and its machine tells those that are connected.
    Crash(usize),
    /// Whoever is down starts again.
    Restart,
    /// Nothing passes any more.
    Cut(usize, usize),
    /// Nothing passes one way.
    Deafen { from: usize, to: usize },
    /// Everything waits, and comes in a burst when it is released.
    Hold(usize, usize),
    /// A node is cut from, or held from, all others.
    Isolate(usize),
    /// See [`Deed::Hold`], of everything of a node.
    Stall(usize),
    /// The longest delay of a message between sites, in ms.
    Delay(u64),
    /// Of ten thousand messages so many are lost.
    Lose(u32),
    /// Whatever passes badly passes well again.
    Heal,
}

/// Deeds with their times in ms from the beginning of the faults, the earliest first.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) deeds: Vec<(u64, Deed)>,
    pub(crate) ends_ms: u64,
}

impl Script {
    /// A plan of `cluster/faults`.
    pub(crate) fn of_plan(plan: &Plan) -> Self {
        let deeds = plan.steps.iter().map(|step| (step.at_ms, Deed::Planned(step.action.clone()))).collect();
        Self { deeds, ends_ms: plan.ends_ms }
    }

    /// Drawn from a seed.
    pub(crate) fn drawn(seed: u64, topology: &Topology) -> Self {
        let mut chance = StdRng::seed_from_u64(seed ^ 0x5eed_fa17);
        let nodes = topology.nodes.len();
        let (mut deeds, mut at) = (Vec::new(), 1000);
        while at < DRAWN_MS {
            deeds.push((at, draw(&mut chance, nodes)));
            // Most faults end by themselves; some pile up until the next one of their kind does.
            if chance.random_bool(0.7) {
                let lasts = chance.random_range(200..5000);
                deeds.push((at + lasts, if chance.random_bool(0.5) { Deed::Heal } else { Deed::Restart }));
            }
            at += chance.random_range(300..4000);
        }
        deeds.sort_by_key(|(at, _)| *at);
        Self { deeds, ends_ms: DRAWN_MS + 2000 }
    }
}

fn draw(chance: &mut StdRng, nodes: usize) -> Deed {
    let one = chance.random_range(0..nodes);
    let other = (one + chance.random_range(1..nodes)) % nodes;
    match chance.random_range(0..100) {
        0..22 => Deed::Crash(one),
        22..34 => Deed::Restart,
        34..46 => Deed::Cut(one, other),
        46..56 => Deed::Isolate(one),
        56..64 => Deed::Deafen { from: one, to: other },
        64..72 => Deed::Hold(one, other),
        72..82 => Deed::Stall(one),
        82..88 => Deed::Delay(*[5, 40, 90, 250].choose(chance).expect("not empty")),
        88..92 => Deed::Lose(*[1, 5, 20].choose(chance).expect("not empty")),
        _ => Deed::Heal,
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned(action) => write!(f, "{action}"),
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Restart => f.write_str("restart whoever is down"),
            Self::Cut(one, other) => write!(f, "cut {one} from {other}"),
            Self::Deafen { from, to } => write!(f, "{to} does not hear {from}"),
            Self::Hold(one, other) => write!(f, "hold {one} and {other}"),
            Self::Isolate(node) => write!(f, "isolate {node}"),
            Self::Stall(node) => write!(f, "stall {node}"),
            Self::Delay(ms) => write!(f, "delay up to {ms} ms"),
            Self::Lose(share) => write!(f, "lose {share} of 10000"),
            Self::Heal => f.write_str("heal all"),
        }
    }
}
