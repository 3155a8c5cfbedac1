//! What is known of the protection of one call: lies in its cell, and outlives its actor.
//!
//! Its actor writes states and ends, while a look at all calls sends what a new backup lacks. So whatever goes to a backup is put on its
//! way under this lock: nothing of a call leaves behind its end, and no older state behind a newer one.

use super::lane::Haste;
use ::call::effect::Point;
use parking_lot::{Mutex, MutexGuard};
use routing::cluster::NodeId;
use sip::clock::Instant;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Default)]
pub(crate) struct Guard {
    inside: Mutex<Inside>,
    /// The call was given to a backup or asked to leave. What only such a call has need not be asked of any other: it is asked
    /// several times a turn.
    is_known: AtomicBool,
}

#[derive(Default)]
struct Inside {
    /// The state that was written last, and when.
    number: u32,
    written: Option<Instant>,
    /// The backup, once anything was sent there, and the state that it has confirmed.
    backup: Option<NodeId>,
    kept: u32,
    /// Who keeps it a second time, and the state that this node has confirmed.
    spare: Option<(NodeId, u32)>,
    /// The life of this node in which it was sent last: should that end, the call is another node's. It stays when the backup is
    /// told that the call is over, since one that does not hear it may take the call all the same.
    life: Option<u64>,
    /// Effects are held back until this state is kept, or until then.
    hold: Option<(u32, Instant)>,
    /// It came from a node that is no more: when that last carried it, and the legs that have moved since.
    taken: Option<(Instant, u8)>,
    /// The same moment, and the sides that were heard since.
    silent: Option<(Instant, u8)>,
    leaving: Leaving,
}

/// Whether the call moves to another node, which this one asks to take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Leaving {
    /// It does not.
    #[default]
    No,
    /// Its state is packed: it says nothing until the other node has answered.
    Packed,
    /// It has left; until then this node still carries its media.
    Left(Instant),
}

/// What is to be done with the newest state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wants {
    /// Nothing: the backup has it.
    Alive,
    /// To be sent again, with the number and time of its writing.
    State(u32, Instant),
    /// There is none.
    Nothing,
}

/// A state that was just written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Written {
    pub(super) number: u32,
    /// Who was sent the states before it, and is not any more.
    pub(super) former: Option<NodeId>,
    /// The backup has confirmed the state before.
    pub(super) is_known: bool,
}

/// Whether what happens at this point must not be seen outside before it is kept.
pub(crate) const fn is_awaited(point: Point) -> bool {
    matches!(point, Point::C0 | Point::C2)
}

impl Inside {
    /// Whether the backup has confirmed the state before this one.
    fn has_before(&self, backup: NodeId, number: u32) -> bool {
        self.backup == Some(backup) && self.kept.wrapping_add(1) == number && self.kept > 0
    }

    /// States go to this node from now on; answers the one to which they went before.
    fn go_to(&mut self, backup: NodeId, life: u64) -> Option<NodeId> {
        self.life = Some(life);
        let former = self.backup.replace(backup).filter(|former| *former != backup);
        if former.is_some() {
            self.kept = 0;
        }
        former
    }
}

impl Guard {
    /// A new state was written and goes to a node in a life of this one, on the way that `put` takes; answers its number. With `until`,
    /// effects are held back where the point asks for that.
    pub(super) fn write(
        &self,
        now: Instant,
        to: Option<(NodeId, u64)>,
        point: Point,
        until: Instant,
        put: impl FnOnce(Written),
    ) -> u32 {
        let mut inside = self.inside.lock();
        inside.number += 1;
        inside.written = Some(now);
        let number = inside.number;
        let (mut former, mut is_known) = (None, false);
        if let Some((backup, life)) = to {
            self.is_known.store(true, Ordering::Release);
            is_known = inside.has_before(backup, number);
            former = inside.go_to(backup, life);
            if is_awaited(point) {
                inside.hold = Some((number, until));
            }
        }
        put(Written { number, former, is_known });
        number
    }

    /// The state of this number goes to another backup, or to the same one again, on the way that `put` takes, who is told of the former
    /// one. Not if it is over by now, or a newer state was written: whoever wrote it has sent it.
    pub(super) fn send(&self, backup: NodeId, life: u64, number: u32, put: impl FnOnce(Option<NodeId>)) {
        let mut inside = self.inside.lock();
        if inside.written.is_some() && inside.number == number {
            self.is_known.store(true, Ordering::Release);
            let former = inside.go_to(backup, life);
            put(former);
        }
    }

    /// The state of this number goes to a node, or to none, for the second time, on the way that `put` takes, who is told of the one that
    /// had it so before and has it no more. Not if it is over by now, or a newer state was written.
    pub(super) fn send_spare(&self, to: Option<NodeId>, number: u32, put: impl FnOnce(Option<NodeId>)) {
        let mut inside = self.inside.lock();
        if inside.written.is_none() || inside.number != number {
            return;
        }
        let former = inside.spare.map(|(node, _)| node);
        if former != to {
            inside.spare = to.map(|node| (node, 0));
        }
        put(former.filter(|former| Some(*former) != to && Some(*former) != inside.backup));
    }

    /// Whether the node that keeps it a second time has the newest state.
    pub(super) fn is_spared(&self, by: NodeId) -> bool {
        let inside = self.inside.lock();
        inside.spare == Some((by, inside.number))
    }

    /// The backup has a state, or who keeps it a second time; whether effects wait for that.
    pub(super) fn kept(&self, backup: NodeId, number: u32) -> bool {
        let mut inside = self.inside.lock();
        if let Some((_, kept)) = inside.spare.as_mut().filter(|(node, _)| *node == backup) {
            *kept = (*kept).max(number);
            return false;
        }
        if inside.backup != Some(backup) {
            return false;
        }
        inside.kept = inside.kept.max(number);
        let waits = inside.hold.is_some_and(|(awaited, _)| awaited <= number);
        if waits {
            inside.hold = None;
        }
        waits
    }

    /// Who kept it has lost it.
    pub(super) fn lost(&self, by: NodeId) {
        let mut inside = self.inside.lock();
        match inside.spare.as_mut().filter(|(node, _)| *node == by) {
            Some((_, kept)) => *kept = 0,
            None => inside.kept = 0,
        }
    }

    /// The call is over, or nothing of it is worth keeping: `put` is called for each who is to be told.
    pub(super) fn release(&self, put: impl FnMut(NodeId)) {
        let mut inside = self.inside.lock();
        (inside.hold, inside.written) = (None, None);
        let known = [inside.backup.take(), inside.spare.take().map(|(node, _)| node)];
        known.into_iter().flatten().for_each(put);
    }

    /// How soon a state must leave that is sent again: a message may still wait for the one that went to another backup.
    pub(super) fn haste(&self) -> Haste {
        if self.held_until().is_some() { Haste::Brief } else { Haste::Soon }
    }

    /// Until when effects are held back.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.known()?.hold.map(|(_, until)| until)
    }

    /// Lets effects go on if they have waited long enough; whether they had to go unprotected.
    pub(crate) fn lose_patience(&self, now: Instant) -> bool {
        self.known().is_some_and(|mut inside| inside.hold.take_if(|(_, until)| *until <= now).is_some())
    }

    /// The life of this node in which the call was given to a backup, if it ever was.
    pub(crate) fn life(&self) -> Option<u64> {
        self.known()?.life
    }

    /// What a look finds to be done, if `backup` is the one that should have the state.
    pub(super) fn wants(&self, backup: NodeId) -> Wants {
        let inside = self.inside.lock();
        match inside.written {
            None => Wants::Nothing,
            Some(_) if inside.backup == Some(backup) && inside.kept == inside.number => Wants::Alive,
            Some(written) => Wants::State(inside.number, written),
        }
    }

    /// The newest state, wherever it is kept.
    pub(super) fn newest(&self) -> Wants {
        let inside = self.inside.lock();
        inside.written.map_or(Wants::Nothing, |written| Wants::State(inside.number, written))
    }

    /// Whether the newest state is kept by another node.
    pub(super) fn is_protected(&self) -> bool {
        let inside = self.inside.lock();
        inside.written.is_none() || inside.backup.is_some() && inside.kept == inside.number
    }

    /// How the call leaves, and the life of this node in which it was given to a backup, if it ever was.
    pub(crate) fn standing(&self) -> (Leaving, Option<u64>) {
        self.known().map_or((Leaving::No, None), |inside| (inside.leaving, inside.life))
    }

    /// How the call leaves.
    pub(crate) fn leaving(&self) -> Leaving {
        self.known().map_or(Leaving::No, |inside| inside.leaving)
    }

    /// Whether another node leads it now.
    pub(crate) fn has_left(&self) -> bool {
        matches!(self.leaving(), Leaving::Left(_))
    }

    /// Notes how the call leaves.
    pub(crate) fn leave(&self, leaving: Leaving) {
        self.is_known.store(true, Ordering::Release);
        self.inside.lock().leaving = leaving;
    }

    /// What is known of a call that was given to a backup or asked to leave.
    fn known(&self) -> Option<MutexGuard<'_, Inside>> {
        self.is_known.load(Ordering::Acquire).then(|| self.inside.lock())
    }

    /// The call came from a node that carried it last at `alive`.
    pub(super) fn came(&self, alive: Instant) {
        let mut inside = self.inside.lock();
        (inside.taken, inside.silent) = (Some((alive, 0)), Some((alive, 0)));
    }

    /// Media of a side is heard; for how long it was not, if the call came from a node that is no more.
    pub(crate) fn heard(&self, now: Instant) -> Option<std::time::Duration> {
        let mut inside = self.inside.lock();
        let (alive, sides) = inside.silent.as_mut()?;
        *sides += 1;
        let gap = now.since(*alive);
        if *sides == 2 {
            inside.silent = None;
        }
        Some(gap)
    }

    /// A leg has moved here; how long the call was without its node, once both have.
    pub(super) fn moved(&self, now: Instant) -> Option<std::time::Duration> {
        let mut inside = self.inside.lock();
        let (alive, legs) = inside.taken.as_mut()?;
        *legs += 1;
        let took = now.since(*alive);
        let both = *legs == 2;
        if both {
            inside.taken = None;
        }
        both.then_some(took)
    }

    /// Whether the call came from a node that is gone, and its parties have not said yet that it goes on.
    pub(crate) fn is_unsure(&self) -> bool {
        self.inside.lock().taken.is_some()
    }

    /// The call could not be kept; whether that is news.
    pub(super) fn gone(&self) -> bool {
        self.inside.lock().taken.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    /// Writes a state; what is said of it.
    fn written(guard: &Guard, now: Instant, to: Option<(NodeId, u64)>, point: Point, until: Instant) -> Written {
        let mut written = None;
        let number = guard.write(now, to, point, until, |what| written = Some(what));
        let written = written.expect("it goes on its way");
        assert_eq!(written.number, number);
        written
    }

    fn backup(guard: &Guard) -> Option<NodeId> {
        guard.inside.lock().backup
    }

    /// Sends the newest state.
    fn send(guard: &Guard, to: NodeId, life: u64) {
        let Wants::State(number, _) = guard.newest() else { panic!("there is none") };
        let mut is_sent = false;
        guard.send(to, life, number, |_| is_sent = true);
        assert!(is_sent);
    }

    #[test]
    fn only_the_awaited_state_or_time_lets_effects_go() {
        let guard = Guard::default();
        assert_eq!(written(&guard, ms(0), Some((2, 1)), Point::C1, ms(20)).number, 1);
        assert_eq!(guard.held_until(), None, "nobody waits for a ringing to be kept");
        assert_eq!(written(&guard, ms(1), Some((2, 1)), Point::C2, ms(21)).number, 2);
        assert!(!guard.kept(2, 1) && !guard.kept(3, 2), "an older state, and another node");
        assert_eq!(guard.held_until(), Some(ms(21)));
        assert!(guard.kept(2, 2) && guard.held_until().is_none() && guard.is_protected());
        written(&guard, ms(2), Some((2, 1)), Point::C0, ms(22));
        assert!(!guard.lose_patience(ms(21)) && guard.lose_patience(ms(22)) && !guard.lose_patience(ms(23)));
        assert!(!guard.is_protected() && !guard.kept(2, 3) && guard.is_protected(), "it came late");
    }

    #[test]
    fn a_state_that_is_sent_to_another_backup_is_in_a_hurry_as_long_as_a_message_waits_for_it() {
        let guard = Guard::default();
        written(&guard, ms(0), Some((2, 1)), Point::C1, ms(20));
        send(&guard, 3, 1);
        assert_eq!(guard.haste(), Haste::Soon, "nobody waits for a ringing to be kept");
        written(&guard, ms(1), Some((3, 1)), Point::C2, ms(21));
        send(&guard, 2, 1);
        assert!(!guard.kept(3, 2), "the former backup");
        assert_eq!(guard.haste(), Haste::Brief);
        assert!(guard.kept(2, 2));
        assert_eq!(guard.haste(), Haste::Soon);
        written(&guard, ms(2), Some((2, 1)), Point::C0, ms(22));
        send(&guard, 3, 1);
        assert_eq!((guard.haste(), guard.lose_patience(ms(22))), (Haste::Brief, true));
        assert_eq!(guard.haste(), Haste::Soon, "it has gone without");
    }

    #[test]
    fn a_backup_has_the_state_before_once_it_has_said_so_and_until_it_has_lost_it() {
        let guard = Guard::default();
        let write = |to| written(&guard, ms(0), Some((to, 1)), Point::C4, ms(0));
        assert!(!write(2).is_known, "there is none before the first");
        assert!(!write(2).is_known);
        guard.kept(2, 2);
        assert!(write(2).is_known && !write(2).is_known);
        guard.kept(2, 4);
        assert!(!write(3).is_known);
        guard.kept(3, 5);
        guard.lost(3);
        assert!(!write(3).is_known);
    }

    #[test]
    fn without_a_backup_nothing_waits_and_nothing_is_protected() {
        let guard = Guard::default();
        written(&guard, ms(0), None, Point::C2, ms(20));
        assert!(guard.held_until().is_none() && !guard.is_protected() && guard.life().is_none());
        assert_eq!(guard.wants(2), Wants::State(1, ms(0)));
        send(&guard, 2, 7);
        guard.kept(2, 1);
        assert_eq!((guard.wants(2), guard.wants(3), guard.life()), (Wants::Alive, Wants::State(1, ms(0)), Some(7)));
        send(&guard, 3, 7);
        assert!(!guard.is_protected(), "the new backup has not said so yet");
        assert_eq!(released(&guard), [3]);
        assert_eq!(
            (guard.wants(2), backup(&guard), guard.life()),
            (Wants::Nothing, None, Some(7)),
            "it may not hear it"
        );
    }

    fn released(guard: &Guard) -> Vec<NodeId> {
        let mut told = Vec::new();
        guard.release(|node| told.push(node));
        told
    }

    #[test]
    fn who_has_a_state_and_is_backup_no_more_is_told_whoever_notices_it() {
        let guard = Guard::default();
        assert_eq!(written(&guard, ms(0), Some((2, 1)), Point::C0, ms(20)).former, None);
        assert_eq!(written(&guard, ms(1), Some((3, 1)), Point::C1, ms(20)).former, Some(2), "by the call itself");
        assert_eq!(written(&guard, ms(2), None, Point::C1, ms(20)).former, None, "nobody is there, and 3 has it still");
        assert_eq!(written(&guard, ms(3), Some((3, 1)), Point::C1, ms(20)).former, None);
        let mut former = None;
        guard.send(2, 1, 4, |told| former = told);
        assert_eq!((former, backup(&guard)), (Some(3), Some(2)), "by a look at it");
        assert_eq!(released(&guard), [2]);
    }

    #[test]
    fn what_a_look_has_found_does_not_leave_behind_a_newer_state_or_the_end() {
        let guard = Guard::default();
        written(&guard, ms(0), Some((2, 1)), Point::C0, ms(20));
        let Wants::State(found, _) = guard.wants(3) else { panic!("3 lacks it") };
        written(&guard, ms(1), Some((2, 1)), Point::C2, ms(20));
        guard.send(3, 1, found, |_| panic!("an older state"));
        guard.send_spare(Some(3), found, |_| panic!("an older state"));
        assert_eq!(backup(&guard), Some(2));
        let Wants::State(found, _) = guard.wants(3) else { panic!("3 lacks it") };
        assert_eq!(released(&guard), [2]);
        guard.send(3, 1, found, |_| panic!("it is over"));
        guard.send_spare(Some(3), found, |_| panic!("it is over"));
        assert_eq!((backup(&guard), released(&guard)), (None, vec![]));
    }

    #[test]
    fn whoever_keeps_it_a_second_time_is_told_when_it_does_no_more() {
        let guard = Guard::default();
        written(&guard, ms(0), Some((2, 1)), Point::C1, ms(20));
        let spare = |to| {
            let mut former = None;
            guard.send_spare(to, 1, |told| former = told);
            former
        };
        assert_eq!([spare(Some(3)), spare(Some(3)), spare(Some(4))], [None, None, Some(3)]);
        assert_eq!(spare(Some(2)), Some(4));
        assert_eq!(spare(None), None, "it is the backup");
        assert_eq!(spare(Some(4)), None);
        assert_eq!(released(&guard), [2, 4]);
    }
}
