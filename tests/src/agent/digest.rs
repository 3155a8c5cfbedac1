//! Answers a digest challenge with MD5 and `qop=auth` (RFC 7616).

use md5::{Digest, Md5};

/// The value of the Authorization header.
pub(super) fn answer(challenge: &str, user: &str, password: &str, method: &str, uri: &str) -> String {
    let (realm, nonce) = (parameter(challenge, "realm"), parameter(challenge, "nonce"));
    let secret = hash(&format!("{user}:{realm}:{password}"));
    let asked = hash(&format!("{method}:{uri}"));
    let response = hash(&format!("{secret}:{nonce}:00000001:c:auth:{asked}"));
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=MD5, \
         response=\"{response}\", qop=auth, nc=00000001, cnonce=\"c\""
    )
}

fn parameter<'c>(challenge: &'c str, name: &str) -> &'c str {
    let quoted = challenge.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
    quoted.split('"').next().unwrap_or_default()
}

fn hash(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
