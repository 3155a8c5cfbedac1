//! What a REGISTER asks and what it is answered. Values come in as text already cut from their headers.

use sip::Flow;
use smallvec::SmallVec;

/// A REGISTER whose sender is authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Register<'a> {
    /// Who sent it, as the digest proved.
    pub user: &'a str,
    /// Its Contact headers.
    pub contacts: Contacts<'a>,
    /// Its Expires header, in seconds.
    pub expires: Option<u32>,
    /// Its Call-ID.
    pub call_id: &'a str,
    /// The number of its CSeq.
    pub cseq: u32,
    /// The way that it came: calls go back over it.
    pub flow: Flow,
    /// Its Path header (RFC 3327), as written.
    pub path: Option<&'a str>,
    /// Its User-Agent header.
    pub user_agent: Option<&'a str>,
}

/// The Contact headers of a REGISTER.
#[derive(Clone, Copy, Debug)]
pub enum Contacts<'a> {
    /// None: the sender asks what is registered.
    None,
    /// `*`, and nothing else: all bindings go.
    Wildcard,
    /// Contacts to bind or to remove. A `*` among others is a malformed request, which the reader refuses.
    List(&'a [Contact<'a>]),
}

/// One contact of a REGISTER.
#[derive(Clone, Copy, Debug, Default)]
pub struct Contact<'a> {
    /// The URI without `<>`.
    pub uri: &'a str,
    /// `q` in thousandths; `None` counts as 1000.
    pub q: Option<u16>,
    /// `expires` in seconds.
    pub expires: Option<u32>,
    /// `+sip.instance` (RFC 5626), as written.
    pub instance: Option<&'a str>,
    /// `reg-id` (RFC 5626).
    pub reg_id: Option<u32>,
}

/// A 200 to a REGISTER: all bindings that hold now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// For one Contact header each.
    pub bindings: SmallVec<[Listed; 2]>,
}

/// A binding as a 200 lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// The URI without `<>`.
    pub uri: Box<str>,
    /// `q` in thousandths.
    pub q: u16,
    /// Seconds that are left, at least 1.
    pub expires: u32,
    /// `+sip.instance`, as it came.
    pub instance: Option<Box<str>>,
    /// `reg-id`, as it came.
    pub reg_id: Option<u32>,
}

/// A refusal; no binding has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reject {
    /// Status code.
    pub code: u16,
    /// Why, in a few words: never an address.
    pub reason: &'static str,
    /// For a 423: its Min-Expires, in seconds.
    pub min_expires: Option<u32>,
}

impl Reject {
    pub(crate) const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason, min_expires: None }
    }
}
