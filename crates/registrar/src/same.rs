//! Whether two contacts are the same by the rules of RFC 3261 §19.1.4. It never normalises what is kept.

use sip::uri::{Uri, unescape};
use std::borrow::Cow;

/// True if both URIs are equal; what is no URI is equal only to itself.
pub(crate) fn same_uri(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (Uri::parse(a), Uri::parse(b)) else { return false };
    a.scheme == b.scheme
        && same_user(a.user, b.user)
        && a.host.eq_ignore_ascii_case(b.host)
        // A port that is written differs from one that is left out, though both mean 5060.
        && a.port == b.port
        && a.headers == b.headers
        && covers(&a, &b)
        && covers(&b, &a)
}

fn same_user(a: Option<&str>, b: Option<&str>) -> bool {
    let plain = |user| unescape(user).map_or(Cow::Borrowed(user), Cow::Owned);
    a == b || a.zip(b).is_some_and(|(a, b)| plain(a) == plain(b))
}

/// True if no parameter of `a` speaks against `b`: the named ones count even where one side leaves them out.
fn covers(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    const ALWAYS: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
    a.params.iter().all(|(name, value)| {
        if b.params.has(name) {
            value.unwrap_or_default().eq_ignore_ascii_case(b.params.get(name).unwrap_or_default())
        } else {
            !ALWAYS.iter().any(|always| always.eq_ignore_ascii_case(name))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_hold() {
        for (a, b) in [
            ("sip:%61lice@atlanta.example;transport=TCP", "sip:alice@AtLanTa.example;Transport=tcp"),
            ("sip:carol@chicago.example", "sip:carol@chicago.example;newparam=5"),
            ("sip:carol@chicago.example;newparam=5", "sip:carol@chicago.example;security=on"),
        ] {
            assert!(same_uri(a, b) && same_uri(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.example;Transport=udp", "sip:alice@AtLanTa.example;Transport=UDP"),
            ("sip:bob@biloxi.example", "sip:bob@biloxi.example:5060"),
            ("sip:bob@biloxi.example", "sip:bob@biloxi.example;transport=udp"),
            ("sip:bob@biloxi.example:6000;transport=tcp", "sip:bob@biloxi.example"),
            ("sip:carol@chicago.example;security=on", "sip:carol@chicago.example;security=off"),
            ("sip:bob@192.0.2.4", "sips:bob@192.0.2.4"),
        ] {
            assert!(!same_uri(a, b) && !same_uri(b, a), "{a} {b}");
        }
    }
}
