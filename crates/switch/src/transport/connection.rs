//! One actor a connection: it writes in order, reads and frames, and ends when the peer leaves, breaks the framing, stalls
//! or stays silent for too long.

use super::{Inbox, Outgoing, WRITES};
use crate::calls::Haste;
use parking_lot::Mutex;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, MessagingErr};
use rustc_hash::FxHashMap;
use sip::Flow;
use sip::frame::{Frame, FrameError, Framer};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// A peer that does not take our bytes for so long is gone.
const STALL: Duration = Duration::from_secs(10);
/// How long connecting may take; the call's own timers are longer (timer B).
const CONNECT: Duration = Duration::from_secs(5);

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a message to its last: who sends slower holds the connection for nothing.
    pub(super) message: Duration,
    /// A connection over which nothing came for so long is closed; RFC 5626 keep-alives come every two minutes.
    pub(super) idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { message: Duration::from_secs(30), idle: Duration::from_secs(3600) }
    }
}

struct Entry {
    actor: ActorRef<Act>,
    remote: SocketAddr,
    pending: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Table {
    by_id: FxHashMap<u64, Entry>,
    by_remote: FxHashMap<SocketAddr, u64>,
    by_source: FxHashMap<IpAddr, usize>,
    by_actor: FxHashMap<ActorId, u64>,
}

/// The living connections.
#[derive(Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
    last: AtomicU64,
}

impl Connections {
    /// A number that no connection of this process had before.
    pub(super) fn mint(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn add(&self, flow: Flow, actor: ActorRef<Act>) {
        let mut table = self.table.lock();
        table.by_remote.insert(flow.remote, flow.connection);
        *table.by_source.entry(flow.remote.ip()).or_default() += 1;
        table.by_actor.insert(actor.get_id(), flow.connection);
        let entry = Entry { actor, remote: flow.remote, pending: Arc::default() };
        table.by_id.insert(flow.connection, entry);
    }

    pub(super) fn forget(&self, who: ActorId) {
        let mut table = self.table.lock();
        let Some(id) = table.by_actor.remove(&who) else { return };
        let Some(entry) = table.by_id.remove(&id) else { return };
        if table.by_remote.get(&entry.remote) == Some(&id) {
            table.by_remote.remove(&entry.remote);
        }
        let source = entry.remote.ip();
        let left = table.by_source.get_mut(&source).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            table.by_source.remove(&source);
        }
    }

    /// Drops what an earlier supervisor left: its connections ended with it.
    pub(super) fn clear(&self) {
        *self.table.lock() = Table::default();
    }

    /// All connections, and those of one address.
    pub(super) fn count(&self, source: IpAddr) -> (usize, usize) {
        let table = self.table.lock();
        (table.by_id.len(), table.by_source.get(&source).copied().unwrap_or(0))
    }

    /// Queues a message on the flow's own connection, else on any to the same address.
    ///
    /// # Errors
    /// The message, if no connection leads there; nothing, if its queue is full (the message is dropped and counted).
    pub(super) fn tell(&self, flow: &Flow, outgoing: Outgoing) -> Result<(), Option<Outgoing>> {
        let table = self.table.lock();
        let by_remote = || table.by_remote.get(&flow.remote).and_then(|id| table.by_id.get(id));
        let Some(entry) = table.by_id.get(&flow.connection).or_else(by_remote) else { return Err(Some(outgoing)) };
        if entry.pending.fetch_add(1, Ordering::Relaxed) >= WRITES {
            entry.pending.fetch_sub(1, Ordering::Relaxed);
            metrics::counter!("tandem_queue_full_total", "queue" => "connection").increment(1);
            return Err(None);
        }
        let permit = Permit(Arc::clone(&entry.pending));
        match entry.actor.send_message(Act::Write(outgoing, permit)) {
            Ok(()) => Ok(()),
            // It has just ended and is not yet forgotten.
            Err(MessagingErr::SendErr(Act::Write(outgoing, _))) => Err(Some(outgoing)),
            Err(_) => Err(None),
        }
    }
}

/// A place in a connection's queue; given back when dropped.
pub(super) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a connection is asked.
pub(super) enum Act {
    /// Begin: connect if need be, then read.
    Begin(Link),
    Write(Outgoing, Permit),
    /// Answer a keep-alive (RFC 5626 §4.4.1).
    Pong,
    /// Reading has ended.
    Closed,
}

/// Whether the peer connected, or we must.
pub(super) enum Link {
    Open(TcpStream),
    ToOpen,
}

pub(super) struct Arguments {
    pub(super) flow: Flow,
    pub(super) link: Link,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) patience: Patience,
}

pub(super) struct State {
    flow: Flow,
    patience: Patience,
    inbox: Arc<dyn Inbox>,
    writer: Option<OwnedWriteHalf>,
    reading: Option<JoinHandle<()>>,
}

/// See the module.
pub(super) struct Connection;

impl Actor for Connection {
    type Msg = Act;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(&self, myself: ActorRef<Act>, arguments: Arguments) -> Result<State, ActorProcessingErr> {
        let Arguments { flow, link, inbox, patience } = arguments;
        let mut state = State { flow, patience, inbox, writer: None, reading: None };
        if matches!(link, Link::Open(_)) {
            myself.cast(Act::Begin(link))?;
            return Ok(state);
        }
        // Connecting here, before the mailbox is served, keeps every queued message in order behind it.
        if let Ok(Ok(stream)) = timeout(CONNECT, connect(flow)).await {
            let _ = stream.set_nodelay(true);
            state.begin(&myself, stream);
        }
        Ok(state)
    }

    async fn handle(&self, myself: ActorRef<Act>, act: Act, state: &mut State) -> Result<(), ActorProcessingErr> {
        match act {
            Act::Begin(Link::Open(stream)) => state.begin(&myself, stream),
            Act::Begin(Link::ToOpen) => {}
            Act::Write(outgoing, _permit) => {
                if !state.write(&outgoing.bytes).await {
                    state.inbox.unreachable(outgoing.sender);
                    state.writer = None;
                    myself.drain()?;
                }
            }
            Act::Pong => {
                state.write(b"\r\n").await;
            }
            Act::Closed => {
                state.writer = None;
                myself.drain()?;
            }
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Act>, state: &mut State) -> Result<(), ActorProcessingErr> {
        if let Some(reading) = state.reading.take() {
            reading.abort();
        }
        Ok(())
    }
}

impl State {
    fn begin(&mut self, myself: &ActorRef<Act>, stream: TcpStream) {
        let (reader, writer) = stream.into_split();
        self.writer = Some(writer);
        let (flow, inbox, patience, myself) = (self.flow, Arc::clone(&self.inbox), self.patience, myself.clone());
        self.reading = Some(tokio::spawn(async move {
            read(reader, flow, inbox.as_ref(), patience, &myself).await;
            let _ = myself.cast(Act::Closed);
        }));
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(writer) = self.writer.as_mut() else { return false };
        matches!(timeout(STALL, writer.write_all(bytes)).await, Ok(Ok(())))
    }
}

/// Connects from the address that we listen on: the peer knows us by that one.
async fn connect(flow: Flow) -> std::io::Result<TcpStream> {
    let socket = if flow.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if flow.local.is_ipv4() == flow.remote.is_ipv4() {
        socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
    }
    socket.connect(flow.remote).await
}

async fn read(mut reader: OwnedReadHalf, flow: Flow, inbox: &dyn Inbox, patience: Patience, myself: &ActorRef<Act>) {
    let mut framer = Framer::default();
    let mut buffer = vec![0_u8; 8192];
    let mut partial = false;
    let mut deadline = Instant::now() + patience.idle;
    loop {
        let length = match timeout_at(deadline, reader.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(length)) => length,
            Err(_) if partial => return reject("unfinished"),
            Err(_) => return,
        };
        framer.push(&buffer[..length]);
        let Ok(messages) = take(&mut framer, flow, inbox, myself) else { return reject("framing") };
        // A message that goes on keeps the deadline that it had when it began.
        if !framer.is_partial() {
            deadline = Instant::now() + patience.idle;
        } else if !partial || messages > 0 {
            deadline = Instant::now() + patience.message;
        }
        partial = framer.is_partial();
    }
}

fn reject(reason: &'static str) {
    metrics::counter!("tandem_sip_rejected_total", "reason" => reason).increment(1);
}

/// Hands over every whole message. Answers how many.
fn take(framer: &mut Framer, flow: Flow, inbox: &dyn Inbox, myself: &ActorRef<Act>) -> Result<usize, FrameError> {
    let mut messages = 0;
    while let Some(frame) = framer.next_frame()? {
        match frame {
            Frame::Message(bytes) => {
                inbox.receive(&bytes, flow, Haste::AtOnce);
                messages += 1;
            }
            Frame::Ping => {
                let _ = myself.cast(Act::Pong);
            }
            Frame::LineEnd => {}
        }
    }
    Ok(messages)
}
