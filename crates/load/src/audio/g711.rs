//! ITU-T G.711: one 16-bit sample to one byte, A-law and µ-law. Only the encoder: bytes are compared, not sounds.

/// A-law with the even bits inverted, as it goes over the wire.
pub(super) fn a_law(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = (if sample >= 0 { i32::from(sample) } else { -1 - i32::from(sample) }) >> 4;
    let segment = (i32::BITS - (magnitude >> 4).leading_zeros()).min(7) as i32;
    let step = if segment < 2 { magnitude } else { magnitude >> (segment - 1) };
    let code = (segment << 4) | (step & 0x0f);
    (code as u8 | sign) ^ 0x55
}

/// µ-law with all bits inverted, as it goes over the wire.
pub(super) fn mu_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 132;
    let segment = (i32::BITS - (magnitude >> 8).leading_zeros()).min(7) as i32;
    let step = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | ((segment << 4) | step) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_of_the_recommendation() {
        assert_eq!((a_law(0), a_law(-1), a_law(32_767), a_law(-32_768)), (0xd5, 0x55, 0xaa, 0x2a));
        assert_eq!((mu_law(0), mu_law(32_767), mu_law(-32_768)), (0xff, 0x80, 0x00));
        assert_eq!((a_law(1000), a_law(-1000)), (0xfa, 0x7a));
    }

    #[test]
    fn louder_is_never_a_smaller_code() {
        let loud = |code: u8| (code ^ 0x55) & 0x7f;
        for sample in 1..i16::MAX {
            assert!(loud(a_law(sample)) >= loud(a_law(sample - 1)), "{sample}");
        }
    }
}
