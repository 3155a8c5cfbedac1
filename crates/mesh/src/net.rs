//! Sockets, as the mesh sees them: so that a simulation can put others in the place of TCP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};

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
pub struct Tcp;

impl Net for Tcp {
    fn listen(&self, at: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener: Box<dyn Listener> = Box::new(tokio::net::TcpListener::bind(at).await?);
            Ok(listener)
        })
    }

    fn connect<'a>(&'a self, to: &'a str) -> Boxed<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
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
