//! The hearing end of a leg: sequence numbers, pauses, and every sample against the tone that was sent.

use std::sync::Arc;

use super::tone::{LONGEST, SECOND};
use crate::AudioReport;

/// What one leg heard.
pub(super) struct Receiver {
    expected: Arc<[u8]>,
    payload_type: u8,
    source: Option<Source>,
    pub(super) last_at: Option<u64>,
    longest_gap: u64,
}

/// One SSRC.
struct Source {
    ssrc: u32,
    first_timestamp: u32,
    /// Positions in the loop where the first packet may have started. Neighbouring phases can encode to the same
    /// bytes for a packet or two, so all that fit are kept and later packets sieve them.
    positions: Vec<usize>,
    first: i64,
    highest: i64,
    unique: i64,
    /// Which of the last 64 sequence numbers came.
    window: u64,
}

/// The fields of an RTP packet that matter here (RFC 3550 §5.1).
struct Packet<'a> {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: &'a [u8],
}

impl Receiver {
    pub(super) fn new(expected: Arc<[u8]>, payload_type: u8) -> Self {
        Self { expected, payload_type, source: None, last_at: None, longest_gap: 0 }
    }

    pub(super) fn on_datagram(&mut self, now: u64, datagram: &[u8], report: &mut AudioReport) {
        let packet = parse(datagram).filter(|packet| packet.payload_type == self.payload_type);
        let Some(packet) = packet.filter(|packet| (1..=LONGEST).contains(&packet.payload.len())) else {
            report.packets_foreign += 1;
            return;
        };
        report.packets_received += 1;
        self.longest_gap = self.longest_gap.max(self.last_at.map_or(0, |last| now - last));
        self.last_at = Some(now);
        if self.source.as_ref().is_some_and(|source| source.ssrc != packet.ssrc) {
            report.source_changes += 1;
            self.settle(report);
        }
        let source = self.source.get_or_insert_with(|| Source::new(&packet));
        if source.count(packet.sequence, report) {
            source.compare(&packet, &self.expected, report);
        }
    }

    /// The leg ends at `now`: a pause up to here counts too. Returns the longest pause in microseconds.
    pub(super) fn end(&mut self, now: u64, report: &mut AudioReport) -> Option<u64> {
        self.settle(report);
        self.last_at.map(|last| self.longest_gap.max(now - last))
    }

    fn settle(&mut self, report: &mut AudioReport) {
        if let Some(source) = self.source.take() {
            report.packets_lost += u64::try_from(source.highest - source.first + 1 - source.unique).unwrap_or(0);
        }
    }
}

impl Source {
    fn new(packet: &Packet<'_>) -> Self {
        let first = i64::from(packet.sequence);
        let (ssrc, first_timestamp) = (packet.ssrc, packet.timestamp);
        Self { ssrc, first_timestamp, positions: Vec::new(), first, highest: first - 1, unique: 0, window: 0 }
    }

    /// Counts the sequence number; `false` for one that came before.
    fn count(&mut self, sequence: u16, report: &mut AudioReport) -> bool {
        let step = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        let behind = u32::try_from(-step).unwrap_or(0);
        if step > 0 {
            self.window = self.window.checked_shl(u32::try_from(step).unwrap_or(64)).unwrap_or(0) | 1;
            self.highest += step;
        } else if behind < 64 && self.window & (1 << behind) == 0 && self.highest + step >= self.first {
            self.window |= 1 << behind;
            report.packets_late += 1;
        } else {
            report.packets_repeated += 1;
            return false;
        }
        self.unique += 1;
        true
    }

    fn compare(&mut self, packet: &Packet<'_>, expected: &[u8], report: &mut AudioReport) {
        let length = packet.payload.len();
        if self.positions.is_empty() {
            self.first_timestamp = packet.timestamp;
            self.positions = (0..SECOND).filter(|&at| expected[at..at + length] == *packet.payload).collect();
            if self.positions.is_empty() {
                report.bad_packets += 1;
                report.bad_samples += length as u64;
            }
            return;
        }
        let moved = i64::from(packet.timestamp.wrapping_sub(self.first_timestamp) as i32);
        let at = |position: usize| usize::try_from((position as i64 + moved).rem_euclid(SECOND as i64)).unwrap_or(0);
        let fits = |position: usize| expected[at(position)..at(position) + length] == *packet.payload;
        if self.positions.iter().any(|&position| fits(position)) {
            self.positions.retain(|&position| fits(position));
            return;
        }
        let wanted = &expected[at(self.positions[0])..];
        report.bad_packets += 1;
        report.bad_samples += packet.payload.iter().zip(wanted).filter(|(got, want)| got != want).count() as u64;
    }
}

fn parse(datagram: &[u8]) -> Option<Packet<'_>> {
    let (head, _) = datagram.split_first_chunk::<12>()?;
    let mut start = 12 + usize::from(head[0] & 0x0f) * 4;
    if head[0] & 0x10 != 0 {
        let words = datagram.get(start + 2..start + 4)?;
        start += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    let padding = if head[0] & 0x20 == 0 { 0 } else { usize::from(*datagram.last()?) };
    (head[0] >> 6 == 2).then_some(())?;
    Some(Packet {
        payload_type: head[1] & 0x7f,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        payload: datagram.get(start..datagram.len().checked_sub(padding)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codec;
    use crate::audio::tone::{Tone, Tones};

    fn packet(sequence: u16, samples: &[u8], at: usize) -> Vec<u8> {
        let mut packet = vec![0x80, 8];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::try_from(at).expect("small") + 77).to_be_bytes());
        packet.extend(9_u32.to_be_bytes());
        packet.extend_from_slice(&samples[at % SECOND..at % SECOND + 160]);
        packet
    }

    fn heard(change: impl Fn(u16, Vec<u8>) -> Vec<Vec<u8>>) -> AudioReport {
        let samples = Tones::default().samples(Tone::new(5), Codec::Pcma);
        let mut receiver = Receiver::new(Arc::clone(&samples), 8);
        let mut report = AudioReport::default();
        let start = 65_500_u16;
        for n in 0..100_u16 {
            for datagram in change(n, packet(start.wrapping_add(n), &samples, 3000 + usize::from(n) * 160)) {
                receiver.on_datagram(u64::from(n) * 20_000, &datagram, &mut report);
            }
        }
        assert_eq!(receiver.end(100 * 20_000, &mut report), Some(20_000));
        report
    }

    #[test]
    fn a_whole_tone_is_clean_over_the_wrap_of_the_sequence() {
        let report = heard(|_, packet| vec![packet]);
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.packets_received, report.packets_repeated), (100, 0));
    }

    #[test]
    fn one_wrong_sample_is_found() {
        let report = heard(|n, mut packet| {
            packet[100] ^= u8::from(n == 50);
            vec![packet]
        });
        assert_eq!((report.bad_samples, report.bad_packets), (1, 1));
    }

    #[test]
    fn another_call_s_tone_is_all_wrong() {
        let foreign = Tones::default().samples(Tone::new(6), Codec::Pcma);
        let report = heard(|n, _| vec![packet(n, &foreign, usize::from(n) * 160)]);
        assert_eq!(report.bad_packets, 100);
    }

    #[test]
    fn a_repeated_packet_counts_once() {
        let report = heard(|_, packet| vec![packet.clone(), packet]);
        assert_eq!((report.packets_repeated, report.packets_lost, report.bad_samples), (100, 0, 0));
    }

    #[test]
    fn loss_and_junk_are_counted() {
        let mut report = AudioReport::default();
        let samples = Tones::default().samples(Tone::new(5), Codec::Pcma);
        let mut receiver = Receiver::new(Arc::clone(&samples), 8);
        for n in [0_u16, 1, 4, 3, 9] {
            receiver.on_datagram(0, &packet(n, &samples, usize::from(n) * 160), &mut report);
        }
        receiver.on_datagram(0, b"junk", &mut report);
        receiver.end(0, &mut report);
        assert_eq!((report.packets_lost, report.packets_late, report.packets_foreign), (5, 1, 1));
        assert_eq!(report.bad_samples, 0);
    }
}
