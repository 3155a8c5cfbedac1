//! Where a call sits: in its cell, so that whoever brings it something can take its turn at once, on the thread that is there.
//!
//! A message by way of the actor's mailbox costs a box, a queue and a task that is woken, polled and put away again, several
//! times what the queue is there for: almost always the call is idle. So a message that finds it idle takes the turn itself,
//! and only what comes while a turn is under way, or while others wait, goes to the mailbox; order is kept. A panic is caught
//! here and handed to the actor, which fails with it, so that supervision sees what it would have seen.
//!
//! Whatever is logged in a turn says whose it is ([`super::span`]). A span of the call ends when that is over.

use super::actor::{CallMessage, Turn};
use super::directory::{CallCell, Remains};
use super::span;
use crate::clock;
use crate::shell::Shell;
use ::call::{Call, CallId, Effect};
use ractor::{ActorRef, ActorStatus};
use sip::clock::{Instant, Now};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tracing::Span;

/// See the module.
#[derive(Default)]
pub(super) struct Seat {
    /// Nobody sits here before the call has begun, after it has failed, and once it is over.
    call: Option<Box<Call>>,
    /// Whether the pure call has seen anything yet.
    begun: bool,
    lingers: bool,
    /// What this node must not do while it has no lease; everything else waits behind it.
    stash: Option<Effect>,
    /// Of the call, once it has taken a turn, where calls have spans.
    span: Option<Span>,
}

impl Seat {
    /// With a call to which nothing has happened yet.
    pub(super) fn of(call: Call) -> Self {
        Self { call: Some(Box::new(call)), ..Self::default() }
    }

    /// What is left of the call that sits here if it goes.
    pub(super) fn remains(&self, written: Instant, now: Now) -> Remains {
        let state = self.call.as_ref().and_then(|call| call.snapshot(now));
        state.map_or(Remains::Nothing, |state| Remains::Snapshot(Box::new(state), written))
    }
}

/// What became of a turn.
pub(super) enum Turned {
    /// It was taken.
    Done,
    /// Nobody sits there.
    Vacant(CallMessage),
    /// It panicked, with these words: the call is gone, and its actor has to fail with it.
    Failed(String),
}

/// Whoever takes a turn of a call.
pub(super) struct Driver<'a> {
    pub(super) id: CallId,
    pub(super) cell: &'a Arc<CallCell>,
    /// Absent where the call has none any more.
    pub(super) actor: Option<&'a ActorRef<CallMessage>>,
    pub(super) shell: &'a Arc<Shell>,
}

impl Driver<'_> {
    /// Seats a call that comes from a checkpoint, and takes its first turn.
    ///
    /// # Errors
    /// The words of a panic.
    pub(super) fn begin(&self, call: Box<Call>, take: impl FnOnce(&mut Turn<'_>)) -> Result<(), String> {
        let mut seat = self.cell.seat.lock();
        *seat = Seat { call: Some(call), begun: true, span: seat.span.take(), ..Seat::default() };
        self.guarded(&mut seat, take)
    }

    /// One message.
    pub(super) fn turn(&self, message: CallMessage) -> Turned {
        let mut seat = self.cell.seat.lock();
        if seat.call.is_none() {
            return Turned::Vacant(message);
        }
        match self.guarded(&mut seat, |turn| turn.take(clock::now(), message)) {
            Ok(()) => Turned::Done,
            Err(why) => Turned::Failed(why),
        }
    }

    /// Takes a turn, from which no panic escapes, and sees to the call that is over with it.
    fn guarded(&self, seat: &mut Seat, take: impl FnOnce(&mut Turn<'_>)) -> Result<(), String> {
        self.cell.ladder.fetch();
        let rests = self.cell.rise(seat);
        let Some(call) = seat.call.as_mut() else { return Ok(()) };
        let (begun, stash) = (seat.begun, &mut seat.stash);
        let within = span::enter(&mut seat.span, self.id);
        let done = catch_unwind(AssertUnwindSafe(|| {
            let (cell, actor, shell) = (self.cell, self.actor, self.shell);
            let mut turn =
                Turn { id: self.id, call, cell, actor, shell, stash, begun, asked: false, over: false, rests };
            take(&mut turn);
            (turn.begun, turn.over, turn.rests)
        }));
        drop(within);
        match done {
            Ok((begun, over, rests)) => {
                seat.begun = begun;
                if let Some(since) = rests {
                    self.cell.rest(since);
                }
                self.end(seat, over);
                Ok(())
            }
            Err(panic) => {
                (seat.call, seat.stash) = (None, None);
                // Nobody clears it: it holds nothing, and its record is closed.
                if seat.lingers {
                    seat.span = None;
                    self.shell.forget(self.id, self.cell);
                }
                Err(words(panic.as_ref()))
            }
        }
    }

    /// Takes a call that is over out, and its actor from one of which nothing is left but to answer what comes again.
    fn end(&self, seat: &mut Seat, over: bool) {
        let lingers = |seat: &Seat| seat.call.as_ref().is_some_and(|call| call.is_lingering());
        if over {
            (seat.call, seat.span) = (None, None);
            self.shell.forget(self.id, self.cell);
            if let Some(actor) = self.actor {
                actor.stop(None);
            }
        } else if let Some(actor) = self.actor
            && !seat.lingers
            && seat.stash.is_none()
            && lingers(seat)
        {
            seat.lingers = true;
            self.shell.calls.directory.linger(self.id, Arc::clone(self.cell));
            // What waits in the mailbox is handled first; what comes now finds the call in the directory. One that has not begun
            // to read its mailbox could not be drained, but nothing waits there either: every message found the call idle.
            if actor.get_status() < ActorStatus::Running {
                actor.stop(None);
            } else {
                // It can fail only where the actor has ended already.
                let _ = actor.get_cell().drain();
            }
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}
