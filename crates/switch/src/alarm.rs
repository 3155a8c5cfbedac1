//! One alarm an actor: a wheel of deadlines that wakes calls, instead of a task or a runtime timer for each.
//!
//! Alarms are late by at most one [`TICK`] and never early. A call arms only what lies before the alarm that it has;
//! when that rings and nothing is due, the call arms anew. So a message that moves a deadline back costs nothing here.

use parking_lot::Mutex;
use sip::clock::Instant;
use std::time::Duration;

/// The grain.
pub const TICK: Duration = Duration::from_millis(10);
/// Slots of one turn: 40.96 s. Later deadlines go round again.
const SLOTS: usize = 4096;

struct Entry<T> {
    deadline: Instant,
    who: T,
}

struct Wheel<T> {
    slots: Vec<Vec<Entry<T>>>,
    /// The first tick that has not rung yet.
    next: u64,
    armed: usize,
}

/// A wheel shared by those who arm and the one that turns it.
pub struct Alarms<T>(Mutex<Wheel<T>>);

impl<T> Alarms<T> {
    /// An empty wheel that begins at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self(Mutex::new(Wheel { slots, next: tick(now), armed: 0 }))
    }

    /// Rings for `who` at `deadline`.
    pub fn arm(&self, deadline: Instant, who: T) {
        let mut wheel = self.0.lock();
        // Rounded up, so that nobody is woken before the deadline.
        let at = (tick(deadline) + 1).clamp(wheel.next, wheel.next + SLOTS as u64 - 1);
        wheel.slots[slot(at)].push(Entry { deadline, who });
        wheel.armed += 1;
    }

    /// Everyone whose deadline has passed.
    pub fn turn(&self, now: Instant) -> Vec<T> {
        let mut wheel = self.0.lock();
        let current = tick(now);
        let mut due = Vec::new();
        if wheel.armed == 0 {
            wheel.next = wheel.next.max(current);
            return due;
        }
        while wheel.next <= current {
            let index = slot(wheel.next);
            wheel.next += 1;
            for entry in std::mem::take(&mut wheel.slots[index]) {
                if entry.deadline <= now {
                    wheel.armed -= 1;
                    due.push(entry.who);
                } else {
                    let at = (tick(entry.deadline) + 1).clamp(wheel.next, wheel.next + SLOTS as u64 - 1);
                    wheel.slots[slot(at)].push(entry);
                }
            }
        }
        due
    }

    /// How many alarms are set.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.0.lock().armed
    }
}

fn tick(at: Instant) -> u64 {
    at.as_micros() / u64::try_from(TICK.as_micros()).unwrap_or(1)
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn rings_after_the_deadline_and_within_two_ticks() {
        let alarms = Alarms::new(ms(0));
        alarms.arm(ms(505), "a");
        for at in 0..505 {
            assert!(alarms.turn(ms(at)).is_empty(), "early at {at}");
        }
        let rung = (505..=520).find(|at| !alarms.turn(ms(*at)).is_empty());
        assert!(rung.is_some(), "late");
        assert_eq!(alarms.armed(), 0);
    }

    #[test]
    fn a_deadline_of_hours_goes_round_and_one_of_the_past_rings_at_once() {
        let alarms = Alarms::new(ms(0));
        alarms.arm(ms(200_000), "far");
        assert!(alarms.turn(ms(150_000)).is_empty());
        alarms.arm(ms(10), "past");
        assert_eq!(alarms.turn(ms(150_020)), ["past"]);
        assert!(alarms.turn(ms(199_990)).is_empty());
        assert_eq!(alarms.turn(ms(200_020)), ["far"]);
    }

    #[test]
    fn nothing_is_lost_when_the_turner_sleeps_long() {
        let alarms = Alarms::new(ms(0));
        for at in 0..1000 {
            alarms.arm(ms(at * 7), at);
        }
        assert_eq!(alarms.turn(ms(1_000_000)).len(), 1000);
    }
}
