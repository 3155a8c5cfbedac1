//! A relay without threads and sockets: it gives ports out and takes them back as the other does, and no packet passes.
//! For simulations, in which nothing may happen but by their clock.

use crate::event::Events;
use crate::port_pool::Pair;
use crate::{Event, SessionId, Stats};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The ports of a session: a pair a side of each stream.
pub(crate) type Pairs = SmallVec<[[Pair; 2]; 1]>;

/// The sessions that are open.
#[derive(Default)]
pub(crate) struct Still(Mutex<BTreeMap<SessionId, (Pairs, Events)>>);

impl Still {
    pub(crate) fn open(&self, id: SessionId, pairs: Pairs, events: Events) {
        self.0.lock().insert(id, (pairs, events));
    }

    /// Ends a session: `give_back` takes its ports before its last event is told.
    pub(crate) fn release(&self, id: SessionId, give_back: impl FnOnce(Pairs)) {
        let Some((pairs, events)) = self.0.lock().remove(&id) else { return };
        give_back(pairs);
        events(Event::Released(Box::<Stats>::default()));
    }

    pub(crate) fn sessions(&self) -> u64 {
        self.0.lock().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::{Event, Handle, Options};
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn it_gives_ports_out_and_takes_them_back_without_a_thread() {
        let options = Options { still: true, ..Options::new(vec![Ipv4Addr::LOCALHOST.into()], 20000..=20007) };
        let relay = Handle::prepare(options).expect("good options");
        assert_eq!(relay.shards(), 0, "nothing to start");
        let released = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&released);
        let count = move |event: Event| {
            told.fetch_add(u32::from(matches!(event, Event::Released(_))), Ordering::Relaxed);
        };
        let (one, other) = (relay.allocate(1, Box::new(count)).expect("ports"), relay.allocate(1, Box::new(|_| {})));
        let other = other.expect("ports");
        assert_ne!(one.local[0], other.local[0]);
        assert!(relay.allocate(1, Box::new(|_| {})).is_err(), "all four pairs are out");
        assert_eq!((relay.gauges().sessions, relay.gauges().free_pairs), (2, 0));
        relay.release(one.id);
        relay.release(one.id);
        assert_eq!((relay.gauges().sessions, relay.gauges().free_pairs), (1, 2));
        assert_eq!(released.load(Ordering::Relaxed), 1);
    }
}
