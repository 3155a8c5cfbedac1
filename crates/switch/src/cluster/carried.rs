//! SIP messages on their way between nodes: one that came in where its call is not, and one that must leave by the socket
//! of another node.

use super::body;
use bytes::Bytes;
use routing::cluster::{NodeId, PAST};
use serde::{Deserialize, Serialize};
use sip::Flow;

/// A message for somebody else's call, registration or socket.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// The whole message.
    pub(crate) bytes: Bytes,
    /// How it came, or by which way it leaves. Its edge is always named.
    pub(crate) flow: Flow,
    /// Who has passed it on already, since its call was not there.
    pub(crate) tried: Vec<NodeId>,
}

impl Carried {
    /// Nodes that may pass a message on: everybody who has owned a shard as far as is remembered, and its owner for the answer.
    pub(crate) const MAX_TRIED: usize = PAST + 2;

    pub(crate) fn encode(&self) -> Bytes {
        body::encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        body::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Transport;

    #[test]
    fn a_carried_message_reads_back_and_rubbish_does_not() {
        let at = ([127, 0, 0, 1], 5060).into();
        let flow = Flow { edge: 7, ..Flow::new(Transport::Udp, at, at) };
        let carried = Carried { bytes: Bytes::from_static(b"BYE sip:x SIP/2.0\r\n\r\n"), flow, tried: vec![1] };
        let encoded = carried.encode();
        assert_eq!(Carried::decode(&encoded), Some(carried));
        assert_eq!(Carried::decode(&encoded[..5]), None);
        assert_eq!(Carried::decode(b""), None);
        let mut foreign = encoded.to_vec();
        foreign[0] = 200;
        assert_eq!(Carried::decode(&foreign), None, "a version that nobody knows is refused");
    }
}
