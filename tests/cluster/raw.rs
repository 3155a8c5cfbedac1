//! Speaks gRPC to a node as anybody could, with messages of its own: they share no line with those of the node, and have
//! fields that no release knows.

use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use tests::cluster::Member;

pub(crate) const HELLO: &str = "/tandem.v1.Mesh/Hello";
pub(crate) const JOIN: &str = "/tandem.v1.Mesh/Join";
pub(crate) const RAFT: &str = "/tandem.v1.Mesh/Raft";
pub(crate) const CONTROL: &str = "/tandem.v1.Mesh/Control";
pub(crate) const PARCELS: &str = "/tandem.v1.Mesh/Parcels";

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Identity {
    #[prost(uint32, tag = "1")]
    pub(crate) protocol: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) oldest_protocol: u32,
    #[prost(string, tag = "3")]
    pub(crate) cluster: String,
    #[prost(uint64, tag = "4")]
    pub(crate) node: u64,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(uint64, tag = "6")]
    pub(crate) incarnation: u64,
    /// Of a release to come.
    #[prost(string, tag = "99")]
    pub(crate) news: String,
}

/// What a Hello says and hears.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Hello {
    #[prost(message, optional, tag = "1")]
    pub(crate) from: Option<Identity>,
    /// Of a release to come.
    #[prost(bytes = "vec", tag = "77")]
    pub(crate) news: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) from: Option<Identity>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) request: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(crate) site: String,
    #[prost(string, tag = "4")]
    pub(crate) mesh: String,
    #[prost(string, tag = "5")]
    pub(crate) http: String,
    #[prost(string, repeated, tag = "6")]
    pub(crate) sip: Vec<String>,
    #[prost(bool, tag = "7")]
    pub(crate) witness: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinReply {
    #[prost(message, optional, tag = "1")]
    pub(crate) joined: Option<Joined>,
    #[prost(message, optional, tag = "3")]
    pub(crate) refused: Option<Refused>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Joined {
    #[prost(string, tag = "1")]
    pub(crate) cluster: String,
    #[prost(uint64, tag = "2")]
    pub(crate) node: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) incarnation: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Refused {
    #[prost(int32, tag = "1")]
    pub(crate) reason: i32,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RaftMessage {
    #[prost(message, optional, tag = "1")]
    pub(crate) from: Option<Identity>,
    #[prost(uint32, tag = "2")]
    pub(crate) call: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RaftReply {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) body: Vec<u8>,
}

/// A frame of the control stream, in either direction. A real one has one field; one of a later release has one that is
/// not known.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Control {
    #[prost(message, optional, tag = "1")]
    pub(crate) opening: Option<Identity>,
    #[prost(message, optional, tag = "2")]
    pub(crate) heartbeat: Option<Heartbeat>,
    #[prost(message, optional, tag = "5")]
    pub(crate) release: Option<Release>,
    #[prost(message, optional, tag = "90")]
    pub(crate) news: Option<Heartbeat>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Heartbeat {
    #[prost(uint64, tag = "1")]
    pub(crate) sent_us: u64,
    /// Of a release to come.
    #[prost(uint64, tag = "40")]
    pub(crate) news: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Release {
    #[prost(message, repeated, tag = "1")]
    pub(crate) shards: Vec<ReleasedShard>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct ReleasedShard {
    #[prost(uint32, tag = "1")]
    pub(crate) shard: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) epoch: u32,
}

/// A frame of the parcels' stream that is sent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Parcels {
    #[prost(message, optional, tag = "1")]
    pub(crate) opening: Option<Identity>,
    #[prost(message, optional, tag = "2")]
    pub(crate) tell: Option<Tell>,
    #[prost(message, optional, tag = "3")]
    pub(crate) ask: Option<Ask>,
    #[prost(message, optional, tag = "90")]
    pub(crate) news: Option<Heartbeat>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tell {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ask {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) body: Vec<u8>,
}

/// A frame of the parcels' stream that comes back.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answers {
    #[prost(message, optional, tag = "1")]
    pub(crate) opening: Option<Identity>,
    #[prost(message, optional, tag = "2")]
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(bool, tag = "2")]
    pub(crate) refused: bool,
}

/// One connection to a node.
#[derive(Clone)]
pub(crate) struct Raw(Channel);

impl Raw {
    pub(crate) async fn to(member: &Member) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", member.node().mesh)).expect("an address");
        let patience = std::time::Duration::from_secs(2);
        let endpoint = endpoint.connect_timeout(patience);
        endpoint.connect().await.map(Self).map_err(|error| error.to_string())
    }

    pub(crate) async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        grpc.unary(Request::new(question), path, ProstCodec::<Q, A>::default()).await.map(Response::into_inner)
    }

    pub(crate) async fn stream<Q, A>(
        &self,
        path: &'static str,
        sent: tokio::sync::mpsc::Receiver<Q>,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        let (path, sent) = (PathAndQuery::from_static(path), Request::new(ReceiverStream::new(sent)));
        grpc.streaming(sent, path, ProstCodec::<Q, A>::default()).await.map(Response::into_inner)
    }

    /// Who is there: what a node says of itself to one who says nothing of itself but its protocol.
    pub(crate) async fn hello(&self, from: Identity) -> Result<Identity, Status> {
        let said: Hello = self.ask(HELLO, Hello { from: Some(from), news: b"of tomorrow".to_vec() }).await?;
        Ok(said.from.expect("it says who it is"))
    }
}

/// Nobody in particular.
pub(crate) fn nobody() -> Identity {
    Identity { protocol: 1, oldest_protocol: 1, ..Identity::default() }
}

/// Becomes a member of the cluster, as a witness that is reached nowhere: a node of which everything that it says is heard.
pub(crate) async fn join(at: &Raw, name: &str, mesh: &str) -> JoinReply {
    let from = Identity { name: name.to_owned(), ..nobody() };
    let request = JoinRequest {
        from: Some(from),
        request: name.as_bytes().to_vec(),
        site: "nowhere".to_owned(),
        mesh: mesh.to_owned(),
        http: mesh.to_owned(),
        sip: Vec::new(),
        witness: true,
    };
    at.ask(JOIN, request).await.expect("a join is answered")
}
