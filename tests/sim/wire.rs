//! The sockets of a simulated host. Nodes go on speaking of 127.x.y.z, as the files of `cluster/` do; on turmoil's network
//! each of them is a host of its own at 10.x.y.z.

use mesh::net::{Boxed, Listener, Net, Stream};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use switch::transport;
use switch::transport::net::Datagrams;
use tokio::task::JoinHandle;
use turmoil::net::{TcpListener, TcpStream, UdpSocket};

/// Where turmoil has the host that calls itself `ip`.
pub(crate) fn outside(ip: IpAddr) -> IpAddr {
    with_first(ip, 10)
}

/// What the host at `ip` calls itself.
pub(crate) fn inside(ip: IpAddr) -> IpAddr {
    with_first(ip, 127)
}

fn with_first(ip: IpAddr, first: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let [_, b, c, d] = v4.octets();
            IpAddr::V4(Ipv4Addr::new(first, b, c, d))
        }
        IpAddr::V6(_) => ip,
    }
}

/// Everything of this host.
pub(crate) fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The network of the mesh and of SIP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire;

struct Listening(TcpListener, SocketAddr);

impl Net for Wire {
    fn listen(&self, at: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = TcpListener::bind(any(at.port())).await?;
            Ok(Box::new(Listening(socket, at)) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, to: &'a str) -> Boxed<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let to: SocketAddr = to.parse().map_err(|_| io::Error::other(format!("{to} is no address")))?;
            let stream = TcpStream::connect((outside(to.ip()), to.port())).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Listener for Listening {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as Box<dyn Stream>, SocketAddr::new(inside(from.ip()), from.port())))
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.1)
    }
}

/// A UDP socket of a host. It calls itself what the node would. It is closed with its host, as a process's sockets are,
/// whoever still holds it then.
pub(crate) struct Datagram {
    socket: Slot,
    local: SocketAddr,
    open: JoinHandle<()>,
}

type Slot = Arc<Mutex<Option<UdpSocket>>>;

/// Closes a socket when the task that holds it ends.
struct Closing(Slot);

impl Drop for Closing {
    fn drop(&mut self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.open.abort();
    }
}

impl Datagram {
    /// Bound to a port of this host, or to a free one for port 0.
    pub(crate) fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = at_once(UdpSocket::bind(any(at.port())))?;
        let port = socket.local_addr()?.port();
        let socket = Arc::new(Mutex::new(Some(socket)));
        let closing = Closing(Arc::clone(&socket));
        let open = tokio::spawn(async move {
            let _closing = closing;
            std::future::pending().await
        });
        Ok(Self { socket, local: SocketAddr::new(at.ip(), port), open })
    }

    fn with<T>(&self, work: impl FnOnce(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        work(socket.as_ref().ok_or(io::ErrorKind::NotConnected)?)
    }
}

impl Datagrams for Datagram {
    fn local(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What it waits for stays registered when this future is dropped.
        let polled = self.with(|socket| Ok(pin!(socket.readable()).poll(cx)));
        polled.unwrap_or_else(|error| Poll::Ready(Err(error)))
    }

    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.with(|socket| socket.try_recv_from(buffer))?;
        Ok((length, SocketAddr::new(inside(from.ip()), from.port())))
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.with(|socket| socket.try_send_to(bytes, (outside(to.ip()), to.port())))
    }
}

impl transport::net::Net for Wire {
    fn bind(&self, at: SocketAddr, _: usize) -> io::Result<Vec<Box<dyn Datagrams>>> {
        Ok(vec![Box::new(Datagram::bind(at)?)])
    }

    fn connect(&self, _: SocketAddr) -> io::Result<Box<dyn Datagrams>> {
        Ok(Box::new(Datagram::bind(any(0))?))
    }
}

/// Turmoil binds without waiting.
fn at_once<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
