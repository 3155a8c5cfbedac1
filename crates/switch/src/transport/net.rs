//! Sockets of SIP over UDP as the switch sees them, so that a simulation can put others in the place of the system's.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::net::UdpSocket;

/// Class selector 3, signalling (RFC 4594 §4.2), in the TOS byte.
const CS3: u32 = 24 << 2;
/// Kernel buffer: at 1 KB a message, some 4,000 of them survive a stall.
const BUFFER: usize = 4 << 20;

/// Where datagrams come from and go to.
pub trait Net: Debug + Send + Sync + 'static {
    /// So many sockets on one address, between which what comes in is spread.
    ///
    /// # Errors
    /// What the system said; also where somebody else has the address.
    fn bind(&self, at: SocketAddr, sockets: usize) -> io::Result<Vec<Box<dyn Datagrams>>>;

    /// A socket that speaks with one peer only, from a port of its own.
    ///
    /// # Errors
    /// What the system said.
    fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Datagrams>>;
}

/// A bound socket. It never waits but in [`Datagrams::poll_readable`], of which one task at a time is woken.
pub trait Datagrams: Send + Sync + 'static {
    /// Where it is bound.
    ///
    /// # Errors
    /// What the system said.
    fn local(&self) -> io::Result<SocketAddr>;

    /// Whether something may be there to be read.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes what is there; how long it is, and who sent it.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: nothing is there.
    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends now.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`]: there is no room.
    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize>;
}

/// Waits until something may be there to be read.
pub(crate) async fn readable(socket: &dyn Datagrams) -> io::Result<()> {
    std::future::poll_fn(|cx| socket.poll_readable(cx)).await
}

/// The system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Net for System {
    fn bind(&self, at: SocketAddr, sockets: usize) -> io::Result<Vec<Box<dyn Datagrams>>> {
        // Alone at first: SO_REUSEPORT would let a second node share the address, and the kernel split the traffic.
        drop(open(at, false)?);
        let first = open(at, true)?;
        let local = first.local_addr()?;
        let mut all: Vec<Box<dyn Datagrams>> = vec![Box::new(first)];
        for _ in 1..sockets.max(1) {
            all.push(Box::new(open(local, true)?));
        }
        Ok(all)
    }

    fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        let from: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
        let socket = std::net::UdpSocket::bind(from)?;
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(Box::new(Connected(UdpSocket::from_std(socket)?, to)))
    }
}

impl Datagrams for UdpSocket {
    fn local(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_recv_ready(cx)
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.try_recv_from(buffer)
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.try_send_to(bytes, to)
    }
}

/// The system tells such a socket when nobody is there.
struct Connected(UdpSocket, SocketAddr);

impl Datagrams for Connected {
    fn local(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_recv_ready(cx)
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.try_recv(buffer).map(|length| (length, self.1))
    }

    fn try_send(&self, bytes: &[u8], _: SocketAddr) -> io::Result<usize> {
        // Not by way of the runtime, which would first wait to hear that there is room: a new socket has it.
        SockRef::from(&self.0).send(bytes)
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
