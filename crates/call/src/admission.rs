//! Admission: who sends an INVITE, whether it may, and whom it wants. Nothing is reserved here.
//!
//! Whether a name exists must not show: whoever calls from an address that no trunk names is challenged, as soon as
//! anybody may call from anywhere, and a wrong name fares as a wrong password.

use crate::caller::Source;
use crate::core::Env;
use crate::note::By;
use routing::model::{CallerPolicy, Trunk};
use routing::{E164, Origin};
use sip::digest::{Credentials, Ha1, Verdict};
use sip::uri::Uri;
use sip::{Flow, Message, Name};
use std::sync::Arc;
use trunk::caller::{Presented, identify};
use trunk::{Identity, translate};

/// What becomes of an INVITE before it is routed.
#[derive(Clone, Debug)]
pub(crate) enum Verdicted {
    /// It is let in, by what it was recognised.
    Known(Source, By),
    /// A digest is asked for; whether the last one was merely stale.
    Challenge(bool),
    /// Known and refused: wrong password, malformed digest, no tech prefix.
    Refused(u16),
    /// Nobody knows where it comes from.
    Stranger,
}

/// Finds out who sends an INVITE: by its source address, by digest, or by both where the trunk wants both.
pub(crate) fn identify_source(env: &Env<'_>, invite: &Message, flow: &Flow) -> Verdicted {
    let trunks = env.view.trunks_from(flow.remote.ip());
    let dialled = dialled(invite).unwrap_or_default();
    let fits = |trunk: &&Arc<Trunk>| {
        trunk.ingress.as_ref().is_some_and(|ingress| translate::ingress(&dialled, &ingress.tech_prefix).is_ok())
    };
    // Where several trunks share an address, the longest tech prefix tells whose call it is.
    let prefix_length = |trunk: &&Arc<Trunk>| trunk.ingress.as_ref().map_or(0, |ingress| ingress.tech_prefix.len());
    let open = |trunk: &&Arc<Trunk>| trunk.ingress.as_ref().is_some_and(|ingress| ingress.ha1.is_none());
    if let Some(trunk) = trunks.iter().filter(fits).filter(open).max_by_key(prefix_length) {
        let by = if trunks.len() > 1 { By::TechPrefix } else { By::Address };
        return Verdicted::Known(Source::Trunk(trunk.clone()), by);
    }
    match Credentials::of(invite, env.settings.challenger.realm(), false) {
        Some(credentials) => by_digest(env, invite, flow, &credentials),
        None if trunks.iter().any(|trunk| !open(&trunk)) => Verdicted::Challenge(false),
        None if !trunks.is_empty() && !claims_known_name(env, invite) => Verdicted::Refused(403),
        // Who calls from anywhere is known by nothing but its credentials: From may hold a number, and whether a name is
        // one of ours must not show.
        None if knows_roamers(env) => Verdicted::Challenge(false),
        None => Verdicted::Stranger,
    }
}

/// Whether anybody may call from an address that no trunk names: a line, or a trunk that has only a password.
fn knows_roamers(env: &Env<'_>) -> bool {
    let roams = |trunk: &Arc<Trunk>| {
        trunk.ingress.as_ref().is_some_and(|ingress| ingress.from.is_empty() && ingress.ha1.is_some())
    };
    !env.view.tables().users().is_empty() || env.view.trunks().any(roams)
}

/// The name in From is one that authenticates by digest: a phone beside a partner's gateway.
fn claims_known_name(env: &Env<'_>, invite: &Message) -> bool {
    let from = invite.from().and_then(|from| from.parsed_uri()).and_then(|uri| uri.user).unwrap_or("");
    env.view.user(from).is_some() || env.view.trunk_by_username(from).is_some()
}

fn by_digest(env: &Env<'_>, invite: &Message, flow: &Flow, credentials: &Credentials<'_>) -> Verdicted {
    let name = credentials.username();
    let (source, ha1) = match (env.view.user(&name), env.view.trunk_by_username(&name)) {
        (_, Some(trunk)) => {
            (Some(Source::Trunk(trunk.clone())), trunk.ingress.as_ref().and_then(|ingress| ingress.ha1.as_ref()))
        }
        (Some(user), None) => (Some(Source::User(user.clone())), Some(&user.ha1)),
        (None, None) if !knows_roamers(env) => return Verdicted::Stranger,
        (None, None) => (None, None),
    };
    // A name that is not there fares as one with another password, so that names cannot be told by trying.
    let nobody = Ha1 { md5: String::new(), sha256: Some(String::new()) };
    match (verify(env, invite, credentials, ha1.unwrap_or(&nobody)), source) {
        (Verdict::Malformed, _) => Verdicted::Refused(400),
        (Verdict::Wrong, _) | (_, None) => Verdicted::Refused(403),
        (_, Some(_)) if ha1.is_none() => Verdicted::Refused(403),
        (Verdict::Stale, Some(_)) => Verdicted::Challenge(true),
        (Verdict::Valid { .. }, Some(Source::Trunk(trunk))) if !allows_address(&trunk, flow) => Verdicted::Refused(403),
        (Verdict::Valid { .. }, Some(source)) => Verdicted::Known(source, By::Digest),
    }
}

fn verify(env: &Env<'_>, invite: &Message, credentials: &Credentials<'_>, ha1: &Ha1) -> Verdict {
    env.settings.challenger.verify(env.now.wall, credentials, invite.method_text(), invite.uri(), ha1)
}

/// A trunk that names addresses and a password wants both.
fn allows_address(trunk: &Trunk, flow: &Flow) -> bool {
    let from = trunk.ingress.as_ref().map_or(&[][..], |ingress| &ingress.from);
    from.is_empty() || from.iter().any(|block| block.holds(flow.remote.ip()))
}

/// What the Request-URI asks for: a number, a name, or an emergency service.
pub(crate) fn dialled(invite: &Message) -> Option<String> {
    let uri = Uri::parse(invite.uri())?;
    if uri.is_emergency() { Some(invite.uri().to_owned()) } else { uri.number() }
}

/// The called number as the switch writes it.
pub(crate) fn called(source: &Source, dialled: &str) -> String {
    let prefix = source.trunk().and_then(|trunk| trunk.ingress.as_ref()).map_or("", |ingress| &*ingress.tech_prefix);
    if dialled.starts_with("urn:") || dialled.starts_with("URN:") {
        return dialled.to_owned();
    }
    translate::ingress(dialled, prefix).unwrap_or_else(|_| dialled.to_owned())
}

/// Who the caller is, as the INVITE says, and what of it is shown onwards.
pub(crate) fn identity(env: &Env<'_>, source: &Source, invite: &Message) -> (String, Identity) {
    let from = invite.from().and_then(|from| from.parsed_uri()).and_then(|uri| uri.number()).unwrap_or_default();
    let asserted =
        [Name::PAssertedIdentity, Name::PPreferredIdentity].into_iter().find_map(|name| number_in(invite, name));
    let privacy = invite
        .lines(Name::Privacy)
        .flat_map(|line| line.split([';', ',']))
        .any(|value| ["id", "user", "header", "full"].iter().any(|known| value.trim().eq_ignore_ascii_case(known)));
    let presented = Presented { from: &from, asserted: asserted.as_deref(), privacy };
    let identity = shown_by(env, source, &presented);
    (asserted.filter(|_| from.is_empty()).unwrap_or(from), identity)
}

/// What a call on behalf of `source` shows of its caller, by the policy of the trunk or the line.
pub(crate) fn shown_by(env: &Env<'_>, source: &Source, presented: &Presented<'_>) -> Identity {
    match source {
        Source::Trunk(trunk) => {
            let ingress = trunk.ingress.as_ref();
            let policy = ingress.map_or(CallerPolicy::Pass, |ingress| ingress.caller_policy);
            let owned = |number: E164| trunk.account.as_ref().is_some_and(|account| env.view.owns(account, number));
            identify(policy, ingress.and_then(|ingress| ingress.default_caller), presented, owned)
        }
        // A line shows its own number, or another of its account; without one, its name within the account.
        Source::User(user) => {
            let owned = |number: E164| user.account.as_ref().is_some_and(|account| env.view.owns(account, number));
            let mut identity = identify(CallerPolicy::Owned, user.caller, presented, owned);
            if identity.from.is_none() && !presented.privacy && identity.asserted.is_none() {
                identity.from = Some(user.name.to_string());
            }
            identity
        }
    }
}

fn number_in(invite: &Message, name: Name) -> Option<String> {
    let value = invite.values(name).next()?;
    sip::addr::NameAddr::parse(value)?.parsed_uri()?.number()
}

/// The origin of a plan.
pub(crate) fn origin(source: &Source) -> Origin<'_> {
    match source {
        Source::Trunk(trunk) => Origin::Trunk(trunk),
        Source::User(user) => Origin::User(user),
    }
}

/// Option tags that the INVITE requires and that do not work through us: 420 with these (RFC 3261 §8.2.2.3).
pub(crate) fn unsupported(invite: &Message) -> Option<String> {
    let known = |tag: &str| {
        tag.eq_ignore_ascii_case("timer")
            || crate::headers::TRANSPARENT_OPTIONS.iter().any(|own| own.eq_ignore_ascii_case(tag))
    };
    let unknown: Vec<&str> = invite.values(Name::Require).filter(|tag| !known(tag)).collect();
    (!unknown.is_empty()).then(|| unknown.join(", "))
}
