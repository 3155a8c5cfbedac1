//! Random calls over a random network: whatever happens, the invariants hold.

use call::effect::Point;
use call::record::EndedBy;
use sip::Method;
use std::time::Duration;
use testkit::agent::{Answer, Ring};
use testkit::tables::{PARTNERS, view};
use testkit::{Faults, Net, Script, World};

const REGISTER: &str = "register = { registrar = \"192.0.2.2\", username = \"us\", password = \"pw\" }";

const HOURS: Duration = Duration::from_secs(6 * 3600);

fn ms(net: &mut Net, limit: u64) -> Duration {
    Duration::from_millis(net.random(limit))
}

fn callee(net: &mut Net) -> Script {
    let rings = (0..net.random(4))
        .map(|_| Ring {
            after: ms(net, 3_000),
            code: [180, 183, 181][usize::try_from(net.random(3)).unwrap_or(0)],
            sdp: net.random(2) == 0,
            reliable: net.random(4) == 0,
            fork: u8::try_from(net.random(3)).unwrap_or(0),
        })
        .collect();
    let codes = [200, 200, 200, 486, 503, 480, 404, 302];
    let answers = (0..=net.random(2))
        .map(|_| Answer {
            after: ms(net, 5_000),
            code: codes[usize::try_from(net.random(8)).unwrap_or(0)],
            fork: u8::try_from(net.random(3)).unwrap_or(0),
        })
        .collect();
    Script {
        sdp: net.random(8) != 0,
        rings,
        answers,
        cancel: None,
        hangup: (net.random(2) == 0).then(|| ms(net, 60_000)),
        deaf: net.random(12) == 0,
        ..Script::default()
    }
}

fn caller(net: &mut Net) -> Script {
    let mut headers = Vec::new();
    if net.random(3) == 0 {
        headers.push(("Supported", "100rel, timer".to_owned()));
    }
    Script {
        sdp: net.random(6) != 0,
        cancel: (net.random(3) == 0).then(|| ms(net, 6_000)),
        hangup: (net.random(2) == 0).then(|| ms(net, 60_000)),
        headers,
        ..Script::default()
    }
}

/// Somebody who answers most of the time, so that a call gets as far as its transfer.
fn willing(net: &mut Net) -> Script {
    let mut script = callee(net);
    if net.random(4) != 0 {
        script.answers = vec![Answer { after: ms(net, 3_000), code: 200, fork: 0 }];
        script.sdp = net.random(16) != 0;
        script.deaf = false;
        script.hangup = script.hangup.filter(|_| net.random(2) == 0);
    }
    script.busy = u32::try_from(net.random(3)).unwrap_or(0);
    script
}

fn play(seed: u64, faults: Faults, restores: bool) -> World {
    let mut dice = Net::new(seed, Faults::default());
    let transfers = seed % 2 == 1;
    let callees = match transfers {
        true => (0..3).map(|_| willing(&mut dice)).collect(),
        false => vec![callee(&mut dice), callee(&mut dice)],
    };
    let mut caller = caller(&mut dice);
    if transfers {
        caller.cancel = None;
        caller.busy = u32::try_from(dice.random(3)).unwrap_or(0);
    }
    let mut world = World::new(seed, faults, caller, callees);
    if transfers {
        world.node.view = testkit::tables::transfers();
    }
    world.node.restores = restores;
    if dice.random(10) == 0 {
        world.node.policy.no_ports = true;
    }
    world.call("442071230000");
    for _ in 0..dice.random(6) {
        let pause = ms(&mut dice, 8_000);
        world.run_for(pause);
        let who = usize::try_from(dice.random(world.agents.len() as u64)).unwrap_or(0);
        let method = ["INVITE", "UPDATE", "INFO"][usize::try_from(dice.random(3)).unwrap_or(0)];
        let offers = dice.random(4) != 0;
        if transfers && dice.random(2) == 0 {
            let number = ["4930123456", "33123456789", "44207123000", "7495", "8135"];
            let number = number[usize::try_from(dice.random(5)).unwrap_or(0)];
            let leaves = dice.random(3) == 0;
            world.act(who, |agent, now| {
                if agent.is_talking() {
                    agent.refer(now, &format!("<sip:+{number}@example.com>"));
                    // RFC 3261 §15: who was called waits for the ACK.
                    if leaves && (who == 0 || agent.seen.acks > 0) {
                        agent.hang_up(now);
                    }
                }
            });
            continue;
        }
        world.act(who, |agent, now| {
            if agent.is_talking() {
                let body = if offers { agent.describe("sendonly") } else { Default::default() };
                agent.request(now, method, "application/sdp", &body);
            }
        });
    }
    world.run_for(HOURS);
    world
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
    assert_eq!(world.node.points, points, "a late offer's answer comes in the ACK");
}
