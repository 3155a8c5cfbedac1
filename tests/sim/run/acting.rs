//! What a deed does to the simulated nodes and their network.

use super::{FAR_MS, NEAR_MS, Run};
use crate::faults::Deed;
use crate::fleet::Seat;
use std::rc::Rc;
use std::time::Duration;
use topology::Action;

impl Run<'_> {
    pub(super) fn act(&mut self, deed: &Deed) {
        match deed {
            Deed::Planned(action) => self.act_planned(action),
            Deed::Crash(node) => self.kill(*node, false),
            Deed::Restart => self.restart(),
            Deed::Cut(one, other) => self.network.cut(*one, *other),
            Deed::Deafen { from, to } => self.network.deafen(*from, *to),
            Deed::Hold(one, other) => self.network.hold(*one, *other),
            Deed::Isolate(node) => self.network.isolate(*node),
            Deed::Stall(node) => self.network.stall(*node),
            Deed::Delay(ms) => self.delay(*ms),
            Deed::Lose(share) => self.sim.set_fail_rate(f64::from(*share) / 10_000.0),
            Deed::Heal => self.heal(),
        }
    }

    fn act_planned(&mut self, action: &Action) {
        let leader = self.fleet.leader();
        let meant = |target: &topology::Target, run: &Self| -> Vec<String> {
            let nodes = target.nodes(&run.fleet.topology, leader.as_deref(), &run.affected);
            nodes.into_iter().map(|node| node.name.clone()).collect()
        };
        match action {
            Action::Kill(target) => {
                for name in meant(target, self) {
                    self.kill(self.fleet.place(&name), true);
                    self.affected.push(name);
                }
            }
            Action::Restart(target) => {
                for name in meant(target, self) {
                    self.start(self.fleet.place(&name));
                    self.affected.retain(|affected| *affected != name);
                }
            }
            Action::Stop(target) => {
                for name in meant(target, self) {
                    self.network.stall(self.fleet.place(&name));
                    self.affected.push(name);
                }
            }
            Action::Continue(target) => {
                for name in meant(target, self) {
                    self.network.unstall(self.fleet.place(&name));
                    self.affected.retain(|affected| *affected != name);
                }
            }
            Action::Cut(link) | Action::Heal(Some(link)) => {
                let pairs = link.pairs(&self.fleet.topology).into_iter();
                let pairs: Vec<_> =
                    pairs.map(|(a, b)| (self.fleet.place(&a.name), self.fleet.place(&b.name))).collect();
                let cuts = matches!(action, Action::Cut(_));
                for (a, b) in pairs {
                    if cuts { self.network.cut(a, b) } else { self.network.uncut(a, b) }
                }
            }
            Action::Heal(None) => self.network.heal(),
        }
    }

    /// The process ends; with its machine nobody hears of it.
    pub(super) fn kill(&mut self, node: usize, with_machine: bool) {
        let seat: Rc<Seat> = Rc::clone(&self.fleet.seats[node]);
        if with_machine {
            self.network.set_dark(node, true);
            self.network.tell(&self.sim);
            seat.lose_unsynced();
        }
        seat.clear();
        if self.sim.is_host_running(seat.host) {
            self.sim.crash(seat.host);
        }
    }

    fn start(&mut self, node: usize) {
        self.network.set_dark(node, false);
        let host = self.fleet.seats[node].host;
        if !self.sim.is_host_running(host) {
            self.sim.bounce(host);
        }
    }

    pub(super) fn restart(&mut self) {
        (0..self.fleet.seats.len()).for_each(|node| self.start(node));
        self.affected.clear();
    }

    pub(super) fn heal(&mut self) {
        self.network.heal();
        self.sim.set_fail_rate(0.0);
        self.delay(FAR_MS);
    }

    pub(super) fn delay(&self, far_ms: u64) {
        let nodes = &self.fleet.topology.nodes;
        for one in 0..nodes.len() {
            for other in one + 1..nodes.len() {
                let near = nodes[one].site == nodes[other].site;
                let longest = Duration::from_millis(if near { NEAR_MS } else { far_ms });
                self.network.delay(&self.sim, one, other, longest);
            }
        }
    }
}
