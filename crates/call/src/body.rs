//! Bodies on their way through us: a session description is replaced, alone or as one part among others (emergency calls
//! with a location, interworked ISUP); every other part and body passes byte for byte.

use bytes::Bytes;
use sip::multipart::Multipart;
use sip::{Builder, Message, Name};
use std::borrow::Cow;

/// What goes on of a message's body, with its content type: `sdp` in place of its description, or, where none goes on, a
/// body of another kind as it is.
pub(crate) fn dress<'a>(message: &'a Message, sdp: Option<&'a [u8]>) -> (&'a str, Cow<'a, [u8]>) {
    let kind = message.get(Name::ContentType).unwrap_or("text/plain");
    match sdp {
        None if message.has_sdp() => ("", Cow::Borrowed(b"")),
        None => (kind, Cow::Owned(message.body().to_vec())),
        Some(sdp) => match parts_with_sdp(message, kind) {
            Some((parts, at)) => (kind, Cow::Owned(parts.replace(at, sdp))),
            None => ("application/sdp", Cow::Borrowed(sdp)),
        },
    }
}

/// The parts of a body, and which of them is the session description.
fn parts_with_sdp(message: &Message, kind: &str) -> Option<(Multipart, usize)> {
    let is_multipart = kind.get(..10).is_some_and(|lead| lead.eq_ignore_ascii_case("multipart/"));
    let parts = is_multipart.then(|| Multipart::parse(kind, message.body())).flatten()?;
    let at = parts.sdp()?;
    Some((parts, at))
}

/// Ends a message with what goes on of another one's body.
pub(crate) fn finish(builder: Builder, message: &Message, sdp: Option<&Bytes>) -> Bytes {
    let (kind, body) = dress(message, sdp.map(|sdp| &**sdp));
    builder.finish_with(kind, &body)
}
