//! Answers to digest challenges (RFC 7616, RFC 8760): MD5 and SHA-256, with and without `qop=auth`.

use md5::{Digest, Md5};
use sha2::Sha256;
use std::fmt::Write;

use crate::Credentials;

/// The value of an Authorization header that answers the first of `challenges` that we can answer.
pub(crate) fn answer(challenges: &[&str], credentials: &Credentials, method: &str, uri: &str) -> Option<String> {
    challenges.iter().find_map(|challenge| answer_one(challenge, credentials, method, uri))
}

fn answer_one(challenge: &str, credentials: &Credentials, method: &str, uri: &str) -> Option<String> {
    let parameters = challenge.strip_prefix("Digest ")?;
    let find = |wanted: &str| {
        split(parameters).find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
        })
    };
    let (realm, nonce) = (find("realm")?, find("nonce")?);
    let algorithm = find("algorithm").unwrap_or("MD5");
    let hash = match algorithm.to_ascii_uppercase().as_str() {
        "MD5" => hex::<Md5>,
        "SHA-256" => hex::<Sha256>,
        _ => return None,
    };
    let Credentials { username, password } = credentials;
    let ha1 = hash(&format!("{username}:{realm}:{password}"));
    let ha2 = hash(&format!("{method}:{uri}"));
    let qop = find("qop").filter(|qop| qop.split(',').any(|one| one.trim() == "auth"));
    let mut value = format!(
        "Digest username=\"{username}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm={algorithm}"
    );
    if qop.is_some() {
        let response = hash(&format!("{ha1}:{nonce}:00000001:74616e64:auth:{ha2}"));
        let _ = write!(value, ", response=\"{response}\", qop=auth, nc=00000001, cnonce=\"74616e64\"");
    } else {
        let _ = write!(value, ", response=\"{}\"", hash(&format!("{ha1}:{nonce}:{ha2}")));
    }
    if let Some(opaque) = find("opaque") {
        let _ = write!(value, ", opaque=\"{opaque}\"");
    }
    Some(value)
}

/// The comma-separated parameters; a comma inside quotes separates nothing.
fn split(parameters: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    parameters.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn hex<D: Digest>(text: &str) -> String {
    D::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_qop_is_that_of_rfc_2069() {
        let credentials = Credentials { username: "Mufasa".into(), password: "CircleOfLife".into() };
        let challenge =
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5c\"";
        let answer = answer(&[challenge], &credentials, "GET", "/dir/index.html").expect("an answer");
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
        assert!(answer.ends_with("opaque=\"5c\""));
    }

    #[test]
    fn an_unknown_algorithm_is_passed_over() {
        let credentials = Credentials { username: "u".into(), password: "p".into() };
        let challenges = [
            "Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5",
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\"",
        ];
        let answer = answer(&challenges, &credentials, "INVITE", "sip:a@b").expect("the second is answered");
        assert!(answer.contains("algorithm=MD5") && answer.contains("qop=auth,"));
        assert!(super::answer(&challenges[..1], &credentials, "INVITE", "sip:a@b").is_none());
    }
}
