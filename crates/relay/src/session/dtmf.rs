//! Counts the DTMF digits that pass as RFC 4733 events. The packets themselves pass unchanged.

use super::rtp::u32_at;

/// Events above are flash hook and other signals, not digits (RFC 4733 §3.2).
const LAST_DIGIT: u8 = 15;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digits {
    count: u32,
    /// The RTP timestamp at which the current event began: all packets of one event carry it (RFC 4733 §2.2.2).
    current: Option<u32>,
}

impl Digits {
    /// Takes one telephone-event packet; several of them, with their repeats, make one digit.
    pub(super) fn record(&mut self, timestamp: u32, payload: &[u8]) {
        let Some(event) = u32_at(payload, 0).map(|word| word >> 24) else { return };
        if event <= u32::from(LAST_DIGIT) && self.current != Some(timestamp) {
            self.current = Some(timestamp);
            self.count = self.count.saturating_add(1);
        }
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packets_of_one_event_are_one_digit() {
        let mut digits = Digits::default();
        for end in [0, 0, 0x80, 0x80, 0x80] {
            digits.record(1000, &[5, end, 0, 160]);
        }
        digits.record(3000, &[5, 0, 0, 160]);
        digits.record(5000, &[16, 0, 0, 160]);
        digits.record(7000, &[1]);
        assert_eq!(digits.count(), 2);
    }
}
