//! Our registration with a carrier (RFC 3261 §10.2) as a machine that says what to send and when. It never sees a
//! message: the shell writes the REGISTER, keeps Call-ID, CSeq and the challenge, and tells how it ended.

use crate::seed::Seed;
use sip::clock::Instant;
use std::collections::VecDeque;
use std::time::Duration;

/// First pause after a failure; it doubles from there.
pub const BASE_BACKOFF: Duration = Duration::from_secs(10);
/// Longest pause after failures.
pub const MAX_BACKOFF: Duration = Duration::from_secs(600);
/// Challenges answered in one round; a registrar that asks more often does not accept our credentials.
pub const MAX_CHALLENGES: u8 = 2;
/// Longest expiry that a 423 may ask for, in seconds.
pub const MAX_EXPIRES: u32 = 86_400;

/// What the machine asks its shell to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a REGISTER in a new transaction with a greater CSeq, and report how it ended.
    Register {
        /// Seconds; 0 removes our binding.
        expires: u32,
        /// Answer the challenge of the last response; otherwise send what credentials are known to be wanted already.
        challenged: bool,
    },
    /// We are registered, or no longer: for the metric and the log.
    Changed {
        /// Whether calls can come to us now.
        registered: bool,
    },
}

/// How a REGISTER ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 2xx. `expires` is what the registrar granted our Contact, in seconds; `None` if it says nothing.
    Accepted {
        /// Granted seconds.
        expires: Option<u32>,
    },
    /// 401 or 407 with a challenge that we can answer.
    Challenged,
    /// 423 with its Min-Expires.
    TooBrief {
        /// Least seconds that the registrar grants.
        min_expires: u32,
    },
    /// Any other final response.
    Refused {
        /// The response's Retry-After.
        retry_after: Option<Duration>,
    },
    /// No response, or nothing could be sent.
    Silence,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing is under way until then.
    Waiting(Instant),
    /// A REGISTER is under way.
    Trying,
    /// As `Trying`, and our binding has to go once it has ended: two REGISTERs never overlap (RFC 3261 §10.2).
    LeavingSoon,
    /// The last REGISTER, with an expiry of 0, is under way.
    Leaving,
    /// Nothing will happen any more.
    Stopped,
}

/// One registration of ours.
#[derive(Clone, Debug)]
pub struct Registration {
    wanted: u32,
    /// What is asked for now: more than `wanted` where a 423 said so.
    expires: u32,
    phase: Phase,
    /// Until when the registrar holds our binding.
    registered_until: Option<Instant>,
    challenges: u8,
    failures: u32,
    seed: Seed,
    effects: VecDeque<Effect>,
}

impl Registration {
    /// A registration for `expires` seconds at a time. The first REGISTER is due within a second, when exactly `seed`
    /// decides, so that a restart does not send a thousand at once.
    #[must_use]
    pub fn new(expires: u32, now: Instant, seed: u64) -> Self {
        let mut seed = Seed(seed);
        let first = now + Duration::from_millis(seed.below(1000));
        Self {
            wanted: expires,
            expires,
            phase: Phase::Waiting(first),
            registered_until: None,
            challenges: 0,
            failures: 0,
            seed,
            effects: VecDeque::new(),
        }
    }

    /// True if the registrar holds our binding.
    #[must_use]
    pub fn is_registered(&self, now: Instant) -> bool {
        self.registered_until.is_some_and(|until| now < until)
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// True once it was stopped and nothing is under way any more.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// How the REGISTER under way ended. An answer that nobody waits for changes nothing.
    pub fn handle_answer(&mut self, now: Instant, answer: Answer) {
        match self.phase {
            Phase::Trying => self.answered(now, answer),
            Phase::LeavingSoon => self.leave(),
            Phase::Leaving => self.left(answer),
            Phase::Waiting(_) | Phase::Stopped => {}
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.registered_until.is_some_and(|until| until <= now) {
            self.become_registered(None);
        }
        if let Phase::Waiting(at) = self.phase
            && at <= now
        {
            self.challenges = 0;
            self.send(false);
        }
    }

    /// When [`Registration::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = match self.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Trying | Phase::LeavingSoon | Phase::Leaving | Phase::Stopped => None,
        };
        next.into_iter().chain(self.registered_until).min()
    }

    /// The next thing to do, until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Registers again at once: the address that we register changed, or a call to us says that the carrier forgot us.
    pub fn refresh(&mut self, now: Instant) {
        if let Phase::Waiting(_) = self.phase {
            self.phase = Phase::Waiting(now);
        }
    }

    /// Ends it: our binding is removed if the registrar may hold one.
    pub fn stop(&mut self) {
        match self.phase {
            Phase::Waiting(_) if self.registered_until.is_some() => self.leave(),
            Phase::Waiting(_) => self.phase = Phase::Stopped,
            Phase::Trying => self.phase = Phase::LeavingSoon,
            Phase::LeavingSoon | Phase::Leaving | Phase::Stopped => {}
        }
        self.become_registered(None);
    }

    fn answered(&mut self, now: Instant, answer: Answer) {
        match answer {
            Answer::Accepted { expires: Some(0) } => self.failed(now, None),
            Answer::Accepted { expires } => {
                let granted = expires.unwrap_or(self.expires).min(MAX_EXPIRES);
                self.failures = 0;
                self.become_registered(Some(now + Duration::from_secs(u64::from(granted))));
                self.phase = Phase::Waiting(now + self.refresh_after(granted));
            }
            Answer::Challenged if self.challenges < MAX_CHALLENGES => {
                self.challenges += 1;
                self.send(true);
            }
            // Only an expiry that is truly longer is worth another try, or two machines would go round for ever.
            Answer::TooBrief { min_expires } if min_expires > self.expires && min_expires <= MAX_EXPIRES => {
                self.expires = min_expires;
                self.send(false);
            }
            Answer::Refused { retry_after } => self.failed(now, retry_after),
            Answer::Challenged | Answer::TooBrief { .. } | Answer::Silence => self.failed(now, None),
        }
    }

    fn leave(&mut self) {
        self.phase = Phase::Leaving;
        self.challenges = 0;
        self.effects.push_back(Effect::Register { expires: 0, challenged: false });
    }

    fn left(&mut self, answer: Answer) {
        if answer == Answer::Challenged && self.challenges < MAX_CHALLENGES {
            self.challenges += 1;
            self.effects.push_back(Effect::Register { expires: 0, challenged: true });
        } else {
            self.phase = Phase::Stopped;
        }
    }

    fn send(&mut self, challenged: bool) {
        self.phase = Phase::Trying;
        self.effects.push_back(Effect::Register { expires: self.expires, challenged });
    }

    /// Tries again after a pause that doubles. The binding that the registrar holds stays ours until it expires.
    fn failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        let doubled = BASE_BACKOFF * (1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.expires = self.wanted;
        let pause = self.share(doubled.min(MAX_BACKOFF), 50, 100);
        self.phase = Phase::Waiting(now + pause.max(retry_after.unwrap_or_default().min(MAX_BACKOFF)));
    }

    /// Between 50 and 90 % of the expiry, so that many registrations do not come at once.
    fn refresh_after(&mut self, granted: u32) -> Duration {
        self.share(Duration::from_secs(u64::from(granted)), 50, 90).max(Duration::from_secs(1))
    }

    /// A share of `whole`, between so many percent.
    fn share(&mut self, whole: Duration, least: u32, most: u32) -> Duration {
        let extra = u32::try_from(self.seed.below(u64::from(most - least + 1))).unwrap_or(0);
        whole * (least + extra) / 100
    }

    fn become_registered(&mut self, until: Option<Instant>) {
        let before = std::mem::replace(&mut self.registered_until, until).is_some();
        if before != until.is_some() {
            self.effects.push_back(Effect::Changed { registered: until.is_some() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZERO: Instant = Instant::ORIGIN;

    fn effects(machine: &mut Registration) -> Vec<Effect> {
        std::iter::from_fn(|| machine.poll_effect()).collect()
    }

    /// A machine whose first REGISTER has just been sent.
    fn trying(seed: u64) -> (Registration, Instant) {
        let mut machine = Registration::new(300, ZERO, seed);
        let now = machine.poll_timeout().unwrap();
        machine.handle_timeout(now);
        assert_eq!(effects(&mut machine), [Effect::Register { expires: 300, challenged: false }]);
        (machine, now)
    }

    fn registered(seed: u64) -> (Registration, Instant) {
        let (mut machine, now) = trying(seed);
        machine.handle_answer(now, Answer::Accepted { expires: Some(300) });
        assert_eq!(effects(&mut machine), [Effect::Changed { registered: true }]);
        (machine, now)
    }

    #[test]
    fn a_challenge_is_answered_but_not_for_ever() {
        let (mut machine, now) = trying(1);
        for _ in 0..MAX_CHALLENGES {
            machine.handle_answer(now, Answer::Challenged);
            assert_eq!(effects(&mut machine), [Effect::Register { expires: 300, challenged: true }]);
        }
        machine.handle_answer(now, Answer::Challenged);
        assert_eq!((effects(&mut machine), machine.failures()), (vec![], 1));
    }

    #[test]
    fn the_binding_is_refreshed_between_half_and_nine_tenths_of_what_was_granted() {
        for seed in 0..200 {
            let (mut machine, now) = trying(seed);
            machine.handle_answer(now, Answer::Accepted { expires: Some(100) });
            let pause = machine.poll_timeout().unwrap() - now;
            assert!((50..=90).contains(&pause.as_secs()), "{pause:?}");
        }
    }

    #[test]
    fn a_423_is_answered_with_what_it_asks_for() {
        let (mut machine, now) = trying(1);
        machine.handle_answer(now, Answer::TooBrief { min_expires: 1800 });
        assert_eq!(effects(&mut machine), [Effect::Register { expires: 1800, challenged: false }]);
        machine.handle_answer(now, Answer::TooBrief { min_expires: 1800 });
        assert_eq!((effects(&mut machine), machine.failures()), (vec![], 1), "the same again is a fault of theirs");
    }

    #[test]
    fn failures_back_off_and_the_binding_lives_until_it_expires() {
        let (mut machine, now) = registered(3);
        let due = machine.poll_timeout().unwrap();
        machine.handle_timeout(due);
        machine.handle_answer(due, Answer::Silence);
        assert!(machine.is_registered(due));
        let expiry = now + Duration::from_secs(300);
        assert_eq!(effects(&mut machine), [Effect::Register { expires: 300, challenged: false }]);
        while machine.is_registered(machine.poll_timeout().unwrap()) {
            let due = machine.poll_timeout().unwrap();
            machine.handle_timeout(due);
            machine.handle_answer(due, Answer::Silence);
        }
        machine.handle_timeout(expiry);
        assert!(effects(&mut machine).contains(&Effect::Changed { registered: false }));
        assert!(!machine.is_registered(expiry));
    }

    #[test]
    fn retry_after_is_respected() {
        let (mut machine, now) = trying(1);
        machine.handle_answer(now, Answer::Refused { retry_after: Some(Duration::from_secs(120)) });
        assert_eq!(machine.poll_timeout(), Some(now + Duration::from_secs(120)));
    }

    #[test]
    fn stopping_removes_the_binding() {
        let (mut machine, now) = registered(1);
        machine.stop();
        let sent = effects(&mut machine);
        assert!(sent.contains(&Effect::Register { expires: 0, challenged: false }) && !machine.is_stopped());
        machine.handle_answer(now, Answer::Challenged);
        assert_eq!(effects(&mut machine), [Effect::Register { expires: 0, challenged: true }]);
        machine.handle_answer(now, Answer::Accepted { expires: None });
        assert!(machine.is_stopped() && machine.poll_timeout().is_none());
        let mut never = Registration::new(300, ZERO, 1);
        never.stop();
        assert!(never.is_stopped() && effects(&mut never).is_empty(), "what was never sent needs no end");
    }

    #[test]
    fn stopping_waits_for_the_register_under_way() {
        let (mut machine, now) = trying(1);
        machine.stop();
        assert!(effects(&mut machine).is_empty() && !machine.is_stopped());
        machine.handle_answer(now, Answer::Accepted { expires: None });
        assert_eq!(effects(&mut machine), [Effect::Register { expires: 0, challenged: false }]);
        machine.handle_answer(now, Answer::Silence);
        assert!(machine.is_stopped());
    }

    proptest! {
        #[test]
        fn it_always_goes_on_and_never_at_once(seed: u64, answers in prop::collection::vec(0..6u8, 0..100)) {
            let mut machine = Registration::new(300, ZERO, seed);
            let mut now = ZERO;
            let mut under_way = false;
            for answer in answers {
                if !under_way {
                    now = machine.poll_timeout().expect("something is always due while nothing is under way").max(now);
                    machine.handle_timeout(now);
                }
                let answer = match answer {
                    0 => Answer::Accepted { expires: Some(60) },
                    1 => Answer::Accepted { expires: Some(0) },
                    2 => Answer::Challenged,
                    3 => Answer::TooBrief { min_expires: 600 },
                    4 => Answer::Refused { retry_after: None },
                    _ => Answer::Silence,
                };
                let sent = |effects: Vec<Effect>| effects.iter().filter(|e| matches!(e, Effect::Register { .. })).count();
                under_way |= sent(effects(&mut machine)) > 0;
                machine.handle_answer(now, answer);
                let more = sent(effects(&mut machine));
                prop_assert!(more <= 1 && (more == 0 || under_way));
                under_way = more > 0;
                prop_assert!(under_way || machine.poll_timeout().is_some_and(|next| next > now));
            }
        }
    }
}
