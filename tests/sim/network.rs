//! The state of each link, as the deeds of a script make it, and how turmoil is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use turmoil::Sim;

/// How a pair of nodes is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Open,
    Cut,
    Held,
    /// Nothing comes from the first to the second.
    Deaf(usize, usize),
}

/// See the module.
pub(crate) struct Network {
    hosts: Vec<IpAddr>,
    /// Pairs with the lower place first.
    cut: BTreeSet<(usize, usize)>,
    held: BTreeSet<(usize, usize)>,
    deaf: BTreeSet<(usize, usize)>,
    /// Machines that are off.
    dark: BTreeSet<usize>,
    told: BTreeMap<(usize, usize), Way>,
}

impl Network {
    pub(crate) fn new(hosts: Vec<IpAddr>) -> Self {
        let (cut, held, deaf, dark) = Default::default();
        Self { hosts, cut, held, deaf, dark, told: BTreeMap::new() }
    }

    pub(crate) fn cut(&mut self, one: usize, other: usize) {
        self.cut.insert(pair(one, other));
    }

    pub(crate) fn uncut(&mut self, one: usize, other: usize) {
        self.cut.remove(&pair(one, other));
    }

    pub(crate) fn hold(&mut self, one: usize, other: usize) {
        self.held.insert(pair(one, other));
    }

    pub(crate) fn deafen(&mut self, from: usize, to: usize) {
        self.deaf.insert((from, to));
    }

    pub(crate) fn isolate(&mut self, node: usize) {
        self.others(node).for_each(|other| self.cut(node, other));
    }

    pub(crate) fn stall(&mut self, node: usize) {
        self.others(node).for_each(|other| self.hold(node, other));
    }

    pub(crate) fn unstall(&mut self, node: usize) {
        self.held.retain(|(one, other)| *one != node && *other != node);
    }

    /// Its machine is off, or on again.
    pub(crate) fn set_dark(&mut self, node: usize, is_dark: bool) {
        if is_dark {
            self.dark.insert(node)
        } else {
            self.dark.remove(&node)
        };
    }

    pub(crate) fn heal(&mut self) {
        (self.cut, self.held, self.deaf) = Default::default();
    }

    /// The longest delay between two nodes.
    pub(crate) fn delay(&self, sim: &Sim<'_>, one: usize, other: usize, longest: Duration) {
        sim.set_link_max_message_latency(self.hosts[one], self.hosts[other], longest);
    }

    fn others(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.hosts.len()).filter(move |other| *other != node)
    }

    fn way(&self, (one, other): (usize, usize)) -> Way {
        let dark = self.dark.contains(&one) || self.dark.contains(&other);
        match () {
            () if dark || self.cut.contains(&(one, other)) => Way::Cut,
            () if self.held.contains(&(one, other)) => Way::Held,
            () if self.deaf.contains(&(one, other)) && self.deaf.contains(&(other, one)) => Way::Cut,
            () if self.deaf.contains(&(one, other)) => Way::Deaf(one, other),
            () if self.deaf.contains(&(other, one)) => Way::Deaf(other, one),
            () => Way::Open,
        }
    }

    /// Tells turmoil what is not yet so.
    pub(crate) fn tell(&mut self, sim: &Sim<'_>) {
        let places = 0..self.hosts.len();
        let pairs = places.clone().flat_map(|one| (one + 1..places.end).map(move |other| (one, other)));
        for pair in pairs.collect::<Vec<_>>() {
            let (way, before) = (self.way(pair), self.told.get(&pair).copied().unwrap_or(Way::Open));
            if way == before {
                continue;
            }
            let (one, other) = (self.hosts[pair.0], self.hosts[pair.1]);
            match before {
                Way::Open => {}
                Way::Cut => sim.repair(one, other),
                Way::Held => sim.release(one, other),
                Way::Deaf(from, to) => sim.repair_oneway(self.hosts[from], self.hosts[to]),
            }
            match way {
                Way::Open => {}
                Way::Cut => sim.partition(one, other),
                Way::Held => sim.hold(one, other),
                Way::Deaf(from, to) => sim.partition_oneway(self.hosts[from], self.hosts[to]),
            }
            self.told.insert(pair, way);
        }
    }
}

const fn pair(one: usize, other: usize) -> (usize, usize) {
    if one < other { (one, other) } else { (other, one) }
}
