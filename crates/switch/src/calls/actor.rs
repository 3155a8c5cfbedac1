//! The shell of one call: parse once, hand it to the pure call, perform what comes out, arm one alarm.
//!
//! The call itself sits in its cell ([`super::seat`]). Its actor takes its turns for whatever waits in the mailbox; a message
//! that finds the call idle is handled where it was read. The actor is what stands in the supervision tree, and it fails with
//! its call wherever the turn was taken.

use super::directory::{CallCell, CallRef, Remains};
use super::seat::{Driver, Turned};
use crate::clock;
use crate::protect::guard::Leaving;
use crate::shell::{Performed, Shell};
use ::call::effect::{MediaSide, Point};
use ::call::record::Record;
use ::call::{Call, CallId, Effect, Input, Summary};
use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use sip::clock::{Instant, Now};
use sip::peek::Peek;
use sip::{Builder, Flow, Message, Method};
use std::sync::Arc;
use std::time::Duration;

/// What reaches a call.
pub enum CallMessage {
    /// A message, not yet parsed.
    Sip {
        /// Its bytes.
        bytes: Bytes,
        /// How it came.
        flow: Flow,
    },
    /// The alarm rings.
    Alarm,
    /// A late answer to an effect, media, an operator.
    Input(Box<Input>),
    /// Somebody wants to see it.
    Show(RpcReplyPort<Summary>),
    /// It shall leave: its state, if it can just now; it is silent from then on.
    Pack(RpcReplyPort<Option<Bytes>>),
    /// Nobody else has taken it: it speaks again.
    Stay,
    /// Another node has it: only its media goes on, for a moment.
    Left,
    /// Its backup has what it was waiting for.
    Kept,
    /// A turn that was taken outside the actor has panicked, with these words.
    Failed(String),
    /// Panic: how tests prove what its supervisor does then. Nothing on the network leads here.
    Fail,
}

/// How a call begins.
pub enum Arguments {
    /// With an INVITE, which follows as the first message.
    New {
        /// Its name.
        id: CallId,
        /// What outlives it.
        cell: Arc<CallCell>,
        /// What performs.
        shell: Arc<Shell>,
    },
    /// After a panic: back from the checkpoint, only to be ended.
    Undertake {
        /// The last checkpoint.
        checkpoint: Bytes,
        /// When that was written.
        written: Instant,
        /// Its name.
        id: CallId,
        /// What outlives it.
        cell: Arc<CallCell>,
        /// What performs.
        shell: Arc<Shell>,
    },
    /// From a node that is gone: to be kept up.
    TakeOver {
        /// As its checkpoint says.
        call: Box<Call>,
        /// When that node last carried it.
        alive: Instant,
        /// Its name.
        id: CallId,
        /// What outlives it; the channels are noted in it.
        cell: Arc<CallCell>,
        /// What performs.
        shell: Arc<Shell>,
    },
}

/// What a call does without: a lease that this node may have lost for a moment only. Its peers send again, its timers wait.
const MUTE_LOOK: Duration = Duration::from_millis(100);

/// How long this node still carries the media of a call that has left: its parties follow meanwhile.
const FOLLOW: Duration = Duration::from_secs(3);

/// See the module.
pub struct CallActor;

/// What the actor holds: the way to its call. The call itself is in its cell.
pub struct Held {
    id: CallId,
    me: CallRef,
    shell: Arc<Shell>,
}

impl Actor for CallActor {
    type Msg = CallMessage;
    type State = Held;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<CallMessage>, how: Arguments) -> Result<Held, ActorProcessingErr> {
        let now = clock::now();
        match how {
            // The call was seated when its actor was made: its INVITE does not wait for this.
            Arguments::New { id, cell, shell } => Ok(Held { id, me: CallRef { actor: myself, cell }, shell }),
            Arguments::TakeOver { call, alive, id, cell, shell } => {
                let held = Held { id, me: CallRef { actor: myself, cell }, shell };
                held.begin(call, |turn| turn.take_over(now, alive))
            }
            Arguments::Undertake { checkpoint, written, id, cell, shell } => {
                let restored = shell.restore(&checkpoint, now.mono.since(written), now);
                let call = restored.inspect_err(|_| shell.forget(id, &cell))?;
                let held = Held { id, me: CallRef { actor: myself, cell }, shell };
                let hangup = CallMessage::Input(Box::new(Input::Hangup { reason: "internal_error" }));
                held.begin(Box::new(call), |turn| turn.take(now, hangup))
            }
        }
    }

    async fn handle(
        &self,
        _: ActorRef<CallMessage>,
        message: CallMessage,
        held: &mut Held,
    ) -> Result<(), ActorProcessingErr> {
        let turned = match message {
            CallMessage::Failed(why) => Turned::Failed(why),
            other @ (CallMessage::Sip { .. }
            | CallMessage::Alarm
            | CallMessage::Input(_)
            | CallMessage::Show(_)
            | CallMessage::Pack(_)
            | CallMessage::Stay
            | CallMessage::Left
            | CallMessage::Kept
            | CallMessage::Fail) => held.driver().turn(other),
        };
        held.me.cell.taken();
        match turned {
            Turned::Failed(why) => Err(why.into()),
            Turned::Done | Turned::Vacant(_) => Ok(()),
        }
    }
}

impl Held {
    /// A call that fails in its first turn is only forgotten: it was never seen by its supervisor.
    fn begin(self, call: Box<Call>, take: impl FnOnce(&mut Turn<'_>)) -> Result<Self, ActorProcessingErr> {
        self.driver().begin(call, take).inspect_err(|_| self.shell.forget(self.id, &self.me.cell))?;
        Ok(self)
    }

    fn driver(&self) -> Driver<'_> {
        Driver { id: self.id, cell: &self.me.cell, actor: Some(&self.me.actor), shell: &self.shell }
    }
}

/// Whether a node without a lease must not do it: begin something within a dialog, or close the record of an answered call. A
/// request that a party has just sent here is passed on: it would have gone elsewhere, had the call been taken.
fn is_curbed(effect: &Effect, asked: bool) -> bool {
    match effect {
        Effect::Send { bytes, .. } => {
            let within = |peek: Peek<'_>| {
                !peek.to_tag().is_empty() && !matches!(peek.method, None | Some(Method::Ack | Method::Prack))
            };
            !asked && Peek::of(bytes).is_some_and(within)
        }
        Effect::Record(Record::Close(row)) => row.is_final && row.answered.is_some(),
        Effect::Record(Record::Open(_))
        | Effect::Admit { .. }
        | Effect::Seize { .. }
        | Effect::Leave { .. }
        | Effect::Surrender { .. }
        | Effect::Outcome { .. }
        | Effect::Anchor { .. }
        | Effect::Steer(_)
        | Effect::FreeMedia
        | Effect::Checkpoint(_)
        | Effect::Event(_)
        | Effect::Note(_)
        | Effect::Ended => false,
    }
}

/// Whether a call may be heard outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Voice {
    /// It may.
    Free,
    /// This node has no lease: what a party asks for is passed on, but nothing is begun within a dialog, and no record of an
    /// answered call is closed. Another node may take the call.
    Curbed,
    /// Not at all: this node has just stood still, or asks another one to take the call.
    Mute,
    /// Never again: another node has taken it, or may have.
    Gone,
}

/// One turn of a call, with or without an actor: something comes in, effects go out, the alarm is set.
pub(super) struct Turn<'a> {
    pub(super) id: CallId,
    pub(super) call: &'a mut Call,
    pub(super) cell: &'a Arc<CallCell>,
    pub(super) actor: Option<&'a ActorRef<CallMessage>>,
    pub(super) shell: &'a Arc<Shell>,
    pub(super) stash: &'a mut Option<Effect>,
    pub(super) begun: bool,
    /// When the checkpoint was for which the call itself will do once the turn has ended.
    pub(super) rests: Option<Instant>,
    /// A message of a party has begun it.
    pub(super) asked: bool,
    pub(super) over: bool,
}

impl Turn<'_> {
    /// The whole of it.
    pub(super) fn take(&mut self, now: Now, message: CallMessage) {
        match self.voice(now) {
            Voice::Gone => {
                self.over = true;
                self.carried(false);
                self.shell.cdr.abandon(self.id);
                metrics::counter!("tandem_calls_abandoned_total").increment(1);
                // Its parties have ended it here, and whoever has taken it cannot know.
                if self.stash.is_some() && self.call.has_ended() {
                    self.shell.protect.say_over(self.shell, self.id);
                }
                return;
            }
            Voice::Mute if matches!(message, CallMessage::Sip { .. } | CallMessage::Alarm) => {
                self.arm(Some(now.mono + MUTE_LOOK));
                return;
            }
            // Time does not pass for a call that may not do what is due.
            Voice::Curbed if self.stash.is_some() && matches!(message, CallMessage::Alarm) => {
                self.arm(Some(now.mono + MUTE_LOOK));
                return;
            }
            Voice::Mute | Voice::Curbed | Voice::Free => {}
        }
        let message = match self.part(now, message) {
            Some(message) => message,
            None => return self.settle(now),
        };
        self.asked = matches!(message, CallMessage::Sip { .. });
        match message {
            CallMessage::Sip { bytes, flow } => self.receive(now, bytes, flow),
            CallMessage::Kept | CallMessage::Pack(_) | CallMessage::Stay | CallMessage::Left => {}
            CallMessage::Alarm => self.alarm(now),
            CallMessage::Input(input) => {
                if let Input::MediaHeard(side) = *input {
                    self.heard(now, side);
                }
                self.input(now, *input);
            }
            CallMessage::Fail | CallMessage::Failed(_) => panic!("a test asked for it"),
            CallMessage::Show(reply) => {
                let _ = reply.send(self.call.summary(now));
            }
        }
        self.settle(now);
    }

    fn input(&mut self, now: Now, input: Input) {
        self.begun = true;
        if let Input::MediaFreed(stats) = &input {
            self.shell.ladders.figures(&self.cell.ladder, now, stats);
        }
        self.shell.with_context(|cx| self.call.handle_input(cx, now, input));
    }

    /// Audio of a side is heard for the first time here.
    fn heard(&self, now: Now, side: MediaSide) {
        self.shell.ladders.heard(&self.cell.ladder, now, side);
        if let Some(gap) = self.cell.guard.heard(now.mono) {
            metrics::histogram!("tandem_media_gap_seconds").record(gap.as_secs_f64());
        }
    }

    fn receive(&mut self, now: Now, bytes: Bytes, flow: Flow) {
        self.shell.ladders.received(self.id, &self.cell.ladder, now, &bytes, &flow);
        let Ok(message) = Message::parse(bytes) else {
            self.shell.reject("unparsable");
            // Nothing but the initial INVITE can have been the first message: there is no call then.
            self.over = self.over || !self.begun;
            return;
        };
        if !self.begun {
            *self.cell.remains.lock() = Remains::Invite(message.bytes().clone(), flow);
        }
        let message = if message.is_request() { message.from_source(flow.remote) } else { message };
        if let Err(refusal) = message.check() {
            self.shell.reject("malformed");
            let wants_answer = message.is_request() && message.method() != sip::Method::Ack;
            if wants_answer {
                let bytes = Builder::response(&message, refusal.code, Some(refusal.reason), "").finish();
                self.shell.ladders.sent(self.id, &self.cell.ladder, now, &bytes, &flow, true);
                self.shell.send_back(bytes, &message, &flow);
            }
            self.over = self.over || !self.begun;
            return;
        }
        self.input(now, Input::Message { message, flow });
    }

    /// Takes the call over on this node.
    pub(super) fn take_over(&mut self, now: Now, alive: Instant) {
        let silent = now.mono.since(alive);
        self.carried(true);
        self.shell.with_context(|cx| self.call.take_over(cx, now, silent));
        self.settle(now);
    }

    /// Counts the call's legs as up on this node, or not any more.
    fn carried(&mut self, here: bool) {
        let call = &mut *self.call;
        // What has ended already is counted as that, though the rest of it is not for this node to do.
        let ended = std::iter::from_fn(|| if here { None } else { call.poll_effect() });
        ended
            .filter_map(|effect| if let Effect::Event(event) = effect { Some(event) } else { None })
            .for_each(|event| self.shell.trunks.count(&event));
        call.carried(here).iter().for_each(|event| self.shell.trunks.count(event));
    }

    /// What has to do with leaving this node; anything else comes back.
    fn part(&mut self, now: Now, message: CallMessage) -> Option<CallMessage> {
        match message {
            CallMessage::Pack(reply) => {
                let free = self.voice(now) == Voice::Free && self.cell.guard.held_until().is_none();
                let packed = (free && self.stash.is_none() && self.call.is_quiet()).then(|| {
                    self.cell.guard.leave(Leaving::Packed);
                    Bytes::from(self.call.checkpoint(now))
                });
                // Should nobody hear that it is packed, it was not.
                if reply.send(packed).is_err() {
                    self.cell.guard.leave(Leaving::No);
                }
            }
            CallMessage::Stay => self.cell.guard.leave(Leaving::No),
            CallMessage::Left => {
                self.cell.guard.leave(Leaving::Left(now.mono + FOLLOW));
                self.shell.cdr.abandon(self.id);
                let heir = self.shell.cluster.replicated().shard(self.id.shard).owner;
                self.shell.ladders.went(&self.cell.ladder, now, heir);
                self.shell.protect.release(self.shell, self.id, self.cell);
                // A party has ended it here while it was on its way.
                if self.stash.is_some() && self.call.has_ended() {
                    self.shell.protect.say_over(self.shell, self.id);
                }
            }
            other @ (CallMessage::Sip { .. }
            | CallMessage::Alarm
            | CallMessage::Input(_)
            | CallMessage::Show(_)
            | CallMessage::Kept
            | CallMessage::Failed(_)
            | CallMessage::Fail) => return Some(other),
        }
        None
    }

    fn alarm(&mut self, now: Now) {
        if self.cell.guard.lose_patience(now.mono) {
            metrics::counter!("tandem_checkpoints_late_total").increment(1);
        }
        self.shell.with_context(|cx| self.call.handle_timeout(cx, now));
    }

    /// Whether the call may speak: one that another node keeps is that node's as soon as this one has no lease.
    fn voice(&self, now: Now) -> Voice {
        let (leaving, life) = self.cell.guard.standing();
        match leaving {
            Leaving::No => {}
            Leaving::Packed => return Voice::Mute,
            Leaving::Left(until) if now.mono < until => return Voice::Mute,
            Leaving::Left(_) => return Voice::Gone,
        }
        let Some(life) = life else { return Voice::Free };
        if !self.shell.cluster.holds_lease(now.mono) {
            if self.shell.stall.has_just_woken(now.mono) { Voice::Mute } else { Voice::Curbed }
        } else if life != self.shell.cluster.incarnation() {
            Voice::Gone
        } else {
            Voice::Free
        }
    }

    fn arm(&self, deadline: Option<Instant>) {
        if let Some(at) = self.cell.wants(deadline) {
            self.shell.calls.alarms.arm(at, self.id);
        }
    }

    /// Performs everything that the call wants done, as far as it may be seen already, then arms the alarm.
    fn settle(&mut self, now: Now) {
        let voice = self.voice(now);
        while voice != Voice::Mute && self.cell.guard.held_until().is_none() {
            let stashed = self.stash.take();
            let asked = self.asked && stashed.is_none();
            let Some(effect) = stashed.or_else(|| self.call.poll_effect()) else { break };
            if voice == Voice::Curbed && is_curbed(&effect, asked) {
                *self.stash = Some(effect);
                break;
            }
            match effect {
                Effect::Ended => self.over = true,
                Effect::Checkpoint(point) => self.checkpoint(now, point),
                other @ (Effect::Send { .. }
                | Effect::Admit { .. }
                | Effect::Seize { .. }
                | Effect::Leave { .. }
                | Effect::Surrender { .. }
                | Effect::Outcome { .. }
                | Effect::Anchor { .. }
                | Effect::Steer(_)
                | Effect::FreeMedia
                | Effect::Record(_)
                | Effect::Event(_)
                | Effect::Note(_)) => match self.shell.perform(self.id, self.cell, self.actor, now, other) {
                    Performed::Done => {}
                    Performed::Answer(input) => self.input(now, input),
                },
            }
        }
        if !self.over {
            let waits = voice == Voice::Mute || self.stash.is_some();
            let look = waits.then(|| now.mono + MUTE_LOOK);
            let own = self.call.poll_timeout().filter(|_| !waits);
            self.arm(own.into_iter().chain(look).chain(self.cell.guard.held_until()).min());
        }
    }

    /// Keeps what is needed to clean up after a panic of this call, and tells its backup.
    fn checkpoint(&mut self, now: Now, point: Point) {
        let protect = &self.shell.protect;
        let Some(state) = self.call.snapshot(now) else {
            *self.cell.remains.lock() = Remains::Nothing;
            return protect.release(self.shell, self.id, self.cell);
        };
        if !protect.has_backup(self.id) {
            *self.cell.remains.lock() = Remains::Snapshot(Box::new(state), now.mono);
            self.rests = (!point.is_passing()).then_some(now.mono);
            return protect.note(self.cell, point, now);
        }
        self.rests = None;
        // An acknowledgement is told without its state; anything else leaves before it is replaced, and is in the caches now.
        let bytes = if self.actor.is_some() && point == Point::C3 {
            *self.cell.remains.lock() = Remains::Snapshot(Box::new(state), now.mono);
            None
        } else {
            let bytes = Bytes::from(state.encode());
            *self.cell.remains.lock() = Remains::Checkpoint(bytes.clone(), now.mono);
            Some(bytes)
        };
        let whose = self.actor.map(|actor| CallRef { actor: actor.clone(), cell: Arc::clone(self.cell) });
        protect.write(self.shell, self.id, (self.cell, whose), (bytes, point), now);
    }
}
