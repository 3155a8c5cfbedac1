//! Copies of what passes, for a collector such as Homer: HEP3 over UDP, with our name of the call as the correlation id, so that
//! all legs of a call are found together. SIP as it was, and the reports of RTCP that the relay hands out as JSON ([`rtcp`]).
//!
//! It is a copy and nothing more: no call waits for it, and what does not fit into the queue is dropped and counted. Secrets are
//! blanked before anything comes here ([`crate::ladder`]).

mod packet;
mod rtcp;

use crate::clock;
use crate::error::Error;
use crate::ladder::{Hop, Way};
use crate::shell::Shell;
use ::call::CallId;
use bytes::Bytes;
use packet::{Packet, Payload};
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Messages and reports that may wait to be sent.
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

/// One message, or one packet of RTCP.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    /// Of which call.
    id: CallId,
    from: SocketAddr,
    to: SocketAddr,
    is_stream: bool,
    /// When, in microseconds since 1970.
    unix_us: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Without secrets.
    Sip(Bytes),
    /// As it came.
    Rtcp(Bytes),
}

impl Captured {
    /// A SIP message without secrets that passed at this time, in microseconds since 1970.
    pub(crate) const fn message(id: CallId, way: Way, hop: Hop, unix_us: u64, bytes: Bytes) -> Self {
        let Hop { transport, local, remote } = hop;
        let (from, to) = if matches!(way, Way::In) { (remote, local) } else { (local, remote) };
        Self { id, from, to, is_stream: transport.is_reliable(), unix_us, what: What::Sip(bytes) }
    }

    /// RTCP that came just now.
    fn reports(id: CallId, rtcp: &relay::Rtcp<'_>) -> Self {
        let (relay::Rtcp { from, to, packet }, now) = (*rtcp, clock::now());
        let unix_us = now.wall.0.saturating_mul(1_000);
        Self { id, from, to, is_stream: false, unix_us, what: What::Rtcp(Bytes::copy_from_slice(packet)) }
    }
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
        if is_chosen(captured.id, self.options.percent) {
            wait(&self.waiting, captured);
        }
    }

    /// Takes the RTCP of a call from its relay session; nothing if the call is not among those that are sent.
    pub(crate) fn tap(&self, id: CallId) -> Option<relay::Tap> {
        is_chosen(id, self.options.percent).then(|| -> relay::Tap {
            let waiting = self.waiting.clone();
            Box::new(move |packet| wait(&waiting, Captured::reports(id, &packet)))
        })
    }
}

/// Where there is no room it is dropped, and nobody waits.
fn wait(waiting: &Sender<Captured>, captured: Captured) {
    if waiting.try_send(captured).is_err() {
        metrics::counter!("tandem_queue_full_total", "queue" => "hep").increment(1);
    }
}

/// Whether a call is among so many of a hundred: its name is random, and the same on every node that carries it.
pub(crate) const fn is_chosen(id: CallId, percent: u8) -> bool {
    id.call % 100 < percent as u64
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
        let Some(payload) = captured.what.payload() else { continue };
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
            Some(socket) if write(&mut buffer, options, &captured, &payload) => socket.send(&buffer).await.is_ok(),
            Some(_) | None => false,
        };
        let result = if sent { "sent" } else { "failed" };
        metrics::counter!("tandem_hep_packets_total", "result" => result).increment(1);
    }
}

impl What {
    /// What is sent of it; nothing if it is RTCP that reports nothing.
    fn payload(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Sip(message) => Some(Cow::Borrowed(message)),
            Self::Rtcp(packet) => rtcp::json(packet).map(|json| Cow::Owned(json.into_bytes())),
        }
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

/// Writes a packet; `false` if it is too long for a datagram.
fn write(buffer: &mut Vec<u8>, options: &Options, captured: &Captured, payload: &[u8]) -> bool {
    let Captured { id, from, to, is_stream, unix_us, what } = captured;
    let id = id.to_string();
    packet::write(
        buffer,
        &Packet {
            from: *from,
            to: *to,
            is_stream: *is_stream,
            unix_us: *unix_us,
            payload: match what {
                What::Sip(_) => Payload::Sip(payload),
                What::Rtcp(_) => Payload::Rtcp(payload),
            },
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

    fn name(call: u64) -> CallId {
        CallId { shard: 1, epoch: 2, call }
    }

    fn captured(call: u64) -> Captured {
        let address = SocketAddr::from(([192, 0, 2, 1], 5060));
        let hop = Hop { transport: Transport::Udp, local: address, remote: address };
        Captured::message(name(call), Way::In, hop, 1, Bytes::new())
    }

    /// What the sender would find.
    fn waiting(queue: &Queue) -> Vec<Captured> {
        let mut waiting = queue.taken.lock().take().expect("nobody has it");
        std::iter::from_fn(|| waiting.try_recv().ok()).collect()
    }

    #[test]
    fn a_queue_that_is_full_drops_and_never_waits() {
        let queue = Queue::new(options(100));
        (0..2 * WAITING as u64).for_each(|call| queue.offer(captured(call)));
        let kept: Vec<u64> = waiting(&queue).iter().map(|one| one.id.call).collect();
        assert_eq!(kept, (0..WAITING as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_share_of_the_calls_is_sent_whole() {
        let queue = Queue::new(options(30));
        (0..200).for_each(|call| (0..3).for_each(|_| queue.offer(captured(call))));
        let kept: Vec<u64> = waiting(&queue).iter().map(|one| one.id.call).collect();
        assert_eq!(kept.len(), 60 * 3);
        assert!(kept.iter().all(|call| call % 100 < 30));
        assert!(!format!("{:?}", options(1)).contains("secret"));
    }

    #[test]
    fn rtcp_of_the_calls_that_are_sent_is_taken_as_it_came_and_never_waits() {
        let queue = Queue::new(options(30));
        let (from, to) = (SocketAddr::from(([192, 0, 2, 1], 4_001)), SocketAddr::from(([192, 0, 2, 9], 20_001)));
        let rtcp = relay::Rtcp { from, to, packet: &[0x80, 201, 0, 1, 0, 0, 0, 7] };
        assert!((30..100).all(|call| queue.tap(name(call)).is_none()), "nothing is asked of the relay for the others");
        let tap = queue.tap(name(7)).expect("it is among thirty of a hundred");
        (0..2 * WAITING).for_each(|_| tap(rtcp));
        let kept = waiting(&queue);
        assert_eq!(kept.len(), WAITING);
        let one = &kept[0];
        assert_eq!((one.id, one.from, one.to, one.is_stream), (name(7), from, to, false));
        let mut buffer = Vec::new();
        let payload = one.what.payload().expect("it reports something");
        assert!(write(&mut buffer, &options(30), one, &payload));
        let kind = [0, 0, 0, 11, 0, 7, 5];
        assert!(buffer.windows(kind.len()).any(|window| window == kind), "protocol type 5");
        assert!(buffer.ends_with(br#"{"ssrc":7,"type":201,"report_count":0,"report_blocks":[]}"#));
        assert!(What::Rtcp(Bytes::from_static(&[0x81, 203, 0, 1, 0, 0, 0, 7])).payload().is_none(), "BYE is no report");
    }
}
