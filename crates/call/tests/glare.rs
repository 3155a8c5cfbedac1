//! Requests that cross, come twice, are taken back, or belong to nothing (RFC 3261 §8.2.2.2, §9, §14.2).

use sip::{Builder, Method, Name};
use std::time::Duration;
use testkit::{Faults, Script, World};

const SECOND: Duration = Duration::from_secs(1);

fn talking(callee: Script) -> World {
    let mut world = World::new(8, Faults::default(), Script::default(), vec![callee]);
    world.call("442071230000");
    world.run_for(SECOND * 2);
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "{}", world.trace());
    world
}

fn offer(world: &mut World, agent: usize, method: &str) {
    world.act(agent, |agent, now| {
        let body = agent.describe("sendrecv");
        agent.request(now, method, "application/sdp", &body);
    });
}

fn settle(mut world: World) {
    world.act(0, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
}

#[test]
fn of_two_offers_that_cross_one_passes_and_one_gets_491() {
    for (first, method, second) in [(0, "INVITE", 1), (1, "INVITE", 0), (0, "UPDATE", 1), (1, "UPDATE", 0)] {
        let mut world = talking(Script::default());
        let before = [world.agents[0].seen.finals.len(), world.agents[1].seen.finals.len()];
        offer(&mut world, first, "INVITE");
        world.run_for(Duration::from_micros(500));
        offer(&mut world, second, method);
        world.run_for(SECOND * 5);
        assert_eq!(world.agents[first].seen.finals[before[first]..], [200], "{}", world.trace());
        let seen = &world.agents[second].seen;
        let refused = if method == "INVITE" { seen.finals[before[second]..].to_vec() } else { vec![seen.replies[0].1] };
        assert_eq!(refused, [491], "{}", world.trace());
        // Nothing stays open: the one that had to wait may try again.
        offer(&mut world, second, "INVITE");
        world.run_for(SECOND);
        assert_eq!(world.agents[second].seen.finals.last(), Some(&200), "{}", world.trace());
        settle(world);
    }
}

#[test]
fn a_second_offer_of_the_same_side_is_500_with_a_time_to_wait() {
    let mut world = talking(Script { broods: Some(Duration::ZERO), ..Script::default() });
    offer(&mut world, 0, "INVITE");
    world.run_for(Duration::from_millis(100));
    offer(&mut world, 0, "INVITE");
    world.run_for(SECOND);
    let answer = world.agents[0].seen.answer.as_ref().expect("a final response");
    assert_eq!((answer.code(), answer.get(Name::RetryAfter).is_some()), (Some(500), true), "{}", world.trace());
    settle(world);
}

#[test]
fn a_bye_takes_a_reinvite_that_nobody_has_answered_with_it() {
    for pause in [Duration::ZERO, SECOND * 4] {
        let mut world = talking(Script { broods: Some(pause), ..Script::default() });
        offer(&mut world, 0, "INVITE");
        world.run_for(SECOND);
        let left = world.now.wall.0;
        world.act(0, testkit::Agent::hang_up);
        world.run_for(SECOND * 60);
        assert_eq!(world.agents[0].seen.finals.last(), Some(&487), "{}", world.trace());
        let row = &world.node.rows[0];
        assert!(row.ended.0 - left < 1_000, "{row:?}");
        assert!(world.agents[1].seen.requests.contains(&Method::Cancel), "{}", world.trace());
        world.assert_settled();
    }
}

#[test]
fn cancel_of_a_reinvite_waits_for_the_other_sides_first_response() {
    let mut world = talking(Script { broods: Some(SECOND * 2), ..Script::default() });
    offer(&mut world, 0, "INVITE");
    world.run_for(Duration::from_millis(100));
    world.act(0, testkit::Agent::cancel_reinvite);
    world.run_for(SECOND);
    assert_eq!(world.agents[0].seen.replies.last(), Some(&(Method::Cancel, 200)), "{}", world.trace());
    assert!(!world.agents[1].seen.requests.contains(&Method::Cancel), "not before a response\n{}", world.trace());
    world.run_for(SECOND * 5);
    assert_eq!(world.agents[1].seen.requests.last(), Some(&Method::Cancel), "{}", world.trace());
    assert_eq!(world.agents[0].seen.finals.last(), Some(&487), "{}", world.trace());
    // The call goes on, and its media may change again.
    world.agents[1].script.broods = None;
    offer(&mut world, 1, "INVITE");
    world.run_for(SECOND);
    assert_eq!(world.agents[1].seen.finals.last(), Some(&200), "{}", world.trace());
    settle(world);
}

/// A request of the caller's with this branch and To, as a proxy that forks or a confused peer may send it.
fn stray(world: &mut World, method: Method, cseq: u32, to: &str) -> Option<u16> {
    let (from, switch) = (world.agents[0].address, world.node.address);
    let bytes = Builder::request(method, "sip:442071230000@192.0.2.100")
        .header(Name::Via, format_args!("SIP/2.0/UDP {from};branch=z9hG4bK-other-way-{cseq};rport"))
        .header(Name::MaxForwards, 70)
        .header(Name::From, format_args!("<sip:+442071230001@{}>;tag=caller", from.ip()))
        .header(Name::To, to)
        .header(Name::CallId, format_args!("call-of-{}", from.ip()))
        .header(Name::CSeq, format_args!("{cseq} {}", method.token()))
        .header(Name::Contact, format_args!("<sip:agent@{from}>"))
        .finish();
    world.agents[0].seen.last = None;
    world.net.send(world.now.mono, from, switch, bytes);
    world.run_for(Duration::from_millis(100));
    world.agents[0].seen.last.as_ref().and_then(sip::Message::code)
}

#[test]
fn the_same_invite_by_another_way_is_482_and_what_no_dialog_knows_is_481() {
    let mut world = talking(Script::default());
    let merged = stray(&mut world, Method::Invite, 1, "<sip:442071230000@192.0.2.100>");
    assert_eq!(merged, Some(482), "{}", world.trace());
    let answer = world.agents[0].seen.answer.as_ref().expect("it was answered");
    let to = answer.get(Name::To).expect("checked").to_owned();
    for (cseq, method) in [(7, Method::Bye), (8, Method::Invite), (9, Method::Info)] {
        assert_eq!(stray(&mut world, method, cseq, &format!("{to}0")), Some(481), "{}", world.trace());
    }
    assert!(world.agents.iter().all(testkit::Agent::is_talking), "the call goes on");
    assert_eq!(stray(&mut world, Method::Bye, 10, &to), Some(200), "{}", world.trace());
    world.run_for(SECOND * 60);
    assert_eq!((world.node.rows.len(), world.node.ended), (1, 1), "{}", world.trace());
}
