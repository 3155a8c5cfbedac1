//! Who may call, and what the callee is shown of it.

use call::{Settings, UnknownSource};
use sip::Name;
use std::time::Duration;
use testkit::tables::{PARTNERS, view};
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

/// The caller comes from an address that no trunk has, so that only a digest lets it in.
fn by_digest(caller: Script, more: &str) -> World {
    by_digest_with(Settings::default(), caller, more)
}

fn by_digest_with(settings: Settings, caller: Script, more: &str) -> World {
    let mut world = World::new(6, Faults::default(), caller, vec![Script::default()]);
    world.node.settings = settings;
    let toml = PARTNERS.replace("from = [\"192.0.2.1/32\"]", more);
    world.node.view = view(&format!(
        "{toml}\n[[user]]\nname = \"alice\"\naccount = \"acme\"\npassword = \"secret\"\nplan = \"retail\"\ncaller = \"+442071230007\"\n"
    ));
    world.call("442071230000");
    world.run_for(MINUTE);
    world
}

const OTHER: &str = "from = [\"198.51.100.1/32\"]";

#[test]
fn a_line_calls_with_its_digest_and_shows_its_own_number() {
    let caller = Script { user: "alice", password: Some(("alice", "secret")), ..Script::hanging_up(1_000) };
    let world = by_digest(caller, OTHER);
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    let invite = world.agents[1].seen.invite.as_ref().expect("an INVITE");
    assert!(invite.get(Name::From).is_some_and(|from| from.contains("<sip:+442071230007@")), "{invite:?}");
    assert_eq!(invite.get(Name::Authorization), None);
    assert_eq!((world.node.rows.len(), world.node.made, world.node.ended), (1, 2, 2), "the challenge leaves no record");
    assert_eq!((&*world.node.rows[0].ingress_trunk, &*world.node.rows[0].ingress_account), ("", "acme"));
}

#[test]
fn a_wrong_password_and_a_wrong_name_are_not_told_apart() {
    for (user, credentials, finals) in [
        ("alice", None, [401]),
        ("mallory", None, [401]),
        ("alice", Some(("alice", "wrong")), [403]),
        ("alice", Some(("mallory", "wrong")), [403]),
    ] {
        for unknown_source in [UnknownSource::Forbidden, UnknownSource::Silent] {
            let caller = Script { user, password: credentials, ..Script::default() };
            let settings = Settings { unknown_source, ..Settings::default() };
            let world = by_digest_with(settings, caller, OTHER);
            assert_eq!(world.agents[0].seen.finals, finals, "{user} {credentials:?} {}", world.trace());
            assert!(world.agents[1].seen.requests.is_empty() && world.node.rows.is_empty());
        }
    }
}

#[test]
fn a_trunk_that_has_only_a_password_is_challenged_whatever_its_from_says() {
    let trunk = "username = \"pbx\"\npassword = \"s3cret\"";
    for user in ["pbx", "+442071230001"] {
        let caller = Script { user, password: Some(("pbx", "s3cret")), ..Script::hanging_up(1_000) };
        let mut world = World::new(6, Faults::default(), caller, vec![Script::default()]);
        world.node.view = view(&PARTNERS.replace("from = [\"192.0.2.1/32\"]", trunk));
        world.call("442071230000");
        world.run_for(MINUTE);
        assert_eq!(world.agents[0].seen.finals, [200], "{user} {}", world.trace());
        assert_eq!(&*world.node.rows[0].ingress_trunk, "ingress");
    }
}

#[test]
fn a_trunk_that_has_a_password_and_addresses_is_challenged_at_these_only() {
    let both = "username = \"pbx\"\npassword = \"s3cret\"\nfrom = [\"ADDRESS/32\"]";
    for (address, finals) in [("192.0.2.1", [200]), ("192.0.2.7", [403])] {
        let caller = Script { password: Some(("pbx", "s3cret")), ..Script::hanging_up(1_000) };
        let mut world = World::new(6, Faults::default(), caller, vec![Script::default()]);
        let from = both.replace("ADDRESS", address);
        world.node.view = view(&PARTNERS.replace("from = [\"192.0.2.1/32\"]", &from));
        world.call("442071230000");
        world.run_for(MINUTE);
        assert_eq!(world.agents[0].seen.finals, finals, "{address} {}", world.trace());
    }
}

fn shown(policy: &str, headers: Vec<(&'static str, String)>) -> sip::Message {
    let caller = Script { headers, ..Script::hanging_up(500) };
    let mut world = World::new(6, Faults::default(), caller, vec![Script::default()]);
    world.node.view = view(&PARTNERS.replace("caller_policy = \"pass\"", policy));
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    world.agents[1].seen.invite.clone().expect("an INVITE")
}

#[test]
fn the_caller_policy_decides_what_is_shown() {
    let invite = shown("caller_policy = \"pass\"", Vec::new());
    assert!(invite.get(Name::From).is_some_and(|from| from.starts_with("\"Agent\" <sip:+442071230001@192.0.2.100")));
    let invite = shown("caller_policy = \"replace\"\ndefault_caller = \"+442071239999\"", Vec::new());
    assert!(invite.get(Name::From).is_some_and(|from| from.contains("+442071239999")));
    assert!(invite.get(Name::PAssertedIdentity).is_some_and(|value| value.contains("+442071239999")));
}

#[test]
fn privacy_hides_the_caller_and_keeps_the_asserted_identity_for_the_carrier() {
    let headers =
        vec![("P-Asserted-Identity", "<sip:+442071230001@192.0.2.1>".to_owned()), ("Privacy", "id".to_owned())];
    let invite = shown("caller_policy = \"pass\"", headers);
    assert!(
        invite.get(Name::From).is_some_and(|from| from.starts_with("\"Anonymous\" <sip:anonymous@anonymous.invalid>"))
    );
    assert_eq!(invite.get(Name::PAssertedIdentity), Some("<sip:+442071230001@192.0.2.100:5060>"));
    assert_eq!(invite.get(Name::Privacy), Some("id"));
}

#[test]
fn what_the_caller_requires_and_does_not_work_through_us_is_420() {
    let caller = Script { headers: vec![("Require", "gruu".to_owned())], ..Script::default() };
    let mut world = World::new(6, Faults::default(), caller, vec![Script::default()]);
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    assert_eq!(world.agents[0].seen.finals, [420], "{}", world.trace());
    assert_eq!(world.agents[0].seen.answer.as_ref().and_then(|answer| answer.get(Name::Unsupported)), Some("gruu"));
}

#[test]
fn a_session_interval_below_the_minimum_is_422() {
    let headers = vec![("Supported", "timer".to_owned()), ("Session-Expires", "30".to_owned())];
    let caller = Script { headers, ..Script::default() };
    let mut world = World::new(6, Faults::default(), caller, vec![Script::default()]);
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    assert_eq!(world.agents[0].seen.finals, [422], "{}", world.trace());
    assert_eq!(world.agents[0].seen.answer.as_ref().and_then(sip::Message::min_se), Some(90));
}
