//! HEP3: chunks behind a header of six bytes, as Homer's specification (rev. 36) has them. Nothing here sends.

use std::net::SocketAddr;

/// The largest payload of a UDP datagram over IPv4.
const DATAGRAM: usize = 65_507;
/// Magic and length.
const HEADER: usize = 6;

/// What a packet carries.
pub(super) enum Payload<'a> {
    /// A SIP message.
    Sip(&'a [u8]),
    /// Reports of RTCP in JSON.
    Rtcp(&'a [u8]),
}

/// One packet.
pub(super) struct Packet<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) is_stream: bool,
    pub(super) unix_us: u64,
    pub(super) payload: Payload<'a>,
    pub(super) agent: u32,
    pub(super) password: Option<&'a str>,
    pub(super) correlation: &'a str,
}

/// The types of chunks, all of the generic vendor.
mod chunk {
    pub(super) const FAMILY: u16 = 1;
    pub(super) const PROTOCOL: u16 = 2;
    pub(super) const FROM_V4: u16 = 3;
    pub(super) const TO_V4: u16 = 4;
    pub(super) const FROM_V6: u16 = 5;
    pub(super) const TO_V6: u16 = 6;
    pub(super) const FROM_PORT: u16 = 7;
    pub(super) const TO_PORT: u16 = 8;
    pub(super) const SECONDS: u16 = 9;
    pub(super) const MICROS: u16 = 10;
    pub(super) const KIND: u16 = 11;
    pub(super) const AGENT: u16 = 12;
    pub(super) const PASSWORD: u16 = 14;
    pub(super) const PAYLOAD: u16 = 15;
    pub(super) const CORRELATION: u16 = 17;
}

/// IANA's numbers of address families, as HEP has them.
const INET: u8 = 2;
const INET6: u8 = 10;
/// Of IP.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Kinds of payload.
const SIP: u8 = 1;
const RTCP: u8 = 5;

/// Writes a packet in place of what is in `out`; `false` if it does not fit into a datagram.
pub(super) fn write(out: &mut Vec<u8>, packet: &Packet<'_>) -> bool {
    out.clear();
    out.extend_from_slice(b"HEP3\0\0");
    let (from, to) = (canonical(packet.from), canonical(packet.to));
    match (from, to) {
        (SocketAddr::V4(from), SocketAddr::V4(to)) => {
            put(out, chunk::FAMILY, &[INET]);
            put(out, chunk::FROM_V4, &from.ip().octets());
            put(out, chunk::TO_V4, &to.ip().octets());
        }
        (from, to) => {
            put(out, chunk::FAMILY, &[INET6]);
            put(out, chunk::FROM_V6, &six(from));
            put(out, chunk::TO_V6, &six(to));
        }
    }
    let (kind, payload) = match packet.payload {
        Payload::Sip(message) => (SIP, message),
        Payload::Rtcp(reports) => (RTCP, reports),
    };
    put(out, chunk::PROTOCOL, &[if packet.is_stream { TCP } else { UDP }]);
    put(out, chunk::FROM_PORT, &from.port().to_be_bytes());
    put(out, chunk::TO_PORT, &to.port().to_be_bytes());
    put(out, chunk::SECONDS, &u32::try_from(packet.unix_us / 1_000_000).unwrap_or(u32::MAX).to_be_bytes());
    put(out, chunk::MICROS, &u32::try_from(packet.unix_us % 1_000_000).unwrap_or_default().to_be_bytes());
    put(out, chunk::KIND, &[kind]);
    put(out, chunk::AGENT, &packet.agent.to_be_bytes());
    if let Some(password) = packet.password {
        put(out, chunk::PASSWORD, password.as_bytes());
    }
    put(out, chunk::CORRELATION, packet.correlation.as_bytes());
    if out.len() + HEADER + payload.len() > DATAGRAM {
        return false;
    }
    put(out, chunk::PAYLOAD, payload);
    let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
    out[4..6].copy_from_slice(&length.to_be_bytes());
    true
}

/// Vendor, type, length with these six bytes, value.
fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // Nothing longer than a datagram is written.
    let length = u16::try_from(value.len() + HEADER).unwrap_or(u16::MAX);
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn six(address: SocketAddr) -> [u8; 16] {
    match address {
        SocketAddr::V4(address) => address.ip().to_ipv6_mapped().octets(),
        SocketAddr::V6(address) => address.ip().octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet<'a>(from: &str, to: &str, payload: &'a [u8]) -> Packet<'a> {
        Packet {
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            is_stream: false,
            unix_us: 1_700_000_000_123_456,
            payload: Payload::Sip(payload),
            agent: 2_001,
            password: Some("pw"),
            correlation: "1.2.3",
        }
    }

    /// Type and value of each chunk.
    fn chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
        assert_eq!(&packet[..4], b"HEP3");
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
        let (mut rest, mut found) = (&packet[6..], Vec::new());
        while let [0, 0, a, b, c, d, ..] = rest {
            let length = usize::from(u16::from_be_bytes([*c, *d]));
            found.push((u16::from_be_bytes([*a, *b]), rest[6..length].to_vec()));
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        found
    }

    #[test]
    fn a_packet_is_written_as_the_specification_has_it() {
        let mut out = vec![1, 2, 3];
        assert!(write(&mut out, &packet("192.0.2.1:5060", "192.0.2.2:5080", b"BYE")));
        let expected: Vec<(u16, Vec<u8>)> = vec![
            (1, vec![2]),
            (3, vec![192, 0, 2, 1]),
            (4, vec![192, 0, 2, 2]),
            (2, vec![17]),
            (7, 5060_u16.to_be_bytes().to_vec()),
            (8, 5080_u16.to_be_bytes().to_vec()),
            (9, 1_700_000_000_u32.to_be_bytes().to_vec()),
            (10, 123_456_u32.to_be_bytes().to_vec()),
            (11, vec![1]),
            (12, 2_001_u32.to_be_bytes().to_vec()),
            (14, b"pw".to_vec()),
            (17, b"1.2.3".to_vec()),
            (15, b"BYE".to_vec()),
        ];
        assert_eq!(chunks(&out), expected);
    }

    #[test]
    fn addresses_of_both_families_and_of_one_written_as_the_other() {
        let mut out = Vec::new();
        assert!(write(&mut out, &packet("[2001:db8::1]:5060", "[2001:db8::2]:5060", b"x")));
        assert_eq!(chunks(&out)[..2], [(1, vec![10]), (5, b" \x01\r\xb8\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec())]);
        assert!(write(&mut out, &packet("[::ffff:192.0.2.1]:5060", "192.0.2.2:5060", b"x")));
        assert_eq!(chunks(&out)[1], (3, vec![192, 0, 2, 1]));
        assert!(write(&mut out, &packet("[2001:db8::1]:5060", "192.0.2.2:5060", b"x")), "a mixture is IPv6");
        assert_eq!(chunks(&out)[0], (1, vec![10]));
    }

    #[test]
    fn what_no_datagram_holds_is_not_written() {
        let mut out = Vec::new();
        assert!(!write(&mut out, &packet("192.0.2.1:5060", "192.0.2.2:5080", &[b'x'; 65_500])));
        assert!(write(&mut out, &packet("192.0.2.1:5060", "192.0.2.2:5080", &[b'x'; 65_000])));
    }
}
