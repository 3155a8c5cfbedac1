//! Places and ways: several gateways of a trunk, carriers that ask for credentials, bypassed media, codec policies, numbers
//! with a fallback.

use call::effect::{MediaSide, Outcome};
use sip::Name;
use std::time::Duration;
use testkit::tables::{PARTNERS, view};
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

fn run(toml: &str, callees: Vec<Script>) -> World {
    let mut world = World::new(7, Faults::default(), Script::hanging_up(1_000), callees);
    world.node.view = view(toml);
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    world
}

fn two_gateways() -> String {
    let one = "{ address = \"192.0.2.2:5060\" }";
    PARTNERS.replacen(one, &format!("{one}, {{ address = \"192.0.2.3:5060\", priority = 2 }}"), 1)
}

#[test]
fn the_next_gateway_of_a_trunk_is_tried_in_the_same_attempt() {
    for first in [Script::deaf(), Script::refuses(503)] {
        let world = run(&two_gateways(), vec![first, Script::default()]);
        assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
        let rows: Vec<_> = world.node.rows.iter().map(|row| (row.attempt, row.sip_code, &*row.egress_trunk)).collect();
        assert_eq!(rows, [(1, 200, "egress")]);
        assert_eq!(world.node.outcomes.last(), Some(&("egress".to_owned(), Outcome::Alive)));
    }
}

#[test]
fn a_late_answer_of_a_gateway_that_was_given_up_is_ended() {
    let slow = Script { slow: Some(Duration::from_millis(4_200)), ..Script::default() };
    let world = run(&two_gateways(), vec![slow, Script::default()]);
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    assert!(world.agents[1].seen.ended, "cancelled once it spoke\n{}", world.trace());
    assert_eq!(world.node.rows.len(), 1);
}

#[test]
fn a_carrier_that_asks_gets_our_credentials() {
    let toml = PARTNERS.replacen(
        "timeout_seconds = 4",
        "timeout_seconds = 4\nregister = { registrar = \"192.0.2.2\", username = \"us\", password = \"pw\" }",
        1,
    );
    let asking = Script { asks: true, ..Script::default() };
    let world = run(&toml, vec![asking]);
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    let invite = world.agents[1].seen.invite.as_ref().expect("an INVITE");
    assert!(
        invite.get(Name::ProxyAuthorization).is_some_and(|value| value.contains("username=\"us\"")),
        "{}",
        world.trace()
    );
    assert_eq!(invite.cseq().map(|cseq| cseq.number), Some(2));
    assert_eq!(world.node.rows.len(), 1);
    // Without credentials the caller is not bothered with a question that it cannot answer.
    let world = run(PARTNERS, vec![Script { asks: true, ..Script::default() }, Script::refuses(486)]);
    assert_eq!(world.agents[0].seen.finals, [486], "{}", world.trace());
}

#[test]
fn bypassed_media_goes_from_end_to_end() {
    let world = run(
        &PARTNERS.replace("account = \"acme\"\n", "account = \"acme\"\nmedia = \"bypass\"\n"),
        vec![Script::default()],
    );
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    let (to_callee, to_caller) = (world.agents[1].seen.sdp.clone(), world.agents[0].seen.sdp.clone());
    assert!(to_callee.is_some_and(|sdp| String::from_utf8_lossy(&sdp).contains("c=IN IP4 192.0.2.1\r")));
    assert!(to_caller.is_some_and(|sdp| String::from_utf8_lossy(&sdp).contains("c=IN IP4 192.0.2.2\r")));
    assert!(world.node.steers.is_empty());
    assert_eq!(&*world.node.rows[0].codec, "PCMA");
}

#[test]
fn the_codecs_of_both_trunks_are_offered_and_none_in_common_is_488() {
    let with = |codecs: &str| {
        PARTNERS.replacen(
            "account = \"acme\"\n[trunk.egress]",
            &format!("account = \"acme\"\ncodecs = {codecs}\n[trunk.egress]"),
            2,
        )
    };
    let world = run(&with("[\"PCMU\"]"), vec![Script::default()]);
    let offer = world.agents[1].seen.invite.as_ref().map(|invite| invite.body()).expect("an INVITE");
    assert!(String::from_utf8_lossy(&offer).contains("m=audio 20002 RTP/AVP 0\r\n"), "{offer:?}");
    let world = run(&with("[\"G729\"]"), vec![Script::default(), Script::default()]);
    assert_eq!(world.agents[0].seen.finals, [488], "{}", world.trace());
}

#[test]
fn a_served_number_falls_back_when_it_is_not_there() {
    let toml = format!(
        "{PARTNERS}\n[[number]]\nnumber = \"+442071230000\"\naccount = \"acme\"\nto = \"trunk:egress\"\n\
         on_failure = \"trunk:second\"\nring_seconds = 5\n"
    );
    let ringing = Script { answers: Vec::new(), ..Script::default() };
    let world = run(&toml, vec![ringing, Script::default()]);
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    let rows: Vec<_> = world.node.rows.iter().map(|row| (row.sip_code, row.q850, &*row.egress_trunk)).collect();
    assert_eq!(rows, [(480, 19, "egress"), (200, 16, "second")]);
}

#[test]
fn a_call_without_any_description_is_carried_all_the_same() {
    let mut world = World::new(
        7,
        Faults::default(),
        Script { sdp: false, ..Script::hanging_up(500) },
        vec![Script { sdp: false, ..Script::default() }],
    );
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    assert!(world.node.steers.iter().all(|steer| steer.side != MediaSide::A || !steer.sends));
}

/// A call to a number that leads to a line.
fn to_line(contacts: &[&str], caller: Script, callees: Vec<Script>) -> World {
    let toml = format!(
        "{PARTNERS}\n[[user]]\nname = \"alice\"\naccount = \"acme\"\npassword = \"x\"\n\
         [[number]]\nnumber = \"+442071230000\"\naccount = \"acme\"\nto = \"user:alice\"\n"
    );
    let mut world = World::new(8, Faults::default(), caller, callees);
    world.node.view = view(&toml);
    world.node.policy.contacts = contacts.iter().map(|contact| contact.parse().expect("an address")).collect();
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    world
}

#[test]
fn a_line_is_called_at_its_contact_and_not_told_what_is_hidden() {
    let headers =
        vec![("P-Asserted-Identity", "<sip:+442071230001@192.0.2.1>".to_owned()), ("Privacy", "id".to_owned())];
    let caller = Script { headers, ..Script::hanging_up(500) };
    let world = to_line(&["192.0.2.2:5060"], caller, vec![Script::default()]);
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    let invite = world.agents[1].seen.invite.as_ref().expect("an INVITE");
    assert_eq!(invite.uri(), "sip:line@192.0.2.2:5060;ob");
    assert_eq!((invite.get(Name::PAssertedIdentity), invite.get(Name::Privacy)), (None, None));
    assert!(invite.get(Name::From).is_some_and(|from| from.contains("anonymous.invalid")));
    assert_eq!((&*world.node.rows[0].egress_trunk, &*world.node.rows[0].egress_account), ("", "acme"));
}

#[test]
fn the_next_contact_of_a_line_is_tried_unless_the_person_refused() {
    let both = ["192.0.2.2:5060", "192.0.2.3:5060"];
    for (code, finals) in [(480, 200), (404, 200), (486, 486), (603, 603)] {
        let callees = vec![Script::refuses(code), Script::default()];
        let world = to_line(&both, Script::hanging_up(500), callees);
        assert_eq!(world.agents[0].seen.finals, [finals], "{}", world.trace());
        assert_eq!(world.node.rows.len(), 1);
    }
}

#[test]
fn a_line_that_is_not_registered_is_480() {
    let world = to_line(&[], Script::default(), Vec::new());
    assert_eq!(world.agents[0].seen.finals, [480], "{}", world.trace());
    assert_eq!(world.node.rows[0].q850, 20);
}
