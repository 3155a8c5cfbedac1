//! Which headers pass from leg to leg byte for byte. Whatever is not named here and names no hop of the other leg does.

use sip::Name;

/// Option tags that work from end to end through us, so that both sides may agree on them (RFC 3261 §19.2).
pub(crate) const TRANSPARENT_OPTIONS: [&str; 8] =
    ["100rel", "norefersub", "histinfo", "precondition", "from-change", "resource-priority", "answermode", "privacy"];

/// The methods that we take part in, as Allow lists them.
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, REFER";

/// Headers of one hop or one dialog, which we write ourselves or leave out: topology hiding rests on this list.
const fn is_ours(name: Name) -> bool {
    matches!(
        name,
        Name::Via
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::Contact
            | Name::MaxForwards
            | Name::Route
            | Name::RecordRoute
            | Name::Path
            | Name::ContentLength
            | Name::ContentType
            | Name::Authorization
            | Name::AuthenticationInfo
            | Name::ProxyAuthorization
            | Name::ProxyAuthenticate
            | Name::ProxyRequire
            | Name::WwwAuthenticate
            | Name::Require
            | Name::Supported
            | Name::Unsupported
            | Name::Allow
            | Name::SessionExpires
            | Name::MinSe
            | Name::RAck
            | Name::Replaces
            | Name::RSeq
            | Name::Server
            | Name::UserAgent
            | Name::Timestamp
            | Name::Warning
    )
}

/// Headers that say who calls: an INVITE writes them by policy, everything else passes them.
const fn is_identity(name: Name) -> bool {
    matches!(name, Name::PAssertedIdentity | Name::PPreferredIdentity | Name::Privacy)
}

/// Whether a header of the first INVITE goes on as it is.
pub(crate) const fn passes_setup(name: Name) -> bool {
    !is_ours(name) && !is_identity(name)
}

/// Whether a header of a request within the dialog, or of any response, goes on as it is.
pub(crate) const fn passes(name: Name) -> bool {
    !is_ours(name)
}
