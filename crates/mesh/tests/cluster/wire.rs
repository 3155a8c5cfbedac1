//! Connections in memory, and a gate a node: with its gate closed nothing goes in or out of it, and nothing is lost.

use mesh::net::{Boxed, Listener, Net, Stream};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::{mpsc, watch};

/// What a connection holds in each direction.
const BUFFER: usize = 64 << 10;

type Connecting = (DuplexStream, SocketAddr);

/// What all nodes are connected by.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<BTreeMap<SocketAddr, mpsc::Sender<Connecting>>>>);

/// One node's end of it.
#[derive(Clone)]
pub(crate) struct Socket {
    wire: Wire,
    gate: watch::Sender<bool>,
}

impl Wire {
    pub(crate) fn socket(&self) -> Socket {
        Socket { wire: self.clone(), gate: watch::channel(true).0 }
    }
}

impl Socket {
    pub(crate) fn close(&self) {
        self.gate.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    fn gated(&self, stream: DuplexStream) -> Box<dyn Stream> {
        Box::new(Gated { stream, gate: self.gate.subscribe(), waiting: None })
    }
}

impl Net for Socket {
    fn listen(&self, at: SocketAddr) -> Boxed<'_, io::Result<Box<dyn Listener>>> {
        let (to, from) = mpsc::channel(16);
        let mut listeners = self.wire.0.lock().expect("whole");
        let taken = listeners.get(&at).is_some_and(|listener| !listener.is_closed());
        let listening = if taken {
            Err(io::ErrorKind::AddrInUse.into())
        } else {
            listeners.insert(at, to);
            Ok(Box::new(Listening { from, at, socket: self.clone() }) as Box<dyn Listener>)
        };
        Box::pin(std::future::ready(listening))
    }

    fn connect<'a>(&'a self, to: &'a str) -> Boxed<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let mut gate = self.gate.subscribe();
            gate.wait_for(|open| *open).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            let at: SocketAddr = to.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
            let listener = self.wire.0.lock().expect("whole").get(&at).cloned();
            let (near, far) = duplex(BUFFER);
            let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
            listener.ok_or_else(refused)?.send((far, at)).await.map_err(|_| refused())?;
            Ok(self.gated(near))
        })
    }
}

struct Listening {
    from: mpsc::Receiver<Connecting>,
    at: SocketAddr,
    socket: Socket,
}

impl Listener for Listening {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.from.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            Ok((self.socket.gated(stream), from))
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }
}

struct Gated {
    stream: DuplexStream,
    gate: watch::Receiver<bool>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Gated {
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if *self.gate.borrow() {
            self.waiting = None;
            return Poll::Ready(());
        }
        let mut gate = self.gate.clone();
        let waiting = self.waiting.get_or_insert_with(|| {
            Box::pin(async move {
                let _ = gate.wait_for(|open| *open).await;
            })
        });
        let polled = waiting.as_mut().poll(cx);
        if polled.is_ready() {
            self.waiting = None;
        }
        polled
    }
}

impl AsyncRead for Gated {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.poll_gate(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.poll_gate(cx).is_pending() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
