//! REFER that the switch follows (RFC 3515, RFC 5589): blind transfer of either party.

use call::Input;
use call::effect::{MediaSide, Steer};
use call::record::EndedBy;
use sip::{Builder, Message, Method, Name};
use std::net::SocketAddr;
use std::time::Duration;
use testkit::agent::Answer;
use testkit::tables::{transfers, transfers_with};
use testkit::{Faults, Script, World};

const SECOND: Duration = Duration::from_secs(1);
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const DAVE: usize = 3;

/// Where `49…` leads: Carol.
const TO_CAROL: &str = "<sip:+4930123456@example.com>";

/// Alice talks to Bob; Carol and Dave may be called.
fn talking(scripts: [Script; 4]) -> World {
    let [alice, others @ ..] = scripts;
    let mut world = World::new(5, Faults::default(), alice, others.into());
    world.node.view = transfers();
    world.call("442071230000");
    world.run_for(SECOND * 2);
    assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking(), "{}", world.trace());
    world
}

fn usual() -> [Script; 4] {
    std::array::from_fn(|_| Script::default())
}

fn with_carol(carol: Script) -> [Script; 4] {
    [Script::default(), Script::default(), carol, Script::default()]
}

fn refer(world: &mut World, who: usize, target: &str) {
    world.act(who, |agent, now| agent.refer(now, target));
    world.run_for(Duration::from_millis(50));
}

/// The code that a REFER is answered with, whatever it holds.
fn answer_to(world: &mut World, who: usize, fill: impl FnOnce(&mut Builder)) -> u16 {
    world.act(who, |agent, now| agent.request_in(now, 0, "REFER", "", b"", fill));
    world.run_for(Duration::from_millis(50));
    let replies = &world.agents[who].seen.replies;
    replies.iter().rfind(|(method, _)| *method == Method::Refer).map_or(0, |(_, code)| *code)
}

fn last(world: &World, side: MediaSide) -> Steer {
    world.node.steers.iter().rfind(|steer| steer.side == side).cloned().expect("steered")
}

fn media_of(world: &World, who: usize) -> Option<SocketAddr> {
    Some(SocketAddr::new(world.agents[who].address.ip(), 4000))
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

fn end(mut world: World, who: usize) -> World {
    world.act(who, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
    world
}

#[test]
fn who_is_called_transfers_the_caller() {
    let mut world = talking(usual());
    refer(&mut world, BOB, TO_CAROL);
    assert_eq!(world.agents[BOB].seen.replies, [(Method::Refer, 202)], "{}", world.trace());
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.notified, [(100, false), (180, false), (200, true)], "{}", world.trace());
    assert_eq!(world.agents[BOB].seen.requests.last(), Some(&Method::Bye));
    assert!(world.agents[ALICE].is_talking() && world.agents[CAROL].is_talking(), "{}", world.trace());
    let invite = world.agents[CAROL].seen.invite.as_ref().expect("called");
    assert!(invite.uri().contains("+4930123456"), "{}", invite.uri());
    assert!(invite.get(Name::From).expect("checked").contains("+442071230001"), "the caller is shown");
    assert!(text(invite).contains("c=IN IP4 192.0.2.100"), "{}", text(invite));
    assert_eq!(world.agents[ALICE].seen.requests, [Method::Invite], "one re-INVITE");
    assert_eq!(last(&world, MediaSide::B).remote, media_of(&world, CAROL));
    assert_eq!(last(&world, MediaSide::A).remote, media_of(&world, ALICE));
    assert_eq!((world.node.books.admitted, world.node.books.seized), (1, 1), "Bob's channel is given back");
    let world = end(world, ALICE);
    assert!(world.agents[CAROL].seen.ended);
    let rows: Vec<_> = world
        .node
        .rows
        .iter()
        .map(|row| (row.attempt, row.is_final, &*row.ingress_trunk, &*row.egress_trunk, row.ended_by, &*row.reason))
        .collect();
    assert_eq!(
        rows,
        [(1, false, "one", "two", EndedBy::Callee, "transferred"), (2, true, "two", "three", EndedBy::Caller, "bye"),]
    );
    assert_eq!(&*world.node.rows[1].called_in, "+4930123456");
}

#[test]
fn a_caller_transfers_whom_it_called_and_pays_for_both() {
    let mut world = talking(usual());
    refer(&mut world, ALICE, TO_CAROL);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[ALICE].seen.notified, [(100, false), (180, false), (200, true)], "{}", world.trace());
    assert!(world.agents[ALICE].seen.ended);
    assert!(world.agents[BOB].is_talking() && world.agents[CAROL].is_talking(), "{}", world.trace());
    assert_eq!(last(&world, MediaSide::A).remote, media_of(&world, CAROL));
    assert_eq!(last(&world, MediaSide::B).remote, media_of(&world, BOB));
    assert_eq!((world.node.books.admitted, world.node.books.seized), (0, 2), "Alice's channel is given back");
    world.run_for(SECOND * 60);
    let world = end(world, CAROL);
    let rows = &world.node.rows;
    assert_eq!(rows.len(), 2, "{rows:?}");
    for (row, trunk, by) in [(&rows[0], "two", EndedBy::Caller), (&rows[1], "three", EndedBy::Callee)] {
        assert_eq!((&*row.ingress_trunk, &*row.egress_trunk, row.ended_by), ("one", trunk, by), "{row:?}");
        assert!(row.duration_ms > 60_000, "each leg that was called is counted to its end: {row:?}");
    }
    assert!(!rows[0].is_final && rows[1].is_final);
}

#[test]
fn what_passes_after_a_transfer_passes_between_the_two_that_are_left() {
    let mut world = talking(usual());
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    for (from, to) in [(ALICE, CAROL), (CAROL, ALICE)] {
        world.act(from, |agent, now| agent.request(now, "INFO", "application/dtmf-relay", b"Signal=1"));
        world.run_for(SECOND);
        assert_eq!(world.agents[to].seen.requests.last(), Some(&Method::Info), "{}", world.trace());
        world.act(from, |agent, now| {
            let body = agent.describe("sendonly");
            agent.request(now, "INVITE", "application/sdp", &body);
        });
        world.run_for(SECOND);
        assert_eq!(world.agents[from].seen.finals.last(), Some(&200), "{}", world.trace());
    }
    end(world, CAROL);
}

#[test]
fn who_was_put_on_hold_to_be_transferred_is_taken_back() {
    let mut world = talking(usual());
    world.act(BOB, |agent, now| {
        let body = agent.describe("sendonly");
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(SECOND);
    assert!(!last(&world, MediaSide::A).sends, "Alice is on hold");
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    let offer = text(world.agents[CAROL].seen.invite.as_ref().expect("called"));
    assert!(offer.contains("a=sendrecv"), "{offer}");
    let told = String::from_utf8_lossy(world.agents[ALICE].seen.sdp.as_ref().expect("told")).into_owned();
    assert!(told.contains("a=sendrecv"), "{told}");
    for side in [MediaSide::A, MediaSide::B] {
        assert!(last(&world, side).sends && last(&world, side).receives, "{}", world.trace());
    }
    end(world, ALICE);
}

#[test]
fn a_transfer_that_fails_leaves_the_call_as_it_was() {
    let mut world = talking(with_carol(Script::refuses(486)));
    let steers = world.node.steers.len();
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.notified, [(100, false), (486, true)], "{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking());
    assert!(world.agents[ALICE].seen.requests.is_empty(), "she hears nothing of it");
    assert_eq!(world.node.steers.len(), steers);
    assert_eq!(world.node.books.seized, 1);
    // And another one may be asked for.
    world.agents[CAROL].script = Script::default();
    world.agents[CAROL].seen = Default::default();
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.notified.last(), Some(&(200, true)), "{}", world.trace());
    let world = end(world, ALICE);
    let rows: Vec<_> = world.node.rows.iter().map(|row| (row.attempt, row.is_final, row.sip_code)).collect();
    assert_eq!(rows, [(2, false, 486), (1, false, 200), (3, true, 200)]);
}

#[test]
fn the_next_attempt_is_made_as_for_any_call() {
    let mut world = talking(with_carol(Script::refuses(503)));
    refer(&mut world, BOB, "<sip:+33123456789@example.com>");
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.notified, [(100, false), (180, false), (200, true)], "{}", world.trace());
    assert!(world.agents[DAVE].is_talking());
    let world = end(world, DAVE);
    let rows: Vec<_> = world.node.rows.iter().map(|row| (row.attempt, &*row.egress_trunk, row.sip_code)).collect();
    assert_eq!(rows, [(2, "three", 503), (1, "two", 200), (3, "four", 200)]);
}

#[test]
fn a_full_trunk_and_silence_fail_a_transfer_too() {
    for full in [true, false] {
        let mut world = talking(with_carol(Script::deaf()));
        if full {
            world.node.policy.full = vec!["three"];
        }
        refer(&mut world, BOB, TO_CAROL);
        world.run_for(SECOND * 6);
        let expected = if full { 503 } else { 408 };
        assert_eq!(world.agents[BOB].seen.notified, [(100, false), (expected, true)], "{}", world.trace());
        assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking());
        end(world, BOB);
    }
}

#[test]
fn who_hangs_up_after_the_202_is_transferred_all_the_same() {
    for (who, stays) in [(ALICE, BOB), (BOB, ALICE)] {
        let mut world = talking(usual());
        refer(&mut world, who, TO_CAROL);
        world.act(who, testkit::Agent::hang_up);
        world.run_for(Duration::from_millis(100));
        assert!(world.agents[stays].is_talking(), "{}", world.trace());
        world.run_for(SECOND * 3);
        assert!(world.agents[stays].is_talking() && world.agents[CAROL].is_talking(), "{}", world.trace());
        assert_eq!(world.agents[who].seen.replies.last(), Some(&(Method::Bye, 200)));
        assert!(!world.agents[who].seen.requests.contains(&Method::Bye), "nobody says BYE twice\n{}", world.trace());
        let world = end(world, stays);
        assert!(world.agents[CAROL].seen.ended, "{}", world.trace());
    }
}

#[test]
fn who_hangs_up_after_the_202_takes_the_other_with_it_when_the_transfer_fails() {
    for (who, stays, by) in [(ALICE, BOB, EndedBy::Caller), (BOB, ALICE, EndedBy::Callee)] {
        let mut world = talking(with_carol(Script::refuses(486)));
        refer(&mut world, who, TO_CAROL);
        world.act(who, testkit::Agent::hang_up);
        let left = world.now.wall.0;
        world.run_for(SECOND * 120);
        world.assert_settled();
        assert!(world.agents[stays].seen.ended, "{}", world.trace());
        let row = world.node.rows.iter().find(|row| row.is_final).expect("a final row");
        assert_eq!((row.attempt, row.ended_by, &*row.reason), (1, by, "bye"), "{row:?}");
        assert!(row.ended.0 - left < 1_000);
    }
}

#[test]
fn when_the_other_party_hangs_up_the_new_leg_is_taken_back() {
    let slow = Script { answers: Vec::new(), ..Script::default() };
    let mut world = talking(with_carol(slow));
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND);
    world.act(ALICE, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert_eq!(world.agents[CAROL].seen.requests, [Method::Invite, Method::Cancel], "{}", world.trace());
    assert_eq!(world.agents[BOB].seen.notified.last(), Some(&(487, true)));
    assert!(world.node.rows.last().is_some_and(|row| row.is_final && row.attempt == 1), "{:?}", world.node.rows);
}

#[test]
fn nobody_is_notified_who_does_not_want_to_be() {
    let mut world = talking(usual());
    let code = answer_to(&mut world, BOB, |builder| {
        builder.add(Name::ReferTo, TO_CAROL);
        builder.add(Name::Require, "norefersub");
        builder.add_as("Refer-Sub", "false");
        builder.add(Name::ReferredBy, "<sip:bob@example.com>");
    });
    assert_eq!(code, 202);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.requests, [Method::Invite, Method::Bye], "{}", world.trace());
    let invite = world.agents[CAROL].seen.invite.as_ref().expect("called");
    assert_eq!(invite.get(Name::ReferredBy), Some("<sip:bob@example.com>"));
    end(world, ALICE);
}

#[test]
fn what_cannot_be_followed_is_refused_as_the_rfcs_say() {
    let mut world = talking(usual());
    let to = |target: &'static str| move |builder: &mut Builder| builder.add(Name::ReferTo, target);
    assert_eq!(answer_to(&mut world, BOB, |_| {}), 400, "no Refer-To");
    let twice = |builder: &mut Builder| {
        builder.add(Name::ReferTo, TO_CAROL);
        builder.add(Name::ReferTo, TO_CAROL);
    };
    assert_eq!(answer_to(&mut world, BOB, twice), 400, "two");
    assert_eq!(answer_to(&mut world, BOB, to("<sip:")), 400);
    assert_eq!(answer_to(&mut world, BOB, to("<sip:example.com>")), 404, "nobody in particular");
    assert_eq!(answer_to(&mut world, BOB, to("<sip:+4930@x;method=BYE>")), 603);
    assert_eq!(answer_to(&mut world, BOB, to("<sip:+4930@x?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>")), 603);
    assert_eq!(answer_to(&mut world, BOB, to("<sip:+7495123456@x>")), 403, "denied to the trunk that asks");
    assert_eq!(answer_to(&mut world, BOB, to("<sip:+81312345678@x>")), 404, "no route");
    let option = |builder: &mut Builder| {
        builder.add(Name::ReferTo, TO_CAROL);
        builder.add(Name::Require, "teleport");
    };
    assert_eq!(answer_to(&mut world, BOB, option), 420);
    assert!(world.agents[BOB].seen.notified.is_empty(), "{}", world.trace());
    assert_eq!(answer_to(&mut world, BOB, to(TO_CAROL)), 202);
    assert_eq!(answer_to(&mut world, BOB, to(TO_CAROL)), 491, "one at a time");
    assert_eq!(answer_to(&mut world, ALICE, to(TO_CAROL)), 491);
    world.run_for(SECOND * 3);
    assert!(world.agents[CAROL].is_talking());
    end(world, ALICE);
}

#[test]
fn an_answer_that_forms_no_session_is_ended_and_the_call_goes_on() {
    let mut world = talking(with_carol(Script { sdp: false, ..Script::default() }));
    world.agents[CAROL].script.quiet_answer = true;
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.notified.last(), Some(&(488, true)), "{}", world.trace());
    assert!(world.agents[CAROL].seen.ended && world.agents[CAROL].seen.acks > 0, "{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking());
    end(world, ALICE);
}

#[test]
fn a_reinvite_that_meets_491_comes_again() {
    let mut world = talking(usual());
    world.agents[ALICE].script.busy = 2;
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 20);
    assert_eq!(world.agents[ALICE].seen.requests, [Method::Invite; 3], "{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[CAROL].is_talking());
    let world = end(world, ALICE);
    assert_eq!(world.node.rows.len(), 2);
}

#[test]
fn who_came_by_a_transfer_may_transfer_in_turn() {
    let mut world = talking(usual());
    refer(&mut world, ALICE, TO_CAROL);
    world.run_for(SECOND * 3);
    // Carol's own trunk would be the first to be tried.
    world.node.policy.full = vec!["three"];
    refer(&mut world, BOB, "<tel:+33123456789>");
    world.run_for(SECOND * 10);
    assert_eq!(world.agents[BOB].seen.notified.last(), Some(&(200, true)), "{}", world.trace());
    assert!(world.agents[CAROL].is_talking() && world.agents[DAVE].is_talking(), "{}", world.trace());
    let world = end(world, DAVE);
    let rows: Vec<_> = world.node.rows.iter().map(|row| (&*row.ingress_trunk, &*row.egress_trunk)).collect();
    assert_eq!(rows, [("two", "three"), ("one", "two"), ("one", "three"), ("two", "four")]);
}

#[test]
fn what_was_under_way_with_one_who_has_left_does_not_touch_the_next() {
    let mut world = World::new(5, Faults::default(), Script::default(), usual()[1..].to_vec());
    world.node.view = transfers_with("session_expires = 90");
    world.call("442071230000");
    world.run_for(Duration::from_millis(45_290));
    // Bob's session is refreshed half a minute after it began, a moment after he has asked; he hears nothing of it.
    world.act(BOB, |agent, now| agent.refer(now, TO_CAROL));
    world.run_for(Duration::from_millis(8));
    world.agents[BOB].script.deaf = true;
    world.run_for(SECOND * 60);
    let refreshed = world.net.trace.iter().any(|line| line.contains("> 192.0.2.2:5060 INVITE sip:agent"));
    assert!(refreshed, "{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[CAROL].is_talking(), "{}", world.trace());
    end(world, ALICE);
}

#[test]
fn media_that_bypasses_goes_to_the_new_party_at_once() {
    let mut world = World::new(5, Faults::default(), Script::default(), usual()[1..].to_vec());
    world.node.view = transfers_with("media = \"bypass\"");
    world.call("442071230000");
    world.run_for(SECOND * 2);
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    let offer = text(world.agents[CAROL].seen.invite.as_ref().expect("called"));
    assert!(offer.contains("c=IN IP4 192.0.2.1\r"), "{offer}");
    let told = String::from_utf8_lossy(world.agents[ALICE].seen.sdp.as_ref().expect("told")).into_owned();
    assert!(told.contains("c=IN IP4 192.0.2.3\r"), "{told}");
    assert_eq!(world.node.books.anchored, 0);
    end(world, CAROL);
}

#[test]
fn where_media_bypasses_the_new_party_hears_that_the_other_has_moved() {
    let mut world = World::new(5, Faults::default(), Script::default(), usual()[1..].to_vec());
    world.node.view = transfers_with("media = \"bypass\"");
    world.call("442071230000");
    world.run_for(SECOND * 2);
    world.agents[ALICE].script.port = 5000;
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[CAROL].seen.requests, [Method::Invite, Method::Invite], "{}", world.trace());
    let told = String::from_utf8_lossy(world.agents[CAROL].seen.sdp.as_ref().expect("told")).into_owned();
    assert!(told.contains("m=audio 5000 "), "{told}");
    assert_eq!(world.agents[ALICE].seen.requests, [Method::Invite], "and no more than that");
    end(world, CAROL);
}

#[test]
fn ports_are_taken_for_a_party_whose_media_must_pass_and_given_back_if_it_does_not_come() {
    for answers in [true, false] {
        let carol = if answers { Script::default() } else { Script::refuses(486) };
        let mut world = World::new(5, Faults::default(), Script::default(), with_carol(carol)[1..].to_vec());
        world.node.view = transfers_with("media = \"bypass\"");
        world.call("442071230000");
        world.run_for(SECOND * 2);
        world.node.view = transfers();
        refer(&mut world, BOB, TO_CAROL);
        world.run_for(SECOND * 3);
        assert_eq!(world.node.books.anchored, i64::from(answers), "{}", world.trace());
        let told = world.agents[ALICE].seen.sdp.as_ref().map(|sdp| String::from_utf8_lossy(sdp).into_owned());
        let through = told.is_some_and(|told| told.contains("c=IN IP4 192.0.2.100"));
        assert_eq!(through, answers, "{}", world.trace());
        end(world, ALICE);
    }
}

#[test]
fn a_refer_before_the_answer_is_refused() {
    let mut world = World::new(5, Faults::default(), Script::default(), usual()[1..].to_vec());
    world.node.view = transfers();
    world.call("442071230000");
    world.run_for(Duration::from_millis(150));
    refer(&mut world, BOB, TO_CAROL);
    assert_eq!(world.agents[BOB].seen.replies, [(Method::Refer, 491)], "{}", world.trace());
    world.run_for(SECOND);
    end(world, ALICE);
}

#[test]
fn who_hides_its_number_hides_it_from_the_next_party_too() {
    let alice = Script { headers: vec![("Privacy", "id".to_owned())], ..Script::default() };
    let mut world = talking([alice, Script::default(), Script::default(), Script::default()]);
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND * 3);
    let invite = world.agents[CAROL].seen.invite.as_ref().expect("called");
    assert!(invite.get(Name::From).expect("checked").contains("anonymous"), "{:?}", invite.get(Name::From));
    assert_eq!(invite.get(Name::Privacy), Some("id"));
    end(world, ALICE);
}

#[test]
fn a_crash_during_or_after_a_transfer_ends_every_leg() {
    let slow = || Script { answers: vec![Answer { after: SECOND * 2, code: 200, fork: 0 }], ..Script::default() };
    for after in [5, 60, 500, 2_040, 2_060, 4_000] {
        for who in [ALICE, BOB] {
            let mut world = talking(with_carol(slow()));
            world.act(who, |agent, now| agent.refer(now, TO_CAROL));
            world.run_for(Duration::from_millis(after));
            world.node.crash(world.now);
            let now = world.now;
            world.node.input(now, &mut world.net, 0, Input::Hangup { reason: "internal_error" });
            world.run_for(SECOND * 120);
            world.assert_settled();
            for agent in &world.agents[..3] {
                let called = agent.seen.invite.is_some() || agent.address == world.agents[ALICE].address;
                assert!(agent.seen.ended || !called, "{after} ms, {who}: {}\n{}", agent.address, world.trace());
            }
        }
    }
}

#[test]
fn a_call_that_came_back_without_its_transfer_tells_so_and_goes_on() {
    let slow = Script { answers: Vec::new(), ..Script::default() };
    let mut world = talking(with_carol(slow));
    refer(&mut world, BOB, TO_CAROL);
    world.run_for(SECOND);
    world.node.crash(world.now);
    world.run_for(SECOND * 10);
    assert_eq!(world.agents[BOB].seen.notified.last(), Some(&(503, true)), "{}", world.trace());
    assert!(world.agents[CAROL].seen.ended, "its INVITE is taken back\n{}", world.trace());
    assert!(world.agents[ALICE].is_talking() && world.agents[BOB].is_talking());
    end(world, BOB);
}
