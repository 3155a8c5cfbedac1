//! Sequential attempts: what leads to the next one, what to the caller, and what the records say.

use call::effect::Outcome;
use call::input::Refused;
use call::record::EndedBy;
use call::{Settings, UnknownSource};
use sip::{Method, Name};
use std::time::Duration;
use testkit::tables::{PARTNERS, view};
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

fn run(callees: Vec<Script>, change: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(2, Faults::default(), Script::hanging_up(1_000), callees);
    change(&mut world);
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    world
}

fn codes(world: &World) -> Vec<(u32, u16, bool)> {
    world.node.rows.iter().map(|row| (row.attempt, row.sip_code, row.is_final)).collect()
}

#[test]
fn a_failure_of_the_reroute_list_leads_to_the_next_trunk() {
    let world = run(vec![Script::refuses(503), Script::default()], |_| {});
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    assert_eq!(codes(&world), [(1, 503, false), (2, 200, true)]);
    assert_eq!(&*world.node.rows[1].called_out, "442071230000".replacen("44", "+44", 1));
    let outcomes: Vec<_> = world.node.outcomes.iter().map(|(trunk, outcome)| (&**trunk, *outcome)).collect();
    assert_eq!(outcomes, [("egress", Outcome::Unavailable(None)), ("second", Outcome::Alive)]);
}

#[test]
fn a_failure_outside_the_list_goes_to_the_caller() {
    let world = run(vec![Script::refuses(404), Script::default()], |_| {});
    assert_eq!(world.agents[0].seen.finals, [404], "{}", world.trace());
    assert_eq!(codes(&world), [(1, 404, true)]);
    let answer = world.agents[0].seen.answer.as_ref().expect("a final response");
    assert_eq!(answer.q850(), Some(1));
}

#[test]
fn silence_for_the_trunks_timeout_leads_to_the_next_trunk() {
    let world = run(vec![Script::deaf(), Script::default()], |_| {});
    assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    assert_eq!(codes(&world), [(1, 408, false), (2, 200, true)]);
    assert!(world.node.outcomes.contains(&("egress".to_owned(), Outcome::Timeout)));
}

#[test]
fn an_unreachable_gateway_leads_to_the_next_trunk_at_once() {
    let world = run(vec![Script::deaf(), Script::default()], |world| {
        world.node.policy.unreachable.push("192.0.2.2:5060".parse().unwrap());
    });
    assert_eq!(codes(&world), [(1, 503, false), (2, 200, true)], "{}", world.trace());
    assert!(world.node.rows[0].ended.0 - world.node.rows[0].started.0 < 50);
}

#[test]
fn a_full_trunk_leads_to_the_next_one() {
    let world = run(vec![Script::default(), Script::default()], |world| world.node.policy.full.push("egress"));
    assert_eq!(codes(&world), [(1, 503, false), (2, 200, true)], "{}", world.trace());
    assert_eq!(world.node.rows[0].q850, 34);
    assert!(world.agents[1].seen.requests.is_empty());
}

#[test]
fn when_all_fail_the_caller_hears_of_the_last() {
    let world = run(vec![Script::refuses(503), Script::refuses(486)], |_| {});
    assert_eq!(world.agents[0].seen.finals, [486], "{}", world.trace());
    assert_eq!(codes(&world), [(1, 503, false), (2, 486, true)]);
}

#[test]
fn the_ring_limit_cancels_and_moves_on() {
    let ringing = Script { answers: Vec::new(), ..Script::default() };
    let world = run(vec![ringing, Script::default()], |world| {
        world.node.settings = Settings { max_ring: Duration::from_secs(10), ..Settings::default() };
    });
    assert_eq!(codes(&world), [(1, 480, false), (2, 200, true)], "{}", world.trace());
    assert_eq!(world.agents[1].seen.requests, [Method::Invite, Method::Cancel]);
}

#[test]
fn the_ring_limit_is_the_switchs_own_end_of_the_call() {
    let world = run(vec![Script { answers: Vec::new(), ..Script::default() }], |world| {
        world.node.settings = Settings { max_ring: Duration::from_secs(10), ..Settings::default() };
        world.node.policy.full.push("second");
    });
    assert_eq!(world.agents[0].seen.finals, [503], "{}", world.trace());
    let first = &world.node.rows[0];
    assert_eq!((first.sip_code, first.ended_by, &*first.reason), (480, EndedBy::Switch, "no answer"));
    assert!(world.node.rows.iter().all(|row| row.ended_by == EndedBy::Switch), "{:?}", world.node.rows);
}

#[test]
fn a_full_ingress_trunk_is_refused_without_an_attempt() {
    let world = run(vec![Script::default()], |world| world.node.policy.admit = Some(Refused::Channels));
    assert_eq!(world.agents[0].seen.finals, [503], "{}", world.trace());
    let answer = world.agents[0].seen.answer.as_ref().expect("a final response");
    assert_eq!((answer.q850(), answer.get(Name::RetryAfter)), (Some(34), None));
    assert_eq!(world.node.rows[0].ended_by, EndedBy::Switch);
    assert!(world.agents[1].seen.requests.is_empty());
}

#[test]
fn an_emergency_call_passes_a_full_ingress_trunk() {
    let screens = "\n[[screen]]\nname = \"sos\"\nemergency = [ { number = \"112\", trunks = [\"egress\"] } ]\n";
    for called in ["112", "urn:service:sos"] {
        let mut world = World::new(2, Faults::default(), Script::hanging_up(1_000), vec![Script::default()]);
        world.node.view = view(&format!("{PARTNERS}{screens}"));
        world.node.policy.admit = Some(Refused::Channels);
        world.call(called);
        world.run_for(MINUTE);
        world.assert_settled();
        assert_eq!(world.agents[0].seen.finals, [200], "{}", world.trace());
    }
}

#[test]
fn a_number_without_route_is_404() {
    let mut world = World::new(2, Faults::default(), Script::default(), vec![Script::default()]);
    world.call("819012345678");
    world.run_for(MINUTE);
    world.assert_settled();
    assert_eq!(world.agents[0].seen.finals, [404], "{}", world.trace());
    assert_eq!(world.node.rows[0].q850, 3);
}

#[test]
fn without_a_media_port_the_call_is_refused() {
    let world = run(vec![Script::default()], |world| world.node.policy.no_ports = true);
    assert_eq!(world.agents[0].seen.finals, [503], "{}", world.trace());
}

#[test]
fn strangers_get_403_or_silence_and_no_record() {
    for (unknown_source, finals) in [(UnknownSource::Forbidden, vec![403]), (UnknownSource::Silent, vec![])] {
        let mut world = World::new(2, Faults::default(), Script::default(), vec![Script::default()]);
        world.node.settings = Settings { unknown_source, ..Settings::default() };
        world.act(1, |agent, now| agent.call(now, "442071230000"));
        world.run_for(MINUTE);
        assert_eq!(world.agents[1].seen.finals, finals, "{}", world.trace());
        assert_eq!((world.node.rows.len(), world.node.calls.len()), (0, 0));
    }
}

#[test]
fn a_redirection_is_followed_or_passed_by_policy() {
    let mut moved = Script::refuses(302);
    moved.headers = vec![("Contact", "<sip:+447700900123@192.0.2.9>".into())];
    let world = run(vec![moved], |_| {});
    let codes = codes(&world);
    assert!(codes.iter().any(|(_, code, is_final)| *code == 302 && !is_final), "{codes:?} {}", world.trace());
    let invite = world.agents[1].seen.invite.as_ref().expect("an INVITE");
    assert!(invite.uri().contains("447700900123"), "{}", invite.uri());
}

#[test]
fn a_loop_ends_by_max_forwards() {
    let mut world = World::new(2, Faults::default(), Script::default(), vec![Script::default()]);
    world.act(0, |agent, now| {
        agent.script.max_forwards = 0;
        agent.call(now, "442071230000");
    });
    world.run_for(MINUTE);
    world.assert_settled();
    assert_eq!(world.agents[0].seen.finals, [483], "{}", world.trace());
}
