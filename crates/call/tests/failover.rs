//! Random calls over a random network, whose switch dies now and then and is replaced by another one at another address:
//! whatever happens, every call has one end and one record, and everything that was taken is given back.

use sip::Method;
use std::time::Duration;
use testkit::{Faults, Net, Play, World, play};

fn seeds(usual: u64) -> u64 {
    std::env::var("SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

fn faults(seed: u64) -> Faults {
    let mut dice = Net::new(seed ^ 0xF00D, Faults::default());
    Faults { loss: dice.random(300), duplication: dice.random(200), jitter_ms: dice.random(400) }
}

/// Plays seeds whose switch dies after what it does.
fn die(range: std::ops::Range<u64>) {
    let (mut taken, mut answered) = (0, 0);
    for seed in range.clone() {
        let outage = Duration::from_millis(seed % 4 * 1_000);
        let world = play(seed, &Play { faults: faults(seed), deaths: 2, outage, ..Play::default() });
        world.assert_settled_for(seed);
        taken += u64::from(world.node.rows.iter().any(|row| row.takeovers > 0));
        answered += u64::from(world.node.opened.iter().any(|row| row.takeovers > 0));
    }
    let all = range.end - range.start;
    assert!(taken > all / 4 && answered > all / 8, "some calls were taken over: {taken}, answered ones: {answered}");
}

/// Plays seeds whose switch dies in the midst of what it does.
fn tear(range: std::ops::Range<u64>) {
    for seed in range {
        let outage = Duration::from_millis(seed % 4 * 1_000);
        let how = Play { faults: faults(seed), deaths: 2, torn: true, outage, ..Play::default() };
        play(seed, &how).assert_balanced_for(seed);
        let world = play(seed, &Play { torn: true, deaths: 2, ..Play::default() });
        world.assert_balanced_for(seed);
        assert_survival(&world, seed);
    }
}

/// Nothing gets lost but what is sent to a dead switch.
fn spare(range: std::ops::Range<u64>) {
    let mut followed = 0;
    for seed in range.clone() {
        let world = play(seed, &Play { deaths: 2, ..Play::default() });
        world.assert_settled_for(seed);
        assert_survival(&world, seed);
        let moved = world.node.moved.iter().filter(|(_, moved)| *moved == call::effect::Moved::Answered);
        followed += u64::from(moved.count() >= 2);
    }
    assert!(followed > (range.end - range.start) / 8, "some calls followed: {followed}");
}

/// Where the next switch is there at once, and nothing gets lost, no answered call is, and nobody is left behind.
fn assert_survival(world: &World, seed: u64) {
    for agent in &world.agents {
        let is_joined = agent.seen.acks > 0 || agent.seen.finals.contains(&200);
        assert!(
            !agent.is_talking() || !is_joined || agent.script.deaf,
            "seed {seed}: {} is left\n{}",
            agent.address,
            world.trace()
        );
    }
    // One agent is one party: who is transferred to itself forgets one of its dialogs.
    if world.agents.iter().any(|agent| agent.seen.replies.contains(&(Method::Refer, 202))) {
        return;
    }
    let said_bye = world.undelivered.iter().any(|line| line.starts_with("BYE"));
    for row in world.node.rows.iter().filter(|row| row.takeovers > 0 && row.answered.is_some()) {
        // An agent that supports session timers leaves the refreshing to others.
        let own = ["bye", "duration limit", "session expired"].contains(&&*row.reason);
        assert!(own || said_bye, "seed {seed}: {}\n{}", row.reason, world.trace());
    }
}

#[test]
fn calls_outlive_their_switch() {
    die(0..seeds(300));
}

#[test]
fn calls_outlive_a_switch_that_dies_in_the_midst_of_a_turn() {
    tear(0..seeds(300));
}

#[test]
fn where_nothing_gets_lost_nobody_is_left_behind() {
    spare(0..seeds(200));
}

#[test]
#[ignore = "a long run: thousands of seeds"]
fn thousands_of_calls_outlive_their_switch() {
    die(10_000..10_000 + seeds(20_000));
}

#[test]
#[ignore = "a long run: thousands of seeds"]
fn thousands_of_calls_outlive_a_switch_that_dies_in_the_midst_of_a_turn() {
    tear(10_000..10_000 + seeds(20_000));
}

#[test]
#[ignore = "a long run: thousands of seeds"]
fn of_thousands_nobody_is_left_behind_where_nothing_gets_lost() {
    spare(10_000..10_000 + seeds(20_000));
}
