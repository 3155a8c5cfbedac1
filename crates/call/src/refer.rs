//! REFER within a call (RFC 3515): whose policy counts, what it asks for, and what is wrong with it.
//!
//! `pass` hands the request to the other leg, which transfers itself; `refuse` is 603; `follow` is a transfer that the
//! switch carries out by itself (`state/transferring.rs`).

use crate::admission;
use crate::caller::Source;
use crate::core::Core;
use crate::effect::MediaSide;
use routing::Target;
use routing::model::Referral;
use sip::addr::NameAddr;
use sip::{Message, Name};

/// Options that a REFER may require of us.
const KNOWN_OPTIONS: [&str; 1] = ["norefersub"];

/// What a REFER asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The number or name to call, as Refer-To has it.
    pub(crate) number: String,
    /// Whether its sender wants to hear how that goes (RFC 4488).
    pub(crate) subscribes: bool,
    /// Referred-By, to be copied (RFC 3892 §2.3).
    pub(crate) referred_by: Option<Box<str>>,
}

/// Why it is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// With this code.
    Code(u16),
    /// With 420, for these options.
    Unsupported(String),
}

/// Reads a REFER.
pub(crate) fn read(message: &Message) -> Result<Asked, Refused> {
    let unknown = |tag: &&str| !KNOWN_OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(tag));
    let unknown: Vec<&str> = message.values(Name::Require).filter(unknown).collect();
    if !unknown.is_empty() {
        return Err(Refused::Unsupported(unknown.join(", ")));
    }
    // RFC 3515 §2.4.2: exactly one Refer-To.
    let mut targets = message.lines(Name::ReferTo);
    let target = targets.next().and_then(NameAddr::parse).ok_or(Refused::Code(400))?;
    if targets.next().is_some() || message.lines(Name::ReferredBy).nth(1).is_some() {
        return Err(Refused::Code(400));
    }
    let uri = target.parsed_uri().ok_or(Refused::Code(400))?;
    if uri.params.get("method").is_some_and(|method| !method.eq_ignore_ascii_case("INVITE")) {
        return Err(Refused::Code(603));
    }
    // Attended transfer: joining two calls of ours is not offered, and without it the call that Replaces names would go on
    // beside a new one.
    if asks_replacement(uri.headers) {
        return Err(Refused::Code(603));
    }
    let number = if uri.is_emergency() { Some(target.uri.to_owned()) } else { uri.number() };
    let number = number.filter(|number| !number.is_empty()).ok_or(Refused::Code(404))?;
    let subscribes = !message.get_other("Refer-Sub").is_some_and(|value| value.trim().starts_with("false"));
    let referred_by = message.get(Name::ReferredBy).map(Box::from);
    Ok(Asked { number, subscribes, referred_by })
}

/// Whether the headers of a Refer-To URI hold Replaces (RFC 3891).
fn asks_replacement(headers: &str) -> bool {
    headers.split('&').any(|header| header.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("Replaces")))
}

/// The policy for a REFER from this side: that of the trunk that sends it. A line has none of its own: what it sends goes
/// by the trunk that it talks to, and between two lines it passes.
pub(crate) fn policy(core: &Core, side: MediaSide) -> Referral {
    let of = |side| party(core, side).and_then(|party| party.trunk().map(|trunk| trunk.refer));
    of(side).or_else(|| of(side.other())).unwrap_or(Referral::Pass)
}

/// The code that a REFER before the answer is refused with: what is not there yet cannot be transferred.
pub(crate) fn early_refusal(core: &Core, side: MediaSide) -> Option<u16> {
    match policy(core, side) {
        Referral::Pass => None,
        Referral::Refuse => Some(603),
        Referral::Follow => Some(491),
    }
}

/// Who is on a side of an answered call.
pub(crate) fn party(core: &Core, side: MediaSide) -> Option<Source> {
    let attempt = core.paths.first()?.leg(side).attempt;
    if attempt == 0 {
        return core.caller.as_ref().map(|caller| caller.source.clone());
    }
    core.ledger.seized_target(attempt).map(|target| match target {
        Target::Trunk(trunk) | Target::Registered(trunk) => Source::Trunk(trunk.clone()),
        Target::User(user) => Source::User(user.clone()),
    })
}

/// The referred number as the switch writes it; a tech prefix may be there or not.
pub(crate) fn called(source: &Source, number: &str) -> String {
    let called = admission::called(source, number);
    if called == number { trunk::translate::ingress(number, "").unwrap_or_default() } else { called }
}
