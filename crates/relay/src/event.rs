//! What a session tells its call: that media has begun, that it has stopped, and the figures at the end; and the RTCP that it
//! passes on, where somebody wants to see it.

use crate::{Drops, Side};
use sip::clock::Instant;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// Something that a call should know of its media.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The first valid RTP packet of a side arrived. Once a session, side and stream.
    FirstPacket {
        /// Who sent it.
        side: Side,
        /// The stream.
        stream: u8,
    },
    /// No side that should send has sent RTP or RTCP for [`crate::Options::silence`]. It comes again after each further
    /// such period, so that a call that ignored it while ringing hears it later.
    Silence,
    /// Once after [`crate::Handle::watch`]: for [`crate::Options::unheard`] both sides should have sent, and not both have.
    Unheard {
        /// The side that was heard, if either was.
        heard: Option<Side>,
    },
    /// The session is gone and its ports are free. The last event.
    Released(Box<Stats>),
}

/// Where a session's events go. It is called on the packet thread: it must hand over and return at once.
pub type Events = Box<dyn Fn(Event) + Send + Sync>;

/// RTCP that was taken from a party and passed on, as it came. The lengths of its packets add up (RFC 3550 §6); what they say
/// is the party's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp<'a> {
    /// Whom it came from.
    pub from: SocketAddr,
    /// Our socket that it came to.
    pub to: SocketAddr,
    /// The compound packet, at most 2,047 bytes.
    pub packet: &'a [u8],
}

/// Where copies of a session's RTCP go. It is called on the packet thread: it must copy what it wants, hand over and return at
/// once, whether anybody takes it or not.
pub type Tap = Box<dyn Fn(Rtcp<'_>) + Send + Sync>;

/// The figures of a session at its end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// For each stream, side A and side B: what was received *from* that side.
    pub streams: SmallVec<[[SideStats; 2]; 1]>,
    /// The worker died and took the session with it; the figures are the last known, or missing.
    pub failed: bool,
}

impl Stats {
    /// The figures of a side in the first stream, which in a voice call is the audio.
    #[must_use]
    pub fn side(&self, side: Side) -> Option<&SideStats> {
        self.streams.first().map(|sides| &sides[side.index()])
    }

    /// When RTP last arrived from any side.
    #[must_use]
    pub fn last_media(&self) -> Option<Instant> {
        self.streams.iter().flatten().filter_map(|side| side.last_media).max()
    }
}

/// What was received from one side in one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SideStats {
    /// Valid RTP packets taken from it, forwarded or not.
    pub packets: u64,
    /// Their bytes, RTP headers included.
    pub bytes: u64,
    /// Packets missing by sequence number (RFC 3550 A.3).
    pub lost: u64,
    /// `lost` in percent of those expected.
    pub loss_percent: f32,
    /// Interarrival jitter (RFC 3550 A.8) in milliseconds, the mean over the session.
    pub jitter_ms: f32,
    /// Estimated listening quality of what this side sent, 1.0–4.5 (ITU-T G.107, simplified); 0.0 without packets.
    pub mos: f32,
    /// Round trip between the relay and this side by RTCP, in milliseconds; `None` when it sends no reports.
    pub round_trip_ms: Option<f32>,
    /// What this side says it loses of what it is sent, in percent, from its last report.
    pub reported_loss_percent: Option<f32>,
    /// Changes of the SSRC, which restart the sequence.
    pub ssrc_changes: u32,
    /// RTCP packets taken from it.
    pub rtcp_packets: u32,
    /// Packets from it that were dropped.
    pub dropped: Drops,
    /// When its last RTP packet arrived.
    pub last_media: Option<Instant>,
    /// The last payload type of speech, for the codec of the call record.
    pub payload: Option<u8>,
    /// DTMF digits (RFC 4733 events) that it sent.
    pub digits: u32,
}
