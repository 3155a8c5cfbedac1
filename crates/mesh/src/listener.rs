//! Takes connections of other nodes: within limits, over TLS where there is TLS, and hands them to gRPC.

use crate::Error;
use crate::core::{Core, count_refused};
use crate::lines::{CONNECTION_WINDOW, FRAME, KEEP_ALIVE, KEEP_ALIVE_TIMEOUT, MESSAGE, STREAM_WINDOW};
use crate::net::{Listener, Stream};
use crate::proto::mesh_server::MeshServer;
use crate::server::Service;
use crate::tls::{explain, node_of};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::Connected;

/// How many connections may be open, handshakes included. A member has one, two while it replaces a broken one.
const CONNECTIONS: usize = 512;
/// How many streams a connection may have: control, parcels, and calls of Raft.
const STREAMS: u32 = 256;
/// How long a handshake may take, and after it the beginning of HTTP/2.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How many bytes HTTP/2 begins with (RFC 9113 §3.4). Who has sent them is asked for signs of life from then on.
const PREFACE: usize = 24;
/// How long to wait after the system refused a connection: it may be out of file descriptors.
const REST: Duration = Duration::from_millis(100);

/// Who has called, as far as the connection shows it.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The node that its certificate is for; none without TLS.
    pub(crate) certificate: Option<Arc<str>>,
}

/// Listens, or says why not.
pub(crate) async fn listen(core: &Core) -> Result<Box<dyn Listener>, Error> {
    let address = core.options.listen;
    core.options.net.listen(address).await.map_err(|error| {
        let taken = error.kind() == std::io::ErrorKind::AddrInUse;
        Error::Listen { address, taken, why: error.to_string() }
    })
}

/// Serves until it is dropped or cannot go on; connections end with it.
pub(crate) async fn serve(core: Arc<Core>, listener: Box<dyn Listener>) -> String {
    let (connections, incoming) = mpsc::channel(16);
    let service = MeshServer::new(Service(Arc::clone(&core)))
        .max_decoding_message_size(MESSAGE)
        .max_encoding_message_size(MESSAGE);
    let (alive, over) = tokio::sync::watch::channel(());
    let served = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_frame_size(FRAME)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_service(service)
        .serve_with_incoming(tokio_stream::wrappers::ReceiverStream::new(incoming));
    let ended = tokio::select! {
        ended = served => ended.map_or_else(|error| error.to_string(), |()| "the server has ended".to_owned()),
        () = accept(&core, listener, &connections, &over) => "the listener has ended".to_owned(),
    };
    drop(alive);
    ended
}

type Accepted = Result<Connection, io::Error>;

async fn accept(
    core: &Arc<Core>,
    mut listener: Box<dyn Listener>,
    connections: &mpsc::Sender<Accepted>,
    over: &tokio::sync::watch::Receiver<()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut handshakes = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = handshakes.join_next() => continue,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection of another node");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            count_refused("connections");
            continue;
        };
        let (core, connections, over) = (Arc::clone(core), connections.clone(), over.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE, handshake(&core, stream)).await {
                Ok(Ok((stream, certificate))) => {
                    let caller = Caller { certificate };
                    let gone = Box::pin(gone(over));
                    // Nobody takes it any more if the server ends just now.
                    let mute = Some(Mute { until: Box::pin(tokio::time::sleep(HANDSHAKE)), owed: PREFACE });
                    let _ = connections.send(Ok(Connection { stream, caller, gone, mute, _place: place })).await;
                }
                Ok(Err(why)) => refused(from, &why),
                Err(_) => refused(from, "the handshake took too long"),
            }
        });
    }
}

async fn gone(mut over: tokio::sync::watch::Receiver<()>) {
    while over.changed().await.is_ok() {}
}

fn refused(from: SocketAddr, why: &str) {
    count_refused("handshake");
    tracing::warn!(%from, reason = why, "refused a connection of another node");
}

async fn handshake(core: &Core, stream: Box<dyn Stream>) -> Result<(Box<dyn Stream>, Option<Arc<str>>), String> {
    let Some(tls) = core.lines.tls() else { return Ok((stream, None)) };
    let stream = tls.acceptor.accept(stream).await.map_err(|error| {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        inner.and_then(explain).unwrap_or_else(|| error.to_string())
    })?;
    let node = node_of(stream.get_ref().1.peer_certificates());
    let node = node.ok_or("its certificate is for no node of Tandem")?;
    Ok((Box::new(stream), Some(node.into())))
}

/// A connection that ends when the server does, or when it does not begin to speak HTTP/2, and gives its place back.
struct Connection {
    stream: Box<dyn Stream>,
    caller: Caller,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Until it has begun to speak.
    mute: Option<Mute>,
    _place: OwnedSemaphorePermit,
}

/// How long a connection may still be silent, and what it has to say.
struct Mute {
    until: Pin<Box<tokio::time::Sleep>>,
    owed: usize,
}

impl Mute {
    /// Whether it was silent for too long, given how much it has just said.
    fn is_over(&mut self, cx: &mut Context<'_>, said: usize) -> bool {
        self.owed = self.owed.saturating_sub(said);
        self.owed > 0 && self.until.as_mut().poll(cx).is_ready()
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.gone.as_mut().poll(cx).is_ready() {
            // The future is not polled again once it has ended.
            self.gone = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let said = buf.filled().len() - before;
        if let Some(mut mute) = self.mute.take() {
            if mute.is_over(cx, said) {
                count_refused("mute");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.mute = Some(mute).filter(|mute| mute.owed > 0);
        }
        polled
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
