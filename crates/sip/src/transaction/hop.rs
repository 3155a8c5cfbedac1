//! The two requests that travel exactly as the INVITE did, hop by hop: ACK of a failure and CANCEL.

use crate::build::Builder;
use crate::message::Message;
use crate::method::Method;
use crate::name::Name;
use bytes::Bytes;

/// The ACK for a final response other than 2xx, on the INVITE's own branch (RFC 3261 §17.1.1.3).
#[must_use]
pub fn ack_for(invite: &Message, response: &Message) -> Bytes {
    let mut ack = along(invite, Method::Ack);
    ack.copy_ref(response, &[Name::To]);
    // An ACK cannot be challenged, so it shows the INVITE's credentials (RFC 3261 §22.1).
    ack.copy_ref(invite, &[Name::Authorization, Name::ProxyAuthorization]);
    ack.finish()
}

/// The CANCEL for a request, on its own branch (RFC 3261 §9.1), with an optional Reason value (RFC 3326).
#[must_use]
pub fn cancel_for(request: &Message, reason: Option<&str>) -> Bytes {
    let mut cancel = along(request, Method::Cancel);
    cancel.copy_ref(request, &[Name::To]);
    if let Some(reason) = reason {
        cancel.add(Name::Reason, reason);
    }
    cancel.finish()
}

/// Same Request-URI, top Via, routes, From, Call-ID and CSeq number; another method.
fn along(request: &Message, method: Method) -> Builder {
    let mut builder = Builder::request(method, request.uri());
    builder.add_pieces(Name::Via, &[request.values(Name::Via).next().unwrap_or("")]);
    builder.copy_ref(request, &[Name::Route]);
    builder.add_number(Name::MaxForwards, 70);
    builder.copy_ref(request, &[Name::From, Name::CallId]);
    builder.add_cseq(request.cseq().map_or(0, |cseq| cseq.number), method.token());
    builder
}
