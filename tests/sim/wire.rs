//! The sockets of a simulated host. Nodes go on speaking of 127.x.y.z, as the files of `cluster/` do; on turmoil's network
//! each of them is a host of its own at 10.x.y.z.

use mesh::net::{Boxed, Listener, Net, Stream};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use turmoil::net::{TcpListener, TcpStream};

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

/// The mesh's network.
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
