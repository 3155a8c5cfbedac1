//! Lines to other nodes: one connection each, dialled when first used and again when it broke, over TLS where there is TLS.
//!
//! Links, joins and Raft all speak over the same line. It knows nothing of the tables, so that they can hold it.

use crate::Error;
use crate::net::{Net, Stream};
use crate::options::Options;
use crate::proto::mesh_client::MeshClient;
use crate::proto::{Identity, Neighbour, OLDEST_PROTOCOL, PROTOCOL, RaftRequest};
use crate::tls::{Tls, explain, server_name};
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use routing::cluster::{Cluster, NodeId};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tables::{Answering, RaftCall, Transport, Unreachable};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Uri};

/// The largest message of gRPC, in bytes.
pub(crate) const MESSAGE: usize = 4 << 20;
/// How long a connection may take, with its handshake.
const CONNECT: Duration = Duration::from_secs(2);
/// A quiet connection is asked for a sign of life, and given up without one.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(2);
pub(crate) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
/// What may be on its way in one stream, and in a whole connection: a snapshot leaves room for everything else.
pub(crate) const STREAM_WINDOW: u32 = 1 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 8 << 20;
/// What is written at a time. Most batches of states fit, which cost a system call for each frame; a heartbeat waits for one frame
/// of other streams at the most, five milliseconds at 100 Mbit/s.
pub(crate) const FRAME: u32 = 64 << 10;
/// How many requests may wait for one connection.
const WAITING: usize = 256;
/// How many lines there may be: members, and a few that were asked for entry.
const LINES: usize = 1024;

/// Who this node is among the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Me {
    /// Empty before it has a cluster.
    pub(crate) cluster: String,
    pub(crate) node: NodeId,
    /// 0 before it has entered.
    pub(crate) incarnation: u64,
}

pub(crate) type Client = MeshClient<Channel>;

/// All lines of this node.
pub(crate) struct Lines {
    net: Arc<dyn Net>,
    tls: Option<Tls>,
    name: String,
    me: watch::Sender<Me>,
    /// Who is known, from the tables and, before they are here, from the answer to the join.
    known: ArcSwap<BTreeMap<NodeId, Neighbour>>,
    lines: Mutex<BTreeMap<(NodeId, String), Line>>,
}

/// One line. Cheap to clone; dropped when nobody holds it.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) client: Client,
    /// The node that must answer; any if none.
    expected: Option<String>,
    certificates: Certificates,
}

/// What is wrong with certificates by the last handshake of a line; none if nothing is.
#[derive(Clone, Default)]
pub(crate) struct Certificates(Arc<Mutex<Option<String>>>);

impl Lines {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let tls = options.tls.as_ref().map(|files| Tls::load(files, &options.name)).transpose()?;
        Ok(Self {
            net: Arc::clone(&options.net),
            tls,
            name: options.name.clone(),
            me: watch::channel(Me::default()).0,
            known: ArcSwap::default(),
            lines: Mutex::default(),
        })
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    pub(crate) fn me(&self) -> Me {
        self.me.borrow().clone()
    }

    /// Who it is, not to be held over an await.
    pub(crate) fn borrow_me(&self) -> watch::Ref<'_, Me> {
        self.me.borrow()
    }

    /// Its number, which is asked for with every message.
    pub(crate) fn node(&self) -> NodeId {
        self.me.borrow().node
    }

    /// Its life.
    pub(crate) fn incarnation(&self) -> u64 {
        self.me.borrow().incarnation
    }

    pub(crate) fn watch_me(&self) -> watch::Receiver<Me> {
        self.me.subscribe()
    }

    /// Speaks as this one from now on; links open anew.
    pub(crate) fn become_node(&self, me: Me) {
        self.me.send_if_modified(|now| std::mem::replace(now, me.clone()) != me);
    }

    /// What this node says of itself.
    pub(crate) fn identity(&self) -> Identity {
        let Me { cluster, node, incarnation } = self.me();
        let (protocol, oldest_protocol, name) = (PROTOCOL, OLDEST_PROTOCOL, self.name.clone());
        Identity { protocol, oldest_protocol, cluster, node, name, incarnation }
    }

    /// Takes what the tables say of the members. Lines to others are given up, but not before the tables have arrived.
    pub(crate) fn learn(&self, cluster: &Cluster) {
        if cluster.members().is_empty() {
            return;
        }
        let known: BTreeMap<_, _> = cluster
            .members()
            .values()
            .map(|member| {
                let (name, site, mesh) = (member.name.to_string(), member.site.to_string(), member.mesh.to_string());
                (member.id, Neighbour { node: member.id, name, site, mesh })
            })
            .collect();
        self.lines.lock().retain(|(node, address), _| known.get(node).is_some_and(|known| known.mesh == *address));
        self.known.store(Arc::new(known));
    }

    /// Takes what the answer to a join says of the members.
    pub(crate) fn learn_neighbours(&self, members: Vec<Neighbour>) {
        self.known.store(Arc::new(members.into_iter().map(|member| (member.node, member)).collect()));
    }

    /// The line to a node: at the address that the tables know, else at the one given.
    pub(crate) fn to(&self, node: NodeId, address: &str) -> Result<Line, Error> {
        let known = self.known.load();
        let known = known.get(&node);
        let address = known.map_or(address, |known| &known.mesh);
        let expected = known.map(|known| known.name.clone());
        let mut lines = self.lines.lock();
        let key = (node, address.to_owned());
        if let Some(line) = lines.get(&key).filter(|line| line.expected == expected) {
            return Ok(line.clone());
        }
        if lines.len() >= LINES {
            lines.clear();
        }
        let line = self.dial(address, expected).map_err(|_| Error::Unreachable(node))?;
        lines.insert(key, line.clone());
        Ok(line)
    }

    /// A line of its own to an address, to whichever node is there if none is expected. Fails if the address is none.
    pub(crate) fn dial(&self, address: &str, expected: Option<String>) -> Result<Line, String> {
        let uri = format!("http://{address}").parse::<Uri>().map_err(|_| format!("`{address}` is no host and port"))?;
        let secured = match &self.tls {
            None => None,
            Some(tls) => {
                let wanted = server_name(expected.as_deref()).ok_or("the node's name cannot stand in a certificate")?;
                Some((tls.connector.clone(), wanted))
            }
        };
        let certificates = Certificates::default();
        let (net, seen, to) = (Arc::clone(&self.net), certificates.clone(), Arc::from(address));
        let connector = tower::service_fn(move |_: Uri| {
            let (net, secured, seen) = (Arc::clone(&net), secured.clone(), seen.clone());
            let to: Arc<str> = Arc::clone(&to);
            async move {
                let stream = net.connect(&to).await?;
                let Some((tls, wanted)) = secured else { return Ok::<_, io::Error>(TokioIo::new(stream)) };
                let stream = tls.connect(wanted, stream).await.map_err(|error| seen.note(error))?;
                Ok(TokioIo::new(Box::new(Watched { stream, seen }) as Box<dyn Stream>))
            }
        });
        let channel = Endpoint::from(uri)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .buffer_size(WAITING)
            .connect_with_connector_lazy(connector);
        let client = MeshClient::new(channel).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE);
        Ok(Line { client, expected, certificates })
    }
}

impl Line {
    /// Why the last handshake failed, if that was about certificates.
    pub(crate) fn certificate_fault(&self) -> Option<String> {
        self.certificates.0.lock().clone()
    }

    /// What to tell of a call that failed.
    pub(crate) fn explain(&self, status: &tonic::Status) -> String {
        self.certificate_fault().unwrap_or_else(|| status.message().to_owned())
    }
}

impl Certificates {
    /// Remembers what the failure says of certificates, which gRPC's errors lose.
    fn note(&self, error: io::Error) -> io::Error {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(fault) = inner.and_then(explain) {
            *self.0.lock() = Some(fault);
        }
        error
    }
}

/// With TLS 1.3 the other end refuses our certificate after the handshake is over for us: its alert comes with the first
/// bytes that are read. The first that are good clear what an earlier attempt has left.
struct Watched<S> {
    stream: S,
    seen: Certificates,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        match polled {
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.seen.note(error))),
            Poll::Ready(Ok(())) if before == 0 && !buf.filled().is_empty() => {
                *self.seen.0.lock() = None;
                polled
            }
            Poll::Ready(Ok(())) | Poll::Pending => polled,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
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

/// Raft's messages, over the lines.
pub(crate) struct Carrier(pub(crate) Arc<Lines>);

impl Transport for Carrier {
    fn call(&self, to: NodeId, address: &str, call: RaftCall, body: Bytes, patience: Duration) -> Answering {
        let line = self.0.to(to, address);
        let request = RaftRequest { from: Some(self.0.identity()), call: u32::from(call.code()), body };
        Box::pin(async move {
            let mut line = line.map_err(|error| Unreachable(error.to_string()))?;
            let asked = tokio::time::timeout(patience, line.client.raft(request)).await;
            match asked {
                Ok(Ok(reply)) => Ok(reply.into_inner().body),
                Ok(Err(status)) => Err(Unreachable(format!("node {to}: {}", line.explain(&status)))),
                Err(_) => Err(Unreachable(format!("node {to} did not answer within {patience:?}"))),
            }
        })
    }
}
