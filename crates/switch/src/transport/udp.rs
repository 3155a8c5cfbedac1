//! UDP: for each address as many sockets as workers, each read until it is empty.

use super::net::{Datagrams, Net, readable};
use super::{Inbox, Transports};
use crate::calls::Haste;
use crate::error::Error;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip::{Flow, Transport};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Messages read before the loop lets others run.
const BURST: usize = 64;
/// Messages in a row that the loop sees through itself. Where more wait, the sender may be one that keeps this one socket busy,
/// and the other workers are to help.
const ALONE: usize = 8;

/// The sockets of one address.
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    /// At least one.
    sockets: Vec<Arc<dyn Datagrams>>,
}

impl Listener {
    pub(super) fn bind(net: &dyn Net, address: SocketAddr, workers: usize) -> Result<Self, Error> {
        let failed = |source| Error::Listen { transport: "udp", address, source };
        let sockets: Vec<Arc<dyn Datagrams>> =
            net.bind(address, workers.max(1)).map_err(failed)?.into_iter().map(Arc::from).collect();
        let first = sockets.first().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self { local: first.local().map_err(failed)?, sockets })
    }

    /// Hands a datagram to the kernel. A full buffer drops it, as the network might; the transaction sends it again.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        match self.sockets[0].try_send(bytes, to) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                metrics::counter!("tandem_queue_full_total", "queue" => "udp_send").increment(1);
                true
            }
            Err(_) => false,
        }
    }
}

/// One actor an address: it owns the reading loops and fails with them.
pub(super) struct Udp;

/// A reading loop has ended.
pub(super) struct Ended(String);

impl Actor for Udp {
    type Msg = Ended;
    type State = Vec<JoinHandle<()>>;
    type Arguments = (Arc<Transports>, usize, Arc<dyn Inbox>);

    async fn pre_start(
        &self,
        myself: ActorRef<Ended>,
        (transports, index, inbox): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let listener = &transports.udp[index];
        let helped = listener.sockets.len() > 1;
        let read = |socket: &Arc<dyn Datagrams>| {
            let (socket, inbox, myself, local) =
                (Arc::clone(socket), Arc::clone(&inbox), myself.clone(), listener.local);
            tokio::spawn(async move {
                let why = read(socket.as_ref(), local, inbox.as_ref(), helped).await;
                let _ = myself.cast(Ended(why.to_string()));
            })
        };
        Ok(listener.sockets.iter().map(read).collect())
    }

    async fn handle(
        &self,
        _: ActorRef<Ended>,
        Ended(why): Ended,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        Err(why.into())
    }

    async fn post_stop(&self, _: ActorRef<Ended>, loops: &mut Self::State) -> Result<(), ActorProcessingErr> {
        for reading in loops.drain(..) {
            reading.abort();
        }
        Ok(())
    }
}

async fn read(socket: &dyn Datagrams, local: SocketAddr, inbox: &dyn Inbox, helped: bool) -> io::Error {
    let mut buffer = vec![0_u8; 65_536];
    loop {
        if let Err(error) = readable(socket).await {
            return error;
        }
        let mut is_empty = false;
        for nth in 0..BURST {
            match socket.try_receive(&mut buffer) {
                Ok((length, remote)) => {
                    let flow = Flow::new(Transport::Udp, local, remote);
                    let haste = if helped && nth >= ALONE { Haste::Later } else { Haste::AtOnce };
                    inbox.receive(&buffer[..length], flow, haste);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_empty = true;
                    break;
                }
                // An ICMP error of an earlier datagram: the socket itself is fine.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return error,
            }
        }
        // An empty socket lets others run by itself: yielding before would cost the runtime a look at all sockets more.
        if !is_empty {
            tokio::task::yield_now().await;
        }
    }
}
