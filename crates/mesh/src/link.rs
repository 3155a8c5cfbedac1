//! The link to one node: greets it, opens the streams for control and parcels, and opens them again when they end.
//!
//! It carries and counts; what a heartbeat or a grant means is decided in the control loop.

use crate::backoff::Backoff;
use crate::control::Event;
use crate::core::Core;
use crate::lines::{Client, Line};
use crate::proto::{
    Answer, Ask, ControlReply, ControlRequest, HelloRequest, Identity, PROTOCOL, ParcelReply, ParcelRequest, Tell,
    control_reply, control_request, parcel_reply, parcel_request,
};
use crate::queue::{self, CONTROL, Dropped, PARCELS};
use crate::{Error, Parcel};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use parking_lot::Mutex;
use routing::cluster::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tonic::{Code, Status, Streaming};

pub(crate) use crate::queue::Queue;

/// How long the greeting and the opening of a stream may take.
const OPENING: Duration = Duration::from_secs(2);
/// How many questions to one node may be open.
const ASKS: usize = 4096;

/// What others see of the link; the streams change under it.
#[derive(Debug)]
pub(crate) struct Link {
    node: NodeId,
    session: ArcSwapOption<Session>,
    next_ask: AtomicU64,
}

/// One life of the streams.
#[derive(Debug)]
struct Session {
    control: Queue<ControlRequest>,
    parcels: Queue<ParcelRequest>,
    asks: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    stuck: Notify,
    /// What both sides speak.
    protocol: u32,
}

impl Link {
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, session: ArcSwapOption::empty(), next_ask: AtomicU64::new(1) }
    }

    /// The protocol that both sides speak; 0 while it is down.
    pub(crate) fn protocol(&self) -> u32 {
        self.session.load().as_ref().map_or(0, |session| session.protocol)
    }

    /// Sends something of control. A node that does not even read these is cut off.
    pub(crate) fn control(&self, frame: control_request::Frame) {
        let Some(session) = self.session.load_full() else { return };
        if session.control.push(ControlRequest { frame: Some(frame) }, 0) == Err(Dropped::Full) {
            session.stuck.notify_one();
        }
    }

    /// Sends a parcel, or drops it.
    pub(crate) fn tell(&self, parcel: Parcel) -> Result<(), Error> {
        let session = self.session.load_full().ok_or(Error::Unreachable(self.node))?;
        let tell = Tell { kind: parcel.kind.code(), body: parcel.body };
        self.push(&session, parcel_request::Frame::Tell(tell))
    }

    /// Sends a parcel and waits for the answer.
    pub(crate) async fn ask(&self, parcel: Parcel, patience: Duration) -> Result<Bytes, Error> {
        let session = self.session.load_full().ok_or(Error::Unreachable(self.node))?;
        let id = self.next_ask.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let asking = Asking { session: &session, id };
        {
            let mut asks = session.asks.lock();
            if asks.len() >= ASKS {
                metrics::counter!("tandem_queue_full_total", "queue" => "mesh_asks").increment(1);
                return Err(Error::Full(self.node));
            }
            asks.insert(id, answer);
        }
        self.push(&session, parcel_request::Frame::Ask(Ask { id, kind: parcel.kind.code(), body: parcel.body }))?;
        let answer = tokio::time::timeout(patience, answered).await;
        drop(asking);
        match answer {
            Ok(Ok(Answer { refused: false, body, .. })) => Ok(body),
            Ok(Ok(_)) => Err(Error::Refused(self.node)),
            Ok(Err(_)) => Err(Error::Unreachable(self.node)),
            Err(_) => Err(Error::TimedOut(self.node)),
        }
    }

    fn push(&self, session: &Session, frame: parcel_request::Frame) -> Result<(), Error> {
        let size = match &frame {
            parcel_request::Frame::Opening(_) => 0,
            parcel_request::Frame::Tell(tell) => tell.body.len(),
            parcel_request::Frame::Ask(ask) => ask.body.len(),
        };
        let pushed = session.parcels.push(ParcelRequest { frame: Some(frame) }, size);
        pushed.map_err(|dropped| match dropped {
            Dropped::Full => Error::Full(self.node),
            Dropped::Closed => Error::Unreachable(self.node),
        })
    }
}

/// A question that is open; forgotten when nobody waits any more.
struct Asking<'a> {
    session: &'a Session,
    id: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.session.asks.lock().remove(&self.id);
    }
}

/// Keeps the link up for as long as it is not stopped.
pub(crate) async fn run(core: Arc<Core>, link: Arc<Link>) -> String {
    let mut backoff = Backoff::new(core.options.seed ^ link.node.rotate_left(32));
    let mut me = core.lines.watch_me();
    loop {
        // A node that has not entered has nothing to say.
        if me.wait_for(|me| me.incarnation > 0).await.is_err() {
            return "the mesh has ended".to_owned();
        }
        me.mark_unchanged();
        let ended = tokio::select! {
            ended = session(&core, &link) => ended,
            // In a new life everything is opened anew.
            _ = me.changed() => "a new life".to_owned(),
        };
        if link.session.swap(None).is_some() {
            backoff.reset();
        }
        tracing::debug!(node = link.node, reason = %ended, "the link is down");
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            _ = me.changed() => backoff.reset(),
        }
    }
}

/// One life of the link; ends with the reason.
async fn session(core: &Arc<Core>, link: &Link) -> String {
    let opened = match open(core, link).await {
        Ok(opened) => opened,
        Err(why) => return why,
    };
    let Opened { session, control, parcels, peer } = opened;
    link.session.store(Some(Arc::clone(&session)));
    tokio::select! {
        ended = read_control(core, link.node, peer, control) => explain(ended),
        ended = read_parcels(&session, parcels) => explain(ended),
        () = session.stuck.notified() => "it does not read its heartbeats".to_owned(),
    }
}

fn explain(ended: Result<(), Status>) -> String {
    ended.map_or_else(|status| status.message().to_owned(), |()| "the other node has closed it".to_owned())
}

struct Opened {
    session: Arc<Session>,
    control: Streaming<ControlReply>,
    parcels: Streaming<ParcelReply>,
    /// The life of the other node that has answered.
    peer: u64,
}

async fn open(core: &Arc<Core>, link: &Link) -> Result<Opened, String> {
    let line = core.lines.to(link.node, "").map_err(|error| error.to_string())?;
    let mut client = line.client.clone();
    let peer = greet(core, link.node, &line, &mut client).await?;
    let (control, outgoing) = queue::queue(CONTROL);
    let opening = control_request::Frame::Opening(core.lines.identity());
    let _fits = control.push(ControlRequest { frame: Some(opening) }, 0);
    let asked = client.control(outgoing);
    let asked = async { asked.await.inspect_err(|status| notice_disowned(core, status)) };
    let control_in = in_time(&line, asked).await?;
    let (parcels, outgoing) = queue::queue(PARCELS);
    let opening = parcel_request::Frame::Opening(core.lines.identity());
    let _fits = parcels.push(ParcelRequest { frame: Some(opening) }, 0);
    let parcels_in = in_time(&line, client.parcels(outgoing)).await?;
    let protocol = peer.protocol.min(PROTOCOL);
    let session = Session { control, parcels, asks: Mutex::default(), stuck: Notify::new(), protocol };
    Ok(Opened { session: Arc::new(session), control: control_in, parcels: parcels_in, peer: peer.incarnation })
}

/// A node that was removed while it stood still gets no log that would say so.
fn notice_disowned(core: &Core, status: &Status) {
    if status.code() == Code::NotFound {
        core.event(Event::Disowned);
    }
}

/// Makes sure that the one at the address is the node that is meant.
async fn greet(core: &Core, node: NodeId, line: &Line, client: &mut Client) -> Result<Identity, String> {
    let request = HelloRequest { from: Some(core.lines.identity()) };
    let peer = in_time(line, client.hello(request)).await?.from.unwrap_or_default();
    let me = core.lines.me();
    if peer.node != node || peer.cluster != me.cluster {
        return Err(format!("there is node {} ({}) of cluster `{}`", peer.node, peer.name, peer.cluster));
    }
    crate::admit::check_protocol(&peer).map_err(|status| status.message().to_owned())?;
    if peer.incarnation == 0 {
        return Err("it has not entered yet".to_owned());
    }
    Ok(peer)
}

async fn in_time<T>(line: &Line, asked: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, String> {
    match tokio::time::timeout(OPENING, asked).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(line.explain(&status)),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

async fn read_control(
    core: &Core,
    node: NodeId,
    mut incarnation: u64,
    mut control: Streaming<ControlReply>,
) -> Result<(), Status> {
    while let Some(reply) = control.message().await? {
        match reply.frame {
            Some(control_reply::Frame::Opening(peer)) => incarnation = peer.incarnation,
            Some(frame) => core.event(Event::Answered { node, incarnation, frame }),
            None => crate::core::count_refused("unknown_frame"),
        }
    }
    Ok(())
}

async fn read_parcels(session: &Session, mut parcels: Streaming<ParcelReply>) -> Result<(), Status> {
    while let Some(reply) = parcels.message().await? {
        match reply.frame {
            Some(parcel_reply::Frame::Answer(answer)) => {
                // Whoever asked may have lost patience.
                if let Some(asker) = session.asks.lock().remove(&answer.id) {
                    let _ = asker.send(answer);
                }
            }
            Some(parcel_reply::Frame::Opening(_)) => {}
            None => crate::core::count_refused("unknown_frame"),
        }
    }
    Ok(())
}
