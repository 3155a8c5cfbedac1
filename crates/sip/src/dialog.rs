//! Dialogs (RFC 3261 §12): what two user agents remember of each other between requests.
//!
//! A [`Dialog`] writes our in-dialog requests and judges the order of theirs. It is small and serialises, because it is
//! the heart of a call's checkpoint. It never sends, and keeps no transaction.

use crate::addr::NameAddr;
use crate::build::Builder;
use crate::header::CSeq;
use crate::message::{Message, Reject};
use crate::method::Method;
use crate::name::Name;
use crate::sent::Sent;
use crate::uri::{Scheme, Uri};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Display};
use std::sync::Arc;

/// How far ahead of use CSeq numbers are reserved: a node that takes over continues behind the reservation.
pub const RESERVED_SEQS: u32 = 16;

/// How far behind the reservation it continues: what the old owner sent in its last moments, it may have sent without one.
pub const TAKEOVER_GAP: u32 = 1_000;

/// One dialog, early or confirmed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialog {
    names: Names,
    local_seq: u32,
    /// No number above this is used before it has been raised.
    ceiling: u32,
    remote_seq: Option<u32>,
    /// Route values, in the order in which our requests carry them.
    route_set: Box<[Box<str>]>,
    remote_target: Box<str>,
    secure: bool,
    early: bool,
}

/// What names a dialog, and stays as long as it does: Call-ID, From and To of our requests as they are written, tag included, our tag and
/// theirs. One text, which copies of the dialog share.
#[derive(Clone, PartialEq, Eq)]
struct Names {
    text: Arc<str>,
    /// Where each of the five ends.
    ends: [u32; 5],
}

impl Names {
    /// Each of the five is put together of pieces.
    fn new(parts: [&[&str]; 5]) -> Self {
        let mut text = String::with_capacity(parts.iter().copied().flatten().map(|piece| piece.len()).sum());
        let ends = parts.map(|pieces| {
            pieces.iter().for_each(|piece| text.push_str(piece));
            // Parts of messages, of which none is longer than 64 KB.
            u32::try_from(text.len()).unwrap_or(u32::MAX)
        });
        Self { text: text.into(), ends }
    }

    fn part(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.text.get(start as usize..self.ends[at] as usize).unwrap_or("")
    }
}

/// As five texts.
impl Serialize for Names {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        [0, 1, 2, 3, 4].map(|at| self.part(at)).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let parts = <[String; 5]>::deserialize(from)?;
        Ok(Self::new(parts.each_ref().map(|part| [part.as_str()]).each_ref().map(<[&str; 1]>::as_slice)))
    }
}

/// What a dialog needs of the request that it begins with.
struct Asked<'a> {
    uri: &'a str,
    call_id: &'a str,
    from: &'a str,
    tag: &'a str,
    number: u32,
}

impl Dialog {
    /// As the UAS of `request`, which we answer with `local_tag` in To (RFC 3261 §12.1.1).
    ///
    /// Early until [`Self::confirm_as_uas`]. `None` if the request lacks what a dialog needs, such as a Contact.
    #[must_use]
    pub fn uas(request: &Message, local_tag: &str) -> Option<Self> {
        let (from, target) = (request.get(Name::From)?, request.contact()?.uri);
        let to = request.get(Name::To)?;
        let mark = if request.to_tag().is_some() { ["", ""] } else { [";tag=", local_tag] };
        Some(Self {
            names: Names::new([
                &[request.call_id()],
                &[to, mark[0], mark[1]],
                &[from],
                &[request.to_tag().unwrap_or(local_tag)],
                &[request.from_tag().unwrap_or("")],
            ]),
            local_seq: 0,
            ceiling: RESERVED_SEQS,
            remote_seq: Some(request.cseq()?.number),
            route_set: request.values(Name::RecordRoute).map(Box::from).collect(),
            remote_target: target.into(),
            secure: is_secure(request.uri()),
            early: true,
        })
    }

    /// As the UAC of `request`, which `response` (101–299 with a To tag) answers (RFC 3261 §12.1.2).
    ///
    /// `None` if the response forms no dialog. A missing To tag counts as an empty one (RFC 2543 peers) in a 2xx only.
    #[must_use]
    pub fn uac(request: &Message, response: &Message) -> Option<Self> {
        let tag = request.from_tag().unwrap_or("");
        let asked = Asked {
            uri: request.uri(),
            call_id: request.call_id(),
            from: request.get(Name::From)?,
            tag,
            number: request.cseq()?.number,
        };
        Self::of_answer(&asked, response)
    }

    /// [`Self::uac`] of a request that was not parsed again.
    #[must_use]
    pub fn uac_of(request: &Sent, response: &Message) -> Option<Self> {
        let (uri, call_id, from, tag) = (request.uri(), request.call_id(), request.from(), request.from_tag());
        Self::of_answer(&Asked { uri, call_id, from, tag, number: request.number() }, response)
    }

    fn of_answer(asked: &Asked<'_>, response: &Message) -> Option<Self> {
        let code = response.code().filter(|code| (101..300).contains(code))?;
        let to = response.to()?;
        if to.tag().is_none() && code < 200 {
            return None;
        }
        let local_seq = asked.number;
        // A provisional response without Contact still names a dialog; its requests go where the INVITE went.
        let target = response.contact().map_or(asked.uri, |contact| contact.uri);
        Some(Self {
            names: Names::new([
                &[asked.call_id],
                &[asked.from],
                &[response.get(Name::To)?],
                &[asked.tag],
                &[to.tag().unwrap_or("")],
            ]),
            local_seq,
            ceiling: local_seq.saturating_add(RESERVED_SEQS),
            remote_seq: None,
            route_set: reversed_routes(response),
            remote_target: target.into(),
            secure: is_secure(asked.uri),
            early: code < 200,
        })
    }

    /// We sent a 2xx.
    pub fn confirm_as_uas(&mut self) {
        self.early = false;
    }

    /// A 2xx to our INVITE came: the route set is taken anew from it (RFC 3261 §13.2.2.4), the target too.
    pub fn confirm_as_uac(&mut self, response: &Message) {
        if self.early {
            self.route_set = reversed_routes(response);
        }
        self.early = false;
        self.refresh_target(response);
    }

    /// Takes the Contact of a target refresh: INVITE, UPDATE, SUBSCRIBE, NOTIFY, REFER and their 2xx (RFC 3261 §12.2).
    ///
    /// Whether the target changed.
    pub fn refresh_target(&mut self, message: &Message) -> bool {
        match message.contact() {
            Some(contact) if contact.uri != &*self.remote_target => {
                self.remote_target = contact.uri.into();
                true
            }
            Some(_) | None => false,
        }
    }

    /// Judges the order of a request that came in the dialog, and remembers its number (RFC 3261 §12.2.2).
    ///
    /// ACK and CANCEL carry the number of their INVITE and are not judged.
    ///
    /// # Errors
    /// 500 for a number below the last one.
    pub fn accept(&mut self, cseq: CSeq) -> Result<(), Reject> {
        if matches!(cseq.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        if self.remote_seq.is_some_and(|last| cseq.number < last) {
            return Err(Reject { code: 500, reason: "CSeq Out Of Order" });
        }
        self.remote_seq = Some(cseq.number);
        Ok(())
    }

    /// Writes the next request: start line, Via, Route, Max-Forwards, From, To, Call-ID, CSeq and, if given, Contact.
    ///
    /// `via` is the whole Via value with a branch of its own. [`Self::local_seq`] is the request's number afterwards.
    pub fn request(&mut self, method: Method, via: impl Display, contact: Option<&str>, max_forwards: u8) -> Builder {
        self.request_as(method.token(), via, contact, max_forwards)
    }

    /// [`Self::request`] for an extension method, by its text.
    pub fn request_as(&mut self, method: &str, via: impl Display, contact: Option<&str>, max_forwards: u8) -> Builder {
        self.local_seq = self.local_seq.saturating_add(1);
        if self.local_seq > self.ceiling {
            self.ceiling = self.local_seq.saturating_add(RESERVED_SEQS);
        }
        let mut builder = self.write(method, self.local_seq, via, max_forwards);
        if let Some(contact) = contact {
            builder.add_pieces(Name::Contact, &[contact]);
        }
        builder
    }

    /// Writes the ACK of a 2xx to our INVITE of number `invite_seq` (RFC 3261 §13.2.2.4). `via` has a branch of its own.
    #[must_use]
    pub fn ack(&self, invite_seq: u32, via: impl Display, max_forwards: u8) -> Builder {
        self.write(Method::Ack.token(), invite_seq, via, max_forwards)
    }

    fn write(&self, method: &str, seq: u32, via: impl Display, max_forwards: u8) -> Builder {
        let strict = self.strict_router();
        let uri = strict.unwrap_or(&self.remote_target);
        let mut builder = Builder::request_as(method, uri);
        builder.add(Name::Via, via);
        for route in self.route_set.iter().skip(usize::from(strict.is_some())) {
            builder.add_pieces(Name::Route, &[route]);
        }
        if strict.is_some() {
            builder.add_pieces(Name::Route, &["<", &self.remote_target, ">"]);
        }
        builder.add_number(Name::MaxForwards, max_forwards.into());
        builder.add_pieces(Name::From, &[self.local()]);
        builder.add_pieces(Name::To, &[self.remote()]);
        builder.add_pieces(Name::CallId, &[self.call_id()]);
        builder.add_cseq(seq, method);
        builder
    }

    /// The first route's URI if that router does not know loose routing: it then is the Request-URI (RFC 3261 §12.2.1.1).
    fn strict_router(&self) -> Option<&str> {
        let route = NameAddr::parse(self.route_set.first()?)?;
        let loose = route.parsed_uri().is_some_and(|uri| uri.params.has("lr"));
        // A Request-URI may not hold headers; a `?` before the `@` belongs to the user part.
        let host_at = route.uri.find('@').unwrap_or(0);
        let end = route.uri[host_at..].find('?').map_or(route.uri.len(), |at| host_at + at);
        (!loose).then(|| &route.uri[..end])
    }

    /// The URI whose host our requests go to: the first route, or else the remote target.
    #[must_use]
    pub fn next_hop(&self) -> &str {
        self.route_set.first().and_then(|route| NameAddr::parse(route)).map_or(&self.remote_target, |route| route.uri)
    }

    /// A node takes the call over from a checkpoint: continue behind every number that the old owner may have used. `spare`
    /// more are left out, for one who took it over in between and whose checkpoint was lost with it.
    pub fn take_over(&mut self, spare: u32) {
        self.local_seq = self.ceiling.saturating_add(TAKEOVER_GAP - 1).saturating_add(spare);
        self.ceiling = self.local_seq.saturating_add(RESERVED_SEQS);
    }

    /// Whether `message`, which came from the remote side, belongs to this dialog.
    #[must_use]
    pub fn matches(&self, message: &Message) -> bool {
        let (local, remote) = if message.is_request() {
            (message.to_tag(), message.from_tag())
        } else {
            (message.from_tag(), message.to_tag())
        };
        message.call_id() == self.call_id()
            && local.unwrap_or("") == self.local_tag()
            && remote.unwrap_or("") == self.remote_tag()
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.names.part(0)
    }

    /// Our tag.
    #[must_use]
    pub fn local_tag(&self) -> &str {
        self.names.part(3)
    }

    /// Their tag; empty for an RFC 2543 peer.
    #[must_use]
    pub fn remote_tag(&self) -> &str {
        self.names.part(4)
    }

    /// What our requests have in From.
    #[must_use]
    pub fn local(&self) -> &str {
        self.names.part(1)
    }

    /// What our requests have in To.
    #[must_use]
    pub fn remote(&self) -> &str {
        self.names.part(2)
    }

    /// The number of the last request that we sent.
    #[must_use]
    pub const fn local_seq(&self) -> u32 {
        self.local_seq
    }

    /// The reservation that a checkpoint has to carry; it is raised now and then by [`Self::request`].
    #[must_use]
    pub const fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// The number of the last request that came, if any came.
    #[must_use]
    pub const fn remote_seq(&self) -> Option<u32> {
        self.remote_seq
    }

    /// The URI that our requests name.
    #[must_use]
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }

    /// Route values, first hop first.
    pub fn route_set(&self) -> impl ExactSizeIterator<Item = &str> {
        self.route_set.iter().map(|route| &**route)
    }

    /// Whether it was made over `sips:`.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether no 2xx has gone yet.
    #[must_use]
    pub const fn is_early(&self) -> bool {
        self.early
    }
}

fn is_secure(uri: &str) -> bool {
    Uri::parse(uri).is_some_and(|uri| uri.scheme == Scheme::Sips)
}

fn reversed_routes(response: &Message) -> Box<[Box<str>]> {
    let mut routes: Vec<Box<str>> = response.values(Name::RecordRoute).map(Box::from).collect();
    routes.reverse();
    routes.into_boxed_slice()
}

/// Shows no number and no address.
impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialog({}, seq {})", if self.early { "early" } else { "confirmed" }, self.local_seq)
    }
}

#[cfg(test)]
mod tests;
