//! Which number a call shows: the trunk's caller policy and the caller's wish for privacy. It never writes a header.

use crate::translate::shown;
use routing::E164;
use routing::model::{CallerPolicy, Ingress};

/// What the INVITE says about its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Presented<'a> {
    /// User part of From; empty if there is none.
    pub from: &'a str,
    /// User part of P-Asserted-Identity (RFC 3325), else of P-Preferred-Identity; only from a trunk that may assert.
    pub asserted: Option<&'a str>,
    /// Privacy asks for `id`, `user`, `header` or `full` (RFC 3323, RFC 3325), or From is the anonymous one.
    pub privacy: bool,
}

/// What the INVITE that we send says about its caller.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// User part of From; `None` for `"Anonymous" <sip:anonymous@anonymous.invalid>` (RFC 3323 §4.1).
    pub from: Option<String>,
    /// User part of P-Asserted-Identity; `None` for no such header.
    pub asserted: Option<String>,
    /// Whether `Privacy: id` goes with it.
    pub privacy: bool,
}

/// What to show for a call from this trunk. `owned` says whether a number belongs to the trunk's account.
#[must_use]
pub fn identity(ingress: &Ingress, presented: &Presented<'_>, owned: impl Fn(E164) -> bool) -> Identity {
    identify(ingress.caller_policy, ingress.default_caller, presented, owned)
}

/// What to show by a policy. A caller who may not show its own number and has no default shows none: better no number
/// than another's. Anonymous callers stay so towards the called party, while P-Asserted-Identity carries the number.
#[must_use]
pub fn identify(
    policy: CallerPolicy,
    default: Option<E164>,
    presented: &Presented<'_>,
    owned: impl Fn(E164) -> bool,
) -> Identity {
    let claimed = presented.asserted.unwrap_or(presented.from);
    let default = || default.map(|number| number.to_string());
    let number = match policy {
        CallerPolicy::Pass => passed(claimed),
        CallerPolicy::Owned => shown(claimed).filter(|number| number.parse().is_ok_and(&owned)).or_else(default),
        CallerPolicy::Replace => default(),
    };
    let anonymous = presented.privacy || is_anonymous(presented.from);
    // What From said apart from the asserted identity is believed only where everything is.
    let from = match policy {
        CallerPolicy::Pass => passed(presented.from).or_else(|| number.clone()),
        CallerPolicy::Owned | CallerPolicy::Replace => number.clone(),
    };
    Identity { from: from.filter(|_| !anonymous), privacy: anonymous && number.is_some(), asserted: number }
}

/// The number as the switch writes it, or what is there if it is none, such as an extension.
fn passed(user: &str) -> Option<String> {
    shown(user).or_else(|| Some(user.to_owned()).filter(|user| !user.is_empty() && !is_anonymous(user)))
}

/// The names under which user agents hide a caller.
fn is_anonymous(user: &str) -> bool {
    ["anonymous", "unavailable", "unknown", "restricted", "private"].iter().any(|name| name.eq_ignore_ascii_case(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "+442071230001";
    const DEFAULT: &str = "+442071230000";

    fn of(policy: CallerPolicy, from: &str, asserted: Option<&str>, privacy: bool) -> (String, String, bool) {
        let presented = Presented { from, asserted, privacy };
        let identity = identify(policy, DEFAULT.parse().ok(), &presented, |number| number.to_string() == OWN);
        (identity.from.unwrap_or_default(), identity.asserted.unwrap_or_default(), identity.privacy)
    }

    fn shows(from: &str, asserted: &str, privacy: bool) -> (String, String, bool) {
        (from.to_owned(), asserted.to_owned(), privacy)
    }

    #[test]
    fn pass_believes() {
        assert_eq!(
            of(CallerPolicy::Pass, "00447700900000", None, false),
            shows("+447700900000", "+447700900000", false)
        );
        assert_eq!(of(CallerPolicy::Pass, "101", Some(OWN), false), shows("101", OWN, false));
    }

    #[test]
    fn owned_replaces_foreign_numbers() {
        assert_eq!(of(CallerPolicy::Owned, "442071230001", None, false), shows(OWN, OWN, false));
        assert_eq!(of(CallerPolicy::Owned, "+447700900000", None, false), shows(DEFAULT, DEFAULT, false));
        assert_eq!(of(CallerPolicy::Owned, "+447700900000", Some(OWN), false), shows(OWN, OWN, false));
        assert_eq!(of(CallerPolicy::Owned, OWN, Some("+447700900000"), false), shows(DEFAULT, DEFAULT, false));
    }

    #[test]
    fn replace_always_replaces() {
        assert_eq!(of(CallerPolicy::Replace, OWN, Some(OWN), false), shows(DEFAULT, DEFAULT, false));
    }

    #[test]
    fn anonymous_callers_stay_so_and_are_known_to_the_carrier() {
        assert_eq!(of(CallerPolicy::Pass, "anonymous", Some(OWN), false), shows("", OWN, true));
        assert_eq!(of(CallerPolicy::Owned, OWN, None, true), shows("", OWN, true));
        assert_eq!(of(CallerPolicy::Owned, "Anonymous", None, false), shows("", DEFAULT, true));
        assert_eq!(of(CallerPolicy::Pass, "anonymous", None, true), shows("", "", false));
    }

    #[test]
    fn without_a_default_a_foreign_number_is_shown_to_nobody() {
        let presented = Presented { from: "+447700900000", ..Presented::default() };
        assert_eq!(identify(CallerPolicy::Owned, None, &presented, |_| false), Identity::default());
    }
}
