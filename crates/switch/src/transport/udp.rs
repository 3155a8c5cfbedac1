//! UDP: for each address as many sockets as workers, each read until it is empty.

use super::{Inbox, Transports};
use crate::error::Error;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Class selector 3, signalling (RFC 4594 §4.2), in the TOS byte.
const CS3: u32 = 24 << 2;
/// Kernel buffer: at 1 KB a message, some 4,000 of them survive a stall.
const BUFFER: usize = 4 << 20;
/// Messages read before the loop lets others run.
const BURST: usize = 64;

/// The sockets of one address.
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    sockets: Vec<Arc<UdpSocket>>,
}

impl Listener {
    pub(super) fn bind(address: SocketAddr, workers: usize) -> Result<Self, Error> {
        let failed = |source| Error::Listen { transport: "udp", address, source };
        // Alone at first: SO_REUSEPORT would let a second node share the address, and the kernel split the traffic.
        drop(open(address, false).map_err(failed)?);
        let first = open(address, true).map_err(failed)?;
        let local = first.local_addr().map_err(failed)?;
        let mut sockets = vec![Arc::new(first)];
        for _ in 1..workers.max(1) {
            sockets.push(Arc::new(open(local, true).map_err(failed)?));
        }
        Ok(Self { local, sockets })
    }

    /// Hands a datagram to the kernel. A full buffer drops it, as the network might; the transaction sends it again.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        match self.sockets[0].try_send_to(bytes, to) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                metrics::counter!("tandem_queue_full_total", "queue" => "udp_send").increment(1);
                true
            }
            Err(_) => false,
        }
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // The kernel grants what its limits allow.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    if address.is_ipv4() {
        let _ = socket.set_tos_v4(CS3);
    } else {
        let _ = socket.set_tclass_v6(CS3);
    }
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
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
        let read = |socket: &Arc<UdpSocket>| {
            let (socket, inbox, myself, local) =
                (Arc::clone(socket), Arc::clone(&inbox), myself.clone(), listener.local);
            tokio::spawn(async move {
                let why = read(&socket, local, inbox.as_ref()).await;
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

async fn read(socket: &UdpSocket, local: SocketAddr, inbox: &dyn Inbox) -> io::Error {
    let mut buffer = vec![0_u8; 65_536];
    loop {
        if let Err(error) = socket.readable().await {
            return error;
        }
        for _ in 0..BURST {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, remote)) => {
                    let flow = Flow::new(Transport::Udp, local, remote);
                    inbox.receive(&buffer[..length], flow);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier datagram: the socket itself is fine.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return error,
            }
        }
        tokio::task::yield_now().await;
    }
}
