//! The addresses of record that sleep: a million of them as rows, and one wheel that knows when the next binding runs
//! out. It never holds one that is awake.

use crate::Error;
use crate::aor::{Aor, Effect};
use crate::row::Row;
use crate::wheel::ExpiryWheel;
use rustc_hash::FxHashMap;
use sip::clock::{Instant, Now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// What is known of one name.
#[derive(Clone, Debug)]
struct Slot {
    /// Absent while the address of record is awake; the slot then only remembers its place in the wheel.
    row: Option<Row>,
    /// When its first binding runs out.
    due: Instant,
    /// Where it stands in the wheel, so that a phone which refreshes often stands there once.
    queued: Instant,
}

/// The sleeping addresses of record of a node.
#[derive(Clone, Debug)]
pub struct Registrar {
    slots: FxHashMap<Arc<str>, Slot>,
    wheel: ExpiryWheel<Arc<str>>,
    asleep: usize,
    max: usize,
    effects: VecDeque<(Arc<str>, Effect)>,
}

impl Registrar {
    /// With room for `max` that sleep.
    #[must_use]
    pub fn new(now: Now, max: usize) -> Self {
        let wheel = ExpiryWheel::new(now.mono);
        Self { slots: FxHashMap::default(), wheel, asleep: 0, max, effects: VecDeque::new() }
    }

    /// How many sleep.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.asleep
    }

    /// True if none sleeps.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.asleep == 0
    }

    /// True if this one sleeps here.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.slots.get(name).is_some_and(|slot| slot.row.is_some())
    }

    /// Names and rows of all that sleep, in no order: for a listing, or a checkpoint of them all.
    pub fn rows(&self) -> impl Iterator<Item = (&Arc<str>, &Row)> {
        self.slots.iter().filter_map(|(name, slot)| Some((name, slot.row.as_ref()?)))
    }

    /// Puts one to sleep. One without bindings is simply forgotten.
    ///
    /// # Errors
    /// [`Error::Full`]; it has to stay awake then.
    pub fn sleep(&mut self, now: Now, aor: &Aor) -> Result<(), Error> {
        let Some(row) = aor.checkpoint(now) else { return Ok(()) };
        self.keep(now, aor.name(), row)
    }

    /// Takes in a row from elsewhere, such as a checkpoint that is loaded at start.
    ///
    /// # Errors
    /// [`Error::Full`].
    pub fn keep(&mut self, now: Now, name: &Arc<str>, row: Row) -> Result<(), Error> {
        if self.asleep >= self.max && !self.contains(name) {
            return Err(Error::Full);
        }
        let due = now.mono + Duration::from_millis(row.expires.0.saturating_sub(now.wall.0));
        let queued = self.slots.get(name).map(|slot| slot.queued).filter(|queued| *queued <= due);
        if queued.is_none() {
            self.wheel.schedule(Arc::clone(name), due);
        }
        let slot = Slot { row: Some(row), due, queued: queued.unwrap_or(due) };
        let before = self.slots.insert(Arc::clone(name), slot);
        self.asleep += usize::from(before.is_none_or(|slot| slot.row.is_none()));
        Ok(())
    }

    /// Wakes one: from here on its caller holds it. `None` if it does not sleep here.
    pub fn wake(&mut self, now: Now, name: &str) -> Option<Aor> {
        let (name, _) = self.slots.get_key_value(name)?;
        let name = Arc::clone(name);
        let row = self.slots.get_mut(&name)?.row.take()?;
        self.asleep -= 1;
        let mut aor = Aor::wake(name, &row, now).ok()?;
        aor.handle_timeout(now);
        Some(aor)
    }

    /// Looks at one without waking it.
    #[must_use]
    pub fn peek(&self, now: Now, name: &str) -> Option<Aor> {
        let (name, slot) = self.slots.get_key_value(name)?;
        Aor::wake(Arc::clone(name), slot.row.as_ref()?, now).ok()
    }

    /// Drops the bindings that ran out in their sleep.
    pub fn handle_timeout(&mut self, now: Now) {
        for (name, at) in self.wheel.expire(now.mono) {
            let Some(slot) = self.slots.get_mut(&name).filter(|slot| slot.queued == at) else { continue };
            if slot.row.is_none() {
                self.slots.remove(&name);
            } else if slot.due > now.mono {
                slot.queued = slot.due;
                let due = slot.due;
                self.wheel.schedule(name, due);
            } else {
                self.expire(now, &name);
            }
        }
    }

    /// When [`Registrar::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// What has happened to whom, until there is nothing more.
    pub fn poll_effect(&mut self) -> Option<(Arc<str>, Effect)> {
        self.effects.pop_front()
    }

    fn expire(&mut self, now: Now, name: &Arc<str>) {
        let Some(mut aor) = self.wake(now, name) else { return };
        self.slots.remove(name);
        while let Some(effect) = aor.poll_effect() {
            self.effects.push_back((Arc::clone(name), effect));
        }
        // There is room: it has just left.
        let _ = self.sleep(now, &aor);
    }
}

#[cfg(test)]
mod tests;
