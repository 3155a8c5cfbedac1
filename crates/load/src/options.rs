//! What a run is asked to do. Plain data; everything has a limit.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

use crate::Error;

/// The options of a run. [`Options::new`] gives sensible ones to change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Where the callers send from; their RTP uses the same IP address.
    pub caller_bind: SocketAddr,
    /// Where the callees listen; `None` when they live elsewhere.
    pub callee_bind: Option<SocketAddr>,
    /// The switch under test: every initial INVITE goes there.
    pub target: SocketAddr,
    /// Further entrances of the same switch: calls go to `target` and to each of these in turn.
    #[serde(default)]
    pub more_targets: Vec<SocketAddr>,
    /// Calls started a second.
    pub rate: f64,
    /// The most calls to start; `None` leaves only `duration`.
    pub calls: Option<u64>,
    /// How long calls are started for.
    pub duration: Duration,
    /// From answer to BYE.
    pub hold: Duration,
    /// From INVITE to the callee's final answer.
    pub ring: Duration,
    /// Calls that the schedule wants while so many are open are not started but counted as held back.
    pub max_in_flight: u64,
    /// Whether calls carry RTP that is checked; without it the SDP names ports that nobody listens on.
    pub audio: bool,
    /// The codec that the callers put first.
    pub codec: Codec,
    /// The callers' numbers, taken in turn.
    pub caller_numbers: NumberRange,
    /// The numbers called, taken in turn. The position in this range tells the callee which tone and which scenario
    /// belong to a call, so the last digits must reach it unchanged.
    pub called_numbers: NumberRange,
    /// Answers to 401 and 407; without it a challenge is a failure.
    pub credentials: Option<Credentials>,
    /// The shares of the scenarios.
    pub mix: Mix,
    /// Who ends answered calls.
    pub hangup: Hangup,
    /// A call to whose INVITE nobody says anything for so long is placed at the next entrance (RFC 3263 §4.3); `None`: never.
    #[serde(default)]
    pub failover: Option<Duration>,
    /// A call that hears 503 is placed at the next entrance too (RFC 3261 §21.5.4).
    #[serde(default)]
    pub retries_503: bool,
    /// The first pause before a message is sent again (T1 of RFC 3261 §17.1.1.1).
    pub t1: Duration,
}

impl Options {
    /// 10 calls a second for 10 s, 1 s long, 50 ms of ringing, no audio.
    #[must_use]
    pub fn new(caller_bind: SocketAddr, callee_bind: Option<SocketAddr>, target: SocketAddr) -> Self {
        Self {
            caller_bind,
            callee_bind,
            target,
            more_targets: Vec::new(),
            rate: 10.0,
            calls: None,
            duration: Duration::from_secs(10),
            hold: Duration::from_secs(1),
            ring: Duration::from_millis(50),
            max_in_flight: 100_000,
            audio: false,
            codec: Codec::Pcma,
            caller_numbers: NumberRange { first: "+442071000000".into(), count: 100_000 },
            called_numbers: NumberRange { first: "+447700000000".into(), count: 1_000_000 },
            credentials: None,
            mix: Mix::default(),
            hangup: Hangup::Caller,
            failover: None,
            retries_503: false,
            t1: Duration::from_millis(500),
        }
    }

    /// Where call number `serial` goes, and the position of that in [`crate::Report::targets`].
    #[must_use]
    pub(crate) fn target_of(&self, serial: u64) -> (usize, SocketAddr) {
        let index = (serial % (self.more_targets.len() as u64 + 1)) as usize;
        (index, self.entrance(index))
    }

    /// The entrance at this place, counted round.
    #[must_use]
    pub(crate) fn entrance(&self, index: usize) -> SocketAddr {
        let index = index % (self.more_targets.len() + 1);
        index.checked_sub(1).map_or(self.target, |more| self.more_targets[more])
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        if !(self.rate > 0.0 && self.rate <= 1_000_000.0) {
            return Err(Error::Options("rate must lie between 0 and 1,000,000 calls a second"));
        }
        if self.mix.total() == 0 {
            return Err(Error::Options("the mix needs a share above 0"));
        }
        if self.caller_numbers.count == 0 || self.called_numbers.count == 0 {
            return Err(Error::Options("a range of numbers must not be empty"));
        }
        Ok(())
    }
}

/// A codec of RFC 3551 with one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Codec {
    /// A-law, payload type 8.
    Pcma,
    /// µ-law, payload type 0.
    Pcmu,
}

impl Codec {
    /// The static payload type of RFC 3551 §6.
    #[must_use]
    pub fn payload_type(self) -> u8 {
        match self {
            Self::Pcma => 8,
            Self::Pcmu => 0,
        }
    }
}

/// A user name and password for digest authentication.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Credentials {
    /// As the switch knows it.
    pub username: String,
    /// In the clear: this is a test tool.
    pub password: String,
}

/// Who sends the BYE of an answered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hangup {
    /// The side that called.
    Caller,
    /// The side that was called.
    Callee,
}

/// What becomes of a call. Both sides compute it from the called number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scenario {
    /// Rings, is answered, held and ended.
    Answered,
    /// The callee answers 486 at once.
    Busy,
    /// The caller sends CANCEL after half of the ringing time.
    Cancelled,
    /// The callee rings and then gives up with 480.
    NoAnswer,
}

/// The shares of the scenarios; only their proportion counts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mix {
    /// Share of [`Scenario::Answered`].
    pub answered: u32,
    /// Share of [`Scenario::Busy`].
    pub busy: u32,
    /// Share of [`Scenario::Cancelled`].
    pub cancelled: u32,
    /// Share of [`Scenario::NoAnswer`].
    pub no_answer: u32,
}

impl Default for Mix {
    fn default() -> Self {
        Self { answered: 1, busy: 0, cancelled: 0, no_answer: 0 }
    }
}

impl Mix {
    fn total(self) -> u64 {
        [self.answered, self.busy, self.cancelled, self.no_answer].into_iter().map(u64::from).sum()
    }

    /// The scenario of the call to the number at `index` of the range.
    #[must_use]
    pub fn scenario(self, index: u64) -> Scenario {
        let mut left = index % self.total().max(1);
        let shares =
            [(Scenario::Answered, self.answered), (Scenario::Busy, self.busy), (Scenario::Cancelled, self.cancelled)];
        for (scenario, share) in shares {
            if left < u64::from(share) {
                return scenario;
            }
            left -= u64::from(share);
        }
        if self.total() == 0 { Scenario::Answered } else { Scenario::NoAnswer }
    }
}

/// Consecutive telephone numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberRange {
    /// The first number, in any form that ends in digits.
    pub first: String,
    /// How many there are; the next one after the last is the first again.
    pub count: u64,
}

/// Telephone numbers are told apart by their last nine digits: translations work on the front.
const COMPARED_DIGITS: usize = 9;

impl NumberRange {
    /// The number at `index`, counted round.
    #[must_use]
    pub fn number(&self, index: u64) -> String {
        let digits = trailing_digits(&self.first, 18);
        let head = &self.first[..self.first.len() - digits.len()];
        let first: u64 = digits.parse().unwrap_or(0);
        format!("{head}{:0width$}", first + index % self.count.max(1), width = digits.len())
    }

    /// The position of `number` in the range, judged by its last digits.
    #[must_use]
    pub fn index(&self, number: &str) -> Option<u64> {
        let own = trailing_digits(&self.first, COMPARED_DIGITS);
        let digits = trailing_digits(number, own.len());
        let modulus = 10_u64.checked_pow(u32::try_from(own.len()).ok()?)?;
        let (first, given): (u64, u64) = (own.parse().ok()?, digits.parse().ok()?);
        let index = (given + modulus - first) % modulus;
        (digits.len() == own.len() && index < self.count).then_some(index)
    }
}

fn trailing_digits(number: &str, most: usize) -> &str {
    let digits = number.bytes().rev().take(most).take_while(u8::is_ascii_digit).count();
    &number[number.len() - digits..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_again_behind_a_tech_prefix() {
        let range = NumberRange { first: "+447700900000".into(), count: 500 };
        assert_eq!(range.number(7), "+447700900007");
        assert_eq!(range.number(507), "+447700900007");
        assert_eq!(range.index("9900447700900007"), Some(7));
        assert_eq!(range.index("+447700900500"), None);
        assert_eq!(range.index("anonymous"), None);
    }

    #[test]
    fn the_mix_gives_each_scenario_its_share() {
        let mix = Mix { answered: 7, busy: 1, cancelled: 1, no_answer: 1 };
        let count = |wanted| (0..100).filter(|&i| mix.scenario(i) == wanted).count();
        assert_eq!(count(Scenario::Answered), 70);
        assert_eq!(count(Scenario::Busy), 10);
        assert_eq!(count(Scenario::Cancelled), 10);
        assert_eq!(count(Scenario::NoAnswer), 10);
    }
}
