//! The offer/answer machine of one leg (RFC 3264, RFC 6337). It never looks inside a body beyond counting its media.
//!
//! A late offer needs nothing special: an INVITE without a body leaves the machine alone, the 200 brings an offer from
//! whoever sends it, and the ACK the answer.

use super::{Error, MAX_FORKS};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Whose offer is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum State {
    /// No offer is open.
    #[default]
    Stable,
    /// We made an offer and wait for its answer.
    LocalOffer,
    /// The other side made an offer that we have to answer.
    RemoteOffer,
}

/// What an answer from the other side changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// The first answer to this offer.
    New,
    /// The same answer again, as a 200 repeats that of a 183.
    Repeated,
    /// An answer unlike the one before it, or from another fork: the media has to follow it.
    Changed,
}

/// An answer that came before the final response, and from which fork.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Early {
    tag: Box<str>,
    body: Bytes,
}

/// The state of one leg. Bodies are shared, not copied. Part of a checkpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OfferAnswer {
    state: State,
    /// Our description that both sides agreed on.
    local: Option<Bytes>,
    /// The other side's description that both sides agreed on.
    remote: Option<Bytes>,
    /// The offer that is open, or that early answers may still come to.
    offer: Option<Bytes>,
    /// Answers of forks before the final response.
    early: SmallVec<[Early; 1]>,
}

impl OfferAnswer {
    /// A leg on which nothing was offered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose offer is open.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Our description in force, once agreed.
    #[must_use]
    pub const fn local(&self) -> Option<&Bytes> {
        self.local.as_ref()
    }

    /// The other side's description in force, once agreed.
    #[must_use]
    pub const fn remote(&self) -> Option<&Bytes> {
        self.remote.as_ref()
    }

    /// The open offer, whoever made it.
    #[must_use]
    pub fn open_offer(&self) -> Option<&Bytes> {
        self.offer.as_ref().filter(|_| self.state != State::Stable)
    }

    /// The early answer of one fork.
    #[must_use]
    pub fn early(&self, tag: &str) -> Option<&Bytes> {
        self.early.iter().find(|early| &*early.tag == tag).map(|early| &early.body)
    }

    /// We make an offer.
    ///
    /// # Errors
    /// [`Error::Glare`] if the other side's offer is open, [`Error::Unanswered`] if one of ours is.
    pub fn local_offer(&mut self, body: Bytes) -> Result<(), Error> {
        match self.state {
            State::Stable => self.open(State::LocalOffer, body),
            State::LocalOffer => return Err(Error::Unanswered),
            State::RemoteOffer => return Err(Error::Glare),
        }
        Ok(())
    }

    /// The other side makes an offer.
    ///
    /// # Errors
    /// [`Error::Glare`] (491) if ours is open, [`Error::Unanswered`] (500 with Retry-After) if an earlier one of
    /// theirs is.
    pub fn remote_offer(&mut self, body: Bytes) -> Result<(), Error> {
        match self.state {
            State::Stable => self.open(State::RemoteOffer, body),
            State::LocalOffer => return Err(Error::Glare),
            State::RemoteOffer => return Err(Error::Unanswered),
        }
        Ok(())
    }

    /// We answer the other side's offer, in a 2xx, an ACK or a reliable provisional response.
    ///
    /// # Errors
    /// [`Error::NoOffer`], or [`Error::MediaCount`] if the answer has not as many `m=` lines as the offer.
    pub fn local_answer(&mut self, body: Bytes) -> Result<(), Error> {
        let offer = self.offer_in(State::RemoteOffer)?;
        same_count(&offer, &body)?;
        self.settle(body, offer);
        self.offer = None;
        self.early.clear();
        Ok(())
    }

    /// The other side answers our offer for good, from the fork with this To tag: in a 2xx, an ACK, a 2xx to PRACK or
    /// UPDATE. A different fork may do so after one has answered reliably; the last word counts.
    ///
    /// # Errors
    /// [`Error::NoOffer`], or [`Error::MediaCount`].
    pub fn remote_answer(&mut self, tag: &str, body: Bytes) -> Result<Answered, Error> {
        let answered = self.note(tag, &body)?;
        self.finish(body);
        Ok(answered)
    }

    /// The other side answers in a provisional response from the fork with this To tag. An unreliable one is a preview
    /// of what the 2xx will say; a `reliable` one (RFC 3262 §5) closes the offer, so that UPDATE may follow, while
    /// other forks may still answer theirs.
    ///
    /// # Errors
    /// [`Error::NoOffer`], [`Error::MediaCount`], or [`Error::TooManyForks`].
    pub fn early_answer(&mut self, tag: &str, body: Bytes, reliable: bool) -> Result<Answered, Error> {
        let answered = self.note(tag, &body)?;
        let Some(offer) = self.offer.clone() else { return Ok(answered) };
        if !self.early.iter().any(|early| &*early.tag == tag) && self.early.len() == MAX_FORKS {
            return Err(Error::TooManyForks);
        }
        self.early.retain(|early| &*early.tag != tag);
        self.early.push(Early { tag: tag.into(), body: body.clone() });
        if reliable {
            self.settle(offer, body);
        }
        Ok(answered)
    }

    /// A 2xx without a body, from the fork with this To tag, to the request that carried our offer: its early answer is
    /// the answer. Does nothing where no offer of ours waits.
    ///
    /// # Errors
    /// [`Error::NoOffer`] if this fork never answered our offer: the call has no media.
    pub fn confirm(&mut self, tag: &str) -> Result<(), Error> {
        match self.early(tag).cloned() {
            Some(body) => self.finish(body),
            // The offer may be kept though another fork has answered it reliably; that answer is not this fork's.
            None if self.offer.is_some() && self.state != State::RemoteOffer => return Err(Error::NoOffer),
            None => {}
        }
        Ok(())
    }

    /// The open offer was refused or its request failed: what was agreed before stays in force (RFC 6337 §3.4).
    pub fn reject(&mut self) {
        self.state = State::Stable;
        self.offer = None;
        self.early.clear();
    }

    /// True once both descriptions are agreed.
    #[must_use]
    pub const fn is_agreed(&self) -> bool {
        self.local.is_some() && self.remote.is_some()
    }

    fn open(&mut self, state: State, body: Bytes) {
        self.state = state;
        self.offer = Some(body);
        self.early.clear();
    }

    fn offer_in(&self, state: State) -> Result<Bytes, Error> {
        self.offer.clone().filter(|_| self.state == state).ok_or(Error::NoOffer)
    }

    /// Checks an answer to our offer, and compares it with what was said before.
    fn note(&self, tag: &str, body: &Bytes) -> Result<Answered, Error> {
        if self.state == State::Stable && self.offer.is_none() {
            // A 2xx that repeats the answer after the exchange ended is a retransmission, not a fault.
            let repeated = self.remote.as_ref() == Some(body);
            return if repeated { Ok(Answered::Repeated) } else { Err(Error::NoOffer) };
        }
        let offer = self.offer.as_ref().filter(|_| self.state != State::RemoteOffer).ok_or(Error::NoOffer)?;
        same_count(offer, body)?;
        Ok(match self.early(tag) {
            Some(early) if early == body => Answered::Repeated,
            Some(_) => Answered::Changed,
            None if self.early.is_empty() => Answered::New,
            None => Answered::Changed,
        })
    }

    /// Our offer has its final answer.
    fn finish(&mut self, answer: Bytes) {
        if let Some(offer) = self.offer.take() {
            self.settle(offer, answer);
        }
        self.early.clear();
    }

    fn settle(&mut self, local: Bytes, remote: Bytes) {
        self.state = State::Stable;
        self.local = Some(local);
        self.remote = Some(remote);
    }
}

/// Checks that offer and answer have the same number of `m=` lines.
fn same_count(offer: &[u8], answer: &[u8]) -> Result<(), Error> {
    let (offer, answer) = (media_count(offer), media_count(answer));
    if offer == answer { Ok(()) } else { Err(Error::MediaCount { offer, answer }) }
}

fn media_count(body: &[u8]) -> u16 {
    let count = body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"m=")).count();
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(name: &str, media: usize) -> Bytes {
        format!("v=0\r\ns={name}\r\n{}", "m=audio 4000 RTP/AVP 0\r\n".repeat(media)).into()
    }

    #[test]
    fn an_offer_and_its_answer_are_agreed() {
        let mut leg = OfferAnswer::new();
        leg.remote_offer(body("o", 1)).unwrap();
        assert_eq!((leg.state(), leg.is_agreed()), (State::RemoteOffer, false));
        leg.local_answer(body("a", 1)).unwrap();
        assert_eq!((leg.state(), leg.local(), leg.remote()), (State::Stable, Some(&body("a", 1)), Some(&body("o", 1))));
        assert_eq!(leg.open_offer(), None);
    }

    #[test]
    fn glare_is_told_from_a_second_offer() {
        let mut leg = OfferAnswer::new();
        leg.local_offer(body("o", 1)).unwrap();
        assert_eq!(leg.remote_offer(body("x", 1)).map_err(|error| error.status()), Err(491));
        assert_eq!(leg.local_offer(body("x", 1)), Err(Error::Unanswered));
        let mut leg = OfferAnswer::new();
        leg.remote_offer(body("o", 1)).unwrap();
        assert_eq!(leg.remote_offer(body("x", 1)).map_err(|error| error.status()), Err(500));
        assert_eq!(leg.local_offer(body("x", 1)), Err(Error::Glare));
    }

    #[test]
    fn an_answer_needs_an_offer_and_as_many_media() {
        let mut leg = OfferAnswer::new();
        assert_eq!(leg.local_answer(body("a", 1)), Err(Error::NoOffer));
        assert_eq!(leg.remote_answer("t", body("a", 1)), Err(Error::NoOffer));
        leg.local_offer(body("o", 2)).unwrap();
        assert_eq!(leg.local_answer(body("a", 2)), Err(Error::NoOffer));
        assert_eq!(leg.remote_answer("t", body("a", 1)), Err(Error::MediaCount { offer: 2, answer: 1 }));
        assert_eq!(leg.state(), State::LocalOffer);
        assert_eq!(leg.remote_answer("t", body("a", 2)), Ok(Answered::New));
    }

    #[test]
    fn a_refused_offer_leaves_what_was_agreed() {
        let mut leg = OfferAnswer::new();
        leg.local_offer(body("o", 1)).unwrap();
        leg.remote_answer("t", body("a", 1)).unwrap();
        leg.local_offer(body("hold", 1)).unwrap();
        assert_eq!(leg.open_offer(), Some(&body("hold", 1)));
        leg.reject();
        assert_eq!((leg.state(), leg.local(), leg.remote()), (State::Stable, Some(&body("o", 1)), Some(&body("a", 1))));
        leg.remote_offer(body("again", 1)).unwrap();
    }

    #[test]
    fn a_late_offer_is_answered_in_the_ack() {
        let mut leg = OfferAnswer::new();
        assert_eq!(leg.confirm("t"), Ok(()));
        leg.remote_offer(body("offer in 200", 1)).unwrap();
        leg.local_answer(body("answer in ACK", 1)).unwrap();
        assert!(leg.is_agreed());
    }

    #[test]
    fn a_preview_leaves_the_offer_open_and_the_2xx_decides() {
        let mut leg = OfferAnswer::new();
        leg.local_offer(body("o", 1)).unwrap();
        assert_eq!(leg.early_answer("one", body("1", 1), false), Ok(Answered::New));
        assert_eq!(leg.early_answer("one", body("1", 1), false), Ok(Answered::Repeated));
        assert_eq!(leg.early_answer("two", body("2", 1), false), Ok(Answered::Changed));
        assert_eq!((leg.state(), leg.remote()), (State::LocalOffer, None));
        assert_eq!(leg.remote_answer("one", body("1", 1)), Ok(Answered::Repeated));
        assert_eq!((leg.state(), leg.remote(), leg.early("two")), (State::Stable, Some(&body("1", 1)), None));
    }

    #[test]
    fn a_2xx_without_a_body_takes_the_early_answer_of_its_fork() {
        let mut leg = OfferAnswer::new();
        leg.local_offer(body("o", 1)).unwrap();
        leg.early_answer("one", body("1", 1), true).unwrap();
        assert_eq!((leg.state(), leg.remote()), (State::Stable, Some(&body("1", 1))));
        leg.early_answer("two", body("2", 1), true).unwrap();
        assert_eq!(leg.confirm("three"), Err(Error::NoOffer));
        leg.confirm("two").unwrap();
        assert_eq!((leg.local(), leg.remote()), (Some(&body("o", 1)), Some(&body("2", 1))));
        assert_eq!(leg.remote_answer("two", body("2", 1)), Ok(Answered::Repeated));
        assert_eq!(leg.remote_answer("two", body("9", 1)), Err(Error::NoOffer));
    }

    #[test]
    fn an_update_may_follow_a_reliable_early_answer() {
        let mut leg = OfferAnswer::new();
        leg.local_offer(body("o", 1)).unwrap();
        leg.early_answer("one", body("1", 1), true).unwrap();
        leg.remote_offer(body("update", 1)).unwrap();
        leg.local_answer(body("answer", 1)).unwrap();
        leg.confirm("one").unwrap();
        assert_eq!((leg.local(), leg.remote()), (Some(&body("answer", 1)), Some(&body("update", 1))));
    }

    #[test]
    fn forks_are_limited() {
        let mut leg = OfferAnswer::new();
        leg.local_offer(body("o", 1)).unwrap();
        for fork in 0..MAX_FORKS {
            leg.early_answer(&fork.to_string(), body("a", 1), false).unwrap();
        }
        assert_eq!(leg.early_answer("one more", body("a", 1), false), Err(Error::TooManyForks));
        assert_eq!(leg.early_answer("0", body("b", 1), false), Ok(Answered::Changed));
    }
}
