//! Reports of RTCP (RFC 3550 §6.4) as the JSON that Homer knows as protocol type 5. Only figures: no name, no text of a party.

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// Type, length and SSRC.
const HEADER: usize = 8;
/// What a sender report has behind that.
const SENDER: usize = 20;
/// One source that is heard.
const BLOCK: usize = 24;

/// The first report of a compound packet, with the blocks of those behind it where its sender hears more than 31 sources.
/// Nothing if there is none, or if a packet is not as long as it says.
pub(super) fn json(mut compound: &[u8]) -> Option<String> {
    let mut reports = Vec::new();
    while !compound.is_empty() {
        let words = u16::from_be_bytes([*compound.get(2)?, *compound.get(3)?]);
        let (packet, rest) = compound.split_at_checked(4 + 4 * usize::from(words))?;
        if matches!(packet[1], SENDER_REPORT | RECEIVER_REPORT) {
            reports.push(Report::read(packet)?);
        }
        compound = rest;
    }
    let Report { kind, ssrc, sender, .. } = *reports.first()?;
    let of_sender = reports.iter().filter(|report| report.ssrc == ssrc);
    let blocks: Vec<String> = of_sender.flat_map(|report| report.blocks.chunks_exact(BLOCK)).map(block).collect();
    let sender = sender.map(sender_information).unwrap_or_default();
    let (count, blocks) = (blocks.len(), blocks.join(","));
    Some(format!(r#"{{{sender}"ssrc":{ssrc},"type":{kind},"report_count":{count},"report_blocks":[{blocks}]}}"#))
}

/// A sender or receiver report.
#[derive(Clone, Copy)]
struct Report<'a> {
    kind: u8,
    /// Of the party that reports.
    ssrc: u32,
    /// What it sends, if it does.
    sender: Option<&'a [u8]>,
    /// What it hears.
    blocks: &'a [u8],
}

impl<'a> Report<'a> {
    fn read(packet: &'a [u8]) -> Option<Self> {
        let (kind, count) = (packet[1], usize::from(packet[0] & 0x1f));
        let (header, rest) = packet.split_at_checked(HEADER)?;
        let (sender, rest) = if kind == SENDER_REPORT { rest.split_at_checked(SENDER)? } else { (&[][..], rest) };
        let sender = Some(sender).filter(|sender| !sender.is_empty());
        Some(Self { kind, ssrc: word(header, 1), sender, blocks: rest.get(..count * BLOCK)? })
    }
}

/// `usec` is Homer's word for the fraction of a second in 2³²ths, as it stands in the report.
fn sender_information(sender: &[u8]) -> String {
    let [seconds, fraction, rtp, packets, octets] = [0, 1, 2, 3, 4].map(|at| word(sender, at));
    format!(
        r#""sender_information":{{"ntp_timestamp_sec":{seconds},"ntp_timestamp_usec":{fraction},"rtp_timestamp":{rtp},"packets":{packets},"octets":{octets}}},"#
    )
}

fn block(block: &[u8]) -> String {
    let [source, losses, highest, jitter, lsr, dlsr] = [0, 1, 2, 3, 4, 5].map(|at| word(block, at));
    let (fraction, lost) = (losses >> 24, losses & 0x00ff_ffff);
    // The sum is below zero where more came twice than was lost; whoever reads it takes it for a number without a sign.
    let lost = if lost < 0x0080_0000 { lost } else { 0 };
    format!(
        r#"{{"source_ssrc":{source},"fraction_lost":{fraction},"packets_lost":{lost},"highest_seq_no":{highest},"ia_jitter":{jitter},"lsr":{lsr},"dlsr":{dlsr}}}"#
    )
}

/// The word of 32 bits at this place; 0 behind the end, where nobody asks.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(4 * at..4 * at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
        let mut packet = vec![0x80 | count, kind, 0, u8::try_from(words.len()).expect("short")];
        words.iter().for_each(|word| packet.extend_from_slice(&word.to_be_bytes()));
        packet
    }

    const HEARD: [u32; 6] = [9, 0x4000_0003, 70_000, 12, 0xaabb_ccdd, 65_536];
    const HEARD_JSON: &str = r#"{"source_ssrc":9,"fraction_lost":64,"packets_lost":3,"highest_seq_no":70000,"ia_jitter":12,"lsr":2864434397,"dlsr":65536}"#;

    #[test]
    fn a_sender_report_is_told_without_the_names_behind_it() {
        let mut compound = packet(200, 1, &[&[7, 3_900_000_000, 5, 16_000, 100, 16_000], &HEARD[..]].concat());
        compound.extend(packet(202, 1, &[7, 0x0103_6162, 0x6300_0000]));
        let expected = format!(
            r#"{{"sender_information":{{"ntp_timestamp_sec":3900000000,"ntp_timestamp_usec":5,"rtp_timestamp":16000,"packets":100,"octets":16000}},"ssrc":7,"type":200,"report_count":1,"report_blocks":[{HEARD_JSON}]}}"#
        );
        assert_eq!(json(&compound), Some(expected));
    }

    #[test]
    fn receiver_reports_of_one_party_are_one_and_a_loss_below_nought_is_none() {
        let other = [5, 0x00ff_fffe, 1, 1, 1, 1];
        let mut compound = packet(201, 1, &[&[7], &HEARD[..]].concat());
        compound.extend(packet(201, 1, &[&[7], &other[..]].concat()));
        compound.extend(packet(201, 1, &[&[8], &HEARD[..]].concat()));
        let other =
            r#"{"source_ssrc":5,"fraction_lost":0,"packets_lost":0,"highest_seq_no":1,"ia_jitter":1,"lsr":1,"dlsr":1}"#;
        let expected = format!(r#"{{"ssrc":7,"type":201,"report_count":2,"report_blocks":[{HEARD_JSON},{other}]}}"#);
        assert_eq!(json(&compound), Some(expected));
        let empty = r#"{"ssrc":7,"type":201,"report_count":0,"report_blocks":[]}"#;
        assert_eq!(json(&packet(201, 0, &[7])).as_deref(), Some(empty));
    }

    #[test]
    fn what_has_no_report_or_is_not_as_long_as_it_says_is_nothing() {
        let report = packet(201, 1, &[&[7], &HEARD[..]].concat());
        (0..report.len()).for_each(|length| assert_eq!(json(&report[..length]), None, "{length}"));
        assert_eq!((json(&packet(203, 1, &[7])), json(&packet(203, 0, &[7]))), (None, None), "BYE");
        assert_eq!(json(&packet(201, 2, &[&[7], &HEARD[..]].concat())), None, "more blocks than bytes");
        assert_eq!(json(&packet(200, 0, &[7, 1, 2])), None);
        for first in 0..=255 {
            for kind in [200, 201, 255] {
                let _ = json(&[first, kind, 0, 1, 0xff, 0xff, 0xff, 0xff]);
            }
        }
    }
}
