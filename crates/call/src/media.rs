//! The media of a call: what each side described, what we described to each, and where the relay stands between.
//!
//! One offer is open at a time. Its bytes pass from the leg that made it to the other one, rewritten so that both sides
//! send to the relay, or as they are where the media bypasses us.

mod moving;

use crate::effect::{Effect, MediaSide, Payload, Steer};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sip::sdp::{Error, LocalDescription, MediaAddress, Negotiated, Rewrite, Session, Target, common_codec, negotiated};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// The codecs that a trunk allows, in order; absent: all pass.
pub(crate) type Codecs = Option<Arc<[Arc<str>]>>;

/// Streams that are anchored before it is known how many the callee will offer.
pub(crate) const LATE_OFFER_STREAMS: usize = 2;

/// An offer that may still be answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Offer {
    from: MediaSide,
    /// As it came.
    body: Bytes,
    /// A reliable answer came: UPDATE may follow, while other forks may still answer (RFC 3262 §5).
    settled: bool,
}

/// The media of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Media {
    /// Our addresses towards leg A and leg B, for each stream; empty where the media bypasses us.
    ports: SmallVec<[[SocketAddr; 2]; 1]>,
    /// What we said last to each side.
    local: [LocalDescription; 2],
    /// What each side said last that is agreed.
    remote: [Option<Bytes>; 2],
    offer: Option<Offer>,
    /// Who made the offer that was agreed last.
    offerer: MediaSide,
    /// The audio codec in use.
    codec: Arc<str>,
}

/// The media of a leg that may take over one side of the call: what it is told, apart from the call as it is until it
/// answers.
#[derive(Clone, Debug)]
pub(crate) struct Handover {
    side: MediaSide,
    ports: SmallVec<[[SocketAddr; 2]; 1]>,
    local: LocalDescription,
    /// What the party that stays said last, willing to talk.
    offered: Bytes,
}

impl Handover {
    /// The relay's ports, where the call had none so far.
    pub(crate) fn anchor(&mut self, ports: SmallVec<[[SocketAddr; 2]; 1]>) {
        self.ports = ports;
    }

    /// Another one for the next attempt, with the ports that were taken for this one.
    pub(crate) fn renew(&mut self, mut next: Self) {
        if next.ports.is_empty() {
            next.ports = std::mem::take(&mut self.ports);
        }
        *self = next;
    }

    /// How many streams the relay has to carry.
    pub(crate) fn streams(&self) -> usize {
        Session::from_bytes(self.offered.clone()).map_or(0, |session| session.media_count())
    }

    /// The offer to the new leg.
    pub(crate) fn offer(&mut self, codecs: &Codecs) -> Result<Bytes, Error> {
        let session = Session::from_bytes(self.offered.clone())?;
        write(&mut self.local, &self.ports, self.side, &session, codecs)
    }
}

/// A description whose sender takes part: whoever is put on hold to be transferred has answered that hold, and would
/// otherwise offer it to the next party.
fn resumed(body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body);
    if !["a=sendonly", "a=recvonly", "a=inactive"].iter().any(|hold| text.contains(hold)) {
        return compact(body);
    }
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let said = line.trim_end();
        match said {
            "a=sendonly" | "a=recvonly" | "a=inactive" => {
                out.push_str("a=sendrecv");
                out.push_str(&line[said.len()..]);
            }
            _ => out.push_str(line),
        }
    }
    out.into()
}

/// A body without the buffer of the datagram that it came in.
fn compact(body: &Bytes) -> Bytes {
    Bytes::copy_from_slice(body)
}

impl Media {
    pub(crate) fn new(seeds: [u64; 2]) -> Self {
        Self {
            ports: SmallVec::new(),
            local: seeds.map(LocalDescription::new),
            remote: [None, None],
            offer: None,
            offerer: MediaSide::A,
            codec: Arc::default(),
        }
    }

    /// The relay's ports.
    pub(crate) fn anchor(&mut self, ports: SmallVec<[[SocketAddr; 2]; 1]>) {
        self.ports = ports;
    }

    /// Whether the media goes from side to side without us.
    pub(crate) fn bypasses(&self) -> bool {
        self.ports.is_empty()
    }

    /// Whether a description names other addresses than the last one of its side.
    pub(crate) fn moves(&self, side: MediaSide, body: &Bytes) -> bool {
        let addresses = |body: &Bytes| -> SmallVec<[Option<SocketAddr>; 2]> {
            let session = Session::from_bytes(body.clone());
            session
                .map_or_else(|_| SmallVec::new(), |session| session.medias().map(|media| media.rtp_address()).collect())
        };
        self.remote[side.index()].as_ref().is_some_and(|last| addresses(last) != addresses(body))
    }

    pub(crate) const fn codec(&self) -> &Arc<str> {
        &self.codec
    }

    /// A new dialog with the callee begins: what we said to an earlier one counts no more.
    pub(crate) fn renew_callee(&mut self, seed: u64) {
        self.local[MediaSide::B.index()] = LocalDescription::new(seed);
        self.remote[MediaSide::B.index()] = None;
        if let Some(offer) = &mut self.offer {
            offer.settled = false;
            if offer.from == MediaSide::B {
                self.offer = None;
            }
        }
    }

    /// Prepares to hand `side` over to a new leg; `None` where the party that stays has never described itself.
    pub(crate) fn hand_over(&self, side: MediaSide, seed: u64) -> Option<Handover> {
        let said = self.remote[side.other().index()].as_ref()?;
        let local = LocalDescription::new(seed);
        Some(Handover { side, ports: self.ports.clone(), local, offered: resumed(said) })
    }

    /// The new leg has answered: from now on the relay joins it with the party that stays. Nothing changes on an error.
    pub(crate) fn adopt(
        &mut self,
        out: &mut VecDeque<Effect>,
        handover: Handover,
        answer: &Bytes,
    ) -> Result<(), Error> {
        let mut next = self.clone();
        let index = handover.side.index();
        next.ports = handover.ports;
        next.local[index] = handover.local;
        next.remote[index] = None;
        next.offer = Some(Offer { from: handover.side.other(), body: handover.offered, settled: false });
        next.answer(out, handover.side, answer, true, true)?;
        *self = next;
        Ok(())
    }

    /// What one side said last, offered to the other one anew; `None` where it said nothing.
    pub(crate) fn offer_again(&mut self, from: MediaSide, codecs: &Codecs) -> Option<Bytes> {
        let said = self.remote[from.index()].clone()?;
        self.offer(from, &said, codecs).ok()
    }

    /// Whose offer waits for its answer.
    pub(crate) fn open_offer(&self) -> Option<MediaSide> {
        self.offer.as_ref().filter(|offer| !offer.settled).map(|offer| offer.from)
    }

    /// The last description that we gave a side.
    pub(crate) fn last(&self, side: MediaSide) -> Option<&Bytes> {
        self.local[side.index()].last().or(self.remote[side.other().index()].as_ref())
    }

    /// `from` offers: what the other side is told.
    pub(crate) fn offer(&mut self, from: MediaSide, body: &Bytes, codecs: &Codecs) -> Result<Bytes, Error> {
        let session = Session::from_bytes(body.clone())?;
        let out = self.write(from.other(), &session, codecs)?;
        self.offer = Some(Offer { from, body: compact(body), settled: false });
        Ok(out)
    }

    /// `from` answers: what the offerer is told. `is_final` closes the offer; `reliable` lets the next one come.
    pub(crate) fn answer(
        &mut self,
        out: &mut VecDeque<Effect>,
        from: MediaSide,
        body: &Bytes,
        reliable: bool,
        is_final: bool,
    ) -> Result<Bytes, Error> {
        let offer = self.offer.as_ref().filter(|offer| offer.from != from).ok_or(Error::NoOffer)?;
        let (offerer, offered) = (offer.from, offer.body.clone());
        let unchanged =
            self.remote[from.index()].as_ref() == Some(body) && self.remote[offerer.index()].as_ref() == Some(&offered);
        let description = if unchanged {
            self.last(offerer).cloned().ok_or(Error::NoOffer)?
        } else {
            self.exchange(out, offerer, &offered, body)?
        };
        if let Some(offer) = &mut self.offer {
            offer.settled |= reliable;
        }
        if is_final {
            self.offer = None;
        }
        Ok(description)
    }

    fn exchange(
        &mut self,
        out: &mut VecDeque<Effect>,
        offerer: MediaSide,
        offered: &Bytes,
        body: &Bytes,
    ) -> Result<Bytes, Error> {
        let offer = Session::from_bytes(offered.clone())?;
        let answer = agreeing(&offer, body)?;
        let description = self.write(offerer, &answer, &None)?;
        self.steer(out, offerer, &offer, &answer);
        self.remote[offerer.index()] = Some(offered.clone());
        self.remote[offerer.other().index()] = Some(answer.body().clone());
        self.offerer = offerer;
        Ok(description)
    }

    /// The offer is closed by a final response without a body; what early answers said stands.
    pub(crate) fn close_offer(&mut self) {
        self.offer = None;
    }

    /// Whether both sides are described.
    pub(crate) fn is_agreed(&self) -> bool {
        self.remote.iter().all(Option::is_some)
    }

    /// Makes one side's description the one for the other side.
    fn write(&mut self, to: MediaSide, session: &Session, codecs: &Codecs) -> Result<Bytes, Error> {
        write(&mut self.local[to.index()], &self.ports, to, session, codecs)
    }

    /// Steers the relay by what offer and answer agree on.
    fn steer(&mut self, out: &mut VecDeque<Effect>, offerer: MediaSide, offer: &Session, answer: &Session) {
        let codec = common_codec(offer, answer, 0);
        self.codec = codec.map_or_else(Arc::default, |codec| codec.name.into());
        // Where the media bypasses us nobody is steered.
        for stream in 0..self.ports.len() {
            let agreed = negotiated(offer, answer, stream);
            out.push_back(Effect::Steer(side(stream, offerer, offer, agreed.as_ref(), true)));
            out.push_back(Effect::Steer(side(stream, offerer.other(), answer, agreed.as_ref(), false)));
        }
    }
}

/// An answer that has as many streams as its offer (RFC 3264 §6).
fn agreeing(offer: &Session, body: &Bytes) -> Result<Session, Error> {
    let answer = Session::from_bytes(compact(body))?;
    let counts = (offer.media_count(), answer.media_count());
    if counts.0 != counts.1 {
        let count = |n| u16::try_from(n).unwrap_or(u16::MAX);
        return Err(Error::MediaCount { offer: count(counts.0), answer: count(counts.1) });
    }
    Ok(answer)
}

/// Makes a description the one for the leg on `to`.
fn write(
    local: &mut LocalDescription,
    ports: &[[SocketAddr; 2]],
    to: MediaSide,
    session: &Session,
    codecs: &Codecs,
) -> Result<Bytes, Error> {
    let Some(first) = ports.first() else {
        // The media bypasses us: the description goes on as it is.
        return Ok(compact(session.body()));
    };
    let targets: SmallVec<[Target; 4]> = session
        .medias()
        .enumerate()
        .map(|(index, media)| match ports.get(index) {
            Some(_) if !media.is_relayable() => Target::Pass,
            Some(ports) => Target::Relay(MediaAddress { rtp: ports[to.index()], rtcp: None }),
            None => Target::Reject,
        })
        .collect();
    let plan = Rewrite { media: &targets, codecs: codecs.as_deref(), direction: None };
    local.write(session, first[to.index()].ip(), &plan)
}

/// One side of one stream, as its own description and the agreement say.
fn side(stream: usize, side: MediaSide, said: &Session, agreed: Option<&Negotiated<'_>>, offers: bool) -> Steer {
    let media = said.media(stream).filter(|_| agreed.is_some());
    let mux = agreed.is_some_and(|agreed| agreed.rtcp_mux);
    let flows = agreed.map_or((false, false), |agreed| (agreed.a_to_b, agreed.b_to_a));
    let (sends, receives) = if offers { flows } else { (flows.1, flows.0) };
    let payloads = agreed.map_or_else(SmallVec::new, |agreed| {
        // What the offerer sends carries the numbers of the answer, and the other way round (RFC 3264 §5.1, §6.1).
        agreed
            .payloads
            .iter()
            .map(|common| if offers { common.answer } else { common.offer })
            .map(|payload| Payload {
                number: payload.number,
                clock_rate: payload.clock,
                is_event: payload.name.eq_ignore_ascii_case("telephone-event"),
            })
            .collect()
    });
    Steer {
        stream,
        side,
        remote: media.and_then(|media| media.rtp_address()),
        rtcp: media.and_then(|media| media.rtcp_address(mux)),
        rtcp_mux: mux,
        receives,
        sends,
        payloads,
    }
}
