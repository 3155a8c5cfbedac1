//! The gateways of one trunk, and in what order a call tries them. It never resolves their names.

use super::{Effect, Gateway};
use crate::seed::Seed;
use routing::model;
use sip::clock::Instant;

/// The gateways of one trunk, in the order of its row.
#[derive(Clone, Debug, Default)]
pub struct GatewaySet {
    gateways: Vec<Gateway>,
}

impl GatewaySet {
    /// Gateways of which nothing is known.
    #[must_use]
    pub fn new(rows: &[model::Gateway], now: Instant, seed: u64) -> Self {
        let mut set = Self::default();
        set.reconfigure(rows, now, seed);
        set
    }

    /// New rows. A gateway with the same address and transport keeps what is known of it.
    pub fn reconfigure(&mut self, rows: &[model::Gateway], now: Instant, seed: u64) {
        let mut known = std::mem::take(&mut self.gateways);
        let mut seed = Seed(seed);
        for row in rows {
            let same = |gateway: &Gateway| gateway.row.address == row.address && gateway.row.transport == row.transport;
            let gateway = match known.iter().position(same) {
                Some(index) => {
                    let mut gateway = known.swap_remove(index);
                    gateway.replace_row(row.clone(), now);
                    gateway
                }
                None => Gateway::new(row.clone(), now, seed.draw()),
            };
            self.gateways.push(gateway);
        }
    }

    /// All gateways, in the order of the row.
    #[must_use]
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// One gateway, by its place in the row.
    pub fn gateway_mut(&mut self, index: usize) -> Option<&mut Gateway> {
        self.gateways.get_mut(index)
    }

    /// The place of each gateway that a call should try, in order: by priority, then at random by weight as `seed`
    /// decides. Where none is usable all are tried, since a wrong verdict must not refuse calls that would have passed.
    #[must_use]
    pub fn candidates(&self, now: Instant, seed: u64) -> Vec<usize> {
        let usable: Vec<usize> =
            (0..self.gateways.len()).filter(|index| self.gateways[*index].is_usable(now)).collect();
        let mut pool = if usable.is_empty() { (0..self.gateways.len()).collect() } else { usable };
        pool.sort_by_key(|index| self.gateways[*index].row.priority);
        let mut seed = Seed(seed);
        let equal = |a: &usize, b: &usize| self.gateways[*a].row.priority == self.gateways[*b].row.priority;
        pool.chunk_by(equal).flat_map(|group| self.shuffled(group, &mut seed)).collect()
    }

    /// True if any gateway may take calls.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        self.gateways.iter().any(|gateway| gateway.is_usable(now))
    }

    /// Does what is due on every gateway.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.gateways.iter_mut().for_each(|gateway| gateway.handle_timeout(now));
    }

    /// When [`GatewaySet::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.gateways.iter().filter_map(Gateway::poll_timeout).min()
    }

    /// The next thing to do and the gateway's place, until there is none.
    pub fn poll_effect(&mut self) -> Option<(usize, Effect)> {
        self.gateways.iter_mut().enumerate().find_map(|(index, gateway)| Some((index, gateway.poll_effect()?)))
    }

    /// Draws without putting back, each with a chance in proportion to its weight; weight 0 comes last (RFC 2782).
    fn shuffled(&self, group: &[usize], seed: &mut Seed) -> Vec<usize> {
        let weight = |index: usize| u64::from(self.gateways[index].row.weight);
        let mut left = group.to_vec();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let mut mark = seed.below(left.iter().map(|index| weight(*index)).sum());
            let drawn = left.iter().position(|index| {
                let hit = mark < weight(*index);
                mark = mark.saturating_sub(weight(*index));
                hit
            });
            order.push(left.remove(drawn.unwrap_or(0)));
        }
        order
    }
}
