//! The figures of a run while it goes on, shared with whoever shows them.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A window on a running generator. Share it in an `Arc`; the generator writes it, anyone reads it.
#[derive(Debug, Default)]
pub struct Progress {
    stop: AtomicBool,
    offered: AtomicU64,
    answered: AtomicU64,
    completed: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    in_flight: AtomicU64,
    retransmissions: AtomicU64,
    packets_sent: AtomicU64,
    packets_received: AtomicU64,
    packets_lost: AtomicU64,
    bad_samples: AtomicU64,
    legs_hearing: AtomicU64,
    longest_gap_ms: AtomicU64,
    moved: AtomicU64,
    elapsed_ms: AtomicU64,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Calls started.
    pub offered: u64,
    /// Calls answered.
    pub answered: u64,
    /// Answered calls that ended as planned.
    pub completed: u64,
    /// Calls that ended without an answer, as planned: busy, cancelled, not answered.
    pub refused: u64,
    /// Calls that ended otherwise than planned.
    pub failed: u64,
    /// Calls open at the caller (or at the callee where only that runs).
    pub in_flight: u64,
    /// Messages that we sent again.
    pub retransmissions: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// RTP packets missing in legs that have ended.
    pub packets_lost: u64,
    /// Samples that differ from what the far end sent.
    pub bad_samples: u64,
    /// Open legs that heard a packet in the last 200 ms.
    pub legs_hearing: u64,
    /// The longest pause between two packets of one leg so far.
    pub longest_gap_ms: u64,
    /// Calls with which the switch went on from another address.
    #[serde(default)]
    pub moved: u64,
    /// Since the start of the run.
    pub elapsed_ms: u64,
}

impl Progress {
    /// Asks the run to start no more calls and to end the open ones.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// Whether [`Progress::stop`] was called.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// The figures now. They are written one by one, so a sum of two may be off by a call in flight.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            offered: self.offered.load(Relaxed),
            answered: self.answered.load(Relaxed),
            completed: self.completed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            failed: self.failed.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            retransmissions: self.retransmissions.load(Relaxed),
            packets_sent: self.packets_sent.load(Relaxed),
            packets_received: self.packets_received.load(Relaxed),
            packets_lost: self.packets_lost.load(Relaxed),
            bad_samples: self.bad_samples.load(Relaxed),
            legs_hearing: self.legs_hearing.load(Relaxed),
            longest_gap_ms: self.longest_gap_ms.load(Relaxed),
            moved: self.moved.load(Relaxed),
            elapsed_ms: self.elapsed_ms.load(Relaxed),
        }
    }

    pub(crate) fn publish(&self, now: &Snapshot) {
        self.offered.store(now.offered, Relaxed);
        self.answered.store(now.answered, Relaxed);
        self.completed.store(now.completed, Relaxed);
        self.refused.store(now.refused, Relaxed);
        self.failed.store(now.failed, Relaxed);
        self.in_flight.store(now.in_flight, Relaxed);
        self.retransmissions.store(now.retransmissions, Relaxed);
        self.packets_sent.store(now.packets_sent, Relaxed);
        self.packets_received.store(now.packets_received, Relaxed);
        self.packets_lost.store(now.packets_lost, Relaxed);
        self.bad_samples.store(now.bad_samples, Relaxed);
        self.legs_hearing.store(now.legs_hearing, Relaxed);
        self.longest_gap_ms.store(now.longest_gap_ms, Relaxed);
        self.moved.store(now.moved, Relaxed);
        self.elapsed_ms.store(now.elapsed_ms, Relaxed);
    }
}
