//! Pings, verdicts and the order of trying, in made-up time.

use super::*;
use proptest::prelude::*;
use routing::model::Transport;

const ZERO: Instant = Instant::ORIGIN;

fn row(address: &str, priority: u16, weight: u16, ping_seconds: u32) -> model::Gateway {
    model::Gateway { address: address.into(), transport: Transport::Udp, priority, weight, ping_seconds }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs the clock to `until` and answers each ping at once, or never; says when pings were sent.
fn run(gateway: &mut Gateway, until: Instant, answer: Option<u16>) -> Vec<Instant> {
    let mut sent = Vec::new();
    while let Some(due) = gateway.poll_timeout().filter(|due| *due <= until) {
        gateway.handle_timeout(due);
        while let Some(effect) = gateway.poll_effect() {
            if effect == Effect::Ping {
                sent.push(due);
                if let Some(code) = answer {
                    gateway.handle_ping(due, Outcome::of(code, None));
                }
            }
        }
    }
    sent
}

#[test]
fn an_answering_gateway_is_up_and_pinged_at_its_interval() {
    let mut gateway = Gateway::new(row("a", 1, 1, 10), ZERO, 1);
    assert_eq!(gateway.state(), State::Unknown);
    let sent = run(&mut gateway, ZERO + seconds(100), Some(404));
    assert_eq!((gateway.state(), sent.len()), (State::Up, 10));
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] == seconds(10)), "{sent:?}");
}

#[test]
fn silence_takes_it_down_after_three_and_slows_the_pings() {
    let mut gateway = Gateway::new(row("a", 1, 1, 10), ZERO, 1);
    run(&mut gateway, ZERO + seconds(1), Some(200));
    let sent = run(&mut gateway, ZERO + seconds(30), None);
    assert_eq!((gateway.state(), sent.len()), (State::Down, 3), "three within 21 s, not three intervals");
    let gaps: Vec<_> = run(&mut gateway, ZERO + seconds(600), None).windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= MAX_BACKOFF + PING_TIMEOUT) && gaps.windows(2).all(|two| two[0] <= two[1]));
    let mut late = gateway.clone();
    late.handle_ping(ZERO + seconds(601), Outcome::Response);
    assert!(late.is_usable(ZERO + seconds(601)), "one success is enough");
}

#[test]
fn a_503_counts_as_a_failure_and_its_retry_after_as_a_pause() {
    let mut gateway = Gateway::new(row("a", 1, 1, 10), ZERO, 1);
    run(&mut gateway, ZERO + seconds(20), Some(503));
    assert_eq!(gateway.state(), State::Down);
    let mut unpinged = Gateway::new(row("a", 1, 1, 0), ZERO, 1);
    unpinged.handle_call(ZERO, Outcome::of(503, Some(seconds(30))));
    assert_eq!((unpinged.state(), unpinged.poll_timeout()), (State::Up, None));
    assert!(!unpinged.is_usable(ZERO + seconds(29)) && unpinged.is_usable(ZERO + seconds(30)));
    unpinged.handle_call(ZERO, Outcome::of(503, Some(seconds(86_400))));
    assert!(unpinged.is_usable(ZERO + MAX_PAUSE), "a gateway cannot put itself out for a day");
}

#[test]
fn calls_tell_as_well_and_bring_the_ping_forward() {
    let mut gateway = Gateway::new(row("a", 1, 1, 60), ZERO, 1);
    run(&mut gateway, ZERO + seconds(5), Some(200));
    let now = ZERO + seconds(10);
    gateway.handle_call(now, Outcome::Silence);
    assert_eq!((gateway.state(), gateway.poll_timeout()), (State::Up, Some(now + RECHECK)));
    gateway.handle_call(now + Duration::from_millis(500), Outcome::Silence);
    gateway.handle_call(now + Duration::from_millis(500), Outcome::Silence);
    assert_eq!(gateway.state(), State::Down);
    (0..50).for_each(|_| gateway.handle_call(now + Duration::from_millis(900), Outcome::Silence));
    assert_eq!(gateway.poll_timeout(), Some(now + RECHECK), "calls never put the ping off");
    run(&mut gateway, now + RECHECK, Some(200));
    assert_eq!(gateway.state(), State::Up);
}

#[test]
fn changes_of_state_are_told_once() {
    let mut gateway = Gateway::new(row("a", 1, 1, 10), ZERO, 1);
    gateway.handle_call(ZERO, Outcome::Response);
    gateway.handle_call(ZERO, Outcome::Response);
    assert_eq!(gateway.poll_effect(), Some(Effect::Changed(State::Up)));
    assert_eq!(gateway.poll_effect(), None);
}

#[test]
fn a_new_row_keeps_what_is_known_of_the_same_gateway() {
    let mut set = GatewaySet::new(&[row("a", 1, 1, 10), row("b", 1, 1, 10)], ZERO, 7);
    (0..3).for_each(|_| set.gateway_mut(1).unwrap().handle_call(ZERO, Outcome::Silence));
    set.reconfigure(&[row("b", 5, 1, 10), row("c", 1, 1, 0)], ZERO, 7);
    assert_eq!(set.gateways()[0].state(), State::Down);
    assert_eq!((set.gateways()[0].row().priority, set.candidates(ZERO, 1)), (5, vec![1]));
    set.reconfigure(&[row("b", 5, 1, 0)], ZERO, 7);
    assert_eq!((set.gateways()[0].state(), set.poll_timeout()), (State::Up, None));
}

#[test]
fn weights_share_and_zero_comes_last() {
    let set = GatewaySet::new(&[row("a", 1, 75, 0), row("b", 1, 25, 0), row("z", 1, 0, 0)], ZERO, 7);
    let first = (0..10_000).filter(|seed| set.candidates(ZERO, *seed)[0] == 0).count();
    assert!((7300..7700).contains(&first), "{first} of 10000");
    assert!((0..100).all(|seed| set.candidates(ZERO, seed)[2] == 2));
}

proptest! {
    #[test]
    fn candidates_are_usable_ordered_and_never_empty(
        gateways in prop::collection::vec((0..3u16, 0..3u16, any::<bool>()), 1..8), seed: u64
    ) {
        let row_of = |(at, (priority, weight, _)): (usize, &(u16, u16, bool))| row(&format!("g{at}"), *priority, *weight, 10);
        let rows: Vec<_> = gateways.iter().enumerate().map(row_of).collect();
        let mut set = GatewaySet::new(&rows, ZERO, seed);
        for (index, (_, _, down)) in gateways.iter().enumerate() {
            for _ in 0..if *down { FAILURES } else { 0 } {
                set.gateway_mut(index).unwrap().handle_call(ZERO, Outcome::Silence);
            }
        }
        let order = set.candidates(ZERO, seed);
        let up = gateways.iter().filter(|(_, _, down)| !down).count();
        prop_assert_eq!(order.len(), if up == 0 { gateways.len() } else { up });
        prop_assert!(order.windows(2).all(|pair| gateways[pair[0]].0 <= gateways[pair[1]].0));
        prop_assert!(order.iter().collect::<std::collections::HashSet<_>>().len() == order.len());
        prop_assert!(up == 0 || order.iter().all(|index| !gateways[*index].2));
        prop_assert_eq!(&order, &set.candidates(ZERO, seed));
    }

    #[test]
    fn an_idle_gateway_never_spins(seed: u64, answers in prop::collection::vec(any::<Option<bool>>(), 0..60)) {
        let mut gateway = Gateway::new(row("a", 1, 1, 5), ZERO, seed);
        let mut now = ZERO;
        for answer in answers {
            let due = gateway.poll_timeout().expect("a pinged gateway always has something due");
            prop_assert!(due >= now);
            now = due;
            gateway.handle_timeout(now);
            prop_assert!(gateway.poll_timeout().is_some_and(|next| next > now), "nothing is due again at once");
            while let Some(effect) = gateway.poll_effect() {
                if let (Effect::Ping, Some(good)) = (effect, answer) {
                    gateway.handle_ping(now, Outcome::of(if good { 200 } else { 503 }, None));
                }
            }
        }
    }
}
