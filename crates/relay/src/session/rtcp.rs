//! RTCP (RFC 3550 §6): checked as a compound packet, and the sender and receiver reports in it read in place.

use super::rtp::{u16_at, u32_at};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// The packet types that RFC 5761 §4 keeps apart from RTP.
const TYPES: std::ops::RangeInclusive<u8> = 192..=223;
const BLOCK: usize = 24;

/// What the relay reads of a compound packet: of several reports the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reports {
    /// The middle 32 bits of the NTP time of a sender report: what the other end gives back as LSR.
    pub(super) sent: Option<u32>,
    /// What this end says of the audio that it hears.
    pub(super) heard: Option<Heard>,
}

/// A report block (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Lost since the report before, in 256ths.
    pub(super) fraction_lost: u8,
    /// LSR: which of our sender reports it saw last; 0 when none.
    pub(super) last_report: u32,
    /// DLSR: how long ago, in 65536ths of a second.
    pub(super) delay: u32,
}

/// RTCP on an RTP port, by the second byte (RFC 5761 §4).
pub(super) fn is_muxed(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|second| TYPES.contains(second))
}

/// `None` unless the lengths of the packets add up to the whole. The first need not be a report (RFC 5506).
pub(super) fn parse(mut packet: &[u8]) -> Option<Reports> {
    let mut reports = Reports::default();
    loop {
        let (&[first, kind], words) = (packet.first_chunk::<2>()?, u16_at(packet, 2)?);
        if first >> 6 != 2 || !TYPES.contains(&kind) {
            return None;
        }
        let (one, rest) = packet.split_at_checked(4 + 4 * usize::from(words))?;
        let count = usize::from(first & 0x1f);
        match kind {
            SENDER_REPORT => {
                reports.sent = Some(u32_at(one, 10)?);
                reports.heard = last_block(one, 28, count)?.or(reports.heard);
            }
            RECEIVER_REPORT => reports.heard = last_block(one, 8, count)?.or(reports.heard),
            _ => {}
        }
        if rest.is_empty() {
            return Some(reports);
        }
        packet = rest;
    }
}

/// The last of `count` blocks that begin at `start`. The outer `None`: the packet is too short for them.
fn last_block(report: &[u8], start: usize, count: usize) -> Option<Option<Heard>> {
    if report.len() < start + count * BLOCK {
        return None;
    }
    let Some(last) = count.checked_sub(1) else { return Some(None) };
    let at = start + last * BLOCK;
    let heard = Heard {
        fraction_lost: *report.get(at + 4)?,
        last_report: u32_at(report, at + 16)?,
        delay: u32_at(report, at + 20)?,
    };
    Some(Some(heard))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn block(fraction_lost: u8, last_report: u32, delay: u32) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[4] = fraction_lost;
        block[16..20].copy_from_slice(&last_report.to_be_bytes());
        block[20..24].copy_from_slice(&delay.to_be_bytes());
        block
    }

    pub(in super::super) fn report(kind: u8, sent: u32, blocks: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0, 0, 0, 1];
        if kind == SENDER_REPORT {
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(&sent.to_be_bytes());
            body.extend_from_slice(&[0; 14]);
        }
        blocks.iter().for_each(|block| body.extend_from_slice(block));
        let words = u8::try_from(body.len() / 4).expect("short");
        let mut packet = vec![0x80 | u8::try_from(blocks.len()).expect("few"), kind, 0, words];
        packet.append(&mut body);
        packet
    }

    #[test]
    fn a_sender_report_with_a_block_and_a_description() {
        let mut packet = report(SENDER_REPORT, 0x1234_5678, &[block(64, 7, 9)]);
        packet.extend_from_slice(&[0x81, 202, 0, 1, 0, 0, 0, 1]);
        let reports = parse(&packet).expect("valid");
        assert_eq!(reports.sent, Some(0x1234_5678));
        assert_eq!(reports.heard, Some(Heard { fraction_lost: 64, last_report: 7, delay: 9 }));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let packet = report(RECEIVER_REPORT, 0, &[block(0, 0, 0)]);
        assert!(parse(&packet).is_some());
        assert_eq!(parse(&packet[..packet.len() - 1]), None, "cut off");
        let mut more = packet.clone();
        more[0] += 1;
        assert_eq!(parse(&more), None, "more blocks than bytes");
        let mut rtp = packet;
        rtp[1] = 0;
        assert_eq!(parse(&rtp), None, "RTP on the RTCP port");
        assert_eq!(parse(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&bytes), is_muxed(&bytes));
        }

        #[test]
        fn a_changed_byte_never_panics(at in 0_usize..52, value in any::<u8>()) {
            let mut packet = report(SENDER_REPORT, 1, &[block(1, 2, 3)]);
            packet[at] = value;
            let _ = parse(&packet);
        }
    }
}
