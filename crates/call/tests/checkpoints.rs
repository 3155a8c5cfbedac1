//! What of a call is protected, and that it is before the message that it protects goes on.

use call::effect::Point;
use std::time::Duration;
use testkit::agent::{Answer, Ring};
use testkit::tables::transfers;
use testkit::{Faults, Script, World};

const SECOND: Duration = Duration::from_secs(1);

/// Whether each `what` has a `point` right before it, with nothing sent in between but what `between` names.
fn assert_before(world: &World, point: &str, what: &str, between: &[&str]) -> usize {
    let done = &world.node.done;
    let at: Vec<usize> = (0..done.len()).filter(|at| done[*at] == what).collect();
    for at in &at {
        let before = done[..*at].iter().rev().find(|one| !between.contains(&one.as_str()));
        assert_eq!(before.map(String::as_str), Some(point), "before {what} at {at}: {done:?}\n{}", world.trace());
    }
    at.len()
}

fn played(alice: Script, callees: Vec<Script>, seconds: u32) -> World {
    let mut world = World::new(9, Faults::default(), alice, callees);
    world.call("442071230000");
    world.run_for(SECOND * seconds);
    world
}

#[test]
fn every_invite_and_every_answer_is_protected_before_it_goes() {
    let world = played(Script::hanging_up(1_000), vec![Script::refuses(503), Script::default()], 60);
    assert_eq!(assert_before(&world, "C0", "INVITE", &[]), 2, "of each attempt");
    assert_eq!(assert_before(&world, "C1", "180 INVITE", &[]), 1);
    assert_eq!(assert_before(&world, "C1", "close", &[]), 1, "an attempt that gives way");
    assert_eq!(assert_before(&world, "C2", "200 INVITE", &["ACK again"]), 1);
    let at = |what: &str| world.node.done.iter().rposition(|done| done == what);
    assert!(at("C2") < at("ACK again"), "a callee that nobody can end has no ACK: {:?}", world.node.done);
    assert_eq!(assert_before(&world, "C6", "final", &[]), 1);
    let points = [Point::C0, Point::C1, Point::C0, Point::C1, Point::C2, Point::C3, Point::C6];
    assert_eq!(world.node.points, points);
    let opened = world.node.done.iter().position(|what| what == "open");
    assert!(opened < world.node.done.iter().position(|what| what == "200 INVITE"), "the row is open by then");
}

#[test]
fn a_second_invite_of_an_attempt_is_protected_like_the_first() {
    let register = "register = { registrar = \"192.0.2.2\", username = \"us\", password = \"pw\" }";
    let mut world =
        World::new(9, Faults::default(), Script::default(), vec![Script { asks: true, ..Script::default() }]);
    world.node.view = testkit::tables::view(&testkit::tables::PARTNERS.replace("timeout_seconds = 4", register));
    world.call("442071230000");
    world.run_for(SECOND * 2);
    assert_eq!(assert_before(&world, "C0", "INVITE", &[]), 2, "{:?}", world.node.done);
}

#[test]
fn early_media_and_every_fork_is_protected() {
    let rings = vec![
        Ring { sdp: true, ..Ring::plain(100, 183) },
        Ring { fork: 1, ..Ring::plain(200, 180) },
        Ring { fork: 1, ..Ring::plain(250, 180) },
    ];
    let answers = vec![Answer { after: Duration::from_millis(300), code: 200, fork: 1 }];
    let world = played(Script::hanging_up(1_000), vec![Script { rings, answers, ..Script::default() }], 60);
    assert_eq!(assert_before(&world, "C1", "183 INVITE", &[]), 1);
    assert_eq!(assert_before(&world, "C1", "180 INVITE", &[]), 2);
}

#[test]
fn calls_that_come_to_nothing_end_as_well() {
    let busy = played(Script::default(), vec![Script::refuses(486)], 60);
    let cancelled = Script { cancel: Some(Duration::from_millis(200)), ..Script::default() };
    let slow = Script { answers: Vec::new(), ..Script::default() };
    let cancelled = played(cancelled, vec![slow], 200);
    let mut denied = World::new(9, Faults::default(), Script::default(), vec![Script::default()]);
    denied.call("12345");
    denied.run_for(SECOND * 60);
    for world in [busy, cancelled, denied] {
        world.assert_settled();
        assert_eq!(assert_before(&world, "C6", "final", &[]), 1, "{:?}", world.node.done);
        assert_eq!(world.node.points.last(), Some(&Point::C6));
    }
}

#[test]
fn a_caller_that_has_left_is_called_for_by_nobody_else() {
    let cancelled = Script { cancel: Some(Duration::from_millis(200)), ..Script::default() };
    let world = played(cancelled, vec![Script { answers: Vec::new(), ..Script::default() }], 60);
    let at = |what: &str| world.node.done.iter().position(|done| done == what);
    assert!(at("final") < at("487 INVITE") && at("C6") < at("final"), "{:?}", world.node.done);
}

#[test]
fn every_change_of_the_session_is_protected() {
    let mut world = played(Script::default(), vec![Script::default()], 2);
    for (method, offers) in [("INVITE", true), ("UPDATE", true), ("UPDATE", false), ("INVITE", false)] {
        world.node.points.clear();
        world.act(0, |agent, now| {
            let body = if offers { agent.describe("sendonly") } else { Default::default() };
            agent.request(now, method, "application/sdp", &body);
        });
        world.run_for(SECOND);
        // A late answer comes in the ACK.
        let points: &[Point] = if method == "INVITE" && !offers { &[Point::C4, Point::C4] } else { &[Point::C4] };
        assert_eq!(world.node.points, points, "{method} {offers}\n{}", world.trace());
    }
    world.node.points.clear();
    world.run_for(SECOND * 1_000);
    let refreshed = world.node.points.iter().filter(|point| **point == Point::C4).count();
    assert!(refreshed >= 1, "our refresh: {:?}\n{}", world.node.points, world.trace());
}

#[test]
fn an_offer_that_is_refused_has_used_up_a_version() {
    let mut world = played(Script::default(), vec![Script { moves: vec![(488, &[])], ..Script::default() }], 2);
    world.node.points.clear();
    world.act(0, |agent, now| {
        let body = agent.describe("sendonly");
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(SECOND);
    assert_eq!(world.node.points, [Point::C4], "{}", world.trace());
}

#[test]
fn numbers_are_reserved_before_they_are_used() {
    let mut world = played(Script::default(), vec![Script::default()], 2);
    world.node.points.clear();
    world.node.done.clear();
    for _ in 0..40 {
        world.act(0, |agent, now| agent.request(now, "INFO", "text/plain", b"x"));
        world.run_for(SECOND);
    }
    assert_eq!(world.node.points.len(), 40 / 17 + usize::from(world.node.points.len() > 2), "{:?}", world.node.done);
    let at = world.node.done.iter().position(|what| what == "C4").expect("raised");
    assert_eq!(world.node.done[at + 1], "INFO again");
}

#[test]
fn a_transfer_is_protected_like_a_call() {
    let mut world = World::new(9, Faults::default(), Script::default(), vec![Script::default(), Script::default()]);
    world.node.view = transfers();
    world.call("442071230000");
    world.run_for(SECOND * 2);
    world.act(1, |agent, now| agent.refer(now, "<sip:+4930123456@example.com>"));
    world.run_for(SECOND * 3);
    assert_eq!(assert_before(&world, "C0", "INVITE", &[]), 2, "{:?}", world.node.done);
    assert_eq!(assert_before(&world, "C4", "close", &[]), 1, "the row of the one who has left");
}
