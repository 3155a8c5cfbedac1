//! The shell of one call: parse once, hand it to the pure call, perform what comes out, arm one alarm.

use super::directory::{CallCell, CallRef, Remains};
use super::lingering::Lingering;
use crate::clock;
use crate::protect::guard::Leaving;
use crate::shell::{Performed, Shell};
use ::call::effect::Point;
use ::call::record::Record;
use ::call::{Call, CallId, Effect, Input, Summary};
use bytes::Bytes;
use parking_lot::Mutex;
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

/// What it holds. Boxed as a whole: ractor's loop moves it through several futures, each of which would reserve its size.
pub struct Running {
    id: CallId,
    /// Shared with the place where it lingers, so that what waits in the mailbox then is handled as ever.
    call: Arc<Mutex<Call>>,
    me: CallRef,
    shell: Arc<Shell>,
    /// Whether the pure call has seen anything yet.
    begun: bool,
    lingers: bool,
    /// What this node must not do while it has no lease; everything else waits behind it.
    stash: Option<Effect>,
}

impl Actor for CallActor {
    type Msg = CallMessage;
    type State = Box<Running>;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<CallMessage>,
        how: Arguments,
    ) -> Result<Box<Running>, ActorProcessingErr> {
        let now = clock::now();
        match how {
            Arguments::New { id, cell, shell } => {
                let call = Call::new(id, shell.seed(), now);
                Ok(Running::new(id, call, CallRef { actor: myself, cell }, shell))
            }
            Arguments::TakeOver { call, alive, id, cell, shell } => {
                let mut state = Running::new(id, *call, CallRef { actor: myself, cell }, shell);
                state.begun = true;
                if state.turn(|turn| turn.take_over(now, alive)) {
                    state.shell.forget(state.id, &state.me.cell);
                    state.me.actor.stop(None);
                }
                Ok(state)
            }
            Arguments::Undertake { checkpoint, written, id, cell, shell } => {
                let restored = shell.restore(&checkpoint, now.mono.since(written), now);
                let call = restored.inspect_err(|_| shell.forget(id, &cell))?;
                let mut state = Running::new(id, call, CallRef { actor: myself, cell }, shell);
                state.begun = true;
                let hangup = CallMessage::Input(Box::new(Input::Hangup { reason: "internal_error" }));
                if state.turn(|turn| turn.take(now, hangup)) {
                    state.shell.forget(state.id, &state.me.cell);
                    state.me.actor.stop(None);
                }
                Ok(state)
            }
        }
    }

    async fn handle(
        &self,
        myself: ActorRef<CallMessage>,
        message: CallMessage,
        state: &mut Box<Running>,
    ) -> Result<(), ActorProcessingErr> {
        state.me.cell.taken();
        let over = state.turn(|turn| turn.take(clock::now(), message));
        if over {
            state.shell.forget(state.id, &state.me.cell);
            myself.stop(None);
        } else if !state.lingers && state.stash.is_none() && state.call.lock().is_lingering() {
            state.lingers = true;
            let lingering = Lingering::new(state.id, Arc::clone(&state.call), Arc::clone(&state.me.cell));
            state.shell.calls.directory.linger(state.id, lingering);
            // What waits in the mailbox is handled first; what comes now finds the call in the directory.
            myself.get_cell().drain()?;
        }
        Ok(())
    }
}

impl Running {
    fn new(id: CallId, call: Call, me: CallRef, shell: Arc<Shell>) -> Box<Self> {
        Box::new(Self { id, call: Arc::new(Mutex::new(call)), me, shell, begun: false, lingers: false, stash: None })
    }

    /// Takes a turn; whether the call is over.
    fn turn(&mut self, take: impl FnOnce(&mut Turn<'_>)) -> bool {
        let (cell, actor) = (&self.me.cell, Some(&self.me.actor));
        let (call, shell) = (&self.call, &self.shell);
        let stash = &mut self.stash;
        let mut turn =
            Turn { id: self.id, call, cell, actor, shell, stash, begun: self.begun, asked: false, over: false };
        take(&mut turn);
        self.begun = turn.begun;
        turn.over
    }
}

/// Whether a node without a lease must not do it: begin something within a dialog, or close the record of an answered call. A
/// request that a party has just sent here is passed on: it would have gone elsewhere, had the call been taken.
fn is_curbed(effect: &Effect, asked: bool) -> bool {
    match effect {
        Effect::Send { bytes, .. } => {
            let within = |peek: Peek<'_>| {
                !peek.to_tag.is_empty() && !matches!(peek.method, None | Some(Method::Ack | Method::Prack))
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
    pub(super) call: &'a Mutex<Call>,
    pub(super) cell: &'a Arc<CallCell>,
    pub(super) actor: Option<&'a ActorRef<CallMessage>>,
    pub(super) shell: &'a Arc<Shell>,
    pub(super) stash: &'a mut Option<Effect>,
    pub(super) begun: bool,
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
                if self.stash.is_some() && self.call.lock().has_ended() {
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
                if let Input::MediaHeard(_) = *input
                    && let Some(gap) = self.cell.guard.heard(now.mono)
                {
                    metrics::histogram!("tandem_media_gap_seconds").record(gap.as_secs_f64());
                }
                self.input(now, *input);
            }
            CallMessage::Fail => panic!("a test asked for it"),
            CallMessage::Show(reply) => {
                let _ = reply.send(self.call.lock().summary(now));
            }
        }
        self.settle(now);
    }

    fn input(&mut self, now: Now, input: Input) {
        self.begun = true;
        self.shell.with_context(|cx| self.call.lock().handle_input(cx, now, input));
    }

    fn receive(&mut self, now: Now, bytes: Bytes, flow: Flow) {
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
                self.shell.send_back(bytes, &message, &flow);
            }
            self.over = self.over || !self.begun;
            return;
        }
        self.input(now, Input::Message { message, flow });
    }

    /// Takes the call over on this node.
    fn take_over(&mut self, now: Now, alive: Instant) {
        let silent = now.mono.since(alive);
        self.carried(true);
        self.shell.with_context(|cx| self.call.lock().take_over(cx, now, silent));
        self.settle(now);
    }

    /// Counts the call's legs as up on this node, or not any more.
    fn carried(&self, here: bool) {
        let mut call = self.call.lock();
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
                let packed = (free && self.stash.is_none() && self.call.lock().is_quiet()).then(|| {
                    self.cell.guard.leave(Leaving::Packed);
                    Bytes::from(self.call.lock().checkpoint(now))
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
                self.shell.protect.release(self.shell, self.id, self.cell);
            }
            other @ (CallMessage::Sip { .. }
            | CallMessage::Alarm
            | CallMessage::Input(_)
            | CallMessage::Show(_)
            | CallMessage::Kept
            | CallMessage::Fail) => return Some(other),
        }
        None
    }

    fn alarm(&mut self, now: Now) {
        if self.cell.guard.lose_patience(now.mono) {
            metrics::counter!("tandem_checkpoints_late_total").increment(1);
        }
        self.shell.with_context(|cx| self.call.lock().handle_timeout(cx, now));
    }

    /// Whether the call may speak: one that another node keeps is that node's as soon as this one has no lease.
    fn voice(&self, now: Now) -> Voice {
        match self.cell.guard.leaving() {
            Leaving::No => {}
            Leaving::Packed => return Voice::Mute,
            Leaving::Left(until) if now.mono < until => return Voice::Mute,
            Leaving::Left(_) => return Voice::Gone,
        }
        let Some(life) = self.cell.guard.life() else { return Voice::Free };
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
            let Some(effect) = stashed.or_else(|| self.call.lock().poll_effect()) else { break };
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
                | Effect::Event(_)) => match self.shell.perform(self.id, self.cell, self.actor, now, other) {
                    Performed::Done => {}
                    Performed::Answer(input) => self.input(now, input),
                },
            }
        }
        if !self.over {
            let waits = voice == Voice::Mute || self.stash.is_some();
            let look = waits.then(|| now.mono + MUTE_LOOK);
            let own = self.call.lock().poll_timeout().filter(|_| !waits);
            self.arm(own.into_iter().chain(look).chain(self.cell.guard.held_until()).min());
        }
    }

    /// Keeps what is needed to clean up after a panic of this call, and tells its backup.
    fn checkpoint(&mut self, now: Now, point: Point) {
        let checkpoint = Bytes::from(self.call.lock().checkpoint(now));
        *self.cell.remains.lock() = match checkpoint.is_empty() {
            true => Remains::Nothing,
            false => Remains::Checkpoint(checkpoint.clone(), now.mono),
        };
        let whose = self.actor.map(|actor| CallRef { actor: actor.clone(), cell: Arc::clone(self.cell) });
        self.shell.protect.write(self.shell, self.id, (self.cell, whose), (checkpoint, point), now);
    }
}
