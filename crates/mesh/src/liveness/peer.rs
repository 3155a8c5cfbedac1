//! One peer: what was heard of it, and what others say while it is silent.

use crate::times::{ALONE, FAR, FIRST_CONTACT, FRESH, NEAR, PROBE, Pace};
use routing::cluster::NodeId;
use sip::clock::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Heartbeats in a row that bring a dead peer back, when it did not die lately.
const PROOF: u32 = 3;
/// Doubled by every death of the last minute, up to this many.
const MOST_PROOF: u32 = 12;
/// How long a death counts against a peer.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What a peer is taken for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum State {
    /// It is heard.
    Up,
    /// It is silent, or was never heard.
    Suspect,
    /// It was silent for too long.
    Dead,
}

/// What is measured of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// What it is taken for.
    pub state: State,
    /// Its newest incarnation.
    pub incarnation: u64,
    /// How long nothing was heard of it.
    pub silent: Duration,
    /// The smoothed round trip.
    pub rtt: Option<Duration>,
    /// Deaths of the last minute.
    pub flaps: u32,
}

/// What others say about a silent peer.
#[derive(Debug)]
struct Inquiry {
    ask_at: Instant,
    /// Whom we asked last.
    asked: Vec<NodeId>,
    /// The last answer of each, and when it came.
    answers: BTreeMap<NodeId, (bool, Instant)>,
    /// When its SIP address answered last.
    answered: Option<Instant>,
    vetoed: bool,
}

#[derive(Debug)]
pub(super) struct Peer {
    near: bool,
    incarnation: u64,
    state: State,
    heard_at: Instant,
    /// Whether it was heard since we began, or since we slept.
    met: bool,
    beat_at: Instant,
    rtt: Option<Duration>,
    /// Heartbeats in a row since it died.
    proof: u32,
    flaps: u32,
    died_at: Instant,
    round: u32,
    inquiry: Option<Inquiry>,
}

impl Peer {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            near: false,
            incarnation: 0,
            state: State::Suspect,
            heard_at: now,
            met: false,
            beat_at: now,
            rtt: None,
            proof: 0,
            flaps: 0,
            died_at: Instant::ORIGIN,
            round: 0,
            inquiry: None,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub(super) fn figures(&self, now: Instant) -> Figures {
        Figures {
            state: self.state,
            incarnation: self.incarnation,
            silent: now.since(self.heard_at),
            rtt: self.rtt,
            flaps: if now.since(self.died_at) > REMEMBERED { 0 } else { self.flaps },
        }
    }

    const fn pace(&self) -> Pace {
        if self.near { NEAR } else { FAR }
    }

    pub(super) fn on_member(&mut self, now: Instant, near: bool, incarnation: u64) {
        if near != self.near {
            (self.near, self.beat_at) = (near, now);
        }
        if incarnation > self.incarnation {
            self.begin_life(now, incarnation);
        }
    }

    /// It has started anew, so it lived a moment ago: it is awaited as one that we meet for the first time.
    fn begin_life(&mut self, now: Instant, incarnation: u64) {
        self.incarnation = incarnation;
        if self.state != State::Up {
            (self.state, self.met, self.heard_at, self.inquiry) = (State::Suspect, false, now, None);
        }
    }

    pub(super) fn on_beat(&mut self, now: Instant, incarnation: u64, rtt: Option<Duration>) {
        let gap = now.since(self.heard_at);
        if incarnation > self.incarnation {
            self.begin_life(now, incarnation);
        }
        self.rtt = match (self.rtt, rtt) {
            (Some(smoothed), Some(rtt)) => Some((smoothed * 7 + rtt) / 8),
            (smoothed, rtt) => rtt.or(smoothed),
        };
        (self.heard_at, self.inquiry) = (now, None);
        if self.state == State::Dead {
            self.proof = if gap > self.pace().beat * 3 { 1 } else { self.proof + 1 };
            if self.proof < (PROOF << self.flaps.saturating_sub(1).min(4)).min(MOST_PROOF) {
                return;
            }
        }
        (self.state, self.met) = (State::Up, true);
    }

    /// We stood still: what was not heard meanwhile proves nothing. After a long sleep the links must be made anew.
    pub(super) fn begin_anew(&mut self, now: Instant, slept: bool) {
        (self.heard_at, self.beat_at, self.inquiry) = (now, now, None);
        self.met &= !slept;
    }

    pub(super) fn beat_is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.beat_at;
        if due {
            self.beat_at = now + self.pace().beat;
        }
        due
    }

    /// Whether others are to be asked now; the round of the question.
    pub(super) fn asks(&mut self, now: Instant) -> Option<u32> {
        let silent = !self.near && self.state != State::Dead && now >= self.heard_at + self.pace().suspect;
        if !silent || self.inquiry.as_ref().is_some_and(|inquiry| now < inquiry.ask_at) {
            return None;
        }
        let fresh =
            || Inquiry { ask_at: now, asked: Vec::new(), answers: BTreeMap::new(), answered: None, vetoed: false };
        self.inquiry.get_or_insert_with(fresh).ask_at = now + PROBE;
        self.round = self.round.wrapping_add(1);
        Some(self.round)
    }

    pub(super) fn observed_by(&mut self, observers: &[NodeId]) {
        if let Some(inquiry) = &mut self.inquiry {
            inquiry.asked = observers.to_vec();
        }
    }

    /// Answers to questions of long ago, and of who was not asked, count for nothing.
    pub(super) fn on_answer(&mut self, now: Instant, via: NodeId, round: u32, heard: bool) {
        let late = self.round.wrapping_sub(round) > 2;
        if let Some(inquiry) = self.inquiry.as_mut().filter(|inquiry| !late && inquiry.asked.contains(&via)) {
            inquiry.answers.insert(via, (heard, now));
        }
    }

    pub(super) fn on_knock(&mut self, now: Instant, answered: bool) {
        if let Some(inquiry) = self.inquiry.as_mut().filter(|_| answered) {
            inquiry.answered = Some(now);
        }
    }

    /// How long it may be silent until it is dead.
    fn patience(&self) -> Duration {
        if self.met { self.pace().dead } else { FIRST_CONTACT }
    }

    /// Judges the silence; whether somebody's word has just begun to keep it alive.
    pub(super) fn judge(&mut self, now: Instant) -> bool {
        let silent = now.since(self.heard_at);
        if self.state == State::Up && silent >= self.pace().suspect {
            self.state = State::Suspect;
        }
        if self.state != State::Suspect || silent < self.patience() {
            return false;
        }
        if self.near || self.is_agreed(now, silent) {
            self.state = State::Dead;
            (self.proof, self.inquiry) = (0, None);
            self.flaps = if now.since(self.died_at) > REMEMBERED { 1 } else { self.flaps.saturating_add(1) };
            self.died_at = now;
            return false;
        }
        let vetoed = self.is_vetoed(now);
        self.inquiry.as_mut().is_some_and(|inquiry| vetoed && !std::mem::replace(&mut inquiry.vetoed, true))
    }

    fn is_vetoed(&self, now: Instant) -> bool {
        let fresh = |at: Instant| now.since(at) < FRESH;
        self.inquiry.as_ref().is_some_and(|inquiry| {
            inquiry.answered.is_some_and(fresh) || inquiry.answers.values().any(|(heard, at)| *heard && fresh(*at))
        })
    }

    /// Whether a second observer agrees, and none objects. With nobody to ask, more silence has to do.
    fn is_agreed(&self, now: Instant, silent: Duration) -> bool {
        let Some(inquiry) = &self.inquiry else { return false };
        let deaf = inquiry.answers.values().any(|(heard, at)| !*heard && now.since(*at) < FRESH);
        let alone = inquiry.asked.is_empty() && silent >= self.patience() + ALONE;
        !self.is_vetoed(now) && (deaf || alone)
    }

    /// When there is something to do.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let marks = [self.pace().suspect, self.patience()].map(|mark| self.heard_at + mark);
        let ahead = marks.into_iter().filter(|at| self.state != State::Dead && *at > now);
        ahead.chain(self.inquiry.as_ref().map(|inquiry| inquiry.ask_at)).fold(self.beat_at, Instant::min)
    }
}
