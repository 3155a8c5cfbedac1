//! TCP: who listens, who accepts, who connects.

use super::connection::{Arguments, Connection, Link};
use super::{Inbox, Outgoing, Transports};
use crate::error::Error;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use sip::{Flow, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One bound address.
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    socket: Arc<TcpListener>,
}

impl Listener {
    pub(super) fn bind(address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Listen { transport: "tcp", address, source };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self { local, socket: Arc::new(TcpListener::from_std(socket).map_err(failed)?) })
    }
}

/// Supervises the connections, one actor each. A connection that ends or fails is not restarted: its peer opens another.
pub(super) struct Streams;

/// What [`Streams`] is asked.
pub(crate) enum Spawn {
    /// A peer has connected.
    Accepted(TcpStream, Flow),
    /// There is something to send where no connection leads.
    Connect(Flow, Outgoing),
    /// An accepting loop has ended.
    Ended(String),
}

/// What it knows.
pub(super) struct State {
    transports: Arc<Transports>,
    inbox: Arc<dyn Inbox>,
    loops: Vec<JoinHandle<()>>,
}

impl Actor for Streams {
    type Msg = Spawn;
    type State = State;
    type Arguments = (Arc<Transports>, Arc<dyn Inbox>);

    async fn pre_start(
        &self,
        myself: ActorRef<Spawn>,
        (transports, inbox): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let loops = (0..transports.tcp.len())
            .map(|index| tokio::spawn(accept(Arc::clone(&transports), index, myself.clone())))
            .collect();
        transports.connections.clear();
        transports.streams.open(myself);
        Ok(State { transports, inbox, loops })
    }

    async fn handle(&self, myself: ActorRef<Spawn>, ask: Spawn, state: &mut State) -> Result<(), ActorProcessingErr> {
        match ask {
            Spawn::Accepted(stream, flow) => state.open(&myself, flow, Link::Open(stream), None),
            Spawn::Connect(flow, outgoing) => {
                // Two messages may have asked for the same connection.
                match state.transports.connections.tell(&flow, outgoing) {
                    Ok(()) => Ok(()),
                    Err(None) => Ok(()),
                    Err(Some(outgoing)) => state.open(&myself, flow, Link::ToOpen, Some(outgoing)),
                }
            }
            Spawn::Ended(why) => Err(why.into()),
        }
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Spawn>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, _) | SupervisionEvent::ActorTerminated(who, ..) => {
                state.transports.connections.forget(who.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Spawn>, state: &mut State) -> Result<(), ActorProcessingErr> {
        for accepting in state.loops.drain(..) {
            accepting.abort();
        }
        Ok(())
    }
}

impl State {
    fn open(
        &self,
        myself: &ActorRef<Spawn>,
        flow: Flow,
        link: Link,
        first: Option<Outgoing>,
    ) -> Result<(), ActorProcessingErr> {
        let connections = &self.transports.connections;
        let (total, of_source) = connections.count(flow.remote.ip());
        let limits = &self.transports.limits;
        if total >= limits.connections || of_source >= limits.of_source {
            metrics::counter!("tandem_sip_rejected_total", "reason" => "too_many_connections").increment(1);
            if let Some(outgoing) = first {
                self.inbox.unreachable(outgoing.sender);
            }
            return Ok(());
        }
        let flow = Flow { connection: connections.mint(), ..flow };
        let (inbox, patience) = (Arc::clone(&self.inbox), self.transports.patience);
        let arguments = Arguments { flow, link, inbox, patience };
        let (actor, _) = ActorRuntime::spawn_linked_instant(None, Connection, arguments, myself.get_cell())?;
        connections.add(flow, actor);
        if let Some(Err(Some(outgoing))) = first.map(|first| connections.tell(&flow, first)) {
            self.inbox.unreachable(outgoing.sender);
        }
        Ok(())
    }
}

async fn accept(transports: Arc<Transports>, index: usize, streams: ActorRef<Spawn>) {
    let listener = &transports.tcp[index];
    loop {
        match listener.socket.accept().await {
            Ok((stream, remote)) => {
                let _ = stream.set_nodelay(true);
                let flow = Flow::new(Transport::Tcp, listener.local, remote);
                if streams.cast(Spawn::Accepted(stream, flow)).is_err() {
                    return;
                }
            }
            // Out of descriptors, or a peer that left in the handshake: accepting goes on when the next one comes.
            Err(error) if error.raw_os_error().is_some_and(|code| code == libc::EMFILE || code == libc::ENFILE) => {
                metrics::counter!("tandem_sip_rejected_total", "reason" => "no_descriptors").increment(1);
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let _ = streams.cast(Spawn::Ended(error.to_string()));
                return;
            }
        }
    }
}
