//! Another node goes on with a call that is not answered yet: the caller gets its answer from there.

use call::record::EndedBy;
use sip::{Message, Method, Name};
use std::time::Duration;
use testkit::agent::{Answer, Ring};
use testkit::{Faults, Script, World};

const SECOND: Duration = Duration::from_secs(1);
const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

/// The switch that takes over.
const HEIR: &str = "192.0.2.101";

/// Rings after 100 ms and answers after this many.
fn answering_after(ms: u64) -> Script {
    Script { answers: vec![Answer { after: Duration::from_millis(ms), code: 200, fork: 0 }], ..Script::default() }
}

fn calling(alice: Script, callees: Vec<Script>) -> World {
    let mut world = World::new(5, Faults::default(), alice, callees);
    world.call("442071230000");
    world
}

fn initial(world: &World, who: usize) -> Message {
    world.agents[who].seen.invite.clone().unwrap_or_else(|| panic!("{}", world.trace()))
}

/// The caller talks to `who`, by the new node; then it hangs up, and everything is given back.
fn assert_talks(mut world: World, who: usize) -> World {
    let answer = world.agents[ALICE].seen.answer.clone().unwrap_or_else(|| panic!("{}", world.trace()));
    assert_eq!(answer.code(), Some(200), "{}", world.trace());
    assert!(answer.contact().is_some_and(|contact| contact.uri.contains(HEIR)), "{}", world.trace());
    assert!(String::from_utf8_lossy(&answer.body()).contains(HEIR), "{}", world.trace());
    assert!(answer.top_via().is_some_and(|via| via.host == "192.0.2.1"), "the caller's own Via");
    assert!(world.agents[who].seen.acks > 0 && world.agents[who].is_talking(), "{}", world.trace());
    world.act(ALICE, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
    let row = world.node.rows.iter().find(|row| row.is_final).expect("closed");
    assert_eq!((row.takeovers, row.ended_by, &*row.reason), (1, EndedBy::Caller, "bye"));
    world
}

#[test]
fn a_ringing_call_is_answered_from_the_new_node() {
    for after in [1, 50, 150, 900] {
        let mut world = calling(Script::default(), vec![answering_after(1_000), Script::default()]);
        world.run_for(Duration::from_millis(after));
        let former = world.node.calls[0].summary(world.now).attempts;
        let old = world.agents[BOB].seen.invite.clone();
        world.fail_over(SECOND);
        world.run_for(SECOND * 3);
        let new = initial(&world, BOB);
        if let Some(old) = old {
            assert_ne!(old.call_id(), new.call_id(), "a leg of its own");
            assert!(world.agents[BOB].seen.requests.contains(&Method::Cancel), "{after}\n{}", world.trace());
        }
        assert!(new.contact().is_some_and(|contact| contact.uri.contains(HEIR)));
        let world = assert_talks(world, BOB);
        assert!(world.agents[CAROL].seen.requests.is_empty(), "the same attempt again");
        assert_eq!(former, 1);
        assert_eq!(world.node.rows.len(), 1, "{:?}", world.node.rows);
    }
}

#[test]
fn the_caller_hears_at_once_that_its_call_goes_on_under_the_tag_that_it_knows() {
    let mut world = calling(Script::default(), vec![answering_after(1_000), Script::default()]);
    world.run_for(Duration::from_millis(500));
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(5));
    assert_eq!(world.agents[ALICE].seen.provisionals.last(), Some(&180), "{}", world.trace());
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[ALICE].seen.tags.len(), 1, "{:?}", world.agents[ALICE].seen.tags);
    let tag = world.agents[ALICE].seen.tags[0].clone();
    let answer = world.agents[ALICE].seen.answer.clone().expect("answered");
    assert_eq!(answer.to_tag(), Some(&*tag));
    assert_talks(world, BOB);
}

#[test]
fn what_the_former_node_said_in_the_early_dialog_is_numbered_below() {
    let mut world = calling(Script::default(), vec![answering_after(1_000), Script::default()]);
    world.run_for(Duration::from_millis(500));
    world.act(BOB, |agent, now| agent.request(now, "INFO", "text/plain", b"x"));
    world.run_for(Duration::from_millis(50));
    assert_eq!(world.agents[ALICE].seen.requests, [Method::Info], "{}", world.trace());
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    world.act(BOB, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert!(world.agents[ALICE].seen.ended, "{}", world.trace());
}

#[test]
fn the_delay_until_it_rings_is_that_of_the_caller() {
    let mut world = calling(Script::default(), vec![Script { rings: Vec::new(), ..answering_after(5_000) }]);
    world.run_for(SECOND * 2);
    world.node.is_dead = true;
    world.run_for(SECOND);
    world.agents[BOB].script.answers = answering_after(500).answers;
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    let world = assert_talks(world, BOB);
    let delay = world.node.rows[0].pdd_ms.expect("answered");
    assert!(delay.abs_diff(3_500) < 50, "{delay}");
}

#[test]
fn the_channels_stay_taken_until_the_call_ends() {
    let mut world = calling(Script::default(), vec![answering_after(1_000), Script::default()]);
    world.run_for(Duration::from_millis(500));
    world.fail_over(SECOND);
    assert_eq!(world.node.books.seized, 2);
    // By then nothing is left of the INVITE that was taken back.
    world.run_for(SECOND * 60);
    assert_eq!((world.node.books.seized, world.node.books.anchored), (2, 1), "{}", world.trace());
    assert_talks(world, BOB);
}

#[test]
fn one_that_heard_early_media_gets_a_fork_of_its_own() {
    let ring = Ring { sdp: true, ..Ring::plain(100, 183) };
    let mut world = calling(Script::default(), vec![Script { rings: vec![ring], ..answering_after(1_000) }]);
    world.run_for(Duration::from_millis(500));
    let told = world.agents[ALICE].seen.tags.clone();
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    let answer = world.agents[ALICE].seen.answer.clone().expect("answered");
    assert!(!told.iter().any(|told| answer.to_tag() == Some(told)), "it may not describe itself anew under {told:?}");
    assert_talks(world, BOB);
}

#[test]
fn the_rest_of_the_plan_is_tried_when_the_attempt_fails() {
    let mut world = calling(Script::default(), vec![answering_after(60_000), Script::default()]);
    world.run_for(Duration::from_millis(500));
    world.agents[BOB].script = Script::refuses(503);
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    let world = assert_talks(world, CAROL);
    let rows: Vec<_> = world.node.rows.iter().map(|row| (row.attempt, row.is_final, row.sip_code)).collect();
    assert_eq!(rows, [(1, false, 503), (2, true, 200)]);
}

#[test]
fn an_attempt_that_has_failed_is_not_made_again() {
    let mut world = calling(Script::default(), vec![Script::refuses(503), answering_after(1_000)]);
    world.run_for(Duration::from_millis(500));
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    assert_eq!(world.agents[BOB].seen.requests, [Method::Invite], "{}", world.trace());
    let world = assert_talks(world, CAROL);
    let rows: Vec<_> = world.node.rows.iter().map(|row| (row.attempt, row.is_final, row.sip_code)).collect();
    assert_eq!(rows, [(1, false, 503), (2, true, 200)]);
}

#[test]
fn a_caller_that_changes_its_mind_is_heard() {
    let mut world = calling(Script { cancel: Some(SECOND), ..Script::default() }, vec![answering_after(60_000)]);
    world.run_for(Duration::from_millis(500));
    world.fail_over(SECOND);
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert_eq!(world.agents[ALICE].seen.finals, [487], "{}", world.trace());
    assert!(world.agents[BOB].seen.ended);
    assert_eq!((world.node.rows.len(), world.node.rows[0].ended_by), (1, EndedBy::Caller));
}

#[test]
fn what_the_caller_says_in_the_early_dialog_is_heard() {
    let ring = Ring { reliable: true, sdp: true, ..Ring::plain(100, 183) };
    let alice = Script { headers: vec![("Supported", "100rel".to_owned())], ..Script::default() };
    let mut world = calling(alice, vec![Script { rings: vec![ring], ..answering_after(60_000) }]);
    world.run_for(Duration::from_millis(500));
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(20));
    for (method, code) in [("PRACK", 200), ("INFO", 481), ("BYE", 200)] {
        // Its dialog leads to the node that is gone; whoever keeps to the address of the switch reaches the new one.
        let target = format!("sip:x@{HEIR}:5060");
        world.act(ALICE, |agent, now| agent.request_at(now, 0, method, &target));
        world.run_for(Duration::from_millis(20));
        let replies = &world.agents[ALICE].seen.replies;
        assert_eq!(replies.last(), Some(&(Method::of(method.as_bytes()), code)), "{}", world.trace());
    }
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert_eq!(world.agents[ALICE].seen.finals, [487], "{}", world.trace());
}

#[test]
fn a_callee_that_answered_the_former_node_is_left() {
    let mut world = calling(Script::default(), vec![answering_after(1_000), Script::default()]);
    world.run_for(Duration::from_millis(999));
    // Its 200 is on the way when the node dies.
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(3));
    assert!(world.agents[BOB].seen.requests.contains(&Method::Cancel), "{}", world.trace());
    world.run_for(SECOND * 5);
    assert_talks(world, BOB);
}

#[test]
fn a_call_that_waits_for_its_channel_is_routed() {
    let mut world = calling(Script::default(), vec![Script::default()]);
    world.run_for(Duration::from_millis(1));
    let call = &world.node.calls[0];
    assert!(!call.is_answered());
    assert_eq!(call.peers().len(), 1, "nobody was called yet");
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    assert_talks(world, BOB);
}

#[test]
fn a_200_that_the_caller_never_heard_comes_from_the_new_node() {
    let mut world = calling(Script::default(), vec![Script::default(), Script::default()]);
    world.run_for(Duration::from_millis(302));
    // The 200 of the former node is lost.
    world.net.set_faults(Faults { loss: 1_000, ..Faults::default() });
    world.run_for(Duration::from_millis(5));
    assert!(world.node.opened.len() == 1 && world.agents[ALICE].seen.finals.is_empty(), "{}", world.trace());
    world.net.set_faults(Faults::default());
    world.fail_over(SECOND);
    world.run_for(SECOND * 3);
    let invites = world.agents[ALICE].seen.requests.iter().filter(|method| **method == Method::Invite).count();
    assert_eq!(invites, 0, "the 200 has told it everything\n{}", world.trace());
    assert_talks(world, BOB);
}

#[test]
fn a_caller_whose_ack_went_to_the_former_node_is_asked() {
    let mut world = calling(Script::default(), vec![Script::default(), Script::default()]);
    world.run_for(Duration::from_millis(304));
    assert!(!world.agents[ALICE].seen.finals.is_empty() && !world.node.done.contains(&"C3".to_owned()));
    world.fail_over(SECOND);
    world.run_for(SECOND * 40);
    let within = &world.agents[ALICE].seen.within;
    assert!(within.iter().any(|message| message.method() == Method::Invite), "{}", world.trace());
    assert!(within.iter().all(|message| message.get(Name::Contact).is_none_or(|contact| contact.contains(HEIR))));
    assert!(world.agents.iter().take(2).all(testkit::Agent::is_talking), "{}", world.trace());
    world.act(ALICE, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
    assert!(world.agents[BOB].seen.ended);
}

#[test]
fn a_caller_that_acknowledges_the_former_200_once_more_is_asked() {
    let mut world = calling(Script::default(), vec![Script::default(), Script::default()]);
    world.run_for(Duration::from_millis(304));
    let former = world.agents[ALICE].seen.answer.clone().unwrap_or_else(|| panic!("{}", world.trace()));
    world.fail_over(SECOND);
    world.run_for(Duration::from_millis(2));
    // A third node brings it: it is sent to where the former one was.
    let head = |name| former.get(name).unwrap_or_else(|| panic!("{}", world.trace())).to_owned();
    let ack = format!(
        "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKagain\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
        former.contact().map_or_else(String::new, |contact| contact.uri.to_string()),
        head(Name::From),
        head(Name::To),
        head(Name::CallId),
    );
    let at = |host: &str| format!("{host}:5060").parse().expect("an address");
    world.net.send(world.now.mono, at("192.0.2.1"), at(HEIR), ack.into());
    world.run_for(Duration::from_millis(100));
    let within = &world.agents[ALICE].seen.within;
    assert!(within.iter().any(|message| message.method() == Method::Invite), "{}", world.trace());
    world.run_for(SECOND * 40);
    world.act(ALICE, testkit::Agent::hang_up);
    world.run_for(SECOND * 120);
    world.assert_settled();
}

#[test]
fn an_answer_that_the_ack_was_to_bring_comes_by_either_way() {
    // The 200 of the former node reaches the caller, or not; then its ACK goes there, or here.
    for heard in [false, true] {
        let mut world = calling(Script { sdp: false, ..Script::default() }, vec![Script::default(), Script::default()]);
        world.run_for(Duration::from_millis(302));
        world.net.set_faults(Faults { loss: if heard { 0 } else { 1_000 }, ..Faults::default() });
        world.run_for(Duration::from_millis(2));
        world.net.set_faults(Faults::default());
        assert_eq!(world.agents[ALICE].seen.finals.len(), usize::from(heard), "{}", world.trace());
        world.fail_over(SECOND);
        world.run_for(SECOND * 60);
        assert!(world.agents.iter().take(2).all(testkit::Agent::is_talking), "{heard}\n{}", world.trace());
        assert!(world.agents[BOB].seen.acks > 0 && world.agents[BOB].seen.timeouts == 0, "{heard}\n{}", world.trace());
        let steers = &world.node.steers;
        assert!(steers.iter().any(|steer| steer.remote == Some("192.0.2.1:4000".parse().expect("an address"))));
        assert!(steers.iter().any(|steer| steer.remote == Some("192.0.2.2:4000".parse().expect("an address"))));
        world.act(BOB, testkit::Agent::hang_up);
        world.run_for(SECOND * 120);
        world.assert_settled();
        assert!(world.agents[ALICE].seen.ended);
    }
}
