//! How fast the calls of a dead node are taken over: each of them writes to two peers, and ten thousand re-INVITEs at once
//! would harm whoever has just lost a site's worth of calls himself.
//!
//! One rate for each peer, which grows while the peer answers and is halved when it says 503 or nothing, and one for the
//! node, so that new calls keep their share of it. Emergency calls go first. Pure: the shell asks what is due.

use rustc_hash::FxHashMap;
use sip::clock::Instant;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::time::Duration;

/// Calls a second that one peer is sent at first.
const FIRST: f64 = 100.0;
/// … at least, …
const LEAST: f64 = 5.0;
/// … and at most.
const MOST: f64 = 1_000.0;
/// So much faster after each good answer: the rate doubles in about the time that it takes to spend it.
const GROWTH: f64 = 2.0;
/// What may go at once, in seconds of the rate.
const BURST: f64 = 0.5;
/// A peer in trouble says so for every call: its rate is halved once in this time.
const HALVING: Duration = Duration::from_millis(500);
/// Calls a second that the whole node takes over.
const NODE: f64 = 500.0;
/// A blocked call is looked at again after this.
const AGAIN: Duration = Duration::from_millis(10);

/// What a peer said to a call that was taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// It goes on, or it had ended: it was answered without complaint.
    Well,
    /// 503, or nothing at all.
    Badly,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    per_second: f64,
    level: f64,
    at: Instant,
    halved: Option<Instant>,
}

impl Rate {
    fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, level: per_second * BURST, at: now, halved: None }
    }

    fn has(&mut self, now: Instant) -> bool {
        let gained = now.since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + gained).min((self.per_second * BURST).max(1.0));
        self.at = now;
        self.level >= 1.0
    }

    fn said(&mut self, now: Instant, said: Said) {
        match said {
            Said::Well => self.per_second = (self.per_second + GROWTH).min(MOST),
            Said::Badly if self.halved.is_none_or(|at| now.since(at) >= HALVING) => {
                self.per_second = (self.per_second / 2.0).max(LEAST);
                self.level = self.level.min(1.0);
                self.halved = Some(now);
            }
            Said::Badly => {}
        }
    }
}

#[derive(Debug)]
struct Waiting<T> {
    what: T,
    peers: SmallVec<[SocketAddr; 2]>,
    not_before: Instant,
}

/// Calls that wait for their turn.
#[derive(Debug)]
pub struct Pacer<T> {
    urgent: Vec<Waiting<T>>,
    waiting: Vec<Waiting<T>>,
    peers: FxHashMap<SocketAddr, Rate>,
    node: Rate,
}

impl<T> Pacer<T> {
    /// With nothing to do.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { urgent: Vec::new(), waiting: Vec::new(), peers: FxHashMap::default(), node: Rate::new(NODE, now) }
    }

    /// One more call, which will write to `peers`, not before `not_before`: several nodes take over from one that died, and
    /// their first requests should not meet at a peer.
    pub fn push(&mut self, what: T, peers: SmallVec<[SocketAddr; 2]>, is_emergency: bool, not_before: Instant) {
        let queue = if is_emergency { &mut self.urgent } else { &mut self.waiting };
        queue.push(Waiting { what, peers, not_before });
    }

    /// Everything whose turn it is.
    pub fn due(&mut self, now: Instant) -> Vec<T> {
        let mut due = Vec::new();
        for queue in [&mut self.urgent, &mut self.waiting] {
            for entry in std::mem::take(queue) {
                let peers = &mut self.peers;
                let mut may = entry.not_before <= now && self.node.has(now);
                for peer in &entry.peers {
                    may &= peers.entry(*peer).or_insert_with(|| Rate::new(FIRST, now)).has(now);
                }
                if !may {
                    queue.push(entry);
                    continue;
                }
                self.node.level -= 1.0;
                for peer in &entry.peers {
                    if let Some(rate) = peers.get_mut(peer) {
                        rate.level -= 1.0;
                    }
                }
                due.push(entry.what);
            }
        }
        if self.is_empty() && due.is_empty() {
            self.peers.clear();
        }
        due
    }

    /// When [`Self::due`] should be asked again, while anything waits.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        (!self.is_empty()).then(|| now + AGAIN)
    }

    /// What a peer said to one of them.
    pub fn said(&mut self, now: Instant, peer: SocketAddr, said: Said) {
        if let Some(rate) = self.peers.get_mut(&peer) {
            rate.said(now, said);
        }
    }

    /// Those that wait.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.urgent.iter().chain(&self.waiting).map(|entry| &entry.what)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.urgent.len() + self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    fn peer(last: u8) -> SocketAddr {
        ([127, 0, 9, last], 5060).into()
    }

    /// Calls that go out in `until` ms, when each of them hears `said`.
    fn sent(pacer: &mut Pacer<u32>, until: u64, said: Said) -> Vec<u32> {
        let mut all = Vec::new();
        for at in (0..until).step_by(10) {
            let due = pacer.due(ms(at));
            due.iter().for_each(|_| pacer.said(ms(at), peer(1), said));
            all.extend(due);
        }
        all
    }

    fn filled(count: u32) -> Pacer<u32> {
        let mut pacer = Pacer::new(ms(0));
        for call in 0..count {
            pacer.push(call, SmallVec::from_slice(&[peer(1)]), false, ms(0));
        }
        pacer
    }

    #[test]
    fn a_peer_that_answers_gets_more_and_one_in_trouble_less() {
        let well = sent(&mut filled(10_000), 1_000, Said::Well).len();
        assert!((200..=700).contains(&well), "{well} in the first second");
        let badly = sent(&mut filled(10_000), 1_000, Said::Badly).len();
        assert!(badly <= 100, "{badly} in the first second");
        let mut pacer = filled(10_000);
        sent(&mut pacer, 5_000, Said::Badly);
        let before = pacer.len();
        let later: usize = (500..600).map(|at| pacer.due(ms(at * 10)).len()).sum();
        assert!((4..=8).contains(&later), "never none, and no more than the least: {later} of {before}");
    }

    #[test]
    fn the_node_keeps_room_for_new_calls_whatever_the_peers_take() {
        let mut pacer = Pacer::new(ms(0));
        for call in 0..10_000 {
            let peers = (1..=100).map(|last| peer(u8::try_from(last * 2).expect("small")));
            let peers: Vec<_> = peers.collect();
            pacer.push(call, SmallVec::from_slice(&[peers[call as usize % 100]]), false, ms(0));
        }
        let out: usize = (0..100).map(|at| pacer.due(ms(at * 10)).len()).sum();
        assert!((700..=760).contains(&out), "a burst and a second: {out}");
    }

    #[test]
    fn emergency_calls_go_first_and_one_blocked_peer_blocks_no_other() {
        let mut pacer = filled(1_000);
        pacer.push(5_000, SmallVec::from_slice(&[peer(1)]), true, ms(0));
        pacer.push(6_000, SmallVec::from_slice(&[peer(2)]), false, ms(0));
        let first = pacer.due(ms(0));
        assert_eq!(first.first(), Some(&5_000));
        assert!(first.contains(&6_000) && first.len() < 100, "{}", first.len());
    }

    #[test]
    fn nobody_goes_before_his_time_and_everybody_goes() {
        let mut pacer = filled(300);
        pacer.push(7_000, SmallVec::from_slice(&[peer(2)]), false, ms(200));
        assert!(!pacer.due(ms(190)).contains(&7_000));
        assert!(pacer.due(ms(200)).contains(&7_000));
        let rest = sent(&mut pacer, 5_000, Said::Well);
        assert!(pacer.is_empty() && pacer.poll_timeout(ms(0)).is_none() && !rest.is_empty());
    }
}
