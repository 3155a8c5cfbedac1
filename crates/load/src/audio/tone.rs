//! The tones: which frequency and phase belong to which number, and their encoded samples.

use std::sync::Arc;

use super::g711;
use crate::Codec;

/// Different frequencies: 300 Hz to 3,369 Hz, the telephone band, three apart.
const FREQUENCIES: u64 = 1024;
/// A second of samples; every frequency is a whole number of hertz, so each table is a loop.
pub(super) const SECOND: usize = 8000;
/// The longest packet that can be compared: 60 ms.
pub(super) const LONGEST: usize = 480;

/// The sound of one direction of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tone {
    frequency: u64,
    start: usize,
}

impl Tone {
    /// The tone with this number. Neighbours differ in frequency; numbers 1,024 apart differ in phase.
    #[must_use]
    pub fn new(number: u64) -> Self {
        let start = usize::try_from(number / FREQUENCIES * 2503 % SECOND as u64).unwrap_or(0);
        Self { frequency: number % FREQUENCIES, start }
    }

    /// Where in its loop the tone starts, in samples.
    pub(super) fn start(self) -> usize {
        self.start
    }
}

/// The encoded tones that were needed so far.
#[derive(Default)]
pub(super) struct Tones {
    a_law: Vec<Option<Arc<[u8]>>>,
    mu_law: Vec<Option<Arc<[u8]>>>,
}

impl Tones {
    /// One loop of `tone`, with as much again behind it as a packet can be long.
    pub(super) fn samples(&mut self, tone: Tone, codec: Codec) -> Arc<[u8]> {
        let (tables, encode): (_, fn(i16) -> u8) = match codec {
            Codec::Pcma => (&mut self.a_law, g711::a_law),
            Codec::Pcmu => (&mut self.mu_law, g711::mu_law),
        };
        let at = usize::try_from(tone.frequency).unwrap_or(0);
        if tables.len() <= at {
            tables.resize(at + 1, None);
        }
        Arc::clone(tables[at].get_or_insert_with(|| {
            let hertz = 300.0 + 3.0 * tone.frequency as f64;
            let angle = |sample: usize| std::f64::consts::TAU * hertz * (sample % SECOND) as f64 / SECOND as f64;
            (0..SECOND + LONGEST).map(|sample| encode((angle(sample).sin() * 10_000.0) as i16)).collect()
        }))
    }
}
