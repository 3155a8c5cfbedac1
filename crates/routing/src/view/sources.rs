//! Trunks by the address that a request comes from: the most specific block wins.

use crate::model::{Cidr, Trunk};
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One map for each length of block that occurs, the longest first. Real tables have few lengths.
#[derive(Debug, Default)]
pub(super) struct Sources {
    v4: Vec<(u8, Blocks)>,
    v6: Vec<(u8, Blocks)>,
}

type Blocks = FxHashMap<IpAddr, Vec<Arc<Trunk>>>;

impl Sources {
    pub(super) fn build<'a>(trunks: impl Iterator<Item = &'a Arc<Trunk>>) -> Self {
        let mut sources = Self::default();
        for trunk in trunks {
            for block in trunk.ingress.iter().flat_map(|ingress| &ingress.from) {
                sources.add(*block, trunk);
            }
        }
        sources.v4.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        sources.v6.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
        sources
    }

    /// An IPv4 address mapped into IPv6, as a dual-stack socket shows it, counts as IPv4.
    pub(super) fn holding(&self, source: IpAddr) -> &[Arc<Trunk>] {
        let source = source.to_canonical();
        let family = if source.is_ipv4() { &self.v4 } else { &self.v6 };
        let found = family.iter().find_map(|(length, blocks)| blocks.get(&Cidr::holding(source, *length)?.network()));
        found.map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, block: Cidr, trunk: &Arc<Trunk>) {
        let family = if block.network().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let at = family.iter().position(|(length, _)| *length == block.length()).unwrap_or_else(|| {
            family.push((block.length(), Blocks::default()));
            family.len() - 1
        });
        let here = family[at].1.entry(block.network()).or_default();
        if !here.iter().any(|known| known.name == trunk.name) {
            here.push(trunk.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ingress;

    fn trunk(name: &str, from: &[&str]) -> Arc<Trunk> {
        let from = from.iter().map(|block| block.parse().unwrap()).collect();
        Arc::new(Trunk { ingress: Some(Ingress { from, ..Ingress::default() }), ..Trunk::named(name) })
    }

    fn names(sources: &Sources, address: &str) -> Vec<String> {
        sources.holding(address.parse().unwrap()).iter().map(|trunk| trunk.name.to_string()).collect()
    }

    #[test]
    fn the_most_specific_block_that_holds_the_address_wins() {
        let trunks =
            [trunk("wide", &["10.0.0.0/8", "2001:db8::/32"]), trunk("narrow", &["10.1.2.0/24", "2001:db8:1::1"])];
        let sources = Sources::build(trunks.iter());
        assert_eq!(names(&sources, "10.1.2.3"), ["narrow"]);
        assert_eq!(names(&sources, "10.1.3.3"), ["wide"]);
        assert_eq!(names(&sources, "11.1.3.3"), [] as [&str; 0]);
        assert_eq!(names(&sources, "2001:db8:1::1"), ["narrow"]);
        assert_eq!(names(&sources, "2001:db8:1::2"), ["wide"]);
        assert_eq!(names(&sources, "::ffff:10.1.2.3"), ["narrow"]);
    }

    #[test]
    fn trunks_may_share_a_block() {
        let trunks = [trunk("a", &["10.0.0.1"]), trunk("b", &["10.0.0.1/32"]), trunk("all", &["0.0.0.0/0"])];
        let sources = Sources::build(trunks.iter());
        assert_eq!(names(&sources, "10.0.0.1"), ["a", "b"]);
        assert_eq!(names(&sources, "10.0.0.2"), ["all"]);
    }
}
