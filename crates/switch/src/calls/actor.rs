//! The shell of one call: parse once, hand it to the pure call, perform what comes out, arm one alarm.

use super::directory::{CallCell, CallRef, Remains};
use crate::clock;
use crate::shell::{Performed, Shell};
use ::call::{Call, CallId, Effect, Input, Summary};
use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use sip::clock::{Instant, Now};
use sip::{Builder, Flow, Message};
use std::sync::Arc;

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
    call: Call,
    me: CallRef,
    shell: Arc<Shell>,
    /// The earliest alarm that is set.
    armed: Option<Instant>,
    /// Whether the pure call has seen anything yet.
    begun: bool,
    over: bool,
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
                let restored = shell.restore(&checkpoint, now);
                let call = restored.inspect_err(|_| shell.forget(id, &cell))?;
                let mut state = Running::new(id, call, CallRef { actor: myself, cell }, shell);
                state.input(now, Input::Hangup { reason: "internal_error" });
                state.settle(now);
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
        let now = clock::now();
        match message {
            CallMessage::Sip { bytes, flow } => state.receive(now, bytes, flow),
            CallMessage::Alarm => {
                state.armed = None;
                let shell = Arc::clone(&state.shell);
                shell.with_context(|cx| state.call.handle_timeout(cx, now));
            }
            CallMessage::Input(input) => state.input(now, *input),
            CallMessage::Fail => panic!("a test asked for it"),
            CallMessage::Show(reply) => {
                let _ = reply.send(state.call.summary(now));
            }
        }
        state.settle(now);
        if state.over {
            state.shell.forget(state.id, &state.me.cell);
            myself.stop(None);
        }
        Ok(())
    }
}

impl Running {
    fn new(id: CallId, call: Call, me: CallRef, shell: Arc<Shell>) -> Box<Self> {
        Box::new(Self { id, call, me, shell, armed: None, begun: false, over: false })
    }

    fn input(&mut self, now: Now, input: Input) {
        self.begun = true;
        let shell = Arc::clone(&self.shell);
        shell.with_context(|cx| self.call.handle_input(cx, now, input));
    }

    fn receive(&mut self, now: Now, bytes: Bytes, flow: Flow) {
        let Ok(message) = Message::parse(bytes) else {
            self.shell.reject("unparsable");
            // Nothing but the initial INVITE can have been the first message: there is no call then.
            self.over = self.over || !self.begun;
            return;
        };
        if !self.begun {
            *self.me.cell.remains.lock() = Remains::Invite(message.bytes().clone(), flow);
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
        while let Some(effect) = self.call.poll_effect() {
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
                | Effect::Event(_)) => match self.shell.perform(self.id, &self.me, now, other) {
                    Performed::Done => {}
                    Performed::Answer(input) => self.input(now, input),
                },
            }
        }
        if self.over {
            return;
        }
        if let Some(deadline) = self.call.poll_timeout()
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            self.shell.calls.alarms.arm(deadline, self.me.clone());
            self.armed = Some(deadline);
        }
    }

    /// Keeps what is needed to clean up after a panic of this call.
    fn checkpoint(&mut self, now: Now) {
        let checkpoint = self.call.checkpoint(now);
        let remains = if checkpoint.is_empty() { Remains::Nothing } else { Remains::Checkpoint(checkpoint.into()) };
        *self.me.cell.remains.lock() = remains;
    }
}
