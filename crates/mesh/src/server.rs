//! What this node answers to others over gRPC.

use crate::admit::{Purpose, admit};
use crate::control::Event;
use crate::core::{Core, count_refused};
use crate::inbound::Lane;
use crate::lines::Me;
use crate::listener::Caller;
use crate::parcel::LARGEST;
use crate::proto::mesh_server::Mesh;
use crate::proto::{
    ControlReply, ControlRequest, HelloReply, HelloRequest, Identity, JoinReply, JoinRequest, ParcelReply,
    ParcelRequest, RaftReply, RaftRequest, control_reply, control_request, parcel_reply, parcel_request,
};
use crate::queue::{self, Answers, CONTROL, PARCELS, Queue};
use crate::{Kind, Parcel, Reply, joins};
use bytes::Bytes;
use routing::cluster::NodeId;
use std::sync::Arc;
use std::time::Duration;
use tables::RaftCall;
use tokio::sync::{oneshot, watch};
use tonic::{Request, Response, Status, Streaming};

/// How long the first message of a stream may take.
const OPENING: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Service(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl Mesh for Service {
    type ControlStream = Answers<ControlReply>;
    type ParcelsStream = Answers<ParcelReply>;

    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let certificate = certificate(&request);
        let from = request.into_inner().from.unwrap_or_default();
        self.admit(&from, certificate.as_deref(), Purpose::Hello)?;
        Ok(Response::new(HelloReply { from: Some(self.0.lines.identity()) }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let certificate = certificate(&request);
        let answer = joins::answer(&self.0, request.into_inner(), certificate.as_deref()).await;
        Ok(Response::new(JoinReply { answer: Some(answer) }))
    }

    async fn raft(&self, request: Request<RaftRequest>) -> Result<Response<RaftReply>, Status> {
        let certificate = certificate(&request);
        let RaftRequest { from, call, body } = request.into_inner();
        let from = from.unwrap_or_default();
        self.admit(&from, certificate.as_deref(), Purpose::Raft)?;
        let Some(call) = u8::try_from(call).ok().and_then(RaftCall::of_code) else {
            count_refused("unknown_call");
            return Err(Status::unimplemented(format!("call {call} of Raft is not known here")));
        };
        let served = self.0.tables.serve(from.node, call, body).await;
        served.map(|body| Response::new(RaftReply { body })).map_err(|error| {
            if matches!(error, tables::Error::Message { .. }) {
                count_refused("garbled");
            }
            Status::unavailable(error.to_string())
        })
    }

    async fn control(
        &self,
        request: Request<Streaming<ControlRequest>>,
    ) -> Result<Response<Self::ControlStream>, Status> {
        let certificate = certificate(&request);
        let life = self.0.lines.watch_me();
        let mut stream = request.into_inner();
        let Some(control_request::Frame::Opening(from)) = first(&mut stream).await?.frame else {
            return Err(Status::invalid_argument("a stream begins with its opening"));
        };
        let replaced = self.open(&from, certificate.as_deref(), Lane::Control)?;
        let (replies, outgoing) = queue::queue(CONTROL);
        let opening = control_reply::Frame::Opening(self.0.lines.identity());
        let _fits = replies.push(ControlReply { frame: Some(opening) }, 0);
        tokio::spawn(until_replaced(life, replaced, control(Arc::clone(&self.0), from, stream, replies)));
        Ok(Response::new(Answers(outgoing)))
    }

    async fn parcels(
        &self,
        request: Request<Streaming<ParcelRequest>>,
    ) -> Result<Response<Self::ParcelsStream>, Status> {
        let certificate = certificate(&request);
        let life = self.0.lines.watch_me();
        let mut stream = request.into_inner();
        let Some(parcel_request::Frame::Opening(from)) = first(&mut stream).await?.frame else {
            return Err(Status::invalid_argument("a stream begins with its opening"));
        };
        let replaced = self.open(&from, certificate.as_deref(), Lane::Parcels)?;
        let (replies, outgoing) = queue::queue(PARCELS);
        let opening = parcel_reply::Frame::Opening(self.0.lines.identity());
        let _fits = replies.push(ParcelReply { frame: Some(opening) }, 0);
        tokio::spawn(until_replaced(life, replaced, parcels(Arc::clone(&self.0), from, stream, replies)));
        Ok(Response::new(Answers(outgoing)))
    }
}

impl Service {
    fn admit(&self, from: &Identity, certificate: Option<&str>, purpose: Purpose) -> Result<(), Status> {
        let core = &self.0;
        admit(&core.lines.borrow_me(), &core.tables.cluster(), from, certificate, purpose)
            .inspect_err(|status| refused(from, status))
    }

    fn open(&self, from: &Identity, certificate: Option<&str>, lane: Lane) -> Result<oneshot::Receiver<()>, Status> {
        let purpose = match lane {
            Lane::Control => Purpose::Control,
            Lane::Parcels => Purpose::Parcels,
        };
        self.admit(from, certificate, purpose)?;
        self.0.inbound.open(from.node, from.incarnation, lane).map_err(|older| {
            let text = format!("node {} has begun a newer life, {}, than {}", from.name, older.0, from.incarnation);
            let status = Status::failed_precondition(text);
            refused(from, &status);
            status
        })
    }
}

fn refused(from: &Identity, status: &Status) {
    count_refused("admission");
    tracing::debug!(node = from.node, name = %from.name, reason = status.message(), "refused another node");
}

fn certificate<T>(request: &Request<T>) -> Option<Arc<str>> {
    request.extensions().get::<Caller>().and_then(|caller| caller.certificate.clone())
}

async fn first<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let opening = tokio::time::timeout(OPENING, stream.message()).await;
    let opening = opening.map_err(|_| Status::deadline_exceeded("a stream begins with its opening"))??;
    opening.ok_or_else(|| Status::invalid_argument("a stream begins with its opening"))
}

/// Serves a stream until it ends, another takes its place, or this node begins a new life or stops: the one who has opened
/// it then sees its end and opens another.
async fn until_replaced(
    mut life: watch::Receiver<Me>,
    replaced: oneshot::Receiver<()>,
    serve: impl Future<Output = Result<(), Status>>,
) {
    tokio::select! {
        _ended = serve => {}
        _ = replaced => {}
        _ = life.changed() => {}
    }
}

async fn control(
    core: Arc<Core>,
    from: Identity,
    mut stream: Streaming<ControlRequest>,
    replies: Queue<ControlReply>,
) -> Result<(), Status> {
    let (node, incarnation) = (from.node, from.incarnation);
    while let Some(request) = stream.message().await? {
        let Some(frame) = request.frame else {
            count_refused("unknown_frame");
            continue;
        };
        if let control_request::Frame::Heartbeat(heartbeat) = frame {
            // One that does not read what it asked for is cut off.
            let echo = ControlReply { frame: Some(control_reply::Frame::Echo(heartbeat)) };
            replies.push(echo, 0).map_err(|_| Status::resource_exhausted("answers are not read"))?;
        }
        core.event(Event::Asked { node, incarnation, frame, replies: replies.clone() });
    }
    Ok(())
}

async fn parcels(
    core: Arc<Core>,
    from: Identity,
    mut stream: Streaming<ParcelRequest>,
    replies: Queue<ParcelReply>,
) -> Result<(), Status> {
    while let Some(request) = stream.message().await? {
        // The tables may have learnt of a fence or of a newer life since the stream was opened.
        admit(&core.lines.borrow_me(), &core.tables.cluster(), &from, Some(&from.name), Purpose::Parcels)?;
        if !core.inbound.is_current(from.node, from.incarnation) {
            return Err(Status::failed_precondition("a newer life of the node has begun"));
        }
        match request.frame {
            Some(parcel_request::Frame::Tell(tell)) => deliver(&core, from.node, tell.kind, tell.body, None),
            Some(parcel_request::Frame::Ask(ask)) => {
                let reply = Reply::new(ask.id, replies.clone());
                deliver(&core, from.node, ask.kind, ask.body, Some(reply));
            }
            Some(parcel_request::Frame::Opening(_)) | None => count_refused("unknown_frame"),
        }
    }
    Ok(())
}

/// Hands a parcel over. One that is not known here is counted, and refused by its reply as that is dropped.
fn deliver(core: &Core, from: NodeId, kind: u32, body: Bytes, reply: Option<Reply>) {
    match Kind::from_code(kind) {
        Some(kind) if body.len() <= LARGEST => core.receiver.receive(from, Parcel { kind, body }, reply),
        Some(_) => count_refused("too_large"),
        None => count_refused("unknown_kind"),
    }
}
