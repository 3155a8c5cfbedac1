//! What a body is and which body a peer takes: the headers that rsip reads well, read by it on demand.
//!
//! This is the only place where rsip meets the wire. Its message parser is not used: it refuses IPv6, `tel:`, folding and
//! extension methods. Of its typed headers those are used here that carry no URI and no digest. Where rsip cannot read a
//! value the answer is the lenient one. None of its types leaves this file.

use crate::message::Message;
use crate::name::Name;
use rsip::headers::ToTypedHeader as _;
use rsip::headers::UntypedHeader as _;
use rsip::headers::typed::MediaType;

impl Message {
    /// Whether the sender takes a session description in the response: without it, an INVITE deserves 406.
    #[must_use]
    pub fn accepts_sdp(&self) -> bool {
        let Some(line) = self.get(Name::Accept) else { return true };
        let accepted = rsip::headers::Accept::new(self.values(Name::Accept).collect::<Vec<_>>().join(", ")).typed();
        match accepted {
            Ok(list) if !line.is_empty() => list.0.iter().any(takes_sdp),
            // An empty Accept says that no format is taken (RFC 3261 §20.1).
            Ok(_) | Err(_) => !line.is_empty(),
        }
    }

    /// Whether the body must be understood and is none of `supported` (such as `application/sdp`): 415 (RFC 3261 §8.2.3).
    ///
    /// A `multipart/…` body counts as understood. One with `handling=optional` may be ignored, and is never refused.
    #[must_use]
    pub fn body_is_unsupported(&self, supported: &[&str]) -> bool {
        if !self.has_body() {
            return false;
        }
        let encoded = self.get(Name::ContentEncoding).is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
        let kind = self.get(Name::ContentType).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        let multipart = kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
        let known = multipart || supported.iter().any(|one| one.eq_ignore_ascii_case(kind));
        (encoded || !known) && !self.body_is_optional()
    }

    /// Whether Content-Disposition says that the body may be ignored.
    fn body_is_optional(&self) -> bool {
        let Some(value) = self.get(Name::ContentDisposition) else { return false };
        rsip::headers::ContentDisposition::new(value).typed().is_ok_and(|disposition| {
            disposition.display_params.iter().any(|param| {
                param.0.trim().eq_ignore_ascii_case("handling") && param.1.trim().eq_ignore_ascii_case("optional")
            })
        })
    }
}

fn takes_sdp(kind: &MediaType) -> bool {
    match kind {
        MediaType::Sdp(_) => true,
        MediaType::Other(name, _) => ["*/*", "application/*"].iter().any(|wide| wide.eq_ignore_ascii_case(name.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn invite(headers: &str) -> Message {
        let text = format!("INVITE sip:h SIP/2.0\r\n{headers}CSeq: 1 INVITE\r\n\r\nbody");
        Message::parse(Bytes::from(text)).expect("valid")
    }

    #[test]
    fn who_takes_a_session_description() {
        for headers in [
            "",
            "Accept: application/sdp\r\n",
            "Accept: text/plain, Application/SDP;level=1\r\n",
            "Accept: text/plain\r\nAccept: application/sdp\r\n",
            "Accept: text/plain, */*;q=0.1\r\n",
            "Accept: application/*\r\n",
            "Accept: ;;;\r\n",
        ] {
            assert!(invite(headers).accepts_sdp(), "{headers}");
        }
        for headers in ["Accept: text/plain\r\n", "Accept:\r\n", "Accept: text/*;q=1\r\n"] {
            assert!(!invite(headers).accepts_sdp(), "{headers}");
        }
    }

    #[test]
    fn which_bodies_deserve_415() {
        let refused = |headers: &str| invite(headers).body_is_unsupported(&["application/sdp"]);
        assert!(!refused("Content-Type: application/SDP ; x=1\r\n"));
        assert!(!refused("c: multipart/mixed;boundary=x\r\n"));
        assert!(refused("Content-Type: application/unknown\r\n"));
        assert!(refused("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n"));
        assert!(refused("Content-Type: application/unknown\r\nContent-Disposition: session\r\n"));
        assert!(!refused("Content-Type: application/unknown\r\nContent-Disposition: render;handling=optional\r\n"));
        assert!(!refused("Content-Type: application/unknown\r\nContent-Length: 0\r\n"));
    }

    /// Every status that rsip knows by name has a reason phrase of its own here.
    #[test]
    fn reason_phrases_cover_the_vocabulary_of_rsip() {
        for code in (100_u16..700).filter(|code| !matches!(rsip::StatusCode::from(*code), rsip::StatusCode::Other(..)))
        {
            let plain = ["Progress", "Success", "Redirection", "Request Failure", "Server Failure", "Global Failure"];
            // 201 is a mistake of rsip, which means 202; 409 and 411 are of RFC 2543 and HTTP.
            assert!(matches!(code, 201 | 409 | 411) || !plain.contains(&crate::status::reason(code)), "{code}");
        }
    }
}
