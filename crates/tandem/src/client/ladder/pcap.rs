//! The messages of a call as a capture of libpcap's format: packets of raw IP, with headers and checksums that a dissector
//! accepts. A message over TCP is a segment with the sequence numbers that follow from those before it; the handshake is not
//! there. A message of which only the beginning is kept is a packet that the capture has cut.

use crate::base64;
use console::api::Step;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Link type "raw IP": the version is in the packet.
const RAW_IP: u32 = 101;
const SNAP_LENGTH: u32 = 262_144;
const UDP: u8 = 17;
const TCP: u8 = 6;
const HOPS: u8 = 64;
/// PSH and ACK, behind a header of five words.
const TCP_FLAGS: [u8; 2] = [0x50, 0x18];

/// The file, and how many packets are in it.
pub(super) fn write(steps: &[Step]) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, SNAP_LENGTH, RAW_IP] {
        out.extend_from_slice(&u32::to_le_bytes(word));
    }
    let (mut streams, mut count) = (HashMap::new(), 0);
    for (packet, cut, unix_us) in steps.iter().filter_map(|step| packet(step, &mut streams)) {
        let kept = packet.len();
        for word in [unix_us / 1_000_000, unix_us % 1_000_000, kept as u64, (kept + cut) as u64] {
            out.extend_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        }
        out.extend_from_slice(&packet);
        count += 1;
    }
    (out, count)
}

/// The next sequence number of each direction of each connection.
type Streams = HashMap<(SocketAddr, SocketAddr), u32>;

/// A packet, how many bytes of it are not kept, and when it passed.
fn packet(step: &Step, streams: &mut Streams) -> Option<(Vec<u8>, usize, u64)> {
    let address = |text: &Option<String>| {
        let address: SocketAddr = text.as_ref()?.parse().ok()?;
        Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
    };
    let (local, remote) = (address(&step.local)?, address(&step.remote)?);
    let (from, to) = match &*step.way {
        "in" => (remote, local),
        "out" => (local, remote),
        _ => return None,
    };
    let text = step.message.as_ref().map(|text| text.clone().into_bytes());
    let payload = text.or_else(|| step.message_base64.as_ref().and_then(|text| base64::decode(text)))?;
    let whole = payload.len().max(usize::try_from(step.length).unwrap_or(0));
    // What TLS or a WebSocket carried is shown as what it was inside.
    let (protocol, segment) = match step.transport.as_deref() {
        Some("tcp") => (TCP, tcp(from, to, &payload, whole, streams)),
        _ => (UDP, udp(from, to, &payload, whole)),
    };
    let mut packet = ip(from.ip(), to.ip(), protocol, segment.len() + whole - payload.len());
    packet.extend_from_slice(&segment);
    Some((packet, whole - payload.len(), step.unix_us))
}

fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8], whole: usize) -> Vec<u8> {
    let length = u16::try_from(whole + 8).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(8 + payload.len());
    for word in [from.port(), to.port(), length, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(payload);
    // 0 would mean that there is none (RFC 768).
    let sum = Some(transport_sum(from.ip(), to.ip(), UDP, &out)).filter(|sum| *sum != 0).unwrap_or(u16::MAX);
    if whole == payload.len() {
        out[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

fn tcp(from: SocketAddr, to: SocketAddr, payload: &[u8], whole: usize, streams: &mut Streams) -> Vec<u8> {
    let acknowledged = *streams.entry((to, from)).or_insert(1);
    let next = streams.entry((from, to)).or_insert(1);
    let sequence = *next;
    *next = next.wrapping_add(u32::try_from(whole).unwrap_or(0));
    let mut out = Vec::with_capacity(20 + payload.len());
    out.extend_from_slice(&from.port().to_be_bytes());
    out.extend_from_slice(&to.port().to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&acknowledged.to_be_bytes());
    out.extend_from_slice(&TCP_FLAGS);
    out.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
    let sum = transport_sum(from.ip(), to.ip(), TCP, &out);
    out[16..18].copy_from_slice(&sum.to_be_bytes());
    out
}

/// A header of IP in front of so many bytes.
fn ip(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    if let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) {
        let total = u16::try_from(length + 20).unwrap_or(u16::MAX).to_be_bytes();
        let mut out = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, HOPS, protocol, 0, 0];
        out.extend_from_slice(&from.octets());
        out.extend_from_slice(&to.octets());
        let sum = folded(words(&out));
        out[10..12].copy_from_slice(&sum.to_be_bytes());
        return out;
    }
    let length = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = vec![0x60, 0, 0, 0, length[0], length[1], protocol, HOPS];
    out.extend_from_slice(&six(from));
    out.extend_from_slice(&six(to));
    out
}

fn six(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The checksum of a segment with its pseudo header (RFC 768, RFC 8200 §8.1).
fn transport_sum(from: IpAddr, to: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => words(&from.octets()) + words(&to.octets()),
        (from, to) => words(&six(from)) + words(&six(to)),
    };
    folded(addresses + u64::from(protocol) + segment.len() as u64 + words(segment))
}

/// The sum of 16-bit words; an odd byte is the upper half of the last.
fn words(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0))).sum()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(way: &str, transport: &str, ends: [&str; 2], message: &str) -> Step {
        Step {
            way: way.to_owned(),
            transport: Some(transport.to_owned()),
            local: Some(ends[0].to_owned()),
            remote: Some(ends[1].to_owned()),
            message: Some(message.to_owned()),
            length: u32::try_from(message.len()).expect("small"),
            unix_us: 1_700_000_000_000_007,
            ..Step::default()
        }
    }

    const FOUR: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5080"];
    const SIX: [&str; 2] = ["[2001:db8::1]:5060", "[2001:db8::2]:5080"];

    /// The packets of a file, each with its whole length.
    fn packets(file: &[u8]) -> Vec<(Vec<u8>, u32)> {
        let (mut rest, mut found) = (&file[24..], Vec::new());
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().expect("four bytes"));
            let kept = usize::try_from(word(8)).expect("small");
            found.push((rest[16..16 + kept].to_vec(), word(12)));
            rest = &rest[16 + kept..];
        }
        found
    }

    #[test]
    fn checksums_are_right_over_both_protocols_and_families() {
        for (ends, header) in [(FOUR, 20), (SIX, 40)] {
            for transport in ["udp", "tcp"] {
                let (file, count) = write(&[step("out", transport, ends, "odd")]);
                let (packet, whole) = packets(&file).remove(0);
                assert_eq!((count, whole as usize), (1, packet.len()));
                if header == 20 {
                    assert_eq!(folded(words(&packet[..20])), 0, "of IP");
                }
                let [from, to] = ends.map(|end| end.parse::<SocketAddr>().expect("an address").ip());
                let protocol = if transport == "udp" { UDP } else { TCP };
                assert_eq!(transport_sum(from, to, protocol, &packet[header..]), 0, "{transport} {from}");
                assert!(packet.ends_with(b"odd"));
            }
        }
    }

    #[test]
    fn segments_of_a_connection_follow_each_other_in_both_directions() {
        let steps = [
            step("in", "tcp", FOUR, "12345"),
            step("out", "tcp", FOUR, "123"),
            step("in", "tcp", FOUR, "1"),
            step("unsent", "tcp", FOUR, "1"),
        ];
        let (file, count) = write(&steps);
        let number = |packet: &[u8], at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().expect("four bytes"));
        let numbers: Vec<_> = packets(&file).iter().map(|(one, _)| (number(one, 24), number(one, 28))).collect();
        assert_eq!((numbers, count), (vec![(1, 1), (1, 6), (6, 4)], 3));
    }

    #[test]
    fn what_is_cut_says_how_long_it_was_and_what_has_no_text_is_left_out() {
        let cut = Step { length: 1_000, ..step("in", "udp", FOUR, "beginning") };
        let note = Step { way: "note".to_owned(), ..Step::default() };
        let bare = Step { message: None, ..step("in", "udp", FOUR, "x") };
        let (file, count) = write(&[cut, note, bare]);
        let (packet, whole) = packets(&file).remove(0);
        assert_eq!((count, packet.len(), whole), (1, 20 + 8 + 9, 20 + 8 + 1_000));
        assert_eq!(packet[24..26], 1_008_u16.to_be_bytes(), "UDP's own length");
    }
}
