//! Reads a REGISTER: for whom it is, who sends it, and what it asks.

use super::{trunk_aor, user_aor};
use crate::clock;
use crate::shell::Shell;
use ::registrar::{Accepted, Contact, Contacts, Register, Reject};
use routing::REALM;
use sip::addr::NameAddr;
use sip::digest::{Credentials, Ha1, Verdict};
use sip::header::expires_seconds;
use sip::uri::Uri;
use sip::{Flow, Message, Name};
use smallvec::SmallVec;
use std::sync::Arc;

/// The AOR that To names; `None` if it names no user. An unknown user's AOR is one that nobody can register.
pub(super) fn aor(shell: &Shell, request: &Message) -> Option<Arc<str>> {
    let name = name_in_to(request)?;
    let view = shell.tables.view();
    let aor = match (view.user(&name), view.trunk_by_username(&name)) {
        (Some(user), _) => user_aor(user),
        (None, Some(trunk)) if trunk.registers() => trunk_aor(trunk),
        (None, _) => format!("sip:{name}@unknown.invalid"),
    };
    Some(aor.into())
}

fn name_in_to(request: &Message) -> Option<String> {
    request.to()?.parsed_uri()?.number().filter(|name| !name.is_empty())
}

/// What is to be done with a REGISTER.
pub(super) enum Asked {
    /// Ask for its digest.
    Challenge {
        /// The digest was right, its nonce too old.
        stale: bool,
    },
    /// Refuse it.
    Refuse(u16, &'static str),
    /// It is from this user (the name in its AOR).
    User(String),
}

/// Checks the digest. An unknown user is challenged like a known one, so that nobody learns which names exist.
pub(super) fn authenticate(shell: &Shell, request: &Message) -> Asked {
    let Some(credentials) = Credentials::of(request, REALM, false) else { return Asked::Challenge { stale: false } };
    let Some(name) = name_in_to(request) else { return Asked::Refuse(400, "To names no user") };
    let Some((owner, ha1)) = secret(shell, &name) else { return Asked::Refuse(403, "Forbidden") };
    if credentials.username() != name {
        return Asked::Refuse(403, "Not the owner of this address of record");
    }
    let wall = clock::now().wall;
    match shell.settings().challenger.verify(wall, &credentials, "REGISTER", request.uri(), &ha1) {
        Verdict::Valid { .. } => Asked::User(owner),
        Verdict::Stale => Asked::Challenge { stale: true },
        Verdict::Wrong => {
            shell.reject("wrong_digest");
            Asked::Refuse(403, "Forbidden")
        }
        Verdict::Malformed => Asked::Refuse(400, "Malformed Authorization"),
    }
}

/// The name within the AOR, and the secret.
fn secret(shell: &Shell, name: &str) -> Option<(String, Ha1)> {
    let view = shell.tables.view();
    if let Some(user) = view.user(name) {
        return Some((user.name.to_string(), user.ha1.clone()));
    }
    let trunk = view.trunk_by_username(name).filter(|trunk| trunk.registers())?;
    Some((trunk.name.to_string(), trunk.ingress.as_ref()?.ha1.clone()?))
}

/// Reads the Contacts and hands the whole over.
pub(super) fn with_register(
    request: &Message,
    flow: Flow,
    user: &str,
    then: impl FnOnce(&Register<'_>) -> Result<Accepted, Reject>,
) -> Result<Accepted, Reject> {
    let malformed = |reason| Reject { code: 400, reason, min_expires: None };
    let values: SmallVec<[&str; 2]> = request.values(Name::Contact).collect();
    let mut list: SmallVec<[Contact<'_>; 2]> = SmallVec::new();
    let contacts = match values.as_slice() {
        [] => Contacts::None,
        ["*"] => Contacts::Wildcard,
        values => {
            for value in values {
                list.push(contact(value).ok_or_else(|| malformed("Malformed Contact"))?);
            }
            Contacts::List(&list)
        }
    };
    let path = request.values(Name::Path).collect::<Vec<_>>().join(", ");
    then(&Register {
        user,
        contacts,
        expires: request.get(Name::Expires).map(expires_seconds),
        call_id: request.call_id(),
        cseq: request.cseq().map_or(0, |cseq| cseq.number),
        flow,
        path: (!path.is_empty()).then_some(path.as_str()),
        user_agent: request.get(Name::UserAgent),
    })
}

/// One Contact.
fn contact(value: &str) -> Option<Contact<'_>> {
    let addr = NameAddr::parse(value)?;
    Uri::parse(addr.uri)?;
    let thousandths = |q: &str| q.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map(|q| (q * 1000.0).round());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let q = addr.params.get("q").and_then(thousandths).map(|q| q as u16);
    Some(Contact {
        uri: addr.uri,
        q,
        expires: addr.params.get("expires").map(expires_seconds),
        instance: addr.params.get("+sip.instance"),
        reg_id: addr.params.get("reg-id").and_then(|v| v.parse().ok()),
    })
}
