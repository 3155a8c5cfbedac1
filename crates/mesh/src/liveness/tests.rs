use super::{Effect, Input, Liveness, State};
use crate::testing::{at, founded, make, member};
use routing::cluster::{ClusterChange, NodeId};
use std::sync::Arc;

fn heard(from: NodeId) -> Input {
    Input::Heard { from, incarnation: 1, rtt: None }
}

fn effects(liveness: &mut Liveness) -> Vec<Effect> {
    std::iter::from_fn(|| liveness.poll_effect()).filter(|effect| !matches!(effect, Effect::Beat { .. })).collect()
}

fn changed(node: NodeId, state: State) -> Effect {
    Effect::Changed { node, state, incarnation: 1 }
}

/// Node 1 of these sites, that has heard all others at 0.
fn node(sites: &[&str]) -> Liveness {
    let mut liveness = Liveness::new(1, at(0));
    liveness.handle_input(at(0), Input::Cluster(Arc::new(founded(sites))));
    for peer in 2..=sites.len() as u64 {
        assert_eq!(liveness.state(peer), Some(State::Suspect), "never heard");
        liveness.handle_input(at(0), heard(peer));
    }
    effects(&mut liveness);
    liveness
}

/// Lets time pass as a shell does, every 10 ms, with these peers heard all along.
fn pass(liveness: &mut Liveness, from: u64, to: u64, beating: &[NodeId]) -> Vec<(u64, Effect)> {
    let mut seen = Vec::new();
    for ms in (from..=to).step_by(10) {
        liveness.handle_timeout(at(ms));
        for peer in beating.iter().filter(|_| ms % 100 == 0) {
            liveness.handle_input(at(ms), heard(*peer));
        }
        seen.extend(effects(liveness).into_iter().map(|effect| (ms, effect)));
    }
    seen
}

fn probes(seen: &[(u64, Effect)]) -> Vec<(u64, NodeId, u32)> {
    let probe = |(ms, effect): &(u64, Effect)| match effect {
        Effect::Probe { via, round, .. } => Some((*ms, *via, *round)),
        Effect::Beat { .. } | Effect::Knock { .. } | Effect::Answer { .. } | Effect::Changed { .. } => None,
    };
    seen.iter().filter_map(probe).collect()
}

#[test]
fn heartbeats_go_out_faster_within_a_site() {
    let mut liveness = Liveness::new(1, at(0));
    liveness.handle_input(at(0), Input::Cluster(Arc::new(founded(&["a", "a", "b"]))));
    let mut beats = [0; 4];
    for ms in (0..1000).step_by(10) {
        liveness.handle_timeout(at(ms));
        while let Some(effect) = liveness.poll_effect() {
            if let Effect::Beat { to } = effect {
                beats[usize::try_from(to).unwrap()] += 1;
            }
        }
    }
    assert_eq!(beats[2..], [10, 5]);
}

#[test]
fn a_neighbour_is_suspect_after_300_ms_and_dead_after_500() {
    let mut liveness = node(&["a", "a", "b"]);
    let seen = pass(&mut liveness, 10, 600, &[3]);
    assert_eq!(seen, [(300, changed(2, State::Suspect)), (500, changed(2, State::Dead))]);
    assert_eq!(liveness.totals().deaths, 1);
}

#[test]
fn another_site_s_node_is_dead_after_a_second_if_an_observer_agrees() {
    let mut liveness = node(&["a", "b", "c"]);
    let seen = pass(&mut liveness, 10, 990, &[3]);
    assert!(seen.contains(&(600, changed(2, State::Suspect))));
    assert_eq!(probes(&seen), [(600, 3, 1), (800, 3, 2)]);
    assert!(seen.contains(&(600, Effect::Knock { about: 2 })));
    liveness.handle_input(at(990), Input::Answered { via: 3, about: 2, round: 2, heard: false });
    assert_eq!(pass(&mut liveness, 1000, 1000, &[3]).last(), Some(&(1000, changed(2, State::Dead))));
}

#[test]
fn one_observer_that_hears_it_keeps_it_from_being_dead() {
    let mut liveness = node(&["a", "b", "c", "d"]);
    let mut seen = Vec::new();
    for round in 0..100 {
        let begin = 10 + round * 100;
        let now = pass(&mut liveness, begin, begin + 90, &[3, 4]);
        for (_, via, round) in probes(&now) {
            let answer = Input::Answered { via, about: 2, round, heard: via == 4 };
            liveness.handle_input(at(begin + 95), answer);
        }
        seen.extend(now);
    }
    assert_eq!(liveness.state(2), Some(State::Suspect));
    assert_eq!((liveness.totals().deaths, liveness.totals().vetoes), (0, 1));
}

#[test]
fn a_sip_address_that_answers_keeps_it_from_being_dead() {
    let mut liveness = node(&["a", "b", "c"]);
    for round in 0..50 {
        let begin = 10 + round * 100;
        for (ms, via, round) in probes(&pass(&mut liveness, begin, begin + 90, &[3])) {
            liveness.handle_input(at(ms), Input::Answered { via, about: 2, round, heard: false });
        }
        liveness.handle_input(at(begin + 95), Input::Knocked { about: 2, answered: begin < 3000 });
        let dead = liveness.state(2) == Some(State::Dead);
        assert_eq!(dead, begin > 3400, "at {begin}");
    }
}

#[test]
fn answers_that_are_old_or_unasked_for_count_for_nothing() {
    let mut liveness = node(&["a", "b", "c"]);
    pass(&mut liveness, 10, 990, &[3]);
    for (via, round) in [(3, 99), (3, u32::MAX - 5), (2, 2), (7, 2)] {
        liveness.handle_input(at(990), Input::Answered { via, about: 2, round, heard: false });
    }
    let seen = pass(&mut liveness, 1000, 1500, &[3]);
    assert!(!seen.iter().any(|(_, effect)| *effect == changed(2, State::Dead)), "{seen:?}");
}

#[test]
fn with_nobody_to_ask_it_takes_a_second_more() {
    let mut liveness = node(&["a", "b"]);
    let seen = pass(&mut liveness, 10, 2500, &[]);
    assert_eq!(seen.last(), Some(&(2000, changed(2, State::Dead))));
}

#[test]
fn nobody_is_dead_because_we_slept() {
    let mut liveness = node(&["a", "a", "b", "c"]);
    pass(&mut liveness, 10, 200, &[2, 3, 4]);
    // Ten seconds later: whatever waited, the timer comes first.
    liveness.handle_timeout(at(10_200));
    assert_eq!(effects(&mut liveness), []);
    assert_eq!(liveness.totals().stalls, 1);
    let seen = pass(&mut liveness, 10_210, 12_900, &[]);
    assert!(!seen.iter().any(|(_, effect)| matches!(effect, Effect::Changed { state: State::Dead, .. })), "{seen:?}");
    assert_eq!(
        pass(&mut liveness, 12_910, 13_300, &[3, 4]).iter().filter(|(_, e)| *e == changed(2, State::Dead)).count(),
        1
    );
}

#[test]
fn a_clock_that_jumps_back_kills_nobody_and_blinds_nobody() {
    let mut liveness = Liveness::new(1, at(3_600_000));
    liveness.handle_input(at(3_600_000), Input::Cluster(Arc::new(founded(&["a", "a"]))));
    liveness.handle_input(at(3_600_000), heard(2));
    effects(&mut liveness);
    let seen = pass(&mut liveness, 0, 3200, &[]);
    assert_eq!(seen.last(), Some(&(3000, changed(2, State::Dead))));
}

#[test]
fn a_stranger_is_awaited_longer_than_a_friend() {
    let mut liveness = Liveness::new(1, at(0));
    liveness.handle_input(at(0), Input::Cluster(Arc::new(founded(&["a", "a"]))));
    let seen = pass(&mut liveness, 0, 3100, &[]);
    assert_eq!(seen, [(0, changed(2, State::Suspect)), (3000, changed(2, State::Dead))]);
}

#[test]
fn a_dead_peer_must_prove_itself_and_longer_each_time() {
    let mut liveness = node(&["a", "a"]);
    let (mut ms, mut needed) = (0, Vec::new());
    for _ in 0..4 {
        pass(&mut liveness, ms + 10, ms + 600, &[]);
        assert_eq!(liveness.state(2), Some(State::Dead));
        ms += 600;
        let mut beats = 0;
        while liveness.state(2) == Some(State::Dead) {
            ms += 100;
            liveness.handle_timeout(at(ms));
            liveness.handle_input(at(ms), heard(2));
            beats += 1;
        }
        needed.push(beats);
    }
    assert_eq!(needed, [3, 6, 12, 12]);
    assert_eq!(liveness.totals().false_alarms, 4);
}

#[test]
fn a_new_life_is_believed_at_once_and_a_former_one_never() {
    let mut cluster = founded(&["a", "a"]);
    let mut liveness = node(&["a", "a"]);
    pass(&mut liveness, 10, 600, &[]);
    assert_eq!(liveness.state(2), Some(State::Dead));
    make(&mut cluster, &ClusterChange::Start(member(2, "a")));
    liveness.handle_input(at(610), Input::Cluster(Arc::new(cluster)));
    assert_eq!(liveness.state(2), Some(State::Suspect));
    liveness.handle_input(at(620), heard(2));
    assert_eq!((liveness.state(2), liveness.totals().strays), (Some(State::Suspect), 1));
    liveness.handle_input(at(630), Input::Heard { from: 2, incarnation: 2, rtt: None });
    assert_eq!(liveness.state(2), Some(State::Up));
    liveness.handle_input(at(640), heard(9));
    assert_eq!(liveness.totals().strays, 2);
}

#[test]
fn who_asks_is_told_whether_we_hear_the_other() {
    let mut liveness = node(&["a", "b", "c"]);
    pass(&mut liveness, 10, 700, &[3]);
    for about in [2, 3, 9] {
        liveness.handle_input(at(700), Input::Asked { from: 3, about, round: 5 });
    }
    let answers: Vec<Effect> =
        effects(&mut liveness).into_iter().filter(|effect| matches!(effect, Effect::Answer { .. })).collect();
    let answer = |about, heard| Effect::Answer { to: 3, about, round: 5, heard };
    assert_eq!(answers, [answer(2, false), answer(3, true)]);
}
