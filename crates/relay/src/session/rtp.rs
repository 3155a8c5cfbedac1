//! The RTP header (RFC 3550 §5.1), read in place.

/// Reads a 32-bit number at a place; `None` past the end.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// Reads a 16-bit number at a place; `None` past the end.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

/// What the relay reads of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) payload_type: u8,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
    /// Where the payload begins and ends, contributing sources, extension and padding left out.
    pub(super) payload: (u16, u16),
}

impl Header {
    /// `None` for what is not RTP version 2 with everything that its first byte promises (RFC 3550 A.1).
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let (&[first, second], length) = (packet.first_chunk::<2>()?, packet.len());
        if first >> 6 != 2 || length < 12 {
            return None;
        }
        let mut start = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            start += 4 + 4 * usize::from(u16_at(packet, start + 2)?);
        }
        let padding = if first & 0x20 == 0 { 0 } else { usize::from(*packet.last()?) };
        if first & 0x20 != 0 && padding == 0 {
            return None;
        }
        let end = length.checked_sub(padding).filter(|&end| end >= start)?;
        Some(Self {
            payload_type: second & 0x7f,
            sequence: u16_at(packet, 2)?,
            timestamp: u32_at(packet, 4)?,
            ssrc: u32_at(packet, 8)?,
            payload: (u16::try_from(start).ok()?, u16::try_from(end).ok()?),
        })
    }

    /// The payload of the packet from which this was parsed.
    pub(super) fn payload_of<'p>(&self, packet: &'p [u8]) -> &'p [u8] {
        packet.get(usize::from(self.payload.0)..usize::from(self.payload.1)).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xca, 0xfe, 0xba, 0xbe];
        packet.extend_from_slice(rest);
        packet
    }

    #[test]
    fn a_plain_header() {
        let bytes = packet(0x80, &[1, 2, 3]);
        let header = Header::parse(&bytes).expect("valid");
        assert_eq!((header.payload_type, header.sequence), (8, 0x1234));
        assert_eq!((header.timestamp, header.ssrc), (160, 0xcafe_babe));
        assert_eq!(header.payload_of(&bytes), [1, 2, 3]);
    }

    #[test]
    fn sources_extension_and_padding_are_not_payload() {
        let bytes = packet(0xb1, &[9, 9, 9, 9, 0xbe, 0xde, 0, 1, 7, 7, 7, 7, 1, 2, 0, 2]);
        assert_eq!(Header::parse(&bytes).expect("valid").payload_of(&bytes), [1, 2]);
    }

    #[test]
    fn broken_promises_are_refused() {
        assert_eq!(Header::parse(&packet(0x80, &[])[..11]), None, "short");
        assert_eq!(Header::parse(&packet(0x40, &[])), None, "version 1");
        assert_eq!(Header::parse(&packet(0x81, &[1, 2])), None, "a source is missing");
        assert_eq!(Header::parse(&packet(0x90, &[0, 0, 0, 5])), None, "the extension is missing");
        assert_eq!(Header::parse(&packet(0xa0, &[0])), None, "no padding where some is announced");
        assert_eq!(Header::parse(&packet(0xa0, &[0, 9])), None, "more padding than payload");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(header) = Header::parse(&bytes) {
                prop_assert!(header.payload.0 <= header.payload.1);
                prop_assert!(usize::from(header.payload.1) <= bytes.len());
            }
        }

        #[test]
        fn any_first_byte_over_a_real_packet(first in any::<u8>(), rest in proptest::collection::vec(any::<u8>(), 0..90)) {
            let bytes = packet(first, &rest);
            let _ = Header::parse(&bytes).map(|header| header.payload_of(&bytes).len());
        }
    }
}
