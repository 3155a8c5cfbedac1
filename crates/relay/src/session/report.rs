//! What RTCP reports of one side tell: its round trip to the relay, and what it says of the audio that it hears.

use super::rtcp::Heard;
use sip::clock::Instant;

/// A round trip that took longer is a clock gone wrong.
const MAX_ROUND_TRIP_S: f32 = 30.0;

/// The last sender report that passed to the other side, so that its answer can be timed (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    last: Option<(u32, Instant)>,
}

impl Sent {
    pub(super) const fn record(&mut self, now: Instant, ntp_middle: u32) {
        self.last = Some((ntp_middle, now));
    }
}

/// What one side reported.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported {
    packets: u32,
    round_trip_s: Option<f32>,
    loss_percent: Option<f32>,
}

impl Reported {
    pub(super) const fn count(&mut self) {
        self.packets = self.packets.saturating_add(1);
    }

    /// Takes a report block. The round trip runs from when the relay passed the sender report on until now, less the
    /// time that this side kept it: no clock but ours is in it.
    pub(super) fn record(&mut self, now: Instant, heard: Heard, sent: &Sent) {
        self.loss_percent = Some(f32::from(heard.fraction_lost) * 100.0 / 256.0);
        let Some((_, passed)) = sent.last.filter(|(ntp, _)| heard.last_report != 0 && *ntp == heard.last_report) else {
            return;
        };
        let round_trip = now.since(passed).as_secs_f32() - heard.delay as f32 / 65_536.0;
        if round_trip <= MAX_ROUND_TRIP_S {
            self.round_trip_s = Some(round_trip.max(0.0));
        }
    }

    pub(super) const fn packets(&self) -> u32 {
        self.packets
    }

    pub(super) fn round_trip_ms(&self) -> Option<f32> {
        self.round_trip_s.map(|s| s * 1000.0)
    }

    pub(super) const fn loss_percent(&self) -> Option<f32> {
        self.loss_percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_leaves_out_the_time_that_the_side_kept_the_report() {
        let (mut sent, mut reported) = (Sent::default(), Reported::default());
        sent.record(Instant::from_micros(1_000_000), 42);
        let half_a_second = 32_768;
        let heard = Heard { fraction_lost: 128, last_report: 42, delay: half_a_second };
        reported.record(Instant::from_micros(1_580_000), heard, &sent);
        assert!((reported.round_trip_ms().expect("measured") - 80.0).abs() < 0.1);
        assert_eq!(reported.loss_percent(), Some(50.0));
        reported.record(Instant::from_micros(9_000_000), Heard { last_report: 41, ..heard }, &sent);
        assert!((reported.round_trip_ms().expect("kept") - 80.0).abs() < 0.1, "an older report is not timed");
    }
}
