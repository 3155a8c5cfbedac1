//! Random faults. At every step no more is held than the limit; once the faults stop, exactly the limit is admitted.

use crate::world::{Dice, MILLI, SECOND, Weather, World};
use routing::model::WithoutLeader;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use trunk::quota::{Limits, MAX_WAIT, Refusal, SETTLE};

/// Runs a story for many seeds and says which one failed.
fn seeds(story: fn(u64)) {
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let range = given("QUOTA_SEED").map_or(0..given("QUOTA_SEEDS").unwrap_or(1000), |seed| seed..seed + 1);
    for seed in range {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| story(seed))) {
            println!("QUOTA_SEED={seed} fails");
            resume_unwind(panic);
        }
    }
}

fn limits(dice: &mut Dice) -> Limits {
    let channels = [1, 3, 10, 10, 40][usize::try_from(dice.within(0..5)).unwrap()];
    let cps = [2, 10, 50][usize::try_from(dice.within(0..3)).unwrap()];
    match dice.within(0..4) {
        0 | 1 => Limits { channels: Some(channels), cps: None },
        2 => Limits { channels: Some(channels), cps: Some(cps) },
        _ => Limits { channels: None, cps: Some(cps) },
    }
}

fn world(seed: u64) -> World {
    let mut dice = Dice(seed ^ 0x5eed);
    let (nodes, limits) = (dice.within(1..5), limits(&mut dice));
    let policy = if dice.percent(50) { WithoutLeader::Spend } else { WithoutLeader::Refuse };
    let mut world = World::new(seed, nodes, limits, policy);
    world.lag = [5 * MILLI, 300 * MILLI, 2 * SECOND][usize::try_from(dice.within(0..3)).unwrap()];
    world.weather = Weather { lost: dice.within(0..30), doubled: dice.within(0..30), late: dice.within(0..20) };
    world
}

/// One thing that may happen.
fn trouble(world: &mut World) {
    let nodes = world.nodes.len() as u64;
    let id = world.dice.within(0..nodes);
    match world.dice.within(0..24) {
        0 => world.kill(id),
        1 | 2 => world.restart(id),
        3 => world.fence(id),
        4 => world.elect(),
        5 => drop(world.cut.insert(id)),
        6 | 7 => drop(world.cut.remove(&id)),
        8 | 9 => world.cancel(id),
        _ => {
            for _ in 0..world.dice.within(1..8) {
                world.offer(id);
            }
        }
    }
}

fn bad_day(world: &mut World, length: u64) {
    let end = world.now + length;
    while world.now < end {
        trouble(world);
        let next = world.now + world.dice.within(0..150 * MILLI);
        world.run(next);
    }
}

/// All faults end, all nodes come back, all calls end.
fn calm_down(world: &mut World) {
    world.weather = Weather::default();
    world.lag = 5 * MILLI;
    world.cut.clear();
    for id in 0..world.nodes.len() as u64 {
        world.restart(id);
    }
    // Whoever waits has its answer, and the longest call has ended.
    world.after(MAX_WAIT + Duration::from_secs(3));
    assert_eq!(world.used(), 0, "calls that never end");
}

/// Offers six times the limit over all nodes at once and says how many are admitted.
fn rush(world: &mut World) -> usize {
    world.duration = 100 * SECOND..101 * SECOND;
    let before = world.starts.len();
    let least = world.limits.channels.into_iter().chain(world.limits.cps).min().unwrap();
    world.denied.clear();
    for _ in 0..6 * least {
        let id = world.dice.within(0..world.nodes.len() as u64);
        world.offer(id);
    }
    let moment = world.now;
    world.after(Duration::from_millis(400));
    let admitted = world.starts.len() - before;
    let waited = world.starts.last().map_or(0, |last| last - moment);
    let gained = world.limits.cps.map_or(0, |cps| usize::try_from(waited * u64::from(cps) / SECOND).unwrap());
    assert_eq!(admitted + world.denied.len(), 6 * usize::try_from(least).unwrap(), "some still wait");
    // What the bucket gains while messages travel may be spent too.
    admitted - gained.min(admitted.saturating_sub(usize::try_from(least).unwrap()))
}

#[test]
fn the_limit_holds_on_a_bad_day_and_all_of_it_is_there_afterwards() {
    seeds(|seed| {
        let mut world = world(seed);
        bad_day(&mut world, 6 * SECOND);
        calm_down(&mut world);
        // What those who died held is counted for so long.
        world.after(SETTLE);
        let least = world.limits.channels.into_iter().chain(world.limits.cps).min().unwrap();
        assert_eq!(rush(&mut world), usize::try_from(least).unwrap());
        world.check_rate();
        world.after(Duration::from_secs(12));
        assert!(world.limits.channels.is_none() || world.agrees(), "the ledger is wrong at rest");
        if let Some(channels) = world.limits.channels.filter(|channels| *channels == least) {
            assert_eq!(world.used(), channels);
            world.offer(0);
            world.after(Duration::from_secs(1));
            assert_eq!((world.used(), world.denied.last()), (channels, Some(&Refusal::Channels)));
        }
    });
}

#[test]
fn adopted_calls_and_new_limits_leave_nothing_wrong_behind() {
    seeds(|seed| {
        let mut world = world(seed);
        world.allowed = u32::MAX;
        for _ in 0..8 {
            bad_day(&mut world, 500 * MILLI);
            let id = world.dice.within(0..world.nodes.len() as u64);
            if world.node(id).up && world.dice.percent(60) {
                (0..world.dice.within(1..6)).for_each(|_| world.adopt(id));
            } else {
                let limits = limits(&mut world.dice);
                world.resize(limits);
            }
        }
        world.resize(Limits { channels: Some(10), cps: None });
        calm_down(&mut world);
        world.allowed = 10;
        assert_eq!(rush(&mut world), 10);
        world.after(Duration::from_secs(12));
        assert!(world.agrees(), "the ledger is wrong at rest");
    });
}
