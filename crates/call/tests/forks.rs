//! Forks of the callee, early media, reliable provisional responses.

use call::effect::MediaSide;
use sip::Method;
use std::time::Duration;
use testkit::agent::{Answer, Ring};
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

const fn ring(after: u64, code: u16, fork: u8) -> Ring {
    Ring { after: Duration::from_millis(after), code, sdp: false, reliable: false, fork }
}

const fn answer(after: u64, fork: u8) -> Answer {
    Answer { after: Duration::from_millis(after), code: 200, fork }
}

fn run(caller: Script, callee: Script) -> World {
    let mut world = World::new(4, Faults::default(), caller, vec![callee]);
    world.call("442071230000");
    world.run_for(MINUTE);
    world
}

#[test]
fn each_fork_has_a_dialog_of_its_own_and_the_first_answer_wins() {
    let callee = Script {
        rings: vec![ring(50, 180, 0), ring(60, 180, 1)],
        answers: vec![answer(100, 1), answer(150, 0)],
        ..Script::default()
    };
    let world = run(Script::hanging_up(2_000), callee);
    world.assert_settled();
    let (caller, callee) = (&world.agents[0].seen, &world.agents[1].seen);
    assert_eq!(caller.tags.len(), 2, "{}", world.trace());
    assert_eq!(caller.finals, [200], "{}", world.trace());
    assert_eq!(callee.acks, 2, "both answers are acknowledged\n{}", world.trace());
    assert_eq!(callee.requests, [Method::Invite, Method::Bye, Method::Bye], "and both ended\n{}", world.trace());
    let tag = caller.answer.as_ref().and_then(|answer| answer.to_tag()).expect("a tag");
    assert_eq!(tag, caller.tags[1], "the answer comes in the dialog of its fork");
}

#[test]
fn early_media_steers_the_relay_before_the_answer() {
    let callee = Script {
        rings: vec![Ring { sdp: true, ..ring(50, 183, 0) }],
        answers: vec![answer(3_000, 0)],
        ..Script::default()
    };
    let mut world = World::new(4, Faults::default(), Script::hanging_up(1_000), vec![callee]);
    world.call("442071230000");
    world.run_for(Duration::from_secs(1));
    let sdp = world.agents[0].seen.sdp.clone().expect("a description");
    assert!(String::from_utf8_lossy(&sdp).contains("m=audio 20000 RTP/AVP 8 0 101"), "{sdp:?}");
    let steers = world.node.steers.clone();
    let side = |side| steers.iter().rfind(|steer| steer.side == side).expect("steered");
    assert_eq!(side(MediaSide::A).remote, "192.0.2.1:4000".parse().ok());
    assert_eq!(side(MediaSide::B).remote, "192.0.2.2:4000".parse().ok());
    assert!(side(MediaSide::A).sends && side(MediaSide::A).receives);
    assert!(side(MediaSide::B).payloads.iter().any(|payload| payload.is_event && payload.number == 101));
    world.run_for(MINUTE);
    world.assert_settled();
}

#[test]
fn an_answer_without_description_means_the_early_one_of_its_own_fork() {
    let early = |after, fork| Ring { sdp: true, ..ring(after, 183, fork) };
    let callee = Script {
        rings: vec![early(50, 0), early(80, 1)],
        answers: vec![answer(200, 0)],
        quiet_answer: true,
        ..Script::default()
    };
    let world = run(Script::hanging_up(1_000), callee);
    world.assert_settled();
    let (early, answer) = (&world.agents[1].seen, &world.agents[0].seen.answer);
    assert!(early.requests.contains(&Method::Bye), "{}", world.trace());
    let body = answer.as_ref().and_then(sip::Message::sdp).expect("the caller hears the description again");
    assert!(String::from_utf8_lossy(&body).contains("c=IN IP4 192.0.2.100"));
    assert_eq!(world.node.steers.len(), 6, "the relay follows the fork that answered");
}

#[test]
fn reliability_passes_from_end_to_end() {
    let callee = Script {
        rings: vec![Ring { sdp: true, reliable: true, ..ring(50, 183, 0) }],
        answers: vec![answer(1_000, 0)],
        ..Script::default()
    };
    let mut caller = Script::hanging_up(1_000);
    caller.headers = vec![("Supported", "100rel".into())];
    let world = run(caller, callee.clone());
    world.assert_settled();
    assert_eq!(world.agents[1].seen.requests, [Method::Invite, Method::Prack, Method::Bye], "{}", world.trace());
    assert!(world.agents[0].seen.replies.contains(&(Method::Prack, 200)), "{}", world.trace());
    // A caller that does not know it is offered nothing of the kind.
    let world = run(Script::hanging_up(1_000), callee);
    let invite = world.agents[1].seen.invite.as_ref().expect("an INVITE");
    assert!(!invite.lists(sip::Name::Supported, "100rel"));
}

#[test]
fn a_lost_reliable_response_comes_again() {
    let callee = Script {
        rings: vec![Ring { sdp: true, reliable: true, ..ring(50, 183, 0) }],
        answers: vec![answer(9_000, 0)],
        ..Script::default()
    };
    for seed in 0..20 {
        let mut caller = Script::hanging_up(1_000);
        caller.headers = vec![("Supported", "100rel".into())];
        let faults = Faults { loss: 250, ..Faults::default() };
        let mut world = World::new(seed, faults, caller, vec![callee.clone()]);
        world.call("442071230000");
        world.run_for(Duration::from_secs(8));
        assert!(world.agents[1].seen.requests.contains(&Method::Prack), "seed {seed}\n{}", world.trace());
    }
}

#[test]
fn a_late_offer_goes_through_200_and_ack() {
    let caller = Script { sdp: false, hangup: Some(Duration::from_secs(1)), ..Script::default() };
    let world = run(caller, Script::default());
    world.assert_settled();
    let offer = world.agents[0].seen.answer.as_ref().map(|answer| answer.body()).expect("a 200");
    assert!(String::from_utf8_lossy(&offer).contains("c=IN IP4 192.0.2.100"), "{}", world.trace());
    let answer = world.agents[1].seen.sdp.clone().expect("an answer in the ACK");
    assert!(String::from_utf8_lossy(&answer).contains("c=IN IP4 192.0.2.100"), "{}", world.trace());
    assert_eq!(world.agents[1].seen.acks, 1);
    assert!(world.node.steers.iter().any(|steer| steer.side == MediaSide::B && steer.sends && steer.receives));
}
