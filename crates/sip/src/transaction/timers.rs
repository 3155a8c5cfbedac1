//! The intervals that every transaction timer is made of (RFC 3261 §17.1.1.1 and table 4).

use std::time::Duration;

/// T1, T2, T4 and timer D, in milliseconds. Small on purpose: every machine keeps a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// The round-trip estimate, in milliseconds.
    pub t1_ms: u32,
    /// The longest interval between retransmissions of a non-INVITE request or an INVITE response, in milliseconds.
    pub t2_ms: u32,
    /// How long a message may stay in the network, in milliseconds.
    pub t4_ms: u32,
    /// How long a client waits for retransmissions of a failure over UDP, in milliseconds (at least 32 s).
    pub d_ms: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1_ms: 500, t2_ms: 4_000, t4_ms: 5_000, d_ms: 32_000 }
    }
}

impl Timers {
    /// T1.
    #[must_use]
    pub const fn t1(&self) -> Duration {
        ms(self.t1_ms)
    }

    /// T2.
    #[must_use]
    pub const fn t2(&self) -> Duration {
        ms(self.t2_ms)
    }

    /// T4: timers I and K over UDP.
    #[must_use]
    pub const fn t4(&self) -> Duration {
        ms(self.t4_ms)
    }

    /// Timer D over UDP.
    #[must_use]
    pub const fn d(&self) -> Duration {
        ms(self.d_ms)
    }

    /// 64·T1: timers B, F, H, J, L and M, and how long a UAS core waits for ACK and PRACK.
    #[must_use]
    pub const fn give_up(&self) -> Duration {
        Duration::from_millis(self.t1_ms as u64 * 64)
    }
}

const fn ms(value: u32) -> Duration {
    Duration::from_millis(value as u64)
}
