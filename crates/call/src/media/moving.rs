//! The media of a call that another node takes over: the same descriptions with other ports. Nothing is negotiated anew, so
//! both sides can be told at once.

use super::{Codecs, Media, agreeing};
use crate::effect::{Effect, MediaSide};
use bytes::Bytes;
use sip::sdp::{Error, LocalDescription, Session, negotiated};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

impl Media {
    /// Another node has taken the call over: its descriptions are numbered behind those of the old owner, whose open
    /// exchange is void. How many streams need ports here.
    pub(crate) fn take_over(&mut self) -> usize {
        self.local.iter_mut().for_each(LocalDescription::take_over);
        self.offer = None;
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

    /// What a side was told last that is agreed, as an offer of our own; `narrow` leaves only the codecs that were agreed.
    /// `None` where the other side never described itself.
    pub(crate) fn repeat(&mut self, to: MediaSide, narrow: bool) -> Option<Bytes> {
        let session = self.said(to.other())?;
        let codecs = if narrow { self.agreed_codecs() } else { None };
        let narrowed = self.write(to, &session, &codecs);
        narrowed.or_else(|_| self.write(to, &session, &None)).ok()
    }

    /// The answer to [`Self::repeat`].
    pub(crate) fn repeated(&mut self, out: &mut VecDeque<Effect>, from: MediaSide, body: &Bytes) -> Result<(), Error> {
        let offer = self.said(from.other()).ok_or(Error::NoOffer)?;
        let answer = agreeing(&offer, body)?;
        self.steer(out, from.other(), &offer, &answer);
        self.remote[from.index()] = Some(answer.body().clone());
        self.offerer = from.other();
        Ok(())
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
