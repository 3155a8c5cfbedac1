//! What nodes say to each other about calls that one of them keeps for the other.

use crate::cluster::body;
use ::call::CallId;
use bytes::Bytes;
use routing::cluster::NodeId;
use serde::{Deserialize, Serialize};

/// One life of one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    /// Which node.
    pub(crate) node: NodeId,
    /// Its incarnation.
    pub(crate) incarnation: u64,
}

/// One message. All of them want an answer.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Said {
    /// From the node that has the calls to their backup. Answered by [`Kept`].
    Keep {
        /// Whose calls they are.
        life: Life,
        /// What to keep of them.
        pieces: Vec<Piece>,
    },
    /// To the owner of the shard: these calls have nobody any more, take them. Answered by [`Kept`].
    Inherit {
        /// Whose calls they were.
        life: Life,
        /// Their last states.
        pieces: Vec<Piece>,
    },
    /// From a node that drains to the owner of the shard: take these over from me. Answered by [`Kept`].
    Hand {
        /// Whose calls they are.
        life: Life,
        /// Their states.
        pieces: Vec<Piece>,
    },
    /// From a node that carried calls to all others: their parties have ended them there. Answered by [`Kept`], which names those
    /// that cannot be ended yet.
    Over {
        /// The calls.
        calls: Vec<CallId>,
    },
    /// Which of these calls has the node taken over, or may it still? Answered by [`Known`].
    Ask {
        /// Of the node that asks, as it is now: what is kept of that is not meant.
        life: Life,
        /// The calls.
        calls: Vec<CallId>,
    },
}

/// What there is to know of one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Which.
    pub(super) call: CallId,
    /// What.
    pub(super) what: What,
}

/// See [`Piece`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum What {
    /// Its state.
    State {
        /// Which one: a later one replaces an earlier one.
        number: u32,
        /// How old it is, in milliseconds.
        age_ms: u32,
        /// How long ago its node was last known to carry it, in milliseconds.
        silent_ms: u32,
        /// What [`::call::Call::checkpoint`] wrote.
        bytes: Bytes,
    },
    /// It goes on as it was (C5).
    Alive,
    /// It is over, or kept elsewhere.
    Forget,
    /// Its state, kept a second time, in the site of its node: for when its backup is gone too.
    Spare {
        /// The backup that has it first.
        first: NodeId,
        /// As of [`What::State`].
        number: u32,
        /// As of [`What::State`].
        age_ms: u32,
        /// As of [`What::State`].
        bytes: Bytes,
    },
    /// The caller has acknowledged the answer (C3): beside the state before, which has the number before, only its 2xx waits no more.
    /// Said to whoever speaks [`ACKNOWLEDGED`].
    Acknowledged {
        /// As of [`What::State`].
        number: u32,
    },
}

/// The first protocol between nodes that has [`What::Acknowledged`].
pub(super) const ACKNOWLEDGED: u32 = 2;

/// Calls of a [`Said::Keep`], [`Said::Inherit`] or [`Said::Hand`] that are not kept, or not taken: unknown, too many, or not this node's.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Those.
    pub(super) not: Vec<CallId>,
}

/// What a node knows of calls.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// It has taken them over: it closes their records.
    pub(super) taken: Vec<CallId>,
    /// It keeps them: that is not decided yet.
    pub(super) undecided: Vec<CallId>,
}

macro_rules! body {
    ($($what:ty),*) => {$(
        impl $what {
            pub(super) fn encode(&self) -> Bytes {
                body::encode(self)
            }

            pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
                body::decode(bytes)
            }
        }
    )*};
}

body!(Said, Kept, Known);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_reads_back_and_rubbish_does_not() {
        let call = CallId { shard: 1, epoch: 2, call: 3 };
        let state = What::State { number: 7, age_ms: 8, silent_ms: 9, bytes: Bytes::from_static(b"state") };
        let spare = What::Spare { first: 6, number: 7, age_ms: 8, bytes: Bytes::from_static(b"state") };
        let acknowledged = What::Acknowledged { number: 10 };
        let pieces = [state, What::Alive, What::Forget, spare, acknowledged].map(|what| Piece { call, what }).to_vec();
        let said = Said::Keep { life: Life { node: 4, incarnation: 5 }, pieces };
        let encoded = said.encode();
        assert_eq!(Said::decode(&encoded), Some(said));
        assert_eq!(Said::decode(&encoded[..9]), None);
        assert_eq!(Said::decode(b""), None);
    }
}
