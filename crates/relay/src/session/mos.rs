//! An estimate of what a listener thinks: the E-model (ITU-T G.107) reduced to delay, loss and codec.

/// The rating of an undisturbed connection with default values (G.107 §7.7).
const BEST: f32 = 93.2;
/// What a receiver's buffer and one frame add to the delay, in milliseconds, besides twice the jitter.
const RECEIVER_DELAY_MS: f32 = 40.0;

/// How a codec suffers (ITU-T G.113 appendix I): its own impairment, and its robustness against loss.
const fn impairment(payload_type: u8) -> (f32, f32) {
    match payload_type {
        // G.729 with its built-in concealment.
        18 => (11.0, 19.0),
        // G.723.1 at 6.3 kbit/s.
        4 => (15.0, 16.1),
        // GSM full rate.
        3 => (26.0, 43.0),
        // G.711 with concealment; also what is said of codecs that the model has no figures for.
        _ => (0.0, 25.1),
    }
}

/// The mean opinion score, 1.0–4.5. `one_way_ms` is the delay of the network from mouth to ear.
pub(super) fn estimate(payload_type: u8, loss_percent: f32, jitter_ms: f32, one_way_ms: f32) -> f32 {
    let delay = one_way_ms + RECEIVER_DELAY_MS + 2.0 * jitter_ms;
    let delay_impairment = 0.024 * delay + 0.11 * (delay - 177.3).max(0.0);
    let (own, robustness) = impairment(payload_type);
    let loss_impairment = own + (95.0 - own) * loss_percent / (loss_percent + robustness);
    score(BEST - delay_impairment - loss_impairment)
}

/// G.107 annex B.
fn score(rating: f32) -> f32 {
    let r = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_local_call_is_toll_quality() {
        let mos = estimate(8, 0.0, 0.5, 5.0);
        assert!((4.3..=4.5).contains(&mos), "{mos}");
    }

    #[test]
    fn loss_delay_jitter_and_a_thin_codec_each_make_it_worse() {
        let clean = estimate(0, 0.0, 0.0, 10.0);
        assert!(estimate(0, 5.0, 0.0, 10.0) < clean - 0.3);
        assert!(estimate(0, 0.0, 0.0, 400.0) < clean - 0.3);
        assert!(estimate(0, 0.0, 80.0, 10.0) < clean);
        assert!(estimate(18, 0.0, 0.0, 10.0) < clean - 0.2);
        assert!((estimate(0, 100.0, 500.0, 5000.0) - 1.0).abs() < 0.001);
    }
}
