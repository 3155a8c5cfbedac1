//! SIP as text: reading what a test has to know of a message, and writing messages.

use super::legs::Leg;
use std::net::SocketAddr;

/// A message that came in.
pub(super) struct Message<'t> {
    pub text: &'t str,
    /// Empty for a response.
    pub method: &'t str,
    /// Of a response.
    pub code: Option<u16>,
}

impl<'t> Message<'t> {
    /// Nothing if it is none.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let (first, _) = text.split_once("\r\n")?;
        match first.strip_prefix("SIP/2.0 ") {
            Some(status) => Some(Self { text, method: "", code: Some(status.get(..3)?.parse().ok()?) }),
            None => Some(Self { text, method: first.split_once(" sip:")?.0, code: None }),
        }
    }

    /// The first value of a header; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &'t str {
        self.lines(name).next().and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
    }

    fn lines(&self, name: &str) -> impl Iterator<Item = &'t str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().filter(move |line| line.split(':').next().is_some_and(|found| found.eq_ignore_ascii_case(name)))
    }

    /// The URI of its Contact.
    pub(super) fn contact(&self) -> &'t str {
        let contact = self.header("Contact");
        contact.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(contact, |(uri, _)| uri)
    }

    /// Number and method.
    pub(super) fn cseq(&self) -> Option<(u32, &'t str)> {
        let (number, method) = self.header("CSeq").split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The challenge with MD5.
    pub(super) fn challenge(&self) -> Option<&'t str> {
        let challenges = self.lines("WWW-Authenticate").filter_map(|line| line.split_once(':'));
        challenges.map(|(_, value)| value.trim()).find(|value| !value.contains("SHA-256"))
    }
}

/// A request of this side of a call.
pub(super) fn request(method: &str, leg: &Leg, id: &str, own: SocketAddr, body: &str) -> String {
    let Leg { local, remote, target, branch, cseq, more, .. } = leg;
    format!(
        "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch={branch};rport\r\nMax-Forwards: 70\r\n\
         From: {local}\r\nTo: {remote}\r\nCall-ID: {id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:agent@{own}>\r\n\
         {more}{}",
        ending(body)
    )
}

/// A response, with our tag in To.
pub(super) fn response(to: &Message<'_>, code: u16, local: &str, own: SocketAddr, body: &str) -> String {
    let mut text = format!("SIP/2.0 {code} Answer\r\n");
    for name in ["Via", "Record-Route", "From", "Call-ID", "CSeq"] {
        to.lines(name).for_each(|line| text.extend([line, "\r\n"]));
    }
    text + &format!("To: {local}\r\nContact: <sip:agent@{own}>\r\n{}", ending(body))
}

fn ending(body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}
