//! The nodes as one cluster: who is there, who may act for what, what the leader does about it, and how one node's actors
//! reach another's.
//!
//! The decisions are pure machines with the verbs of every core here: [`liveness::Liveness`] (whom we hear),
//! [`lease::Holder`] and [`lease::Grantor`] (who may act at all), [`handover::Handover`] (who acts for a shard) and
//! [`steward::Steward`] (the leader's duties). They read no clock and open no socket; the control loop hands in the time,
//! performs the effects and brings back what came of them.
//!
//! Around them: gRPC between nodes over mutual TLS, one link a node, and the way into a cluster. What it never does: look
//! into Raft's messages or into parcels, or keep anything on disk.

mod admit;
mod backoff;
pub mod certs;
mod control;
mod core;
mod entry;
mod error;
mod handle;
pub mod handover;
mod inbound;
mod joins;
pub mod lease;
mod lines;
mod link;
mod links;
mod listener;
pub mod liveness;
pub mod net;
mod options;
mod parcel;
mod proto;
mod queue;
mod server;
#[cfg(test)]
mod simulation;
mod status;
pub mod steward;
mod tasked;
#[cfg(test)]
mod testing;
pub mod times;
mod tls;

pub use error::Error;
pub use handle::Handle;
pub use options::{Clock, Knock, Nobody, Options, runtime_clock};
pub use parcel::{Kind, LARGEST, Parcel, Receiver, Reply};
pub use status::Peer;
pub use tls::Files;

use crate::core::Core;
use crate::lines::{Carrier, Lines};
use ractor::{Actor, ActorCell, ActorRef};
use std::sync::Arc;
use supervise::{Child, Never, Plan, Strategy, Supervisor};
use tables::Transport;

/// The mesh before it runs: the tables are opened with its transport, and then it is spawned with the tables.
pub struct Mesh {
    options: Options,
    lines: Arc<Lines>,
}

impl Mesh {
    /// Reads the certificates and checks the addresses. Opens no socket.
    ///
    /// # Errors
    /// [`Error::Tls`], [`Error::Bare`].
    pub fn new(options: Options) -> Result<Self, Error> {
        let lines = Arc::new(Lines::new(&options)?);
        Ok(Self { options, lines })
    }

    /// Carries Raft's messages.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(Carrier(Arc::clone(&self.lines)))
    }

    /// What runs it, once its tables are there: to be spawned by [`Service::spawn`], again after it has failed.
    #[must_use]
    pub fn service(self, tables: tables::Handle, receiver: Arc<dyn Receiver>) -> Service {
        Service { core: Arc::new(Core::new(self.options, self.lines, tables, receiver)) }
    }
}

/// The mesh with all it needs.
#[derive(Clone)]
pub struct Service {
    core: Arc<Core>,
}

impl Service {
    /// What everybody else holds of it; good before it is spawned.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.core))
    }

    /// Listens, links and enters the cluster, under a supervisor. Returns when it listens; [`Handle::entered`] waits for more.
    ///
    /// # Errors
    /// The address cannot be listened on, or the supervisor is going down.
    pub async fn spawn(&self, supervisor: ActorCell) -> Result<ActorCell, ractor::SpawnErr> {
        let (actor, _) = Actor::spawn_linked(None, Supervisor, self.plan(), supervisor).await?;
        Ok(actor.get_cell())
    }

    /// As [`Service::spawn`], with no supervisor above: for tests and tools.
    ///
    /// # Errors
    /// As [`Service::spawn`].
    pub async fn spawn_alone(&self) -> Result<ActorRef<Never>, ractor::SpawnErr> {
        Actor::spawn(None, Supervisor, self.plan()).await.map(|(actor, _)| actor)
    }

    /// The control loop fails alone; the links stand before it since it speaks through them.
    fn plan(&self) -> Plan {
        let core = Arc::clone(&self.core);
        let server = Child::new("mesh_server", move |up| {
            let core = Arc::clone(&core);
            async move {
                let listener = listener::listen(&core).await?;
                let cell = tasked::spawn(Box::pin(listener::serve(core, listener)), up).await?;
                Ok::<_, ractor::ActorProcessingErr>(cell)
            }
        });
        let core = Arc::clone(&self.core);
        let links = Child::new("mesh_links", move |up| {
            let core = Arc::clone(&core);
            async move {
                let (actor, _) = Actor::spawn_linked(None, links::Links, core, up).await?;
                Ok::<_, ractor::SpawnErr>(actor.get_cell())
            }
        });
        let core = Arc::clone(&self.core);
        let control =
            Child::new("mesh_control", move |up| tasked::spawn(Box::pin(control::run(Arc::clone(&core))), up));
        Plan { name: "mesh", strategy: Strategy::OneForOne, children: vec![server, links, control] }
    }
}
