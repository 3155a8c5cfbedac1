//! The pure core of a media session: which packet goes where. No socket, no clock, no allocation on a packet's path.

mod dtmf;
mod hearing;
mod learn;
mod mos;
mod quality;
mod report;
mod rtcp;
mod rtp;
mod stream;

use crate::{Component, Event, Reason, Side, Stats, Update};
use hearing::Hearing;
use sip::clock::Instant;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::time::Duration;
use stream::Stream;

/// The most streams (`m=` lines) of one session.
pub const MAX_STREAMS: usize = 8;

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it, unchanged, from this socket of the other side.
    Forward {
        /// The socket of the opposite side to send from.
        component: Component,
        /// Where to.
        to: SocketAddr,
        /// It is RTCP, on whichever port it came.
        is_rtcp: bool,
    },
    /// Do not send it; it is counted already.
    Drop(Reason),
}

/// Two sides joined in one to [`MAX_STREAMS`] streams.
pub struct Session {
    streams: SmallVec<[Stream; 1]>,
    silence: Duration,
    /// Since when nothing has come; moved on by packets only when the timeout looks, so that a packet costs nothing.
    quiet_since: Instant,
    lost_told: u64,
    /// What both sides have sent since the call was answered, until that is told or there is nothing to tell.
    hearing: Option<Hearing>,
}

impl Session {
    /// A session that knows nothing of its sides yet. It has at least one and at most [`MAX_STREAMS`] streams.
    #[must_use]
    pub fn new(now: Instant, streams: usize, silence: Duration) -> Self {
        let streams = (0..streams.clamp(1, MAX_STREAMS)).map(|_| Stream::default()).collect();
        Self { streams, silence, quiet_since: now, lost_told: 0, hearing: None }
    }

    /// Takes what an SDP says. A stream that does not exist is ignored.
    pub fn handle_update(&mut self, now: Instant, update: Update) {
        let expected = self.is_expecting();
        let both = self.expects_both();
        if let Some(stream) = self.streams.get_mut(usize::from(update.stream)) {
            stream.update(update);
        }
        // Nobody is missed while on hold, nor for what was not sent during it.
        if self.hearing.is_some() && !(both && self.expects_both()) {
            self.watch(now);
        }
        // The media timeout counts from the moment at which somebody should send, not from the allocation.
        if !expected {
            self.quiet_since = now;
        }
    }

    /// Decides on one packet that arrived from `source` at our socket for that side, stream and component.
    ///
    /// After it, [`Self::poll_event`] may have something.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        side: Side,
        stream: u8,
        component: Component,
        source: SocketAddr,
        packet: &[u8],
    ) -> Verdict {
        match self.streams.get_mut(usize::from(stream)) {
            Some(stream) => stream.handle_packet(now, side, component, source, packet),
            None => Verdict::Drop(Reason::Early),
        }
    }

    /// Counts a packet from that side that was dropped outside: cut off, or not taken by the socket.
    pub fn handle_drop(&mut self, side: Side, stream: u8, reason: Reason) {
        if let Some(stream) = self.streams.get_mut(usize::from(stream)) {
            stream.drop_packet(side, reason);
        }
    }

    /// Something that a packet brought, or nothing.
    pub fn poll_event(&mut self) -> Option<Event> {
        let take = |(index, stream): (usize, &mut Stream)| {
            let side = stream.take_first()?;
            Some(Event::FirstPacket { side, stream: u8::try_from(index).unwrap_or(u8::MAX) })
        };
        self.streams.iter_mut().enumerate().find_map(take)
    }

    /// Looks at the media timeout: [`Event::Silence`] when nobody who should has sent for so long.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        if !self.is_expecting() {
            self.quiet_since = now;
            return None;
        }
        if let Some(last) = self.streams.iter().filter_map(Stream::last_sign).max() {
            self.quiet_since = self.quiet_since.max(last);
        }
        if now.since(self.quiet_since) < self.silence {
            return None;
        }
        self.quiet_since = now;
        Some(Event::Silence)
    }

    /// When [`Self::handle_timeout`] has something to decide, if nothing arrives until then.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.is_expecting().then(|| self.quiet_since + self.silence)
    }

    /// Looks from now on whether both sides send in the first stream, which in a voice call is the audio.
    pub fn watch(&mut self, now: Instant) {
        self.hearing = self.streams.first().map(|stream| Hearing::new(now, stream.received()));
    }

    /// [`Event::Unheard`], when a side that should send has sent nothing for `patience` since it was watched. Once.
    pub fn poll_unheard(&mut self, now: Instant, patience: Duration) -> Option<Event> {
        let hearing = self.hearing?;
        if now.since(hearing.since()) < patience {
            return None;
        }
        if !self.expects_both() {
            self.watch(now);
            return None;
        }
        self.hearing = None;
        hearing.verdict(self.streams.first()?.received())
    }

    /// Packets found missing since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        let lost: u64 = self.streams.iter().map(Stream::lost).sum();
        let new = lost.saturating_sub(self.lost_told);
        self.lost_told = self.lost_told.max(lost);
        new
    }

    /// The figures so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats { streams: self.streams.iter().map(Stream::stats).collect(), failed: false }
    }

    /// In the first stream both sides are known and should send: nobody is on hold.
    fn expects_both(&self) -> bool {
        self.streams.first().is_some_and(Stream::expects_both)
    }

    /// Both sides of some stream are known, and one of them should send.
    fn is_expecting(&self) -> bool {
        self.streams.iter().any(Stream::is_expecting)
    }
}

#[cfg(test)]
mod tests;
