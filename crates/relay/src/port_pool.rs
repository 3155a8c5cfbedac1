//! The free pairs of media ports of all addresses, given out in the order in which they came back.
//!
//! First in, first out: a pair rests as long as the pool allows, so a late packet of the former call finds nobody.

use crate::Options;
use std::collections::VecDeque;

/// An even port and the odd one after it, on one of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    /// The index into [`Options::addresses`].
    pub(crate) address: u8,
    /// The even port.
    pub(crate) port: u16,
}

pub(crate) struct PortPool {
    free: VecDeque<Pair>,
}

impl PortPool {
    /// Every pair of every address, the addresses taking turns.
    pub(crate) fn new(options: &Options) -> Self {
        let addresses = u8::try_from(options.addresses.len()).unwrap_or(u8::MAX);
        let mut free: VecDeque<_> =
            options.pairs().flat_map(|port| (0..addresses).map(move |address| Pair { address, port })).collect();
        let start = options.start.checked_rem(free.len()).unwrap_or(0);
        free.rotate_left(start);
        Self { free }
    }

    pub(crate) fn take(&mut self) -> Option<Pair> {
        self.free.pop_front()
    }

    pub(crate) fn put(&mut self, pair: Pair) {
        self.free.push_back(pair);
    }

    /// Free pairs.
    pub(crate) fn len(&self) -> usize {
        self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn pool(addresses: u8) -> PortPool {
        let addresses = (1..=addresses).map(|n| Ipv4Addr::new(127, 0, 0, n).into()).collect();
        PortPool::new(&Options::new(addresses, 20000..=20007))
    }

    #[test]
    fn a_returned_pair_waits_behind_all_others() {
        let mut pool = pool(1);
        let first = pool.take().expect("four pairs");
        pool.put(first);
        let next: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(next.len(), 4);
        assert_eq!(next.last(), Some(&first));
        assert_eq!(pool.take(), None);
    }

    #[test]
    fn another_start_begins_elsewhere_and_leaves_nothing_out() {
        let addresses = vec![Ipv4Addr::LOCALHOST.into()];
        let options = Options { start: 4 * 7 + 3, ..Options::new(addresses, 20000..=20007) };
        let mut pool = PortPool::new(&options);
        let ports: Vec<_> = std::iter::from_fn(|| pool.take()).map(|pair| pair.port).collect();
        assert_eq!(ports, [20006, 20000, 20002, 20004]);
    }

    #[test]
    fn each_address_has_the_whole_range() {
        let mut pool = pool(3);
        assert_eq!(pool.len(), 12);
        let all: std::collections::HashSet<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(all.len(), 12);
    }
}
