//! What actors send to actors of other nodes. The mesh carries it and does not look inside.

use crate::link::Queue;
use crate::proto::{Answer, ParcelReply, parcel_reply};
use bytes::Bytes;
use routing::cluster::NodeId;

/// The largest body of a parcel, in bytes.
pub const LARGEST: usize = 1 << 20;

/// A message to an actor of another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parcel {
    /// What the body is.
    pub kind: Kind,
    /// At most [`LARGEST`] bytes.
    pub body: Bytes,
}

/// What a body is. The numbers are on the wire and never change their meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A SIP message for a call or registration of the other node.
    Sip = 1,
    /// What is to be sent for a SIP message that was forwarded.
    SipReply = 2,
    /// To the actor of a trunk.
    Trunk = 3,
    /// To the actor of a registration.
    Registration = 4,
    /// To the actor of a call.
    Call = 5,
    /// A question about what the other node has: its calls, its state.
    Query = 6,
    /// The state of a call, for its backup.
    Checkpoint = 7,
    /// Call records, for whoever holds their copy.
    Records = 8,
}

impl Kind {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// From the number on the wire; none if this version does not know it.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Sip,
            2 => Self::SipReply,
            3 => Self::Trunk,
            4 => Self::Registration,
            5 => Self::Call,
            6 => Self::Query,
            7 => Self::Checkpoint,
            8 => Self::Records,
            _ => return None,
        })
    }
}

/// Who takes parcels on this node.
pub trait Receiver: Send + Sync + 'static {
    /// Must not block: it runs on the link from that node. With `reply` an answer is expected.
    fn receive(&self, from: NodeId, parcel: Parcel, reply: Option<Reply>);
}

/// The way back to one who asked. Dropped without an answer it refuses, so that nobody waits for a lost question.
#[derive(Debug)]
pub struct Reply {
    id: u64,
    queue: Option<Queue<ParcelReply>>,
}

impl Reply {
    pub(crate) const fn new(id: u64, queue: Queue<ParcelReply>) -> Self {
        Self { id, queue: Some(queue) }
    }

    /// Answers. If too much waits for the asker already, or it is gone, the answer is dropped and counted; an answer larger
    /// than [`LARGEST`] refuses.
    pub fn send(mut self, body: Bytes) {
        let refused = body.len() > LARGEST;
        self.answer(refused, if refused { Bytes::new() } else { body });
    }

    fn answer(&mut self, refused: bool, body: Bytes) {
        let Some(queue) = self.queue.take() else { return };
        let size = body.len();
        let answer = Answer { id: self.id, refused, body };
        // A full queue is counted by the queue; the asker's patience ends by itself.
        let _ = queue.push(ParcelReply { frame: Some(parcel_reply::Frame::Answer(answer)) }, size);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.answer(true, Bytes::new());
    }
}
