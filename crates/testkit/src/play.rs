//! Random calls over a random network, with switches that die: everything follows from the seed.

use crate::agent::{Answer, Ring, Script};
use crate::net::{Faults, Net};
use crate::tables;
use crate::world::World;
use std::time::Duration;

/// How a random call is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct Play {
    /// What the network does.
    pub faults: Faults,
    /// After every turn a call is replaced by what its checkpoint restores, where it has one.
    pub restores: bool,
    /// The switch dies at most so often, and is replaced by another one.
    pub deaths: u32,
    /// It dies in the midst of what it does, rather than after it.
    pub torn: bool,
    /// The longest time until another switch takes over.
    pub outage: Duration,
}

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

/// Plays a random call to its end.
#[must_use]
pub fn play(seed: u64, how: &Play) -> World {
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
    let mut world = World::new(seed, how.faults, caller, callees);
    if transfers {
        world.node.view = tables::transfers();
    }
    world.node.restores = how.restores;
    if dice.random(10) == 0 {
        world.node.policy.no_ports = true;
    }
    world.call("442071230000");
    let mut deaths = how.deaths;
    for _ in 0..dice.random(6) {
        let pause = ms(&mut dice, 8_000);
        pass(&mut world, &mut dice, how, &mut deaths, pause);
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
    let rest = ms(&mut dice, 90_000);
    if how.deaths > 0 {
        pass(&mut world, &mut dice, how, &mut deaths, rest);
    }
    world.run_for(HOURS);
    world
}

/// Lets time pass; perhaps the switch dies meanwhile, and another one takes over.
fn pass(world: &mut World, dice: &mut Net, how: &Play, deaths: &mut u32, mut time: Duration) {
    while *deaths > 0 && dice.random(3) != 0 {
        *deaths -= 1;
        let before = ms(dice, u64::try_from(time.as_millis()).unwrap_or(0));
        if how.torn {
            world.run_for(before);
            world.node.fuse = Some(dice.random(12));
            let after = ms(dice, 2_000);
            world.run_for(after);
        } else {
            world.run_for(before);
        }
        time = time.saturating_sub(before);
        world.node.is_dead = true;
        let outage = ms(dice, u64::try_from(how.outage.as_millis()).unwrap_or(0) + 1);
        world.run_for(outage);
        world.fail_over(outage);
    }
    world.run_for(time);
}
