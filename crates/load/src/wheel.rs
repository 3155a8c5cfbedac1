//! A timing wheel with slots of one millisecond. It holds alarms, never decides what they mean, and never cancels:
//! who set an alarm checks on firing whether it is still wanted.

const SLOTS: u64 = 4096;

/// Alarms of keys, in microseconds of the run's clock.
pub(crate) struct Wheel<K> {
    slots: Vec<Vec<(u64, K)>>,
    /// The next millisecond to look at.
    cursor: u64,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), cursor: 0, len: 0 }
    }

    /// Rings for `key` at `at_us` or up to a millisecond later, but never before the next call of [`Wheel::take_due`].
    pub(crate) fn set(&mut self, at_us: u64, key: K) {
        let tick = at_us.div_ceil(1000).max(self.cursor);
        self.slots[slot(tick)].push((tick, key));
        self.len += 1;
    }

    /// Moves what is due at `now_us` into `due`.
    pub(crate) fn take_due(&mut self, now_us: u64, due: &mut Vec<K>) {
        let now = now_us / 1000;
        while self.cursor <= now {
            if self.len == 0 {
                self.cursor = now + 1;
                return;
            }
            let before = self.slots[slot(self.cursor)].len();
            let cursor = self.cursor;
            self.slots[slot(cursor)].retain(|&(tick, key)| {
                if tick <= cursor {
                    due.push(key);
                }
                tick > cursor
            });
            self.len -= before - self.slots[slot(cursor)].len();
            self.cursor += 1;
        }
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_once_and_not_before_its_time() {
        let mut wheel = Wheel::new();
        wheel.set(1_500, 'a');
        wheel.set(9_000_000, 'b');
        let mut due = Vec::new();
        wheel.take_due(1_499, &mut due);
        assert!(due.is_empty());
        wheel.take_due(2_000, &mut due);
        assert_eq!(due, ['a']);
        wheel.take_due(8_999_999, &mut due);
        assert_eq!(due, ['a']);
        wheel.take_due(9_000_000, &mut due);
        assert_eq!(due, ['a', 'b']);
    }

    #[test]
    fn an_alarm_in_the_past_rings_at_the_next_look() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        wheel.take_due(5_000_000, &mut due);
        wheel.set(1_000, 'a');
        wheel.take_due(5_001_000, &mut due);
        assert_eq!(due, ['a']);
    }
}
