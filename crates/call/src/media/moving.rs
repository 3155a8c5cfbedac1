//! The media of a call that another node takes over: the same descriptions with other ports. Nothing is negotiated anew, so
//! both sides can be told at once.

use super::{Codecs, Media, agreeing};
use crate::effect::{Effect, MediaSide};
use bytes::Bytes;
use sip::sdp::{Error, Session, negotiated};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

impl Media {
    /// Another node has taken the call over: its descriptions are numbered behind those of the old owner, whose open
    /// exchange is void, but for the offer of a callee that `waits` for its answer. How many streams need ports here.
    pub(crate) fn take_over(&mut self, waits: bool, spare: u32) -> usize {
        self.local.iter_mut().for_each(|local| local.take_over(spare));
        self.offer.take_if(|_| !waits);
        self.ports.len()
    }

    /// The relay of another node, steered at once by what is agreed: audio flows as soon as a party sends to it.
    pub(crate) fn move_to(&mut self, out: &mut VecDeque<Effect>, ports: SmallVec<[[SocketAddr; 2]; 1]>) {
        self.ports = ports;
        let (offerer, answerer) = (self.offerer, self.offerer.other());
        if let (Some(offer), Some(answer)) = (self.said(offerer), self.said(answerer)) {
            self.steer(out, offerer, &offer, &answer);
        }
    }

    /// What a side was told last that is agreed, or is still to be answered, as an offer of our own. `narrow` leaves only the
    /// codecs that were agreed, of those that are `allowed`. `None` where the other side never described itself.
    pub(crate) fn repeat(&mut self, to: MediaSide, narrow: bool, allowed: &Codecs) -> Option<Bytes> {
        let session = self.said(to.other()).or_else(|| self.waiting(to.other()))?;
        let agreed = if narrow { self.agreed_codecs() } else { None };
        let codecs = agreed.or_else(|| allowed.clone());
        let narrowed = self.write(to, &session, &codecs);
        narrowed.or_else(|_| self.write(to, &session, &None)).ok()
    }

    /// The answer to [`Self::repeat`]. Where it answers an offer of the other side, what that one is told.
    pub(crate) fn repeated(
        &mut self,
        out: &mut VecDeque<Effect>,
        from: MediaSide,
        body: &Bytes,
    ) -> Result<Option<Bytes>, Error> {
        let Some(offer) = self.said(from.other()) else {
            return self.answer(out, from, body, true, true).map(Some);
        };
        let answer = agreeing(&offer, body)?;
        self.steer(out, from.other(), &offer, &answer);
        self.remote[from.index()] = Some(answer.body().clone());
        self.offerer = from.other();
        Ok(None)
    }

    /// The offer of a side that waits for its answer.
    fn waiting(&self, side: MediaSide) -> Option<Session> {
        let offer = self.offer.as_ref().filter(|offer| offer.from == side)?;
        Session::from_bytes(offer.body.clone()).ok()
    }

    fn said(&self, side: MediaSide) -> Option<Session> {
        Session::from_bytes(self.remote[side.index()].clone()?).ok()
    }

    /// The names of the codecs that both sides know, of all streams, in the order of the last answer.
    fn agreed_codecs(&self) -> Codecs {
        let (offer, answer) = (self.said(self.offerer)?, self.said(self.offerer.other())?);
        let mut names: Vec<Arc<str>> = Vec::new();
        for stream in 0..offer.media_count() {
            for common in negotiated(&offer, &answer, stream).iter().flat_map(|agreed| &agreed.payloads) {
                if !names.iter().any(|name| name.eq_ignore_ascii_case(common.answer.name)) {
                    names.push(common.answer.name.into());
                }
            }
        }
        (!names.is_empty()).then(|| names.into())
    }
}
