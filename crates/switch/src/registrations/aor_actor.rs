//! The actor of one address of record, while it is awake.

use super::placed;
use super::reader::{self, Asked};
use super::shard::Registering;
use crate::clock;
use crate::shell::Shell;
use ::registrar::{Accepted, Aor, Limits, Reject};
use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip::{Builder, Message, Name};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Without a message for so long, it sleeps: a challenge and its answer meet the same actor, a refresh in an hour does not.
const IDLE: Duration = Duration::from_secs(5);

pub(super) struct AorActor;

pub(super) enum Act {
    Register(Box<Registering>),
    /// Nothing has come.
    Sleep,
}

pub(super) struct Arguments {
    pub(super) shell: Arc<Shell>,
    pub(super) name: Arc<str>,
}

pub(super) struct State {
    shell: Arc<Shell>,
    aor: Aor,
    idle: Option<JoinHandle<()>>,
}

impl Actor for AorActor {
    type Msg = Act;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Act>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let aor = arguments.shell.contacts.wake(&arguments.name, clock::now());
        Ok(State { shell: arguments.shell, aor, idle: None })
    }

    async fn handle(&self, myself: ActorRef<Act>, act: Act, state: &mut State) -> Result<(), ActorProcessingErr> {
        match act {
            Act::Register(registering) => {
                state.register(&registering).await;
                state.rest(&myself);
            }
            Act::Sleep => {
                // What came meanwhile is served first.
                let _ = myself.drain();
            }
        }
        Ok(())
    }
}

impl State {
    async fn register(&mut self, registering: &Registering) {
        let Registering { request, flow, .. } = registering;
        let response = match reader::authenticate(&self.shell, request) {
            Asked::Challenge { stale } => self.challenge(request, stale),
            Asked::Refuse(code, reason) => Builder::response(request, code, Some(reason), &self.tag()).finish(),
            Asked::User(user) => {
                let now = clock::now();
                // Another node may have written the row since.
                self.aor = self.shell.contacts.wake(self.aor.name(), now);
                let flow = placed::absolute(&self.shell.cluster, *flow);
                let outcome = reader::with_register(request, flow, &user, |register| {
                    self.aor.register(now, register, &Limits::default())
                });
                let stored = self.shell.contacts.store(&self.aor, now);
                match (outcome, stored) {
                    (Ok(accepted), Ok(())) => {
                        placed::protect(&self.shell, self.aor.name()).await;
                        self.accept(request, &accepted)
                    }
                    (Ok(_), Err(_)) => {
                        Builder::response(request, 503, Some("Too many registrations"), &self.tag()).finish()
                    }
                    (Err(reject), _) => self.refuse(request, reject),
                }
            }
        };
        self.shell.contacts.publish();
        self.shell.send_back(response, request, flow);
    }

    /// Sleeps unless something comes within [`IDLE`].
    fn rest(&mut self, myself: &ActorRef<Act>) {
        if let Some(idle) = self.idle.take() {
            idle.abort();
        }
        let myself = myself.clone();
        self.idle = Some(tokio::spawn(async move {
            tokio::time::sleep(IDLE).await;
            let _ = myself.cast(Act::Sleep);
        }));
    }

    fn challenge(&self, request: &Message, stale: bool) -> Bytes {
        let mut builder = Builder::response(request, 401, None, &self.tag());
        for value in self.shell.settings().challenger.challenges(clock::now().wall, stale) {
            builder.add(Name::WwwAuthenticate, value);
        }
        builder.finish()
    }

    fn refuse(&self, request: &Message, reject: Reject) -> Bytes {
        let mut builder = Builder::response(request, reject.code, Some(reject.reason), &self.tag());
        if let Some(seconds) = reject.min_expires {
            builder.add(Name::MinExpires, seconds);
        }
        builder.finish()
    }

    fn accept(&self, request: &Message, accepted: &Accepted) -> Bytes {
        let mut builder = Builder::response(request, 200, None, &self.tag());
        builder.copy_ref(request, &[Name::Path]);
        for binding in &accepted.bindings {
            let mut value = format!("<{}>;expires={}", binding.uri, binding.expires);
            if binding.q < 1000 {
                value.push_str(&format!(";q=0.{:03}", binding.q));
            }
            if let Some(instance) = &binding.instance {
                value.push_str(&format!(";+sip.instance={instance}"));
            }
            if let Some(reg_id) = binding.reg_id {
                value.push_str(&format!(";reg-id={reg_id}"));
            }
            builder.add(Name::Contact, value);
        }
        builder.finish()
    }

    fn tag(&self) -> String {
        format!("s{:x}", self.shell.seed())
    }
}
