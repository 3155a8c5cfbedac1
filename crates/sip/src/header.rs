//! Single values that decisions need: CSeq, RAck, Session-Expires, Reason, Replaces and their kin.

use crate::addr::NameAddr;
use crate::message::Message;
use crate::method::Method;
use crate::name::Name;
use crate::param::{Params, decimal};

/// `CSeq: number method`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method,
}

/// `RAck: rseq cseq method` (RFC 3262 §7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RAck {
    /// The RSeq that is acknowledged.
    pub rseq: u32,
    /// The CSeq of the response that carried it.
    pub cseq: CSeq,
}

/// Who refreshes a session (RFC 4028 §4), from the view of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// The side that sent the request.
    Uac,
    /// The side that answered it.
    Uas,
}

/// `Session-Expires: seconds;refresher=…`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes, if it was said.
    pub refresher: Option<Refresher>,
}

/// One value of `Reason: protocol;cause=…;text=…` (RFC 3326).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReasonValue<'a> {
    /// `SIP`, `Q.850`, …
    pub protocol: &'a str,
    /// The cause, if given.
    pub cause: Option<u16>,
    /// The text, without quotes.
    pub text: Option<&'a str>,
}

/// `Replaces: call-id;to-tag=…;from-tag=…` (RFC 3891).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replaces<'a> {
    /// The Call-ID of the dialog.
    pub call_id: &'a str,
    /// The tag at the recipient.
    pub to_tag: &'a str,
    /// The tag at the other party.
    pub from_tag: &'a str,
    /// Only if it is early.
    pub early_only: bool,
}

impl CSeq {
    /// Reads the value; an unknown method is [`Method::Other`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, method) = two_words(text)?;
        let number = decimal(number).filter(|number| *number < 1 << 31)?;
        Some(Self { number, method: Method::of(method.as_bytes()) })
    }
}

/// Exactly two words, nearly always with one blank in between.
fn two_words(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_graphic())?;
    if let (first, Some(second)) = (&text[..end], text[end..].strip_prefix(' '))
        && !first.is_empty()
        && !second.is_empty()
        && second.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Some((first, second));
    }
    let mut words = text.split_ascii_whitespace();
    let pair = (words.next()?, words.next()?);
    words.next().is_none().then_some(pair)
}

impl RAck {
    /// Reads the value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rseq, cseq) = text.trim().split_once([' ', '\t'])?;
        Some(Self { rseq: decimal(rseq)?, cseq: CSeq::parse(cseq)? })
    }
}

impl SessionExpires {
    /// Reads the value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, params) = text.split_once(';').unwrap_or((text, ""));
        let refresher = match Params::new(params).get("refresher") {
            Some(v) if v.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(v) if v.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Some(Self { seconds: decimal(seconds.trim())?, refresher })
    }
}

impl<'a> ReasonValue<'a> {
    /// Reads one value.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (protocol, params) = text.split_once(';').unwrap_or((text, ""));
        let params = Params::new(params);
        let unquote = |v: &'a str| v.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(v);
        Some(Self {
            protocol: Some(protocol.trim()).filter(|p| !p.is_empty())?,
            cause: params.get("cause").and_then(decimal),
            text: params.get("text").map(unquote),
        })
    }
}

impl<'a> Replaces<'a> {
    /// Reads the value; both tags must be there.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (call_id, params) = text.split_once(';')?;
        let params = Params::new(params);
        Some(Self {
            call_id: call_id.trim(),
            to_tag: params.get("to-tag")?,
            from_tag: params.get("from-tag")?,
            early_only: params.has("early-only"),
        })
    }
}

/// Seconds as Expires and the `expires` parameter of a Contact say them: a value that is too large is the largest, one
/// that makes no sense counts as an hour (RFC 3261 §10.2.1.1).
#[must_use]
pub fn expires_seconds(text: &str) -> u32 {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().unwrap_or(u32::MAX) } else { 3_600 }
}

impl Message {
    /// The Call-ID; empty if there is none.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.get(Name::CallId).unwrap_or("")
    }

    /// The first Contact.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr<'_>> {
        self.values(Name::Contact).next().and_then(NameAddr::parse)
    }

    /// Session-Expires.
    #[must_use]
    pub fn session_expires(&self) -> Option<SessionExpires> {
        self.get(Name::SessionExpires).and_then(SessionExpires::parse)
    }

    /// Min-SE in seconds.
    #[must_use]
    pub fn min_se(&self) -> Option<u32> {
        self.get(Name::MinSe).and_then(|v| decimal(v.split(';').next().unwrap_or("").trim()))
    }

    /// Max-Forwards, if there is one.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u8> {
        self.get(Name::MaxForwards).and_then(decimal)
    }

    /// Expires in seconds, if it is there; see [`expires_seconds`].
    #[must_use]
    pub fn expires(&self) -> Option<u32> {
        self.get(Name::Expires).map(expires_seconds)
    }

    /// Retry-After in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.get(Name::RetryAfter)?;
        decimal(value.split([';', '(', ' ']).next().unwrap_or(""))
    }

    /// The Q.850 cause of a Reason header (RFC 3326).
    #[must_use]
    pub fn q850(&self) -> Option<u16> {
        self.values(Name::Reason)
            .filter_map(ReasonValue::parse)
            .find(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"))
            .and_then(|reason| reason.cause)
    }

    /// Whether the body is a session description, or has one among its parts.
    #[must_use]
    pub fn has_sdp(&self) -> bool {
        self.sdp().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(headers: &str) -> Message {
        Message::parse(Bytes::from(format!("INVITE sip:h SIP/2.0\r\n{headers}\r\n"))).expect("valid")
    }

    #[test]
    fn numbers_have_no_sign_and_no_overflow() {
        assert_eq!(CSeq::parse(" 7  INVITE "), Some(CSeq { number: 7, method: Method::Invite }));
        for bad in ["+7 INVITE", "7", "7 INVITE x", "2147483648 INVITE", "", "INVITE 7"] {
            assert_eq!(CSeq::parse(bad), None, "{bad}");
        }
        let rack = RAck::parse("776656 1 INVITE").expect("valid");
        assert_eq!((rack.rseq, rack.cseq.number), (776_656, 1));
        assert_eq!(RAck::parse("1 INVITE"), None);
    }

    #[test]
    fn session_expires_with_its_refresher() {
        let read = |text| SessionExpires::parse(text).map(|value| (value.seconds, value.refresher));
        assert_eq!(read("1800 ; Refresher=UAS;x"), Some((1_800, Some(Refresher::Uas))));
        assert_eq!(read("90;refresher=uac"), Some((90, Some(Refresher::Uac))));
        assert_eq!(read("90;refresher=none"), Some((90, None)));
        assert_eq!(read("x"), None);
        assert_eq!(message("x: 90\r\nMin-SE: 100;p\r\n").min_se(), Some(100));
    }

    #[test]
    fn the_q850_cause_is_found_among_reasons() {
        let m =
            message("Reason: SIP;cause=600;text=\"Busy, really; cause=9\", q.850 ; cause=17 ;text=\"User busy\"\r\n");
        assert_eq!(m.q850(), Some(17));
        assert_eq!(message("Reason: Q.850;cause=-1\r\n").q850(), None);
        let reason = ReasonValue::parse("Q.850;cause=16;text=\"Normal\"").expect("valid");
        assert_eq!((reason.protocol, reason.cause, reason.text), ("Q.850", Some(16), Some("Normal")));
    }

    #[test]
    fn replaces_needs_both_tags() {
        let replaces = Replaces::parse("12adf2f34456gs5;to-tag=12345;from-tag=54321;early-only").expect("valid");
        assert_eq!((replaces.call_id, replaces.to_tag, replaces.from_tag), ("12adf2f34456gs5", "12345", "54321"));
        assert!(replaces.early_only);
        assert_eq!(Replaces::parse("id;to-tag=1"), None);
    }

    #[test]
    fn retry_after_with_comment_and_parameters() {
        assert_eq!(message("Retry-After: 18000;duration=3600\r\n").retry_after(), Some(18_000));
        assert_eq!(message("Retry-After: 120 (I'm in a meeting)\r\n").retry_after(), Some(120));
        assert_eq!(message("Retry-After: soon\r\n").retry_after(), None);
    }
}
