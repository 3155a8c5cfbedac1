//! CANCEL at any moment.

use sip::Method;
use std::time::Duration;
use testkit::agent::{Answer, Ring};
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

fn cancelling_after(ms: u64, callee: Script) -> World {
    let caller = Script { cancel: Some(Duration::from_millis(ms)), ..Script::default() };
    let mut world = World::new(3, Faults::default(), caller, vec![callee]);
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    world
}

#[test]
fn cancel_at_every_moment_leaves_nothing_behind() {
    for ms in 0..400 {
        let world = cancelling_after(ms, Script::default());
        let trace = world.trace();
        let (caller, callee) = (&world.agents[0].seen, &world.agents[1].seen);
        assert_eq!(caller.finals.len(), 1, "{ms} ms\n{trace}");
        if caller.finals[0] == 487 {
            assert!(callee.requests.is_empty() || callee.ended, "the callee hears of it, {ms} ms\n{trace}");
        }
    }
}

#[test]
fn cancel_waits_for_the_first_provisional_response() {
    // The callee says nothing for a while, not even 100.
    let callee = Script { slow: Some(Duration::from_millis(700)), ..Script::default() };
    let world = cancelling_after(100, callee);
    assert_eq!(world.agents[0].seen.finals, [487], "{}", world.trace());
    assert_eq!(world.agents[1].seen.requests, [Method::Invite, Method::Cancel], "{}", world.trace());
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let callee = Script {
        rings: vec![Ring::plain(10, 180)],
        answers: vec![Answer { after: Duration::from_millis(199), code: 200, fork: 0 }],
        ..Script::default()
    };
    let world = cancelling_after(200, callee);
    assert_eq!(world.agents[0].seen.finals, [487], "{}", world.trace());
    let callee = &world.agents[1].seen;
    assert_eq!((callee.acks, callee.requests.contains(&Method::Bye)), (1, true), "{}", world.trace());
}

#[test]
fn a_bye_in_the_early_dialog_is_as_a_cancel() {
    let ringing = Script { answers: Vec::new(), ..Script::default() };
    let mut world = World::new(3, Faults::default(), Script::default(), vec![ringing]);
    world.call("442071230000");
    world.run_for(Duration::from_secs(1));
    world.act(0, |agent, now| agent.request(now, "BYE", "", b""));
    world.run_for(MINUTE);
    world.assert_settled();
    assert_eq!(world.agents[0].seen.finals, [487], "{}", world.trace());
    assert_eq!(world.agents[0].seen.replies, [(Method::Bye, 200)]);
}
