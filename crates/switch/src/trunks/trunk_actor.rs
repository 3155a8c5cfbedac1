//! The actor of one trunk: pings its gateways and keeps our registration with the carrier.

use super::Gate;
use super::probe::{self, Credentials};
use crate::clock;
use crate::shell::Shell;
use ::trunk::gateway::{self, State as Health};
use ::trunk::quota;
use ::trunk::registration::{self, Registration};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use routing::cluster::shard_of;
use routing::model::Trunk;
use sip::clock::Instant;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// What a trunk is asked.
pub(crate) enum Ask {
    /// Something may be due.
    Look,
    /// Its row has changed.
    Changed(Arc<Trunk>),
    /// A ping has ended.
    Pinged(Arc<str>, gateway::Outcome),
    /// A REGISTER has ended.
    Registered(registration::Answer, Box<Credentials>),
    /// Members, shards or liveness have changed.
    Follow,
    /// A member asks the leader of the trunk's limits.
    Quota(quota::Request),
}

/// How long the carrier may take to let us go.
const FAREWELL: Duration = Duration::from_millis(500);

pub(super) struct TrunkActor;

pub(super) struct State {
    shell: Arc<Shell>,
    trunk: Arc<Trunk>,
    gate: Arc<Gate>,
    /// Whether this node acts for the trunk in the cluster.
    leads: bool,
    registration: Option<Registration>,
    credentials: Box<Credentials>,
    alarm: Option<(Instant, JoinHandle<()>)>,
}

impl Actor for TrunkActor {
    type Msg = Ask;
    type State = State;
    type Arguments = (Arc<Shell>, Arc<Trunk>);

    async fn pre_start(
        &self,
        myself: ActorRef<Ask>,
        (shell, trunk): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let gate = shell.trunks.gate(&trunk, &shell.cluster);
        gate.door.open(myself.clone());
        let credentials = Box::new(Credentials::new(shell.seed()));
        let mut state = State { shell, trunk, gate, leads: false, registration: None, credentials, alarm: None };
        state.follow().await;
        state.settle(&myself);
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<Ask>, ask: Ask, state: &mut State) -> Result<(), ActorProcessingErr> {
        let now = clock::now().mono;
        match ask {
            Ask::Look => {}
            Ask::Changed(trunk) => {
                let row = |trunk: &Trunk| trunk.egress.as_ref().and_then(|egress| egress.register.clone());
                let moves = row(&state.trunk) != row(&trunk);
                if moves {
                    state.leave().await;
                }
                state.trunk = trunk;
                if moves {
                    state.configure();
                }
                state.follow().await;
            }
            Ask::Follow => state.follow().await,
            Ask::Quota(request) => state.gate.asked(request),
            Ask::Pinged(address, outcome) => state.pinged(now, &address, outcome),
            Ask::Registered(answer, credentials) => {
                state.credentials = credentials;
                if let Some(registration) = &mut state.registration {
                    registration.handle_answer(now, answer);
                }
            }
        }
        state.settle(&myself);
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Ask>, state: &mut State) -> Result<(), ActorProcessingErr> {
        if let Some((_, alarm)) = state.alarm.take() {
            alarm.abort();
        }
        state.leave().await;
        Ok(())
    }
}

impl State {
    /// Begins, changes or ends our registration as the row says. One node holds it for all: a carrier that knew several of us
    /// would ring all of them.
    fn configure(&mut self) {
        let row = self.trunk.egress.as_ref().and_then(|egress| egress.register.as_ref()).filter(|_| self.leads);
        self.registration = row.map(|row| Registration::new(row.expires, clock::now().mono, self.shell.seed()));
        *self.gate.registered.lock() = None;
    }

    /// Looks whether this node leads the trunk: lends its limits, and holds our registration with the carrier.
    async fn follow(&mut self) {
        self.gate.lead(&self.trunk, &self.shell.trunks, &self.shell.cluster);
        let cluster = &self.shell.cluster;
        let leads = cluster.acts_for(shard_of(&self.trunk.name), clock::now().mono);
        if leads == self.leads {
            return;
        }
        if !leads && cluster.holds_lease(clock::now().mono) {
            // The shard has moved. A node that is cut off says nothing: its binding runs out, or another replaces it.
            self.leave().await;
        }
        self.leads = leads;
        self.configure();
    }

    fn pinged(&mut self, now: Instant, address: &str, outcome: gateway::Outcome) {
        let mut gateways = self.gate.gateways.lock();
        let index = gateways.gateways().iter().position(|gateway| &*gateway.row().address == address);
        if let Some(machine) = index.and_then(|index| gateways.gateway_mut(index)) {
            machine.handle_ping(now, outcome);
        }
    }

    /// Performs what is due and sets the alarm for what comes next.
    fn settle(&mut self, myself: &ActorRef<Ask>) {
        let now = clock::now().mono;
        let next = [
            self.settle_gateways(now, myself),
            self.settle_registration(now, myself),
            self.gate.tick_leader(&self.shell),
            self.gate.tick(&self.shell),
        ];
        let Some(deadline) = next.into_iter().flatten().min() else { return };
        if self.alarm.as_ref().is_some_and(|(armed, alarm)| *armed <= deadline && !alarm.is_finished()) {
            return;
        }
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
        let (pause, myself) = (deadline.since(now) + Duration::from_millis(1), myself.clone());
        let alarm = tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = myself.cast(Ask::Look);
        });
        self.alarm = Some((deadline, alarm));
    }

    fn settle_gateways(&self, now: Instant, myself: &ActorRef<Ask>) -> Option<Instant> {
        let mut gateways = self.gate.gateways.lock();
        gateways.handle_timeout(now);
        while let Some((index, effect)) = gateways.poll_effect() {
            let Some(gateway) = gateways.gateways().get(index) else { continue };
            match effect {
                gateway::Effect::Ping => {
                    let (shell, row, myself) = (Arc::clone(&self.shell), gateway.row().clone(), myself.clone());
                    tokio::spawn(async move {
                        let outcome = probe::ping(&shell, &row).await;
                        let _ = myself.cast(Ask::Pinged(row.address, outcome));
                    });
                }
                gateway::Effect::Changed(health) => self.say(&gateway.row().address, health),
            }
        }
        gateways.poll_timeout()
    }

    fn say(&self, gateway: &Arc<str>, health: Health) {
        match health {
            Health::Down => tracing::warn!(trunk = %self.trunk.name, %gateway, "gateway is down"),
            Health::Up | Health::Unknown => tracing::info!(trunk = %self.trunk.name, %gateway, "gateway is up"),
        }
    }

    fn settle_registration(&mut self, now: Instant, myself: &ActorRef<Ask>) -> Option<Instant> {
        let registration = self.registration.as_mut()?;
        registration.handle_timeout(now);
        while let Some(effect) = registration.poll_effect() {
            match effect {
                registration::Effect::Register { expires, .. } => {
                    let (shell, trunk, myself) = (Arc::clone(&self.shell), Arc::clone(&self.trunk), myself.clone());
                    let mut credentials = self.credentials.clone();
                    tokio::spawn(async move {
                        let answer = probe::register(&shell, &trunk, &mut credentials, expires).await;
                        let _ = myself.cast(Ask::Registered(answer, credentials));
                    });
                }
                registration::Effect::Changed { registered } => {
                    *self.gate.registered.lock() = registered.then_some(now);
                    tracing::info!(trunk = %self.trunk.name, registered, "our registration with the carrier");
                }
            }
        }
        registration.poll_timeout()
    }

    /// Takes our binding back without insisting: a nonce that ran out is answered once more, and that is all.
    async fn leave(&mut self) {
        if self.gate.registered.lock().take().is_none() {
            return;
        }
        let (shell, trunk, credentials) = (&self.shell, &self.trunk, &mut self.credentials);
        let farewell = async {
            if probe::register(shell, trunk, credentials, 0).await == registration::Answer::Challenged {
                probe::register(shell, trunk, credentials, 0).await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}
