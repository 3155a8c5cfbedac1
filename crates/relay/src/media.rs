//! The words that the switch and the relay share: sides, components, payloads, and what one SDP says of one side.

use smallvec::SmallVec;
use std::net::SocketAddr;

/// One of the two parties that a session joins: A is the ingress leg, B the egress leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The side of the caller.
    A,
    /// The side of the callee.
    B,
}

impl Side {
    /// Both sides, A first.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The opposite side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for A, 1 for B: the index into arrays of both sides.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// Which socket of a side: RTP on the even port, RTCP on the odd one after it (RFC 3550 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The even port; RTCP too where it is multiplexed (RFC 5761).
    Rtp,
    /// The odd port.
    Rtcp,
}

/// What a payload type carries, as far as the relay cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PayloadKind {
    /// Speech: its timestamps give jitter.
    Audio,
    /// DTMF as RFC 4733 events: counted, and kept out of the jitter.
    TelephoneEvent,
    /// Anything else, such as comfort noise or video.
    Other,
}

/// One payload type that SDP negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payload {
    /// The RTP payload type, 0–127.
    pub number: u8,
    /// What it carries.
    pub kind: PayloadKind,
    /// The RTP clock rate in hertz, from `a=rtpmap`.
    pub clock_hz: u32,
}

/// Names a session for as long as it lives; never used again in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    const SHARD_SHIFT: u32 = 48;

    pub(crate) const fn new(shard: usize, sequence: u64) -> Self {
        Self(((shard as u64) << Self::SHARD_SHIFT) | (sequence & ((1 << Self::SHARD_SHIFT) - 1)))
    }

    pub(crate) const fn shard(self) -> usize {
        (self.0 >> Self::SHARD_SHIFT) as usize
    }
}

/// What the last SDP of one side says of one stream. It replaces what was known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The index of the `m=` line among those allocated, from 0.
    pub stream: u8,
    /// The side whose SDP this is.
    pub side: Side,
    /// Its RTP address from `c=` and `m=`; `None` when it is not known yet or the port is 0. Until it is known nothing
    /// is taken from that side and nothing sent to it. A changed address opens address learning again.
    pub remote: Option<SocketAddr>,
    /// Its RTCP address if `a=rtcp` gave one (RFC 3605); else the port after `remote`.
    pub rtcp: Option<SocketAddr>,
    /// RTP and RTCP share the RTP port (RFC 5761), negotiated with that side.
    pub rtcp_mux: bool,
    /// That side takes media: false when it is `sendonly` or `inactive`. RTCP goes on (RFC 3264 §5.1).
    pub receives: bool,
    /// That side gives media: false when it is `recvonly` or `inactive`.
    pub sends: bool,
    /// The negotiated payload types; empty takes all.
    pub payloads: SmallVec<[Payload; 8]>,
}

impl Update {
    /// A side of which an address is known, that sends and receives any payload.
    #[must_use]
    pub fn new(stream: u8, side: Side, remote: Option<SocketAddr>) -> Self {
        let payloads = SmallVec::new();
        Self { stream, side, remote, rtcp: None, rtcp_mux: false, receives: true, sends: true, payloads }
    }
}
