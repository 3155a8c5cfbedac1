//! Listeners and connections: bytes in to the [`Inbox`], bytes out by [`Transports::send`].
//!
//! Sockets are bound before any actor starts, so that a wrong address is an error at start, not a restart loop. This
//! module frames; it never looks into a message.

mod connection;
pub mod net;
mod stream;
#[cfg(test)]
mod tests;
mod udp;

use crate::calls::Haste;
use crate::door::Door;
use crate::error::Error;
use crate::supervise::{Child, Plan, Strategy};
use bytes::Bytes;
use call::CallId;
use connection::{Connections, Patience};
use ractor::Actor;
use sip::{Flow, Transport};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What may wait to be sent on one connection.
const WRITES: usize = 1024;

/// Connections at once; more are refused and counted.
struct Limits {
    connections: usize,
    /// With one address.
    of_source: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 20_000, of_source: 2_000 }
    }
}

/// Who takes what comes in.
pub trait Inbox: Send + Sync + 'static {
    /// One datagram or one message of a stream. Called from a reading loop: it must not wait.
    fn receive(&self, bytes: &[u8], flow: Flow, haste: Haste);
    /// A message of a call could not be delivered.
    fn unreachable(&self, sender: Sender);
}

/// Who wants to know when a message cannot be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Nobody.
    Nobody,
    /// A call, with the mark of the message.
    Call(CallId, u32),
}

/// Where SIP is listened for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// The address that peers see instead of ours, behind NAT.
    pub advertise: Option<IpAddr>,
    /// UDP sockets (SO_REUSEPORT) for each address.
    pub workers: usize,
}

/// What one message to a connection is.
pub(crate) struct Outgoing {
    pub(crate) bytes: Bytes,
    pub(crate) sender: Sender,
}

/// The bound sockets and the living connections.
pub struct Transports {
    udp: Vec<udp::Listener>,
    tcp: Vec<stream::Listener>,
    connections: Connections,
    streams: Door<stream::Spawn>,
    options: Options,
    limits: Limits,
    patience: Patience,
}

impl Transports {
    /// Binds every address.
    ///
    /// # Errors
    /// [`Error::Listen`] names the first that cannot be bound.
    pub fn bind(options: Options, net: &dyn net::Net) -> Result<Arc<Self>, Error> {
        let bound = options.udp.iter().map(|at| udp::Listener::bind(net, *at, options.workers));
        let udp = bound.collect::<Result<_, _>>()?;
        let tcp = options.tcp.iter().map(|at| stream::Listener::bind(*at)).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self::new(udp, tcp, options)))
    }

    fn new(udp: Vec<udp::Listener>, tcp: Vec<stream::Listener>, options: Options) -> Self {
        Self {
            udp,
            tcp,
            connections: Connections::default(),
            streams: Door::default(),
            options,
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }

    /// Every listener: transport, bound address, and the address that peers are told.
    #[must_use]
    pub fn locals(&self) -> Vec<(Transport, SocketAddr, SocketAddr)> {
        let told = |bound: SocketAddr| SocketAddr::new(self.options.advertise.unwrap_or(bound.ip()), bound.port());
        let udp = self.udp.iter().map(|l| (Transport::Udp, l.local));
        let tcp = self.tcp.iter().map(|l| (Transport::Tcp, l.local));
        udp.chain(tcp).map(|(transport, bound)| (transport, bound, told(bound))).collect()
    }

    /// Sends one message, without waiting: a datagram goes to the kernel now, a stream's message into its queue.
    pub fn send(self: &Arc<Self>, bytes: Bytes, to: &Flow, sender: Sender) -> Sent {
        match to.transport {
            Transport::Udp => self.send_datagram(&bytes, to),
            Transport::Tcp => self.send_stream(bytes, to, sender),
            // Nothing listens on these before the edge is built, so nothing can have come from there.
            Transport::Tls | Transport::Ws | Transport::Wss => Sent::Unreachable,
        }
    }

    fn send_datagram(&self, bytes: &[u8], to: &Flow) -> Sent {
        let listener = self
            .udp
            .iter()
            .find(|listener| listener.local == to.local)
            .or_else(|| self.udp.iter().find(|listener| listener.local.is_ipv4() == to.remote.is_ipv4()));
        match listener.map(|listener| listener.send(bytes, to.remote)) {
            Some(true) => Sent::Handed,
            Some(false) | None => Sent::Unreachable,
        }
    }

    fn send_stream(self: &Arc<Self>, bytes: Bytes, to: &Flow, sender: Sender) -> Sent {
        let outgoing = Outgoing { bytes, sender };
        let refused = match self.connections.tell(to, outgoing) {
            Ok(()) => return Sent::Handed,
            Err(refused) => refused,
        };
        // The connection that the message came over is gone: a response may open one to the same address (RFC 3261 §18.2.2).
        let Some(outgoing) = refused else { return Sent::Unreachable };
        if self.streams.tell(stream::Spawn::Connect(*to, outgoing)) { Sent::Handed } else { Sent::Unreachable }
    }
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// The kernel or the connection's queue has it.
    Handed,
    /// There is no way there.
    Unreachable,
}

/// The supervision plan of the listeners: each on its own, none depends on another.
pub fn plan(transports: &Arc<Transports>, inbox: &Arc<dyn Inbox>) -> Plan {
    let mut children = Vec::new();
    let (shared, taker) = (Arc::clone(transports), Arc::clone(inbox));
    children.push(Child::new("streams", move |supervisor| {
        let (shared, taker) = (Arc::clone(&shared), Arc::clone(&taker));
        async move {
            let (actor, _) = Actor::spawn_linked(None, stream::Streams, (shared, taker), supervisor).await?;
            Ok::<_, Error>(actor.get_cell())
        }
    }));
    for index in 0..transports.udp.len() {
        let (shared, taker) = (Arc::clone(transports), Arc::clone(inbox));
        children.push(Child::new("udp", move |supervisor| {
            let args = (Arc::clone(&shared), index, Arc::clone(&taker));
            async move {
                let (actor, _) = Actor::spawn_linked(None, udp::Udp, args, supervisor).await?;
                Ok::<_, Error>(actor.get_cell())
            }
        }));
    }
    Plan { name: "transports", strategy: Strategy::OneForOne, children }
}
