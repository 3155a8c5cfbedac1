//! Random calls over a random network: whatever happens, the invariants hold.

use call::effect::Point;
use call::record::EndedBy;
use sip::Method;
use std::time::Duration;
use testkit::tables::{PARTNERS, view};
use testkit::{Faults, Net, Play, Script, World};

const REGISTER: &str = "register = { registrar = \"192.0.2.2\", username = \"us\", password = \"pw\" }";

fn play(seed: u64, faults: Faults, restores: bool) -> World {
    testkit::play(seed, &Play { faults, restores, ..Play::default() })
}

#[test]
fn every_call_has_one_end_and_gives_everything_back() {
    let limit = std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(400);
    let mut transferred = 0;
    for seed in 0..limit {
        let mut dice = Net::new(seed ^ 0xF00D, Faults::default());
        let faults = Faults { loss: dice.random(300), duplication: dice.random(200), jitter_ms: dice.random(400) };
        let world = play(seed, faults, false);
        // None, where every INVITE got lost.
        assert!(world.node.made <= 1, "retransmissions make no second call, seed {seed}\n{}", world.trace());
        world.assert_settled_for(seed);
        assert_bye_counts(&world, seed);
        transferred += u64::from(world.agents.iter().any(|agent| agent.seen.notified.contains(&(200, true))));
    }
    assert!(transferred > limit / 40, "some calls were transferred: {transferred}");
}

/// Who sent the first BYE of an answered call, and had it answered, has ended the call, at that time; whatever else got
/// lost or is still waited for.
fn assert_bye_counts(world: &World, seed: u64) {
    // Who transfers a call may leave it without ending it.
    if world.agents.iter().any(|agent| agent.seen.replies.contains(&(Method::Refer, 202))) {
        return;
    }
    let Some(bye) = world.node.byes.iter().find(|bye| bye.is_first) else { return };
    let sender = world.agents.iter().position(|agent| agent.address == bye.from).expect("an agent");
    if !world.agents[sender].seen.replies.contains(&(Method::Bye, 200)) {
        return;
    }
    let by = if sender == 0 { EndedBy::Caller } else { EndedBy::Callee };
    let row = world.node.rows.iter().find(|row| row.is_final).expect("a final row");
    let apart = row.ended.0.abs_diff(bye.at.0);
    assert!(row.ended_by == by && apart <= 1_000, "seed {seed}: {row:?}\n{}", world.trace());
}

#[test]
fn a_restored_call_behaves_as_the_call() {
    let mut replaced = 0;
    for seed in 0..200 {
        let plain = play(seed, Faults::default(), false);
        let restored = play(seed, Faults::default(), true);
        replaced += restored.node.restored;
        assert_eq!(plain.net.trace, restored.net.trace, "seed {seed}");
        assert_eq!(plain.node.rows, restored.node.rows, "seed {seed}");
        assert_eq!(plain.node.steers, restored.node.steers, "seed {seed}");
        restored.assert_settled_for(seed);
        // Where nothing gets lost, nobody is left behind.
        for agent in &restored.agents {
            let is_joined = agent.seen.acks > 0 || agent.seen.finals.contains(&200);
            assert!(
                !agent.is_talking() || !is_joined || agent.script.deaf,
                "seed {seed}: {}\n{}",
                agent.address,
                restored.trace()
            );
        }
    }
    assert!(replaced > 50, "some calls were replaced: {replaced}");
}

#[test]
fn a_call_restored_while_it_rings_can_be_cleared_on_both_legs() {
    for after in [1, 50, 150, 250] {
        let mut world = World::new(9, Faults::default(), Script::default(), vec![Script::default()]);
        world.call("442071230000");
        world.run_for(Duration::from_millis(after));
        world.node.crash(world.now);
        let now = world.now;
        world.node.input(now, &mut world.net, 0, call::Input::Hangup { reason: "internal_error" });
        world.run_for(Duration::from_secs(120));
        world.assert_settled();
        assert_eq!(world.agents[0].seen.finals, [503], "{}", world.trace());
        assert!(world.agents[1].seen.ended, "{after} ms\n{}", world.trace());
        assert_eq!(&*world.node.rows[0].reason, "internal_error");
    }
}

#[test]
fn a_second_invite_of_an_attempt_is_the_one_that_a_restored_call_takes_back() {
    let callee = Script { asks: true, answers: Vec::new(), ..Script::default() };
    let mut world = World::new(9, Faults::default(), Script::default(), vec![callee]);
    world.node.view = view(&PARTNERS.replace("timeout_seconds = 4", REGISTER));
    world.call("442071230000");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.agents[1].seen.requests, [Method::Invite, Method::Invite], "{}", world.trace());
    world.node.crash(world.now);
    let now = world.now;
    world.node.input(now, &mut world.net, 0, call::Input::Hangup { reason: "internal_error" });
    world.run_for(Duration::from_secs(120));
    world.assert_settled();
    assert!(world.agents[1].seen.ended, "{}", world.trace());
}

#[test]
fn checkpoints_are_written_when_what_they_say_has_changed() {
    let mut world = World::new(9, Faults::default(), Script::hanging_up(1_000), vec![Script::default()]);
    world.call("442071230000");
    world.run_for(Duration::from_secs(60));
    let points = [Point::C0, Point::C1, Point::C2, Point::C3, Point::C6];
    assert_eq!(world.node.points, points, "{}", world.trace());
    let caller = Script { sdp: false, ..Script::hanging_up(1_000) };
    let mut world = World::new(9, Faults::default(), caller, vec![Script::default()]);
    world.call("442071230000");
    world.run_for(Duration::from_secs(60));
    let points = [Point::C0, Point::C1, Point::C2, Point::C4, Point::C6];
    assert_eq!(world.node.points, points, "a late offer's answer comes in the ACK");
}
