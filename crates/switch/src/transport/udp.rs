//! UDP: for each address as many sockets as workers, each read until it is empty.
//!
//! Waking up is as dear as handling a message, so a loop whose rounds follow closely rests between them and finds several
//! datagrams at once. One with little to do waits in the kernel and answers at once.

use super::{Inbox, Transports};
use crate::error::Error;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sip::{Flow, Transport};
use socket2::{Domain, Protocol, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Class selector 3, signalling (RFC 4594 §4.2), in the TOS byte.
const CS3: u32 = 24 << 2;
/// Kernel buffer: at 1 KB a message, some 4,000 of them survive a stall.
const BUFFER: usize = 4 << 20;
/// Messages read before the loop lets others run.
const BURST: usize = 64;
/// From the beginning of one round to that of the next while rounds follow closely. A call waits for it twice until it is
/// set up: a millisecond at the most, half of one on average.
const GATHER: Duration = Duration::from_micros(450);
/// Rounds that begin further apart than this do not follow closely.
const CLOSELY: Duration = Duration::from_millis(1);

/// The sockets of one address.
pub(super) struct Listener {
    pub(super) local: SocketAddr,
    sockets: Vec<Arc<Socket>>,
}

/// One socket: waited for and sent from through the runtime, and read without asking it between rounds that follow closely.
struct Socket {
    waited: UdpSocket,
    read: std::net::UdpSocket,
}

impl Listener {
    pub(super) fn bind(address: SocketAddr, workers: usize) -> Result<Self, Error> {
        let failed = |source| Error::Listen { transport: "udp", address, source };
        // Alone at first: SO_REUSEPORT would let a second node share the address, and the kernel split the traffic.
        drop(open(address, false).map_err(failed)?);
        let first = open(address, true).map_err(failed)?;
        let local = first.read.local_addr().map_err(failed)?;
        let mut sockets = vec![Arc::new(first)];
        for _ in 1..workers.max(1) {
            sockets.push(Arc::new(open(local, true).map_err(failed)?));
        }
        Ok(Self { local, sockets })
    }

    /// Hands a datagram to the kernel. A full buffer drops it, as the network might; the transaction sends it again.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddr) -> bool {
        match self.sockets[0].waited.try_send_to(bytes, to) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                metrics::counter!("tandem_queue_full_total", "queue" => "udp_send").increment(1);
                true
            }
            Err(_) => false,
        }
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
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
    let read: std::net::UdpSocket = socket.into();
    Ok(Socket { waited: UdpSocket::from_std(read.try_clone()?)?, read })
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
        let read = |socket: &Arc<Socket>| {
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

/// Rounds: what waits is read, the calls run, and while rounds follow closely the loop rests until the next is due.
async fn read(socket: &Socket, local: SocketAddr, inbox: &dyn Inbox) -> io::Error {
    let mut buffer = vec![0_u8; 65_536];
    let (mut before, mut rested) = (None, false);
    loop {
        if !rested && let Err(error) = socket.waited.readable().await {
            return error;
        }
        let began = Instant::now();
        let receive = |buffer: &mut [u8]| {
            // Only a read through the runtime makes it wait for news, so it is what follows the wait. After a rest there is
            // nothing to ask it: a wait that finds old news reads in vain once.
            if rested { socket.read.recv_from(buffer) } else { socket.waited.try_recv_from(buffer) }
        };
        let round = match read_round(receive, local, inbox, &mut buffer) {
            Ok(round) => round,
            Err(error) => return error,
        };
        rested = false;
        if round == Round::Empty {
            continue;
        }
        // The calls run first.
        tokio::task::yield_now().await;
        let closely = before.is_some_and(|before| began.duration_since(before) < CLOSELY);
        if closely && round == Round::Drained {
            // It blocks a worker of the runtime, on purpose: what else waits for that worker is gathered as well.
            std::thread::sleep(GATHER.saturating_sub(began.elapsed()));
            rested = true;
        }
        before = Some(began);
    }
}

/// What a round found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Empty,
    /// All that waited.
    Drained,
    /// As much as may be read at a time.
    Full,
}

fn read_round(
    receive: impl Fn(&mut [u8]) -> io::Result<(usize, SocketAddr)>,
    local: SocketAddr,
    inbox: &dyn Inbox,
    buffer: &mut [u8],
) -> io::Result<Round> {
    for count in 0..BURST {
        match receive(buffer) {
            Ok((length, remote)) => {
                let flow = Flow { transport: Transport::Udp, local, remote, connection: 0 };
                inbox.receive(&buffer[..length], flow);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(if count == 0 { Round::Empty } else { Round::Drained });
            }
            // An ICMP error of an earlier datagram: the socket itself is fine.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Round::Full)
}
