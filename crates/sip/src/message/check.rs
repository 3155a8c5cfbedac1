//! What RFC 3261 demands of a message before anyone acts on it.

use super::text::Text;
use super::{Field, Message, Start, bit};
use crate::addr::NameAddr;
use crate::method::Method;
use crate::name::Name;
use crate::uri::{Scheme, Uri};
use crate::via::{MAGIC_COOKIE, Via};

/// A refusal as SIP says it: the status and a reason phrase that names what is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reject {
    /// The status code of the response.
    pub code: u16,
    /// The reason phrase.
    pub reason: &'static str,
}

const fn reject(code: u16, reason: &'static str) -> Reject {
    Reject { code, reason }
}

pub(super) fn check(message: &Message) -> Result<(), Reject> {
    version(message)?;
    lines(message)?;
    mandatory(message)?;
    addresses(message)?;
    sequence(message)?;
    lengths(message)?;
    if message.is_request() { request(message) } else { Ok(()) }
}

fn version(message: &Message) -> Result<(), Reject> {
    match message.version.of(message.bytes()) {
        version if version.eq_ignore_ascii_case(b"SIP/2.0") => Ok(()),
        version if version.ends_with(b" ") || version.ends_with(b"\t") => Err(reject(400, "Malformed Request-Line")),
        _ => Err(reject(505, "Version Not Supported")),
    }
}

/// No line without a name, no text that a reader after us would read in another way.
fn lines(message: &Message) -> Result<(), Reject> {
    let others = if message.has(Name::Other) { &message.fields[..] } else { &[] };
    for field in others.iter().filter(|field| field.name == Name::Other) {
        let name = message.field_name(field);
        if name.is_empty() || !name.iter().all(|b| super::parse::is_token(*b)) {
            return Err(reject(400, "Malformed header line"));
        }
    }
    // Whoever takes a lone CR for a line end would read another header in what we pass on.
    if message.has_lone_cr {
        return Err(reject(400, "Malformed header line"));
    }
    if matches!(message.text, Text::Whole(_)) {
        return Ok(());
    }
    // `Message::lines` leaves out what is not UTF-8, so nothing that decides anything may hide there.
    let hidden = |field: &Field| !is_prose(field.name) && message.text.get(field.value).is_none();
    if message.fields.iter().any(hidden) { Err(reject(400, "Header is not UTF-8")) } else { Ok(()) }
}

/// Headers that only people read: old exchanges write them in the characters of their country.
const fn is_prose(name: Name) -> bool {
    matches!(name, Name::Other | Name::Subject | Name::UserAgent | Name::Server | Name::Warning | Name::Reason)
}

/// RFC 3261 §8.1.1: To, From, CSeq and Call-ID are there, and those and a few more only once.
fn mandatory(message: &Message) -> Result<(), Reject> {
    for (name, is_mandatory, missing, doubled) in [
        (Name::From, true, "Missing From", "More than one From"),
        (Name::To, true, "Missing To", "More than one To"),
        (Name::CallId, true, "Missing Call-ID", "More than one Call-ID"),
        (Name::CSeq, true, "Missing CSeq", "More than one CSeq"),
        (Name::MaxForwards, false, "", "More than one Max-Forwards"),
        (Name::ContentLength, false, "", "More than one Content-Length"),
    ] {
        if is_mandatory && !message.has(name) {
            return Err(reject(400, missing));
        }
        if message.repeated & bit(name) != 0 {
            return Err(reject(400, doubled));
        }
    }
    if message.get(Name::CallId).is_none_or(|id| id.is_empty() || id.bytes().any(|byte| matches!(byte, b' ' | b'\t'))) {
        return Err(reject(400, "Malformed Call-ID"));
    }
    Ok(())
}

fn addresses(message: &Message) -> Result<(), Reject> {
    let mut vias = message.values(Name::Via);
    if vias.next().is_none() {
        return Err(reject(400, "Missing Via"));
    }
    let top = message.known.via.ok_or(reject(400, "Malformed Via"))?;
    // The cookie promises a unique branch; alone it would make all such requests one transaction (RFC 4475 §3.2.1).
    if top.branch(message) == MAGIC_COOKIE {
        return Err(reject(400, "Malformed branch"));
    }
    if vias.any(|value| Via::parse(value).is_none()) {
        return Err(reject(400, "Malformed Via"));
    }
    message.known.from.ok_or(reject(400, "Malformed From"))?;
    message.known.to.ok_or(reject(400, "Malformed To"))?;
    for (name, reason) in [
        (Name::Contact, "Malformed Contact"),
        (Name::Route, "Malformed Route"),
        (Name::RecordRoute, "Malformed Record-Route"),
    ] {
        // `*` is the lawful Contact of a REGISTER that removes every binding (RFC 3261 §10.2.2).
        let wildcard = |value: &&str| name == Name::Contact && *value == "*" && message.method() == Method::Register;
        for value in message.values(name).filter(|value| !wildcard(value)) {
            NameAddr::parse(value).ok_or(reject(400, reason))?;
        }
    }
    Ok(())
}

fn sequence(message: &Message) -> Result<(), Reject> {
    let cseq = message.cseq().ok_or(reject(400, "Malformed CSeq"))?;
    let text_agrees = || {
        let written = message.get(Name::CSeq).and_then(|v| v.split_ascii_whitespace().nth(1)).unwrap_or("");
        written == message.method_text()
    };
    match message.start {
        Start::Request { method } if cseq.method != method || (method == Method::Other && !text_agrees()) => {
            Err(reject(400, "CSeq method does not match"))
        }
        Start::Request { .. } | Start::Response { .. } => Ok(()),
    }
}

/// RFC 3261 §18.3 and §20.14: a body that is shorter than declared is a broken message.
fn lengths(message: &Message) -> Result<(), Reject> {
    if !message.has(Name::ContentLength) {
        return Ok(());
    }
    match message.declared_body {
        None => Err(reject(400, "Malformed Content-Length")),
        Some(length) if length > u64::from(message.available_body) => {
            Err(reject(400, "Body shorter than Content-Length"))
        }
        Some(_) => Ok(()),
    }
}

fn request(message: &Message) -> Result<(), Reject> {
    let uri = Uri::parse(message.uri()).ok_or(reject(400, "Malformed Request-URI"))?;
    // An unknown scheme is a valid request that we cannot serve (RFC 3261 §8.2.2.1).
    if uri.scheme == Scheme::Other {
        return Err(reject(416, "Unsupported URI Scheme"));
    }
    // Headers in a Request-URI are not lawful (RFC 4475 §3.1.2.11).
    if !uri.headers.is_empty() {
        return Err(reject(400, "Headers in Request-URI"));
    }
    if message.get(Name::MaxForwards).is_some() && message.max_forwards().is_none() {
        return Err(reject(400, "Malformed Max-Forwards"));
    }
    if message.has_body() && message.get(Name::ContentType).is_none() {
        return Err(reject(400, "Missing Content-Type"));
    }
    Ok(())
}
