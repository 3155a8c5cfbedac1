//! The shell of one call: parse once, hand it to the pure call, perform what comes out, arm one alarm.

use super::directory::{CallCell, CallRef, Remains};
use super::lingering::Lingering;
use crate::clock;
use crate::shell::{Performed, Shell};
use ::call::{Call, CallId, Effect, Input, Summary};
use bytes::Bytes;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use sip::clock::Now;
use sip::{Builder, Flow, Message};
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
        checkpoint: Box<[u8]>,
        /// Its name.
        id: CallId,
        /// What outlives it.
        cell: Arc<CallCell>,
        /// What performs.
        shell: Arc<Shell>,
    },
}

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
            Arguments::Undertake { checkpoint, id, cell, shell } => {
                let restored = shell.restore(&checkpoint, Duration::ZERO, now);
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
        } else if !state.lingers && state.call.lock().is_lingering() {
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
        Box::new(Self { id, call: Arc::new(Mutex::new(call)), me, shell, begun: false, lingers: false })
    }

    /// Takes a turn; whether the call is over.
    fn turn(&mut self, take: impl FnOnce(&mut Turn<'_>)) -> bool {
        let (cell, actor) = (&self.me.cell, Some(&self.me.actor));
        let (call, shell) = (&self.call, &self.shell);
        let mut turn = Turn { id: self.id, call, cell, actor, shell, begun: self.begun, over: false };
        take(&mut turn);
        self.begun = turn.begun;
        turn.over
    }
}

/// One turn of a call, with or without an actor: something comes in, effects go out, the alarm is set.
pub(super) struct Turn<'a> {
    pub(super) id: CallId,
    pub(super) call: &'a Mutex<Call>,
    pub(super) cell: &'a Arc<CallCell>,
    pub(super) actor: Option<&'a ActorRef<CallMessage>>,
    pub(super) shell: &'a Arc<Shell>,
    pub(super) begun: bool,
    pub(super) over: bool,
}

impl Turn<'_> {
    /// The whole of it.
    pub(super) fn take(&mut self, now: Now, message: CallMessage) {
        match message {
            CallMessage::Sip { bytes, flow } => self.receive(now, bytes, flow),
            CallMessage::Alarm => self.shell.with_context(|cx| self.call.lock().handle_timeout(cx, now)),
            CallMessage::Input(input) => self.input(now, *input),
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

    /// Performs everything that the call wants done, then arms the alarm.
    fn settle(&mut self, now: Now) {
        loop {
            let Some(effect) = self.call.lock().poll_effect() else { break };
            match effect {
                Effect::Ended => self.over = true,
                Effect::Checkpoint(_) => self.checkpoint(now),
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
        if !self.over
            && let Some(at) = self.cell.wants(self.call.lock().poll_timeout())
        {
            self.shell.calls.alarms.arm(at, self.id);
        }
    }

    /// Keeps what is needed to clean up after a panic of this call.
    fn checkpoint(&mut self, now: Now) {
        let checkpoint = self.call.lock().checkpoint(now);
        let remains = if checkpoint.is_empty() { Remains::Nothing } else { Remains::Checkpoint(checkpoint.into()) };
        *self.cell.remains.lock() = remains;
    }
}
