//! A network of datagrams: latency, jitter, loss and duplication, all from a seed.

use bytes::Bytes;
use sip::clock::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Of a thousand datagrams, this many are lost.
    pub loss: u64,
    /// Of a thousand datagrams, this many arrive twice.
    pub duplication: u64,
    /// Longest extra delay in milliseconds, so that datagrams overtake each other.
    pub jitter_ms: u64,
}

/// One datagram.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Datagram {
    /// When it arrives.
    pub at: Instant,
    order: u64,
    /// Its sender.
    pub from: SocketAddr,
    /// Its receiver.
    pub to: SocketAddr,
    /// What it carries.
    pub bytes: Bytes,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    queue: BinaryHeap<Reverse<Datagram>>,
    order: u64,
    seed: u64,
    faults: Faults,
    /// Every datagram that was sent, lost ones too: when, from, to, first line.
    pub trace: Vec<String>,
}

impl Net {
    /// A network without faults but those given.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self { queue: BinaryHeap::new(), order: 0, seed, faults, trace: Vec::new() }
    }

    /// From now on the network does this.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// A random number below `limit`.
    pub fn random(&mut self, limit: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.seed ^ (self.seed >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 33) % limit.max(1)
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let line = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
        let lost = self.random(1000) < self.faults.loss;
        let mark = if lost { " (lost)" } else { "" };
        self.trace.push(format!("{now:?} {from} > {to} {line}{mark}"));
        if lost {
            return;
        }
        let copies = if self.random(1000) < self.faults.duplication { 2 } else { 1 };
        for _ in 0..copies {
            let delay = Duration::from_millis(1 + self.random(self.faults.jitter_ms + 1));
            self.order += 1;
            let datagram = Datagram { at: now + delay, order: self.order, from, to, bytes: bytes.clone() };
            self.queue.push(Reverse(datagram));
        }
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse(datagram)| datagram.at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Datagram> {
        if self.next_at().is_none_or(|at| at > now) {
            return None;
        }
        self.queue.pop().map(|Reverse(datagram)| datagram)
    }
}
