//! Writing SIP: requests from the state of a call, responses from the request that they answer.

use std::io::Write;
use std::net::SocketAddr;

use crate::wire::Message;

/// A request to be written.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
    pub(crate) own: SocketAddr,
    pub(crate) branch: &'a str,
    pub(crate) routes: &'a [Box<str>],
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    /// Whole header lines, each with its end.
    pub(crate) extra: &'a str,
    pub(crate) body: &'a str,
}

impl Request<'_> {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { method, uri, own, branch, from, to, call_id, cseq, extra, .. } = self;
        // Writing to a vector cannot fail.
        let _ = write!(
            out,
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
        );
        for route in self.routes {
            let _ = write!(out, "Route: {route}\r\n");
        }
        let _ = write!(out, "{extra}");
        content(out, self.body);
    }
}

/// What a response repeats of its request: kept for as long as the response may have to be sent again.
pub(crate) struct Echo {
    lines: Box<str>,
    pub(crate) branch: Box<str>,
    pub(crate) reply_to: SocketAddr,
}

impl Echo {
    /// `tag` is added to To where the request has none (RFC 3261 §8.2.6.2).
    pub(crate) fn of(request: &Message<'_>, tag: &str, reply_to: SocketAddr) -> Self {
        let mut lines = String::with_capacity(400);
        let mut line = |name: &str, value: &str| {
            lines.push_str(name);
            lines.push_str(value);
            lines.push_str("\r\n");
        };
        request.vias.iter().for_each(|via| line("Via: ", via));
        request.record_routes.iter().for_each(|route| line("Record-Route: ", route));
        line("From: ", request.from);
        line("Call-ID: ", request.call_id);
        line("CSeq: ", &format!("{} {}", request.cseq, request.cseq_method));
        match request.to_tag() {
            Some(_) => line("To: ", request.to),
            None => line("To: ", &format!("{};tag={tag}", request.to)),
        }
        Self { lines: lines.into(), branch: request.branch().into(), reply_to }
    }

    /// Writes a response with `contact`, where the method wants one, and a body of SDP, where it is not empty.
    pub(crate) fn write(&self, out: &mut Vec<u8>, code: u16, contact: Option<SocketAddr>, body: &str) {
        let _ = write!(out, "SIP/2.0 {code} {}\r\n{}", phrase(code), self.lines);
        if let Some(own) = contact {
            let _ = write!(out, "Contact: <sip:load@{own}>\r\n");
        }
        content(out, body);
    }
}

fn content(out: &mut Vec<u8>, body: &str) {
    if !body.is_empty() {
        out.extend_from_slice(b"Content-Type: application/sdp\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
}

fn phrase(code: u16) -> &'static str {
    match code {
        180 => "Ringing",
        200 => "OK",
        405 => "Method Not Allowed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        _ => "Response",
    }
}
