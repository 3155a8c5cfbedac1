//! Loss and jitter of what arrives from one side, as RFC 3550 appendix A.3 and A.8 count them.

use super::rtp::Header;
use sip::clock::Instant;

/// A forward jump of this many packets is a gap; a larger one a restart of the sender (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// So far behind, a packet is late and not a restart.
const MAX_MISORDER: u16 = 100;
/// A step of more than a second between two packets is a pause in speech or a new clock, and says nothing of jitter.
const MAX_STEP_S: f32 = 1.0;

/// The state of reception from one side over all the SSRCs that it used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reception {
    received: u64,
    bytes: u64,
    /// Expected in sequences that are over.
    expected_before: u64,
    jitter_sum_s: f64,
    jitter_samples: u32,
    jitter_s: f32,
    source: Option<Source>,
    ssrc_changes: u32,
    last: Option<Instant>,
}

/// The sequence of one SSRC.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: u32,
    base: u16,
    highest: u16,
    cycles: u32,
    /// The sequence number that would confirm a restart.
    restart: Option<u16>,
    timestamp: u32,
    arrived: Instant,
}

impl Source {
    const fn new(now: Instant, header: &Header) -> Self {
        let (base, highest) = (header.sequence, header.sequence);
        Self { ssrc: header.ssrc, base, highest, cycles: 0, restart: None, timestamp: header.timestamp, arrived: now }
    }

    fn expected(&self) -> u64 {
        u64::from(self.cycles) * 65_536 + u64::from(self.highest) + 1 - u64::from(self.base)
    }
}

impl Reception {
    /// Counts a valid packet. `clock_hz` is 0 for payloads whose timestamps do not give jitter.
    pub(super) fn record(&mut self, now: Instant, header: &Header, length: usize, clock_hz: u32) {
        self.received += 1;
        self.bytes += length as u64;
        self.last = Some(now);
        let Some(mut source) = self.source else {
            self.source = Some(Source::new(now, header));
            return;
        };
        if source.ssrc != header.ssrc {
            self.ssrc_changes = self.ssrc_changes.saturating_add(1);
            self.begin_again(now, header, 0);
            return;
        }
        let ahead = header.sequence.wrapping_sub(source.highest);
        if ahead == 0 || ahead > u16::MAX - MAX_MISORDER {
            // Late or twice: it fills its gap, and says nothing of jitter.
            return;
        }
        if ahead > MAX_DROPOUT {
            if source.restart == Some(header.sequence) {
                // The packet before this one already belonged to the new sequence.
                self.begin_again(now, header, 1);
            } else {
                source.restart = Some(header.sequence.wrapping_add(1));
                self.source = Some(source);
            }
            return;
        }
        if header.sequence < source.highest {
            source.cycles = source.cycles.saturating_add(1);
        }
        (source.highest, source.restart) = (header.sequence, None);
        self.jitter(&mut source, now, header, clock_hz);
        self.source = Some(source);
    }

    fn begin_again(&mut self, now: Instant, header: &Header, earlier: u64) {
        self.expected_before += self.source.map_or(0, |source| source.expected()) + earlier;
        self.source = Some(Source::new(now, header));
    }

    /// J += (|D| − J) / 16, D being how much the spacing of two packets changed on the way.
    fn jitter(&mut self, source: &mut Source, now: Instant, header: &Header, clock_hz: u32) {
        if clock_hz == 0 {
            return;
        }
        let sent = header.timestamp.wrapping_sub(source.timestamp).cast_signed();
        let sent_s = sent as f32 / clock_hz as f32;
        let came_s = now.since(source.arrived).as_secs_f32();
        (source.timestamp, source.arrived) = (header.timestamp, now);
        let step = (came_s - sent_s).abs();
        if sent == 0 || step > MAX_STEP_S {
            return;
        }
        self.jitter_s += (step - self.jitter_s) / 16.0;
        self.jitter_sum_s += f64::from(self.jitter_s);
        self.jitter_samples = self.jitter_samples.saturating_add(1);
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) const fn ssrc_changes(&self) -> u32 {
        self.ssrc_changes
    }

    pub(super) const fn last(&self) -> Option<Instant> {
        self.last
    }

    fn expected(&self) -> u64 {
        self.expected_before + self.source.map_or(0, |source| source.expected())
    }

    /// Packets that are missing; duplicates may hide some.
    pub(super) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }

    pub(super) fn loss_percent(&self) -> f32 {
        match self.expected() {
            0 => 0.0,
            expected => (self.lost() as f64 * 100.0 / expected as f64) as f32,
        }
    }

    /// The mean over the session.
    pub(super) fn jitter_ms(&self) -> f32 {
        match self.jitter_samples {
            0 => 0.0,
            samples => (self.jitter_sum_s / f64::from(samples) * 1000.0) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header { payload_type: 0, sequence, timestamp, ssrc, payload: (12, 172) }
    }

    /// Packets of 20 ms that arrive on time but for `late_us`.
    fn receive(sequences: impl IntoIterator<Item = u16>, late_us: impl Fn(u64) -> u64) -> Reception {
        let mut reception = Reception::default();
        for (n, sequence) in (0_u64..).zip(sequences) {
            let header = header(1, sequence, u32::from(sequence).wrapping_mul(160));
            reception.record(Instant::from_micros(n * 20_000 + late_us(n)), &header, 172, 8000);
        }
        reception
    }

    #[test]
    fn a_clean_stream_over_the_end_of_the_sequence_has_no_loss() {
        let clean = receive((0..500).map(|n: u16| n.wrapping_add(65_300)), |_| 0);
        assert_eq!((clean.received(), clean.lost()), (500, 0));
    }

    #[test]
    fn gaps_are_lost_and_late_packets_are_not() {
        let gap = receive((0..100).filter(|n| n % 10 != 5), |_| 0);
        assert_eq!(gap.lost(), 10);
        assert!((gap.loss_percent() - 10.0).abs() < 0.01);
        let swapped = receive([1, 3, 2, 4, 6, 5], |_| 0);
        assert_eq!(swapped.lost(), 0);
    }

    #[test]
    fn another_ssrc_or_a_jump_begins_again() {
        let jumped = receive([1, 2, 3, 20_000, 20_001, 20_002], |_| 0);
        assert_eq!((jumped.received(), jumped.lost()), (6, 0));
        let mut changed = receive([1, 2, 3], |_| 0);
        changed.record(Instant::from_micros(80_000), &header(2, 40_000, 7), 172, 8000);
        assert_eq!((changed.ssrc_changes(), changed.lost()), (1, 0));
    }

    #[test]
    fn jitter_is_the_change_of_spacing() {
        assert!(receive(0..200, |_| 7_000).jitter_ms() < 0.01, "a constant delay is none");
        let wobble = receive(0..2000, |n| (n % 2) * 4_000).jitter_ms();
        assert!((wobble - 4.0).abs() < 0.2, "{wobble}");
    }

    proptest! {
        #[test]
        fn any_packets_give_sane_figures(
            packets in proptest::collection::vec((0_u32..3, any::<u16>(), any::<u32>(), 0_u64..10_000_000), 0..200),
            near in any::<bool>(),
        ) {
            let (mut reception, mut now, count) = (Reception::default(), 0, packets.len() as u64);
            for (ssrc, sequence, timestamp, pause_us) in packets {
                now += pause_us;
                let sequence = if near { sequence % 300 } else { sequence };
                reception.record(Instant::from_micros(now), &header(ssrc, sequence, timestamp), 172, 8000);
            }
            prop_assert_eq!(reception.received(), count);
            prop_assert!((0.0..=100.0).contains(&reception.loss_percent()));
            prop_assert!((0.0..=1000.0).contains(&reception.jitter_ms()));
        }
    }
}
