//! Sockets, as the mesh sees them: so that a simulation can put others in the place of TCP.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

/// A future in a box.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where connections come from and go to.
pub trait Net: Send + Sync + 'static {
    /// Listens.
    fn listen(&self, at: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Listener>>>;
    /// Connects to a host and port.
    fn connect<'a>(&'a self, to: &'a str) -> Boxed<'a, io::Result<Box<dyn Stream>>>;
}

/// A listening socket.
pub trait Listener: Send + 'static {
    /// The next connection.
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
    /// Where it listens.
    ///
    /// # Errors
    /// What the system said.
    fn address(&self) -> io::Result<SocketAddr>;
}

/// TCP of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp {
    /// Connections leave from this address, so that a firewall between sites can tell nodes apart; `None` leaves it to the
    /// system.
    pub from: Option<IpAddr>,
}

impl Tcp {
    /// Whose connections leave from the address that it listens on, unless it listens on all.
    #[must_use]
    pub fn of(listen: SocketAddr) -> Self {
        Self { from: Some(listen.ip()).filter(|ip| !ip.is_unspecified()) }
    }

    async fn dial(self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = self.from.filter(|from| from.is_ipv4() == to.is_ipv4()) {
            socket.bind((from, 0).into())?;
        }
        socket.connect(to).await
    }
}

impl Net for Tcp {
    fn listen(&self, at: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener: Box<dyn Listener> = Box::new(tokio::net::TcpListener::bind(at).await?);
            Ok(listener)
        })
    }

    fn connect<'a>(&'a self, to: &'a str) -> Boxed<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{to} has no address"));
            for address in tokio::net::lookup_host(to).await? {
                match self.dial(address).await {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream) as Box<dyn Stream>);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }
}

impl Listener for tokio::net::TcpListener {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = Self::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}
