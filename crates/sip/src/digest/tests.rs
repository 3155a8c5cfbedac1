use super::*;
use crate::clock::Wall;
use crate::message::Message;
use crate::method::Method;
use crate::name::Name;
use std::time::Duration;

const URI: &str = "sip:example.com";

fn challenger() -> Challenger {
    Challenger::new([7; 32], "a \"realm\"", Duration::from_secs(300))
}

fn unauthorized(values: &[String]) -> Message {
    let mut builder = crate::Builder::status(401);
    for value in values {
        builder.add(Name::WwwAuthenticate, value);
    }
    Message::parse(builder.finish()).expect("valid")
}

/// What a client with `password` sends for the given challenges.
fn answered(values: &[String], username: &str, password: &str) -> String {
    answer(&unauthorized(values), username, password, "REGISTER", URI, 42).expect("an answer").1
}

fn verify(wall: Wall, value: &str, password: &str) -> Verdict {
    verify_for(wall, value, password, "REGISTER", URI)
}

fn verify_for(wall: Wall, value: &str, password: &str, method: &str, uri: &str) -> Verdict {
    let challenger = challenger();
    let credentials = Credentials::parse(value).expect("credentials");
    let ha1 = Ha1::of_password(&credentials.username(), &super::params::quoted(challenger.realm()), password);
    challenger.verify(wall, &credentials, method, uri, &ha1)
}

/// The worked example of RFC 7616 §3.9.1, under both algorithms.
#[test]
fn the_digests_of_the_rfc() {
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let ha1 = Ha1::of_password("Mufasa", "http-auth@example.org", "Circle of Life");
        let input = response::Input {
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            qop: Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")),
            method: "GET",
            uri: "/dir/index.html",
        };
        assert_eq!(input.digest(algorithm, ha1.under(algorithm).expect("held")), expected);
    }
}

#[test]
fn both_sides_agree_and_prefer_sha_256() {
    let wall = Wall(1_000_000_000);
    let values = challenger().challenges(wall, false);
    let value = answered(&values, "alice \"x\"", "secret");
    assert!(value.contains("algorithm=SHA-256"), "{value}");
    assert_eq!(Credentials::parse(&value).expect("credentials").username(), "alice \"x\"");
    assert_eq!(verify(wall, &value, "secret"), Verdict::Valid { nc: Some(1) });
    assert_eq!(verify(wall, &value, "Secret"), Verdict::Wrong);
    // Who reads only the first line gets the one that everyone can compute.
    let md5 = answered(&values[..1], "alice", "secret");
    assert!(md5.contains("algorithm=MD5"), "{md5}");
    assert_eq!(verify(wall, &md5, "secret"), Verdict::Valid { nc: Some(1) });
}

#[test]
fn a_part_of_the_digest_is_not_the_digest() {
    assert!(response::same_digest("0Af", "0aF"));
    for other in ["", "0", "0a", "0af0", "1af", "0ae"] {
        assert!(!response::same_digest("0af", other) && !response::same_digest(other, "0af"), "{other}");
    }
}

#[test]
fn an_old_nonce_is_stale_only_for_who_knows_the_secret() {
    let wall = Wall(1_000_000_000);
    let value = answered(&challenger().challenges(wall, false), "alice", "secret");
    let later = Wall(wall.0 + 301_000);
    assert_eq!(verify(Wall(wall.0 + 300_000), &value, "secret"), Verdict::Valid { nc: Some(1) });
    assert_eq!(verify(later, &value, "secret"), Verdict::Stale);
    assert_eq!(verify(later, &value, "guess"), Verdict::Wrong);
    assert!(challenger().challenges(later, true)[0].ends_with("stale=true"));
}

#[test]
fn a_nonce_that_we_did_not_make_proves_nothing() {
    let wall = Wall(1_000_000_000);
    let other = Challenger::new([8; 32], challenger().realm(), Duration::from_secs(300));
    let value = answered(&other.challenges(wall, false), "alice", "secret");
    assert_eq!(verify(wall, &value, "secret"), Verdict::Stale);
    assert_eq!(verify(wall, &value, "guess"), Verdict::Wrong);
    let ahead = answered(&challenger().challenges(Wall(wall.0 + 61_000), false), "alice", "secret");
    assert_eq!(verify(wall, &ahead, "secret"), Verdict::Stale);
    let renamed = Challenger::new([7; 32], "another", Duration::from_secs(300));
    let value = answered(&renamed.challenges(wall, false), "alice", "secret");
    assert_eq!(verify(wall, &value, "secret"), Verdict::Wrong);
}

#[test]
fn the_digest_covers_method_and_uri() {
    let wall = Wall(1_000_000_000);
    let value = answered(&challenger().challenges(wall, false), "alice", "secret");
    assert_eq!(verify_for(wall, &value, "secret", "INVITE", URI), Verdict::Wrong);
    assert_eq!(verify_for(wall, &value, "secret", "REGISTER", "sip:other.example"), Verdict::Malformed);
    assert_eq!(
        verify_for(wall, &value, "secret", "REGISTER", "sip:Example.com:5060;x"),
        Verdict::Valid { nc: Some(1) }
    );
}

#[test]
fn values_that_make_no_sense_together() {
    let wall = Wall(1_000_000_000);
    let value = answered(&challenger().challenges(wall, false), "alice", "secret");
    for (from, to) in [
        ("qop=auth", "qop=auth-int"),
        ("nc=00000001", "nc=1"),
        ("nc=00000001", "nc=0000000g"),
        ("nc=00000001", "nc=00000000"),
        (", cnonce=", ", x="),
    ] {
        assert!(value.contains(from), "{from} in {value}");
        assert_eq!(verify(wall, &value.replace(from, to), "secret"), Verdict::Malformed, "{to}");
    }
    assert_eq!(verify(wall, &value.replace("SHA-256", "SHA-256-sess"), "secret"), Verdict::Wrong);
    assert_eq!(Credentials::parse("Basic YTpi"), None);
    assert_eq!(Credentials::parse("Digest username=\"a\", realm=\"b\""), None);
    assert_eq!(Credentials::parse(&format!("{value}, realm=\"again\"")), None);
    assert!(Credentials::parse(&value.replacen("Digest ", "dIGEST\t", 1)).is_some());
}

#[test]
fn a_client_without_qop_is_understood() {
    let wall = Wall(1_000_000_000);
    let values = challenger().challenges(wall, false).map(|value| value.replace(", qop=\"auth\"", ""));
    let value = answered(&values, "alice", "secret");
    assert!(!value.contains("nc="), "{value}");
    assert_eq!(verify(wall, &value, "secret"), Verdict::Valid { nc: None });
}

#[test]
fn the_client_counts_and_repeats_what_is_opaque() {
    let challenge = "Digest realm=\"r\", nonce=\"n,\\\"x\", opaque=\"o\", qop=\"auth-int, auth\", stale=TRUE";
    let response = Message::parse(
        crate::Builder::status(407)
            .header(Name::WwwAuthenticate, "Digest realm=\"no\", nonce=\"no\"")
            .header(Name::ProxyAuthenticate, challenge)
            .finish(),
    )
    .expect("valid");
    let mut challenge = Challenge::choose(&response).expect("a challenge");
    assert!(challenge.is_stale());
    assert_eq!(challenge.header(), Name::ProxyAuthorization);
    let first = challenge.authorize("u", "p", "INVITE", URI, 1);
    let second = challenge.authorize("u", "p", "INVITE", URI, 2);
    for part in ["nonce=\"n,\\\"x\"", "opaque=\"o\"", "qop=auth,", "nc=00000001", "algorithm=MD5"] {
        assert!(first.contains(part), "{part} in {first}");
    }
    assert!(second.contains("nc=00000002"));
    let cnonce = |value: &str| value.split("cnonce=").nth(1).map(str::to_owned);
    assert_ne!(cnonce(&first), cnonce(&second));
}

#[test]
fn challenges_that_nobody_can_answer_are_left() {
    let choose =
        |values: &[&str]| Challenge::choose(&unauthorized(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()));
    assert_eq!(choose(&["Basic realm=\"r\""]), None);
    assert_eq!(choose(&["Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256"]), None);
    assert_eq!(choose(&["Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\""]), None);
    assert_eq!(choose(&["Digest realm=\"r\""]), None);
    let joined =
        "Digest realm=\"a, Digest b\", nonce=\"1\", algorithm=MD5, Digest realm=\"c\", nonce=\"2\", algorithm=SHA-256";
    let best = choose(&["NTLM x", joined]).expect("the second of the line");
    let other = choose(&["Digest realm=\"c\", nonce=\"3\""]).expect("a challenge");
    assert!(best.same_realm(&other));
}

#[test]
fn credentials_are_found_by_realm() {
    let request = crate::Builder::request(Method::Register, URI)
        .header(Name::Authorization, "Digest username=\"x\", realm=\"other\", nonce=\"n\", uri=\"u\", response=\"r\"")
        .header(Name::Authorization, "Digest username=\"y\", realm=\"ours\", nonce=\"n\", uri=\"u\", response=\"r\"")
        .finish();
    let message = Message::parse(request).expect("valid");
    assert_eq!(Credentials::of(&message, "ours", false).map(|c| c.username()).as_deref(), Some("y"));
    assert_eq!(Credentials::of(&message, "ours", true), None);
}

#[test]
fn no_secret_is_shown() {
    let text = format!("{:?} {:?}", challenger(), Ha1::of_password("alice", "r", "p"));
    assert!(!text.contains("alice") && !text.contains("7, 7"), "{text}");
}
