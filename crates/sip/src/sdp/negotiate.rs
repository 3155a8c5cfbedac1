//! What an offer and its answer agree on for one stream (RFC 3264 §6–§8). It never changes either.

use super::payload::Payload;
use super::session::Session;
use smallvec::SmallVec;

/// One codec that both sides named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Common<'a> {
    /// As the offerer describes it; its number is what the answerer sends with.
    pub offer: Payload<'a>,
    /// As the answerer describes it; its number is what the offerer sends with.
    pub answer: Payload<'a>,
}

/// What is agreed for one stream; `a` made the offer, `b` the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated<'a> {
    /// Media may flow from the offerer to the answerer.
    pub a_to_b: bool,
    /// Media may flow from the answerer to the offerer.
    pub b_to_a: bool,
    /// Both want RTCP on the RTP port (RFC 5761 §5.1.1).
    pub rtcp_mux: bool,
    /// The codecs in common, in the order of the answer; empty for media that is not RTP.
    pub payloads: SmallVec<[Common<'a>; 4]>,
}

impl<'a> Negotiated<'a> {
    /// The codec that both sides are expected to use: the first in common that carries media of its own.
    #[must_use]
    pub fn codec(&self) -> Option<&Common<'a>> {
        self.payloads.iter().find(|common| !common.answer.is_auxiliary())
    }
}

/// What `offer` and `answer` agree on for the media at `index`; `None` if either lacks it or has refused it.
#[must_use]
pub fn negotiated<'a>(offer: &'a Session, answer: &'a Session, index: usize) -> Option<Negotiated<'a>> {
    let (a, b) = (offer.media(index)?, answer.media(index)?);
    if a.is_rejected() || b.is_rejected() {
        return None;
    }
    let (from_a, from_b) = (a.direction(), b.direction());
    let offered: SmallVec<[Payload<'a>; 16]> = a.payloads().collect();
    // A number that stands for the same codec on both sides wins over one that merely has the same name, since H264 or
    // opus may be offered several times with other parameters.
    let pair = |answer: Payload<'a>| {
        let mut same = offered.iter().filter(|offer| offer.same_codec(&answer));
        let exact = same.clone().find(|offer| offer.number == answer.number);
        exact.or_else(|| same.next()).map(|offer| Common { offer: *offer, answer })
    };
    Some(Negotiated {
        a_to_b: from_a.sends() && from_b.receives(),
        b_to_a: from_b.sends() && from_a.receives(),
        rtcp_mux: a.rtcp_mux() && b.rtcp_mux(),
        payloads: if a.is_rtp() { b.payloads().filter_map(pair).collect() } else { SmallVec::new() },
    })
}

/// What [`Negotiated::codec`] would say of the answerer's side, without working out the rest.
#[must_use]
pub fn common_codec<'a>(offer: &Session, answer: &'a Session, index: usize) -> Option<Payload<'a>> {
    let (a, b) = (offer.media(index)?, answer.media(index)?);
    if a.is_rejected() || b.is_rejected() || !a.is_rtp() {
        return None;
    }
    let is_common = |answer: &Payload<'_>| a.payloads().any(|offer| offer.same_codec(answer));
    b.payloads().find(|payload| !payload.is_auxiliary() && is_common(payload))
}

/// True if the sender of the description has the call on hold: it wants to receive none of its live audio and video.
/// A description without live media is not a hold.
#[must_use]
pub fn hold(session: &Session) -> bool {
    let mut live = session.medias().filter(|media| media.is_rtp() && !media.is_rejected()).peekable();
    live.peek().is_some() && live.all(|media| !media.direction().receives())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ASTERISK, BARESIP, PJSIP, T38, WEBRTC};
    use super::*;

    fn session(body: &str) -> Session {
        Session::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn the_codecs_in_common_come_in_the_order_of_the_answer() {
        let (offer, answer) = (session(PJSIP), session(BARESIP));
        let agreed = negotiated(&offer, &answer, 0).unwrap();
        let names: Vec<_> = agreed.payloads.iter().map(|common| common.answer.name).collect();
        assert_eq!(names, ["PCMA", "PCMU", "telephone-event"]);
        assert_eq!((agreed.a_to_b, agreed.b_to_a, agreed.rtcp_mux), (true, true, false));
        assert_eq!(agreed.codec().map(|common| common.offer.number), Some(8));
    }

    #[test]
    fn the_codec_alone_is_that_of_the_whole() {
        for offer in [ASTERISK, BARESIP, PJSIP, T38, WEBRTC] {
            for answer in [ASTERISK, BARESIP, PJSIP, T38, WEBRTC] {
                let (offer, answer) = (session(offer), session(answer));
                for index in 0..3 {
                    let whole = negotiated(&offer, &answer, index);
                    let codec = whole.as_ref().and_then(Negotiated::codec).map(|common| common.answer);
                    assert_eq!(common_codec(&offer, &answer, index), codec);
                }
            }
        }
    }

    #[test]
    fn numbers_may_differ_between_the_sides() {
        let (offer, answer) = (session(WEBRTC), session(ASTERISK));
        let agreed = negotiated(&offer, &answer, 0).unwrap();
        let numbers: Vec<_> =
            agreed.payloads.iter().map(|common| (common.offer.number, common.answer.number)).collect();
        assert_eq!(numbers, [(0, 0), (126, 101)]);
    }

    #[test]
    fn directions_of_both_sides_decide() {
        let flows = |offer: &str, answer: &str| {
            let with = |body: &str, direction: &str| session(&body.replace("a=sendrecv", &format!("a={direction}")));
            let (offer, answer) = (with(PJSIP, offer), with(BARESIP, answer));
            negotiated(&offer, &answer, 0).map(|agreed| (agreed.a_to_b, agreed.b_to_a))
        };
        assert_eq!(flows("sendrecv", "sendrecv"), Some((true, true)));
        assert_eq!(flows("sendonly", "recvonly"), Some((true, false)));
        assert_eq!(flows("sendonly", "sendrecv"), Some((true, false)), "an answer that oversteps changes nothing");
        assert_eq!(flows("sendrecv", "sendonly"), Some((false, true)));
        assert_eq!(flows("inactive", "sendrecv"), Some((false, false)));
    }

    #[test]
    fn refused_and_missing_media_agree_on_nothing() {
        let (audio, fax) = (session(PJSIP), session(T38));
        assert_eq!(negotiated(&audio, &fax, 0), None);
        assert_eq!(negotiated(&audio, &audio, 1), None);
        let agreed = negotiated(&fax, &fax, 1).unwrap();
        assert!(agreed.a_to_b && agreed.b_to_a && agreed.payloads.is_empty());
    }

    #[test]
    fn hold_is_seen_in_both_dialects() {
        assert!(!hold(&session(BARESIP)));
        assert!(hold(&session(&BARESIP.replace("sendrecv", "sendonly"))));
        assert!(hold(&session(&BARESIP.replace("sendrecv", "inactive"))));
        assert!(!hold(&session(&BARESIP.replace("sendrecv", "recvonly"))));
        assert!(hold(&session(&BARESIP.replace("c=IN IP4 192.0.2.20", "c=IN IP4 0.0.0.0"))));
        assert!(!hold(&session(T38)), "fax without audio is no hold");
    }
}
