//! baresip as caller and as callee, two calls at a time.

use super::{CALLEES, CALLERS, LIMIT, NUMBERS, PAUSE_MS, Sites};
use std::time::{Duration, Instant};
use tests::process::{report, wait_until};
use tests::{Baresip, Lab, audio};

/// Audio that is compared, after the call has moved, in seconds: one packet that baresip's own clock finds too late costs 335 samples,
/// of two seconds more than is allowed.
const COMPARED_S: usize = 4;
/// The seeds of what each says: the callers, then the callees.
const SEEDS: [u32; 4] = [11, 12, 21, 22];

/// One of them, and when it last heard something.
struct Party {
    agent: Baresip,
    offers: usize,
    heard: u64,
    last: Instant,
    pause: Duration,
}

impl Party {
    fn new(mut agent: Baresip) -> Self {
        let (offers, heard) = (agent.offers(), agent.heard());
        Self { agent, offers, heard, last: Instant::now(), pause: Duration::ZERO }
    }

    /// Looks whether it has heard something since.
    fn listen(&mut self) {
        let (heard, now) = (self.agent.heard(), Instant::now());
        if heard != self.heard {
            self.pause = self.pause.max(now - self.last);
            (self.heard, self.last) = (heard, now);
        }
    }

    fn has_moved(&mut self) -> bool {
        assert!(self.agent.is_talking(), "the call ended:\n{}", self.agent.account());
        self.agent.offers() > self.offers
    }
}

/// What baresip's coder and decoder leave of a sample. It codes the magnitude, where others shift the signed number to 14 bits
/// first: a negative sample at the border of two steps comes out one step lower.
fn as_heard(sample: i16) -> i16 {
    let magnitude = audio::through_pcmu(sample.saturating_abs());
    if sample < 0 { -magnitude } else { magnitude }
}

/// Asserts that the last that it heard is what was spoken, sample by sample, but for two in a hundred.
#[track_caller]
fn assert_hears(agent: &Baresip, seed: u32) {
    let spoken: Vec<i16> = audio::long_speech(seed, 60).into_iter().map(as_heard).collect();
    let found = audio::compare(&spoken, &agent.last_heard(COMPARED_S));
    let enough = COMPARED_S * audio::RATE * 9 / 10;
    assert!(found.samples >= enough && found.exact >= 0.98, "{found:?}\n{}", agent.account());
}

#[track_caller]
fn wait_all(what: &str, agents: &mut [Baresip], mut holds: impl FnMut(&mut Baresip) -> bool) {
    let hold = tests::process::holds_within(LIMIT, || agents.iter_mut().all(&mut holds));
    assert!(hold, "{what}\n{}", agents.iter().map(Baresip::account).collect::<String>());
}

#[test]
fn baresip_goes_on_with_another_node_as_caller_and_as_callee() {
    let lab = Lab::alone();
    let mut sites = Sites::start(&lab);
    let called = CALLEES.into_iter().zip(NUMBERS);
    let parties = CALLERS.into_iter().zip(["+442071230000"; 2]).chain(called).zip(SEEDS);
    let mut agents: Vec<_> = parties.map(|((host, number), seed)| Baresip::start(&lab, host, number, seed)).collect();
    for (agent, number) in agents.iter_mut().zip(NUMBERS) {
        agent.dial(number, &sites.sip());
    }
    wait_all("all talk and hear", &mut agents, |agent| agent.is_talking() && agent.heard() > 8_000);
    let mut parties: Vec<Party> = agents.into_iter().map(Party::new).collect();
    sites.kill(2);
    let mut since = None;
    wait_until("another node goes on, and all hear each other for a while", 2 * LIMIT, || {
        parties.iter_mut().for_each(Party::listen);
        if since.is_none() && parties.iter_mut().all(Party::has_moved) {
            since = Some(Instant::now());
        }
        since.is_some_and(|since| since.elapsed() > Duration::from_secs(COMPARED_S as u64 + 1))
    });
    let pauses: Vec<u128> = parties.iter().map(|party| party.pause.as_millis()).collect();
    report(&format!("baresip: audio paused for {pauses:?} ms"));
    assert!(pauses.iter().all(|pause| *pause <= u128::from(PAUSE_MS)), "{pauses:?}");
    let mut agents: Vec<Baresip> = parties.into_iter().map(|party| party.agent).collect();
    for (agent, seed) in agents.iter().zip([SEEDS[2], SEEDS[3], SEEDS[0], SEEDS[1]]) {
        assert_hears(agent, seed);
    }
    // The caller of the first call, the callee of the second.
    agents[0].hang_up();
    agents[3].hang_up();
    wait_all("both calls end on both sides", &mut agents, |agent| !agent.is_talking());
    drop(agents);
    sites.settle(2);
}
