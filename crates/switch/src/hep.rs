//! Copies of what passes, for a collector such as Homer: HEP3 over UDP, with our name of the call as the correlation id, so that
//! all legs of a call are found together.
//!
//! It is a copy and nothing more: no call waits for it, and what does not fit into the queue is dropped and counted. Secrets are
//! blanked before anything comes here ([`crate::ladder`]).

mod packet;

use crate::error::Error;
use crate::ladder::{Hop, Way};
use crate::shell::Shell;
use ::call::CallId;
use bytes::Bytes;
use packet::{Packet, Payload};
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Messages that may wait to be sent.
const WAITING: usize = 4_096;
/// The collector's name is looked up anew after so long, …
const LOOK_UP: Duration = Duration::from_secs(60);
/// … and sooner where that failed.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(5);

/// Where copies go.
#[derive(Clone)]
pub struct Options {
    /// `host:port` of the collector.
    pub collector: String,
    /// The id of this capture agent.
    pub id: u32,
    /// What the collector asks for, if it does.
    pub password: Option<String>,
    /// Of so many calls in a hundred everything is sent, of the others nothing.
    pub percent: u8,
}

/// Never shows the password.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { collector, id, percent, .. } = self;
        write!(f, "Options({collector}, {id}, {percent} %)")
    }
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    /// Of which call.
    pub(crate) id: CallId,
    pub(crate) way: Way,
    pub(crate) hop: Hop,
    /// When, in microseconds since 1970.
    pub(crate) unix_us: u64,
    /// Without secrets.
    pub(crate) bytes: Bytes,
}

/// What calls hold of it.
pub struct Queue {
    options: Options,
    waiting: Sender<Captured>,
    /// Whoever sends; it is put back when that ends.
    taken: Arc<Mutex<Option<Receiver<Captured>>>>,
}

impl Queue {
    /// For the collector that `options` name.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (waiting, taken) = channel(WAITING);
        Self { options, waiting, taken: Arc::new(Mutex::new(Some(taken))) }
    }

    /// Takes a message, if its call is among those that are sent and there is room.
    pub(crate) fn offer(&self, captured: Captured) {
        if !is_chosen(captured.id, self.options.percent) {
            return;
        }
        if self.waiting.try_send(captured).is_err() {
            metrics::counter!("tandem_queue_full_total", "queue" => "hep").increment(1);
        }
    }
}

/// Whether a call is among so many of a hundred: its name is random, and the same on every node that carries it.
fn is_chosen(id: CallId, percent: u8) -> bool {
    id.call % 100 < u64::from(percent)
}

/// Sends what waits.
struct Exporter;

/// It takes no messages.
enum Nothing {}

/// Starts the actor that sends, where there is a collector.
///
/// # Errors
/// [`Error::Spawn`].
pub(crate) async fn spawn(shell: Arc<Shell>, supervisor: ActorCell) -> Result<ActorCell, Error> {
    let (actor, _) = Actor::spawn_linked(None, Exporter, shell, supervisor).await?;
    Ok(actor.get_cell())
}

impl Actor for Exporter {
    type Msg = Nothing;
    type State = Option<JoinHandle<()>>;
    type Arguments = Arc<Shell>;

    async fn pre_start(&self, _: ActorRef<Nothing>, shell: Arc<Shell>) -> Result<Self::State, ActorProcessingErr> {
        let Some(queue) = shell.ladders.hep() else { return Ok(None) };
        let (options, taken) = (queue.options.clone(), Arc::clone(&queue.taken));
        Ok(Some(tokio::spawn(async move {
            // An earlier exporter puts it back at its end, which may be a moment after its successor begins.
            let Some(waiting) = taken.lock().take() else { return };
            let mut held = Held { taken, waiting: Some(waiting) };
            if let Some(waiting) = &mut held.waiting {
                export(&options, waiting).await;
            }
        })))
    }

    async fn post_stop(&self, _: ActorRef<Nothing>, exporting: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(exporting) = exporting.take() {
            exporting.abort();
            // It ends at once: it is only awaited so that a successor finds the queue.
            let _ = exporting.await;
        }
        Ok(())
    }
}

/// The receiving end of the queue, which goes back when its task ends, however that is.
struct Held {
    taken: Arc<Mutex<Option<Receiver<Captured>>>>,
    waiting: Option<Receiver<Captured>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.taken.lock() = self.waiting.take();
    }
}

/// Sends for as long as anything may come.
async fn export(options: &Options, waiting: &mut Receiver<Captured>) {
    let (mut buffer, mut way, mut look_up) = (Vec::with_capacity(2_048), None, Instant::now());
    while let Some(captured) = waiting.recv().await {
        if Instant::now() >= look_up {
            match connect(&options.collector).await {
                Ok(socket) => (way, look_up) = (Some(socket), Instant::now() + LOOK_UP),
                Err(error) => {
                    tracing::warn!(collector = %options.collector, %error, "no way to the HEP collector");
                    look_up = Instant::now() + LOOK_UP_AGAIN;
                }
            }
        }
        let sent = match &way {
            Some(socket) if write(&mut buffer, options, &captured) => socket.send(&buffer).await.is_ok(),
            Some(_) | None => false,
        };
        let result = if sent { "sent" } else { "failed" };
        metrics::counter!("tandem_hep_packets_total", "result" => result).increment(1);
    }
}

/// A socket of which the other end is the collector.
async fn connect(collector: &str) -> std::io::Result<UdpSocket> {
    let address = tokio::net::lookup_host(collector).await?.next();
    let address = address.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

/// Writes the packet of a message; `false` if it is too long for a datagram.
fn write(buffer: &mut Vec<u8>, options: &Options, captured: &Captured) -> bool {
    let Hop { transport, local, remote } = captured.hop;
    let (from, to) = if captured.way == Way::In { (remote, local) } else { (local, remote) };
    let id = captured.id.to_string();
    packet::write(
        buffer,
        &Packet {
            from,
            to,
            is_stream: transport.is_reliable(),
            unix_us: captured.unix_us,
            payload: Payload::Sip(&captured.bytes),
            agent: options.id,
            password: options.password.as_deref(),
            correlation: &id,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Transport;

    fn options(percent: u8) -> Options {
        Options { collector: "127.0.0.1:9060".into(), id: 7, password: Some("secret".into()), percent }
    }

    fn captured(call: u64) -> Captured {
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        let hop = Hop { transport: Transport::Udp, local: address, remote: address };
        Captured { id: CallId { shard: 1, epoch: 2, call }, way: Way::In, hop, unix_us: 1, bytes: Bytes::new() }
    }

    #[test]
    fn a_queue_that_is_full_drops_and_never_waits() {
        let queue = Queue::new(options(100));
        (0..2 * WAITING as u64).for_each(|call| queue.offer(captured(call)));
        let mut waiting = queue.taken.lock().take().expect("nobody has it");
        let kept: Vec<u64> = std::iter::from_fn(|| waiting.try_recv().ok()).map(|one| one.id.call).collect();
        assert_eq!(kept, (0..WAITING as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_share_of_the_calls_is_sent_whole() {
        let queue = Queue::new(options(30));
        (0..200).for_each(|call| (0..3).for_each(|_| queue.offer(captured(call))));
        let mut waiting = queue.taken.lock().take().expect("nobody has it");
        let kept: Vec<u64> = std::iter::from_fn(|| waiting.try_recv().ok()).map(|one| one.id.call).collect();
        assert_eq!(kept.len(), 60 * 3);
        assert!(kept.iter().all(|call| call % 100 < 30));
        assert!(!format!("{:?}", options(1)).contains("secret"));
    }
}
