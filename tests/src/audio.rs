//! Audio that can be told apart sample by sample: making it, and comparing what was heard with what was spoken.
//!
//! What a phone hears over G.711 is not what was spoken but what one encoding and one decoding leave of it, exactly. So
//! the reference is companded here, and then every sample has to be equal: nearness proves nothing.

use std::path::Path;

/// Samples a second.
pub const RATE: usize = 8_000;
/// Samples in the usual packet of 20 ms.
const FRAME: usize = 160;
/// How far a jitter buffer may shift what follows: it drops or repeats whole frames when the machine stutters.
const SHIFT: usize = 10 * FRAME;

/// Ten seconds of tone whose pitch changes every 20 ms by `seed`: no two stretches alike, so there is one alignment only.
pub fn speech(seed: u32) -> Vec<i16> {
    long_speech(seed, 10)
}

/// The same, and how it goes on.
pub fn long_speech(seed: u32, seconds: usize) -> Vec<i16> {
    let mut state = seed;
    let mut phase = 0.0_f64;
    let mut pitch = 0.0;
    let mut samples = Vec::with_capacity(seconds * RATE);
    for index in 0..seconds * RATE {
        if index % FRAME == 0 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            pitch = 300.0 + f64::from((state >> 12) % 2_700);
        }
        phase += std::f64::consts::TAU * pitch / 8_000.0;
        #[allow(clippy::cast_possible_truncation, reason = "9,000 at most")]
        samples.push((9_000.0 * phase.sin()) as i16);
    }
    samples
}

/// Writes samples as a WAV file of one channel.
pub fn write_wav(path: &Path, samples: &[i16]) {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let size = u32::try_from(data.len()).expect("a short file");
    let rate = u32::try_from(RATE).expect("8000");
    let mut file = Vec::with_capacity(44 + data.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + size).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&[1, 0, 1, 0]);
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(2 * rate).to_le_bytes());
    file.extend_from_slice(&[2, 0, 16, 0]);
    file.extend_from_slice(b"data");
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(&data);
    std::fs::write(path, file).expect("the test's folder is writable");
}

/// Reads the samples of a WAV file with 16 bits and one channel.
pub fn read_wav(path: &Path) -> Vec<i16> {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let data = file.windows(4).position(|window| window == b"data").expect("a WAV file has a data chunk") + 8;
    file[data..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// What μ-law leaves of a sample (ITU-T G.711), on the 14-bit scale on which coders work.
pub fn through_pcmu(sample: i16) -> i16 {
    const BIAS: i32 = 33;
    let value = i32::from(sample) >> 2;
    let magnitude = value.abs().min(8_158) + BIAS;
    // The segment's number is the place of the highest bit; four bits below it are kept.
    let segment = 26 - magnitude.leading_zeros();
    let kept = (magnitude >> (segment + 1)) & 0xf;
    let level = ((2 * kept + BIAS) << segment) - BIAS;
    let decoded = 4 * level;
    i16::try_from(if value < 0 { -decoded } else { decoded }).expect("14 bits and two more")
}

/// How well what was heard is what was spoken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Match {
    /// The share of samples, after the first sound, that are exactly as spoken.
    pub exact: f64,
    /// How often the alignment moved: frames dropped or repeated on the way.
    pub slips: usize,
    /// How many samples were compared.
    pub samples: usize,
}

/// Compares `heard` with `spoken` (already companded), frame by frame along one alignment.
pub fn compare(spoken: &[i16], heard: &[i16]) -> Match {
    let start = heard.iter().position(|sample| sample.unsigned_abs() > 500).unwrap_or(heard.len());
    // A part of a frame may precede the first whole one.
    let heard = &heard[(start + FRAME).min(heard.len())..];
    let mut at = None;
    let mut result = Match { exact: 0.0, slips: 0, samples: 0 };
    let mut equal = 0;
    for frame in heard.chunks_exact(FRAME) {
        let before = at;
        if at.is_none_or(|at| spoken.get(at..at + FRAME) != Some(frame)) {
            at = find(spoken, frame, at).or(at);
            result.slips += usize::from(before.is_some() && at != before);
        }
        result.samples += FRAME;
        if let Some(place) = at {
            equal += spoken.iter().skip(place).zip(frame).filter(|(a, b)| a == b).count();
            at = Some(place + FRAME);
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a few seconds of audio")]
    if result.samples > 0 {
        result.exact = equal as f64 / result.samples as f64;
    }
    result
}

/// Where `frame` stands in `spoken`: near the expected place, or anywhere before there is one.
fn find(spoken: &[i16], frame: &[i16], near: Option<usize>) -> Option<usize> {
    let (from, to) = near.map_or((0, spoken.len()), |at| (at.saturating_sub(SHIFT), at + SHIFT));
    let to = to.min(spoken.len().saturating_sub(FRAME));
    (from..to).find(|&at| spoken[at..at + FRAME] == *frame)
}

/// The loudest sample.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn companded(seed: u32) -> Vec<i16> {
        speech(seed).into_iter().map(through_pcmu).collect()
    }

    #[test]
    fn companding_is_idempotent_symmetric_and_near() {
        for sample in (-32_000..32_000_i16).step_by(37) {
            let once = through_pcmu(sample);
            assert_eq!(through_pcmu(once), once, "of {sample}");
            let error = (i32::from(once) - i32::from(sample)).abs();
            assert!(error <= 4 + i32::from(sample.unsigned_abs()) / 24, "{sample} became {once}");
        }
        assert_eq!(through_pcmu(0), 0);
        assert_eq!(through_pcmu(i16::MAX), 32_124);
    }

    #[test]
    fn the_same_audio_later_is_the_same() {
        let spoken = companded(1);
        let heard: Vec<i16> = [vec![0; 777], spoken[3_000..20_000].to_vec()].concat();
        let found = compare(&spoken, &heard);
        assert!(found.exact == 1.0 && found.slips == 0 && found.samples > 16_000, "{found:?}");
    }

    #[test]
    fn a_lost_frame_is_one_slip_and_a_changed_sample_is_seen() {
        let spoken = companded(1);
        let mut heard = [&spoken[0..8_000], &spoken[8_160..16_000]].concat();
        assert_eq!(compare(&spoken, &heard).slips, 1);
        heard[4_000] ^= 64;
        assert!(compare(&spoken, &heard).exact < 1.0);
    }

    #[test]
    fn other_audio_and_silence_do_not_match() {
        assert!(compare(&companded(1), &companded(2)).exact < 0.1);
        assert_eq!(compare(&companded(1), &[0; 8_000]).samples, 0);
    }
}
