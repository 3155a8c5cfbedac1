//! Whether a history of writes and reads that overlap in time can be that of one register: Wing and Gong's search, which
//! remembers where it has been (Lowe). A write of unknown end is taken only for a read that shows it: it could have been
//! made just before that one, so that many of them do not make the search endless.

use std::collections::HashSet;

/// What somebody did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// Made it this.
    Write(u64),
    /// Found this.
    Read(u64),
}

/// A deed, and its place among all that was begun and ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// What it was.
    pub deed: Deed,
    /// When it was begun.
    pub began: u64,
    /// When it was answered. A write without an answer may have been made at any time since, or never.
    pub ended: Option<u64>,
}

/// The longest history that can be searched.
pub const LONGEST: usize = 128;

/// Whether an order of the deeds exists that keeps to their times and to the rules of a register that begins with 0.
///
/// # Panics
/// The history is longer than [`LONGEST`].
#[must_use]
pub fn is_linear(events: &[Event]) -> bool {
    assert!(events.len() <= LONGEST, "one bit each");
    let ended = events.iter().enumerate().filter(|(_, event)| event.ended.is_some());
    let must: u128 = ended.fold(0, |all, (at, _)| all | 1 << at);
    let (mut seen, mut open) = (HashSet::new(), vec![(0_u128, 0_u64)]);
    while let Some((done, value)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !seen.insert((done, value)) {
            continue;
        }
        let left = || events.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let first_end = left().filter_map(|(_, event)| event.ended).min();
        let next = || left().filter(|(_, event)| first_end.is_none_or(|end| event.began <= end));
        for (at, event) in next() {
            match event.deed {
                Deed::Write(new) if event.ended.is_some() => open.push((done | 1 << at, new)),
                Deed::Read(read) if read == value => open.push((done | 1 << at, value)),
                Deed::Read(read) => {
                    let shown = |(_, other): &(usize, &Event)| other.ended.is_none() && other.deed == Deed::Write(read);
                    open.extend(next().filter(shown).map(|(write, _)| (done | 1 << at | 1 << write, read)));
                }
                Deed::Write(_) => {}
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_finds_what_is_wrong() {
        let event = |deed, began, ended: u64| Event { deed, began, ended: (ended > 0).then_some(ended) };
        let (write, read) = (Deed::Write, Deed::Read);
        let written = event(write(1), 0, 10);
        assert!(is_linear(&[written, event(read(1), 11, 12)]));
        assert!(is_linear(&[written, event(read(0), 5, 12)]), "before it had ended");
        assert!(!is_linear(&[written, event(read(0), 11, 12)]), "an old value after the new one");
        let lost = event(write(2), 0, 0);
        assert!(is_linear(&[lost, event(read(0), 5, 6), event(read(2), 8, 9)]));
        assert!(!is_linear(&[lost, event(read(2), 5, 6), event(read(0), 8, 9)]), "there and gone");
    }

    #[test]
    fn writes_of_unknown_end_do_not_make_it_endless() {
        let unknown = (1..60).map(|value| Event { deed: Deed::Write(value), began: value, ended: None });
        let seen = (100..120).map(|at| Event { deed: Deed::Read(7), began: at * 2, ended: Some(at * 2 + 1) });
        let mut history: Vec<Event> = unknown.chain(seen).collect();
        assert!(is_linear(&history));
        history.push(Event { deed: Deed::Read(0), began: 300, ended: Some(301) });
        assert!(!is_linear(&history[58..]), "what was there at first does not come back");
    }
}
