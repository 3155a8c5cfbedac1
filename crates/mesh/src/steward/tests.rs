use super::{Duty, Effect, Input, Lead, Seat, Steward};
use crate::lease::Answer;
use crate::liveness::State;
use crate::testing::{at, balanced, founded, make, member};
use crate::times::Waits;
use routing::cluster::{Cluster, ClusterChange, Move, NodeId};
use std::collections::BTreeSet;
use std::sync::Arc;

fn seats(voters: &[NodeId], learners: &[NodeId]) -> Input {
    let seat = |id: NodeId, voter| (id, Seat { address: format!("127.0.0.{id}:7000"), voter, current: true });
    let learners = learners.iter().map(|id| seat(*id, false));
    Input::Raft(voters.iter().map(|id| seat(*id, true)).chain(learners).collect())
}

fn opinion(observer: NodeId, about: NodeId, state: State) -> Input {
    Input::Opinion { observer, about, state }
}

fn effects(steward: &mut Steward) -> Vec<Effect> {
    std::iter::from_fn(|| steward.poll_effect()).collect()
}

/// Lets time pass every 50 ms up to `to`; what was wanted meanwhile.
fn pass(steward: &mut Steward, from: u64, to: u64) -> Vec<Effect> {
    let mut seen = Vec::new();
    for ms in (from..=to).step_by(50) {
        steward.handle_timeout(at(ms));
        seen.extend(effects(steward));
    }
    seen
}

/// Node 1, that began to lead at 0, with all nodes up and all of them voters.
fn leader(cluster: &Cluster) -> Steward {
    let mut steward = Steward::new(1, Waits::default());
    steward.handle_input(at(0), Input::Cluster(Arc::new(cluster.clone())));
    let nodes: Vec<NodeId> = cluster.members().keys().copied().collect();
    for node in &nodes[1..] {
        steward.handle_input(at(0), opinion(1, *node, State::Up));
    }
    steward.handle_input(at(0), seats(&nodes, &[]));
    steward.handle_input(at(0), Input::Leads(Some(Lead { term: 1, former: None })));
    steward
}

fn done(steward: &mut Steward, ms: u64, effect: &Effect, cluster: &Cluster) {
    steward.handle_input(at(ms), Input::Cluster(Arc::new(cluster.clone())));
    steward.handle_input(at(ms), Input::Done { ticket: effect.ticket, made: true });
}

fn moves(effect: &Effect) -> &[Move] {
    match &effect.duty {
        Duty::Place(moves) => moves,
        Duty::Fence { .. } | Duty::AddLearner { .. } | Duty::DropLearner(_) | Duty::SetVoters(_) => {
            panic!("{effect:?}")
        }
    }
}

#[test]
fn a_balanced_cluster_needs_nothing_and_who_does_not_lead_does_nothing() {
    let mut steward = leader(&balanced(&["a", "b", "c"]));
    assert_eq!(pass(&mut steward, 0, 10_000), []);
    let mut idle = Steward::new(1, Waits::default());
    idle.handle_input(at(0), Input::Cluster(Arc::new(founded(&["a", "b", "c"]))));
    idle.handle_input(at(0), opinion(1, 2, State::Dead));
    assert_eq!(pass(&mut idle, 0, 10_000), []);
    assert_eq!(idle.poll_timeout(), None);
}

#[test]
fn a_dead_node_is_fenced_once_its_lease_is_over_and_then_its_shards_are_placed() {
    let mut cluster = balanced(&["a", "b", "c"]);
    let mut steward = leader(&cluster);
    pass(&mut steward, 0, 5000);
    assert!(matches!(steward.renew(at(5000), 2, 1), Answer::Granted { .. }));
    steward.handle_input(at(5050), opinion(1, 2, State::Dead));
    assert_eq!(effects(&mut steward), [], "its lease lasts");
    assert_eq!(pass(&mut steward, 5100, 6150), []);
    steward.handle_timeout(at(6200));
    let fence = effects(&mut steward);
    assert_eq!(fence[0].duty, Duty::Fence { node: 2, incarnation: 1 });
    assert!(matches!(steward.renew(at(6210), 2, 1), Answer::Refused(_)), "it comes back to life too late");
    assert_eq!(pass(&mut steward, 6250, 7000), [], "one fence at a time, and nothing is placed before it is made");
    make(&mut cluster, &ClusterChange::Fence { node: 2, incarnation: 1 });
    done(&mut steward, 7010, &fence[0], &cluster);
    let step = effects(&mut steward);
    let owned = cluster.shards().iter().filter(|shard| shard.owner == Some(2)).count();
    assert!(owned > 300 && moves(&step[0]).len() == owned, "all of them at once");
    assert!(moves(&step[0]).iter().all(|step| cluster.shard(step.shard).owner == Some(2)));
    make(&mut cluster, &ClusterChange::Place(moves(&step[0]).to_vec()));
    done(&mut steward, 7020, &step[0], &cluster);
    let next = pass(&mut steward, 7030, 7300);
    assert!(next.iter().all(|effect| matches!(effect.duty, Duty::Place(_) | Duty::SetVoters(_))), "{next:?}");
}

#[test]
fn a_new_leader_waits_until_what_the_former_one_granted_is_over() {
    let mut steward = leader(&balanced(&["a", "b", "c"]));
    steward.handle_input(at(10), opinion(1, 2, State::Dead));
    assert_eq!(pass(&mut steward, 50, 1150), []);
    assert_eq!(pass(&mut steward, 1200, 1200).len(), 1);
}

#[test]
fn a_fence_that_was_begun_is_brought_to_its_end() {
    let mut steward = leader(&balanced(&["a", "b", "c"]));
    steward.handle_input(at(10), opinion(1, 2, State::Dead));
    let fence = pass(&mut steward, 50, 1200);
    steward.handle_input(at(1300), opinion(1, 2, State::Up));
    steward.handle_input(at(1300), Input::Done { ticket: fence[0].ticket, made: false });
    assert!(matches!(steward.renew(at(1310), 2, 1), Answer::Refused(_)));
    let again = pass(&mut steward, 1350, 1700);
    assert_eq!((again.len(), &again[0].duty), (1, &fence[0].duty));
}

#[test]
fn shards_of_a_node_that_another_leader_fenced_wait_too() {
    let mut cluster = balanced(&["a", "b", "c"]);
    let mut steward = leader(&cluster);
    pass(&mut steward, 0, 2000);
    steward.renew(at(2000), 2, 1);
    make(&mut cluster, &ClusterChange::Fence { node: 2, incarnation: 1 });
    steward.handle_input(at(2010), Input::Cluster(Arc::new(cluster)));
    assert_eq!(effects(&mut steward), []);
    assert_eq!(pass(&mut steward, 2050, 3150), []);
    assert_eq!(pass(&mut steward, 3200, 3250).len(), 1);
}

#[test]
fn a_leader_that_slept_waits_as_a_new_one() {
    let mut steward = leader(&balanced(&["a", "b", "c"]));
    pass(&mut steward, 0, 2000);
    steward.handle_input(at(12_000), opinion(1, 2, State::Dead));
    assert_eq!(effects(&mut steward), [], "another may have led and granted meanwhile");
    assert_eq!(pass(&mut steward, 12_050, 13_150), []);
    assert_eq!(pass(&mut steward, 13_200, 13_200).len(), 1);
}

#[test]
fn who_is_heard_by_another_is_not_fenced() {
    let mut steward = leader(&balanced(&["a", "b", "c"]));
    pass(&mut steward, 0, 2000);
    for ms in (2000..4000).step_by(50) {
        steward.handle_input(at(ms), opinion(3, 2, State::Up));
        steward.handle_input(at(ms), opinion(1, 2, State::Dead));
        assert_eq!(effects(&mut steward), []);
    }
    assert_eq!(pass(&mut steward, 4000, 5000).len(), 1, "its word is a second old");
}

#[test]
fn a_node_that_has_just_started_is_not_fenced_for_its_former_life() {
    let mut cluster = balanced(&["a", "b", "c"]);
    let mut steward = leader(&cluster);
    pass(&mut steward, 0, 1150);
    steward.handle_input(at(1150), opinion(1, 2, State::Dead));
    make(&mut cluster, &ClusterChange::Start(member(2, "b")));
    steward.handle_input(at(1190), Input::Cluster(Arc::new(cluster)));
    assert_eq!(pass(&mut steward, 1200, 4150), []);
    let late = pass(&mut steward, 4200, 4200);
    assert_eq!(late[0].duty, Duty::Fence { node: 2, incarnation: 2 }, "silent for as long as a first contact takes");
}

#[test]
fn steps_without_need_are_paced_and_wait_while_somebody_is_silent() {
    let mut cluster = founded(&["a", "b", "c"]);
    let mut steward = leader(&cluster);
    let first = effects(&mut steward);
    make(&mut cluster, &ClusterChange::Place(moves(&first[0]).to_vec()));
    done(&mut steward, 10, &first[0], &cluster);
    assert_eq!(effects(&mut steward), []);
    let second = pass(&mut steward, 50, 200);
    assert_eq!(second.len(), 1);
    steward.handle_input(at(210), opinion(1, 3, State::Suspect));
    make(&mut cluster, &ClusterChange::Place(moves(&second[0]).to_vec()));
    done(&mut steward, 220, &second[0], &cluster);
    assert_eq!(pass(&mut steward, 250, 10_150), []);
    assert_eq!(pass(&mut steward, 10_200, 10_250).len(), 1, "not for ever");
}

#[test]
fn a_duty_that_failed_or_was_forgotten_is_tried_again() {
    let mut steward = leader(&founded(&["a", "b", "c"]));
    let first = effects(&mut steward);
    steward.handle_input(at(50), Input::Done { ticket: first[0].ticket, made: false });
    assert_eq!(pass(&mut steward, 50, 300), []);
    let again = pass(&mut steward, 350, 400);
    assert_eq!((again.len(), &again[0].duty), (1, &first[0].duty));
    steward.handle_input(at(400), Input::Done { ticket: first[0].ticket, made: true });
    assert_eq!(pass(&mut steward, 450, 10_300), [], "that ticket is used up");
    assert_eq!(pass(&mut steward, 10_350, 10_400).len(), 1);
}

#[test]
fn leadership_lost_is_the_end_of_everything_under_way() {
    let mut steward = leader(&founded(&["a", "b", "c"]));
    steward.handle_input(at(10), Input::Leads(None));
    assert_eq!(effects(&mut steward), [], "not even what was wanted a moment ago");
    assert!(matches!(steward.renew(at(10), 2, 1), Answer::Refused(_)));
    assert_eq!(pass(&mut steward, 50, 5000), []);
}

#[test]
fn members_learn_then_vote_and_who_left_is_let_go() {
    let mut steward = leader(&balanced(&["a", "b", "c"]));
    steward.handle_input(at(0), seats(&[1], &[]));
    assert_eq!(pass(&mut steward, 0, 1950), [], "a new leader looks first");
    let add = pass(&mut steward, 2000, 2050);
    assert_eq!(add[0].duty, Duty::AddLearner { node: 2, address: "127.0.0.2:7000".to_owned() });
    steward.handle_input(at(2100), Input::Done { ticket: add[0].ticket, made: true });
    steward.handle_input(at(2100), seats(&[1], &[2, 3]));
    let vote = pass(&mut steward, 2150, 4100);
    assert_eq!(vote.len(), 1);
    assert_eq!(vote[0].duty, Duty::SetVoters(BTreeSet::from([1, 2, 3])));
    steward.handle_input(at(4100), Input::Done { ticket: vote[0].ticket, made: true });
    steward.handle_input(at(4100), seats(&[1, 2, 3], &[4]));
    assert_eq!(pass(&mut steward, 4150, 6200).last().map(|effect| &effect.duty), Some(&Duty::DropLearner(4)));
}
