//! The listener: so many connections and no more, and none that stands still for ever.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Connections at the same time; more wait in the queue of the system.
const CONNECTIONS: usize = 256;

/// How long the listener waits when the system gives it no connection, as without free file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener whose connections are counted.
pub(crate) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle: Duration,
}

impl Door {
    /// A connection on which nothing moves for `idle` is closed.
    pub(crate) fn new(listener: TcpListener, idle: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(CONNECTIONS)), idle }
    }
}

impl axum::serve::Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else { return poll_fn(|_| Poll::Pending).await };
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Connection::new(stream, self.idle, place), peer),
                Err(error) => {
                    tracing::debug!(%error, "http: no connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself when nothing moves.
pub(crate) struct Connection {
    stream: TcpStream,
    alarm: Pin<Box<Sleep>>,
    idle: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, idle: Duration, place: OwnedSemaphorePermit) -> Self {
        Self { stream, alarm: Box::pin(sleep(idle)), idle, _place: place }
    }

    /// Passes on what the stream said, or says that it has stood still for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, moved: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.alarm.as_mut().reset(Instant::now() + self.idle);
            return moved;
        }
        self.alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.watch(cx, moved)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, moved)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch(cx, moved)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::serve::Listener;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn door(idle: Duration) -> (Door, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Door::new(listener, idle), address)
    }

    #[tokio::test]
    async fn a_connection_on_which_nothing_moves_ends() {
        let (mut door, address) = door(Duration::from_millis(30)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = door.accept().await;
        client.write_all(b"GE").await.unwrap();
        let mut bytes = [0; 2];
        connection.read_exact(&mut bytes).await.unwrap();
        let error = connection.read_exact(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // A peer that asks and never reads.
        let block = vec![0; 1 << 20];
        let error = loop {
            if let Err(error) = connection.write_all(&block).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn connections_past_the_limit_wait_for_a_place() {
        let (mut door, address) = door(Duration::from_secs(60)).await;
        let mut clients = Vec::new();
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(TcpStream::connect(address).await.unwrap());
            connections.push(door.accept().await);
        }
        clients.push(TcpStream::connect(address).await.unwrap());
        let next = tokio::time::timeout(Duration::from_millis(20), door.accept()).await;
        assert!(next.is_err(), "there is no place");
        connections.pop();
        tokio::time::timeout(Duration::from_secs(10), door.accept()).await.unwrap();
    }
}
