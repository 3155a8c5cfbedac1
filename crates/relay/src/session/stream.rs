//! One stream of two sides: the path of a packet.

use super::dtmf::Digits;
use super::learn::{Learn, Probation};
use super::quality::Reception;
use super::report::{Reported, Sent};
use super::rtp::Header;
use super::{Verdict, mos, rtcp};
use crate::{Component, Drops, Payload, PayloadKind, Reason, Side, SideStats, Update};
use sip::clock::Instant;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// The clock that is assumed where SDP gave no list of payloads: that of all the narrow-band codecs.
const DEFAULT_CLOCK_HZ: u32 = 8000;

/// What is known of one side.
#[derive(Default)]
struct Party {
    rtp: Learn,
    rtcp: Learn,
    probation: Option<Probation>,
    rtcp_mux: bool,
    receives: bool,
    sends: bool,
    payloads: SmallVec<[Payload; 8]>,
    reception: Reception,
    digits: Digits,
    sent: Sent,
    reported: Reported,
    dropped: Drops,
    payload: Option<u8>,
    last_sign: Option<Instant>,
}

/// A stream of a session.
#[derive(Default)]
pub(super) struct Stream {
    parties: [Party; 2],
    /// Sides whose first packet has come and is to be told.
    first: Option<Side>,
}

impl Stream {
    pub(super) fn update(&mut self, update: Update) {
        let party = &mut self.parties[update.side.index()];
        let after = |rtp: SocketAddr| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        let rtcp = update.remote.and_then(|rtp| if update.rtcp_mux { Some(rtp) } else { update.rtcp.or(after(rtp)) });
        party.rtp.signal(update.remote);
        party.rtcp.signal(rtcp);
        party.rtcp_mux = update.rtcp_mux;
        party.receives = update.receives;
        party.sends = update.sends;
        party.payloads = update.payloads;
    }

    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        side: Side,
        component: Component,
        source: SocketAddr,
        packet: &[u8],
    ) -> Verdict {
        let [a, b] = &mut self.parties;
        let (from, to) = if side == Side::A { (a, b) } else { (b, a) };
        let decided = if component == Component::Rtcp || (from.rtcp_mux && rtcp::is_muxed(packet)) {
            from.handle_rtcp(now, component, source, packet, to)
        } else {
            let first = from.reception.received() == 0;
            let decided = from.handle_rtp(now, source, packet, to);
            if first && from.reception.received() > 0 {
                self.first = Some(side);
            }
            decided
        };
        decided.unwrap_or_else(|reason| {
            self.drop_packet(side, reason);
            Verdict::Drop(reason)
        })
    }

    pub(super) fn drop_packet(&mut self, side: Side, reason: Reason) {
        self.parties[side.index()].dropped.count(reason);
    }

    pub(super) fn take_first(&mut self) -> Option<Side> {
        self.first.take()
    }

    /// Both sides are known, and one should send what the other takes.
    pub(super) fn is_expecting(&self) -> bool {
        let [a, b] = &self.parties;
        a.rtp.is_known() && b.rtp.is_known() && ((a.sends && b.receives) || (b.sends && a.receives))
    }

    /// Both sides are known, and each should send what the other takes.
    pub(super) fn expects_both(&self) -> bool {
        let [a, b] = &self.parties;
        a.rtp.is_known() && b.rtp.is_known() && a.sends && b.receives && b.sends && a.receives
    }

    /// RTP packets taken from each side so far.
    pub(super) fn received(&self) -> [u64; 2] {
        self.parties.each_ref().map(|party| party.reception.received())
    }

    /// When RTP or RTCP last came from a side. RTCP counts: a party that sends no comfort noise is alive all the same.
    pub(super) fn last_sign(&self) -> Option<Instant> {
        self.parties.iter().filter_map(|party| party.last_sign).max()
    }

    pub(super) fn lost(&self) -> u64 {
        self.parties.iter().map(|party| party.reception.lost()).sum()
    }

    pub(super) fn stats(&self) -> [SideStats; 2] {
        let round_trip = |party: &Party| party.reported.round_trip_ms().unwrap_or(0.0);
        let one_way_ms = self.parties.iter().map(round_trip).sum::<f32>() / 2.0;
        self.parties.each_ref().map(|party| party.stats(one_way_ms))
    }
}

impl Party {
    /// The order matters: what is dropped before the source is checked teaches no address.
    fn handle_rtp(&mut self, now: Instant, source: SocketAddr, packet: &[u8], to: &Self) -> Result<Verdict, Reason> {
        let header = Header::parse(packet).ok_or(Reason::Malformed)?;
        if !self.rtp.is_known() {
            return Err(Reason::Early);
        }
        if !self.sends {
            return Err(Reason::Held);
        }
        let (kind, clock_hz) = self.payload(header.payload_type).ok_or(Reason::Payload)?;
        let identity = (header.ssrc, header.sequence);
        if !self.rtp.accept_rtp(now, source, identity, &mut self.probation) {
            return Err(Reason::Source);
        }
        let jitter_clock_hz = if kind == PayloadKind::Audio { clock_hz } else { 0 };
        self.reception.record(now, &header, packet.len(), jitter_clock_hz);
        self.last_sign = Some(now);
        match kind {
            PayloadKind::Audio => self.payload = Some(header.payload_type),
            PayloadKind::TelephoneEvent => self.digits.record(header.timestamp, header.payload_of(packet)),
            PayloadKind::Other => {}
        }
        if !to.receives {
            return Err(Reason::Held);
        }
        let to = to.rtp.destination().ok_or(Reason::NoRemote)?;
        Ok(Verdict::Forward { component: Component::Rtp, to, is_rtcp: false })
    }

    /// RTCP passes on hold too (RFC 3264 §5.1).
    fn handle_rtcp(
        &mut self,
        now: Instant,
        component: Component,
        source: SocketAddr,
        packet: &[u8],
        to: &mut Self,
    ) -> Result<Verdict, Reason> {
        let reports = rtcp::parse(packet).ok_or(Reason::Malformed)?;
        if !self.rtp.is_known() {
            return Err(Reason::Early);
        }
        if !self.accept_rtcp(now, component, source) {
            return Err(Reason::Source);
        }
        self.last_sign = Some(now);
        self.reported.count();
        if let Some(heard) = reports.heard {
            self.reported.record(now, heard, &to.sent);
        }
        let (component, learn) = if to.rtcp_mux { (Component::Rtp, &to.rtp) } else { (Component::Rtcp, &to.rtcp) };
        let to = learn.destination().ok_or(Reason::NoRemote)?;
        if let Some(ntp_middle) = reports.sent {
            self.sent.record(now, ntp_middle);
        }
        Ok(Verdict::Forward { component, to, is_rtcp: true })
    }

    /// RTCP comes from the host that the RTP comes from, or from the one that SDP names; it binds no RTP address.
    fn accept_rtcp(&mut self, now: Instant, component: Component, source: SocketAddr) -> bool {
        if component == Component::Rtp {
            return self.rtp.is_at(source);
        }
        let host = Some(source.ip());
        (self.rtp.bound_ip() == host || self.rtcp.signalled_ip() == host) && self.rtcp.accept(now, source)
    }

    /// The kind and clock of a negotiated payload type; without a list every type is taken for speech.
    fn payload(&self, number: u8) -> Option<(PayloadKind, u32)> {
        if self.payloads.is_empty() {
            return Some((PayloadKind::Audio, DEFAULT_CLOCK_HZ));
        }
        self.payloads.iter().find(|payload| payload.number == number).map(|payload| (payload.kind, payload.clock_hz))
    }

    fn stats(&self, one_way_ms: f32) -> SideStats {
        let (loss_percent, jitter_ms) = (self.reception.loss_percent(), self.reception.jitter_ms());
        let mos = match self.reception.received() {
            0 => 0.0,
            _ => mos::estimate(self.payload.unwrap_or(0), loss_percent, jitter_ms, one_way_ms),
        };
        SideStats {
            packets: self.reception.received(),
            bytes: self.reception.bytes(),
            lost: self.reception.lost(),
            loss_percent,
            jitter_ms,
            mos,
            round_trip_ms: self.reported.round_trip_ms(),
            reported_loss_percent: self.reported.loss_percent(),
            ssrc_changes: self.reception.ssrc_changes(),
            rtcp_packets: self.reported.packets(),
            dropped: self.dropped,
            last_media: self.reception.last(),
            payload: self.payload,
            digits: self.digits.count(),
        }
    }
}
