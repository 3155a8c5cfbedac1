//! One rule a test.

use crate::world::{MILLI, SECOND, World};
use routing::model::WithoutLeader;
use sip::clock::Instant;
use std::time::Duration;
use trunk::quota::{
    Acquire, Amount, Leader, Limits, MAX_WAITING, Member, Notice, PATIENCE, Peer, RETRY, Refusal, Reply, Request,
    SETTLE, Term, VALID, leader, member,
};

const T0: Instant = Instant::from_micros(SECOND);
const TERM: Term = Term { epoch: 7, incarnation: 1 };
const TEN: Limits = Limits { channels: Some(10), cps: None };

fn world(nodes: u64, limits: Limits) -> World {
    let mut world = World::new(1, nodes, limits, WithoutLeader::Spend);
    world.after(Duration::from_millis(100));
    world
}

/// A member that knows its leader, node 9, and has told it what it holds.
fn member(limits: Limits, policy: WithoutLeader) -> Member {
    let mut member = Member::new(1, 1, limits, policy);
    member.handle_input(T0, member::Input::Leader { node: 9, term: TERM });
    if let Some(first) = requests(&mut member).pop() {
        answer(&mut member, T0, first.sequence, (0, 0), None);
    }
    member
}

fn requests(member: &mut Member) -> Vec<Request> {
    let effects = std::iter::from_fn(|| member.poll_effect());
    let request = |effect| match effect {
        member::Effect::Send { to: 9, request } => Some(request),
        member::Effect::Send { .. } => panic!("it asks another than its leader"),
        member::Effect::Granted(_) | member::Effect::Denied(..) | member::Effect::Reach(_) => None,
    };
    effects.filter_map(request).collect()
}

fn hear(member: &mut Member, now: Instant, term: Term, notice: Notice) {
    member.handle_input(now, member::Input::Reply(Reply { term, leader: 9, incarnation: 1, notice }));
}

fn answer(member: &mut Member, now: Instant, sequence: u64, granted: (u32, u32), short: Option<Refusal>) {
    let granted = Amount { channels: granted.0, starts: granted.1 };
    hear(member, now, TERM, Notice::Answer { sequence, granted, short, round: 0, over: Some(false) });
}

/// Offers a call that has to wait, answers its request, and says what became of it.
fn granted(member: &mut Member, channels: u32) {
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    let sequence = requests(member).pop().unwrap().sequence;
    answer(member, T0, sequence, (channels, 0), None);
    assert_eq!((member.used(), member.granted()), (1, channels));
}

fn peers(nodes: &[u64]) -> Vec<Peer> {
    nodes.iter().map(|node| Peer { node: *node, incarnation: 1, alive: true }).collect()
}

/// A request as a member sends it.
fn request(node: u64, sequence: u64, held: u32, need: u32) -> Request {
    let amount = |channels| Amount { channels, starts: 0 };
    let (held, used, need, stock) = (amount(held), held, amount(need), amount(0));
    Request {
        term: TERM,
        node,
        incarnation: 1,
        sequence,
        round: 0,
        held,
        used,
        started: 0,
        last_start: None,
        need,
        stock,
    }
}

/// A leader whose census has ended: nobody holds anything, and each of the nodes has said so twice.
fn counted(limits: Limits, nodes: &[u64]) -> Leader {
    let mut leader = Leader::new(T0, 9, TERM, limits, &peers(nodes));
    for round in 1..=2 {
        for node in nodes {
            assert!(leader.is_counting());
            tell(&mut leader, T0, Request { round, ..request(*node, round, 0, 0) });
        }
    }
    assert!(!leader.is_counting());
    leader
}

fn tell(leader: &mut Leader, now: Instant, request: Request) -> Vec<(u64, Notice)> {
    leader.handle_input(now, leader::Input::Request(request));
    said(leader)
}

fn said(leader: &mut Leader) -> Vec<(u64, Notice)> {
    let effects = std::iter::from_fn(|| leader.poll_effect());
    let send = |effect| match effect {
        leader::Effect::Send { to, reply } => Some((to, reply.notice)),
        leader::Effect::Superseded(_) => None,
    };
    effects.filter_map(send).collect()
}

/// Channels granted by the answer to a node, if there is one.
fn given(said: &[(u64, Notice)], node: u64) -> Option<u32> {
    said.iter().find_map(|(to, notice)| match notice {
        Notice::Answer { granted, .. } if *to == node => Some(granted.channels),
        Notice::Answer { .. } | Notice::Wait { .. } | Notice::Ask { .. } => None,
    })
}

#[test]
fn ten_channels_allow_exactly_ten_of_sixty_calls_over_three_nodes_a_hundred_times_in_a_row() {
    let mut world = world(3, TEN);
    world.duration = 500 * MILLI..600 * MILLI;
    for turn in 0..100 {
        let before = world.starts.len();
        (0..60).for_each(|call| world.offer(call % 3));
        world.after(Duration::from_millis(450));
        assert_eq!((world.starts.len() - before, world.used()), (10, 10), "turn {turn}");
        world.after(Duration::from_millis(700));
        assert_eq!(world.used(), 0);
        if turn % 3 == 0 {
            world.kill(turn / 3 % 3);
            world.after(Duration::from_millis(600));
            world.restart(turn / 3 % 3);
            // What the dead life held is counted for so long.
            world.after(SETTLE);
            world.after(Duration::from_millis(20));
        }
    }
}

#[test]
fn one_second_of_calls_may_start_at_once_over_all_nodes_and_no_more() {
    let mut world = world(3, Limits { channels: None, cps: Some(10) });
    for turn in 0..20 {
        let before = world.starts.len();
        (0..60).for_each(|call| world.offer(call % 3));
        world.after(Duration::from_millis(50));
        assert_eq!(world.starts.len() - before, 10, "turn {turn}");
        assert_eq!(world.denied.last(), Some(&Refusal::Rate));
        world.after(Duration::from_millis(1000));
    }
    world.check_rate();
}

#[test]
fn under_steady_overload_the_whole_rate_is_used() {
    let mut world = world(3, Limits { channels: None, cps: Some(20) });
    for call in 0..2000 {
        world.offer(call % 3);
        world.after(Duration::from_millis(5));
    }
    assert!((218..=220).contains(&world.starts.len()), "{} of 20 and 200 starts", world.starts.len());
    world.check_rate();
}

#[test]
fn a_free_channel_is_taken_without_a_message() {
    let mut member = member(TEN, WithoutLeader::Spend);
    granted(&mut member, 3);
    assert_eq!((member.try_acquire(T0), member.try_acquire(T0)), (Acquire::Taken, Acquire::Taken));
    member.release(T0);
    assert_eq!(member.try_acquire(T0), Acquire::Taken);
    assert_eq!(requests(&mut member), []);
}

#[test]
fn a_trunk_without_limits_asks_nobody() {
    let mut member = member(Limits::default(), WithoutLeader::Refuse);
    for _ in 0..1000 {
        assert_eq!(member.try_acquire(T0), Acquire::Taken);
    }
    assert_eq!((requests(&mut member), member.poll_timeout()), (vec![], None));
}

#[test]
fn most_calls_of_a_large_trunk_wait_for_nobody() {
    let mut world = world(3, Limits { channels: Some(3000), cps: None });
    world.duration = 2 * SECOND..4 * SECOND;
    let mut waited = 0;
    for call in 0..3000 {
        world.offer(call % 3);
        let node = world.node(call % 3);
        waited += node.member.waiting();
        world.after(Duration::from_millis(2));
    }
    assert!(waited < 30, "{waited} of 3000 waited");
}

#[test]
fn an_answer_counts_once_and_only_for_the_newest_request() {
    let mut member = member(TEN, WithoutLeader::Spend);
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    let sequence = requests(&mut member)[0].sequence;
    answer(&mut member, T0, sequence - 1, (5, 0), None);
    assert_eq!(member.granted(), 0, "an older one");
    for _ in 0..3 {
        answer(&mut member, T0, sequence, (2, 0), None);
        assert_eq!((member.granted(), member.used()), (2, 1));
    }
}

#[test]
fn a_leader_of_the_past_is_not_obeyed() {
    let mut member = member(TEN, WithoutLeader::Spend);
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    let old = requests(&mut member)[0].sequence;
    let next = Term { epoch: 8, incarnation: 1 };
    hear(&mut member, T0, next, Notice::Ask { round: 1, recall: false, over: false });
    let asked = requests(&mut member);
    assert!(asked.iter().all(|request| request.term == next && request.sequence > old), "{asked:?}");
    answer(&mut member, T0, old, (2, 0), None);
    answer(&mut member, T0, asked[0].sequence, (2, 0), None);
    assert_eq!(member.granted(), 0);
}

#[test]
fn a_leader_that_was_replaced_lends_nothing_more() {
    let mut leader = Leader::new(T0, 9, TERM, TEN, &peers(&[1, 2]));
    tell(&mut leader, T0, request(1, 1, 0, 0));
    tell(&mut leader, T0, Request { term: Term { epoch: 8, incarnation: 1 }, ..request(2, 1, 0, 0) });
    assert_eq!(given(&tell(&mut leader, T0, request(1, 2, 0, 1)), 1), None);
}

#[test]
fn a_new_leader_lends_nothing_before_everybody_has_told_what_it_holds() {
    let mut leader = Leader::new(T0, 9, TERM, TEN, &peers(&[1, 2, 3]));
    assert_eq!(said(&mut leader).len(), 3, "all are asked");
    assert_eq!(given(&tell(&mut leader, T0, Request { round: 1, ..request(1, 1, 2, 20) }), 1), None);
    assert_eq!(given(&tell(&mut leader, T0, Request { round: 1, ..request(2, 1, 5, 0) }), 1), None);
    leader.handle_timeout(T0 + RETRY);
    assert!(matches!(said(&mut leader)[..], [(3, Notice::Ask { .. })]), "who has not answered is asked again");
    leader.handle_input(T0, leader::Input::Fenced { node: 3, incarnation: 1, at: T0 });
    assert_eq!(given(&said(&mut leader), 1), None, "its calls are being taken over");
    let now = T0 + SETTLE;
    leader.handle_timeout(now);
    let asked = said(&mut leader);
    let is_new = |node| asked.iter().any(|(to, notice)| *to == node && matches!(notice, Notice::Ask { round: 3, .. }));
    assert!(is_new(1) && is_new(2), "who has taken its calls over says so: {asked:?}");
    tell(&mut leader, now, Request { round: 3, ..request(1, 2, 2, 20) });
    assert!(leader.is_counting());
    tell(&mut leader, now, Request { round: 3, ..request(2, 2, 5, 0) });
    assert!(leader.is_counting(), "the first may have been handed something by the second since");
    tell(&mut leader, now, Request { round: 4, ..request(1, 3, 2, 20) });
    tell(&mut leader, now, Request { round: 4, ..request(2, 3, 5, 0) });
    // The other has to say that it has nothing idle, before the rest is refused.
    tell(&mut leader, now, Request { round: 5, ..request(2, 4, 5, 0) });
    assert_eq!((leader.granted(), leader.is_counting()), (10, false));
}

#[test]
fn a_new_leader_counts_no_word_that_answers_nothing() {
    let mut leader = Leader::new(T0, 9, TERM, TEN, &peers(&[1, 2]));
    tell(&mut leader, T0, Request { round: 1, ..request(2, 1, 0, 10) });
    // Node 1 wants something, while it cannot say yet what becomes of the calls of the dead that it keeps.
    let said = tell(&mut leader, T0, request(1, 1, 0, 0));
    let asks_again = said.iter().any(|(_, notice)| matches!(notice, Notice::Ask { round: 2, .. }));
    assert!(!asks_again && given(&said, 2).is_none(), "it is no answer: {said:?}");
    // It has handed three of them to node 2 when it answers, which had said before that it holds nothing.
    tell(&mut leader, T0, Request { round: 1, ..request(1, 2, 0, 0) });
    assert!(leader.is_counting());
    tell(&mut leader, T0, Request { round: 2, ..request(1, 3, 0, 0) });
    assert_eq!(given(&tell(&mut leader, T0, Request { round: 2, ..request(2, 2, 3, 10) }), 2), Some(7));
}

#[test]
fn a_request_of_a_leader_before_is_answered_with_a_question() {
    let mut leader = Leader::new(T0, 9, TERM, TEN, &peers(&[1]));
    said(&mut leader);
    let old = Request { term: Term { epoch: 6, incarnation: 1 }, ..request(1, 4, 0, 1) };
    assert!(matches!(tell(&mut leader, T0, old)[..], [(1, Notice::Ask { .. })]));
    assert!(leader.is_counting());
}

#[test]
fn what_the_dead_held_comes_back_when_they_are_fenced_and_their_calls_taken_over() {
    let mut leader = counted(TEN, &[1, 2]);
    assert_eq!(given(&tell(&mut leader, T0, request(2, 3, 0, 8)), 2), Some(8));
    let mut dead = peers(&[1, 2]);
    dead[1].alive = false;
    leader.handle_input(T0, leader::Input::Members(dead));
    let refused = tell(&mut leader, T0, request(1, 3, 0, 5));
    assert_eq!(given(&refused, 1), Some(2), "nobody waits for the dead, and nobody takes what they hold");
    leader.handle_input(T0, leader::Input::Fenced { node: 2, incarnation: 1, at: T0 });
    assert_eq!(given(&tell(&mut leader, T0, request(1, 4, 2, 8)), 1), None, "it waits");
    // Node 1 takes over three of the calls.
    tell(&mut leader, T0, request(1, 5, 5, 8));
    let now = T0 + SETTLE;
    leader.handle_timeout(now);
    let asked = said(&mut leader);
    let [(1, Notice::Ask { round, .. })] = asked[..] else {
        panic!("it is asked whether it has taken more: {asked:?}")
    };
    assert_eq!(leader.granted(), 13, "until then the dead hold them");
    let asked = tell(&mut leader, now, Request { round, ..request(1, 6, 5, 8) });
    assert_eq!((given(&asked, 1), leader.granted()), (None, 13), "and once more");
    let answer = tell(&mut leader, now, Request { round: round + 1, ..request(1, 7, 6, 8) });
    assert_eq!(given(&answer, 1), Some(4), "it has taken over a fourth");
}

#[test]
fn a_life_that_the_tables_do_not_name_gets_nothing() {
    let mut leader = counted(TEN, &[1]);
    assert_eq!(tell(&mut leader, T0, Request { incarnation: 2, ..request(1, 1, 0, 1) }), []);
    assert_eq!(tell(&mut leader, T0, request(5, 1, 0, 1)), []);
}

#[test]
fn a_recall_returns_what_is_idle_and_never_what_is_used() {
    let mut member = member(TEN, WithoutLeader::Spend);
    granted(&mut member, 4);
    hear(&mut member, T0, TERM, Notice::Ask { round: 2, recall: true, over: false });
    let told = requests(&mut member).pop().unwrap();
    assert_eq!((told.held.channels, told.round, member.granted()), (1, 2, 1));
}

#[test]
fn idle_channels_go_back_after_a_while() {
    let mut world = world(2, TEN);
    world.duration = 100 * MILLI..200 * MILLI;
    (0..6).for_each(|call| world.offer(call % 2));
    world.after(Duration::from_secs(1));
    assert_eq!((world.used(), world.held()), (0, 6));
    // Those that were free all through one span go at its end; the last became free within the first.
    world.after(Duration::from_secs(11));
    assert_eq!(world.held(), 0);
    assert!(world.agrees());
}

#[test]
fn a_question_is_never_answered_by_what_was_held_before_calls_were_adopted() {
    let mut member = member(TEN, WithoutLeader::Spend);
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    assert_eq!(requests(&mut member).pop().map(|asked| asked.held.channels), Some(0));
    (0..3).for_each(|_| member.adopt(T0));
    hear(&mut member, T0, TERM, Notice::Ask { round: 2, recall: true, over: false });
    let said = requests(&mut member);
    assert_eq!(said.iter().map(|asked| (asked.round, asked.held.channels)).collect::<Vec<_>>(), [(2, 3)], "{said:?}");
}

#[test]
fn without_its_leader_a_node_spends_its_block_or_refuses_as_the_trunk_says() {
    for (policy, first) in
        [(WithoutLeader::Spend, Acquire::Taken), (WithoutLeader::Refuse, Acquire::Refused(Refusal::Leader))]
    {
        let mut member = member(TEN, policy);
        granted(&mut member, 2);
        assert_eq!(member.try_acquire(T0), Acquire::Taken);
        assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)), "it may be a moment only");
        let now = T0 + PATIENCE;
        member.handle_timeout(now);
        assert!(member.is_cut_off());
        member.release(now);
        assert_eq!(member.try_acquire(now), first);
        assert_eq!(member.try_acquire(now), Acquire::Refused(Refusal::Leader));
        let probe = requests(&mut member).pop().expect("it is asked again all the same");
        answer(&mut member, T0, probe.sequence, (0, 0), None);
        assert!(!member.is_cut_off());
    }
}

#[test]
fn a_leader_that_does_not_answer_for_two_seconds_is_out_of_reach() {
    let mut member = member(TEN, WithoutLeader::Spend);
    let Acquire::Ask(ticket) = member.try_acquire(T0) else { panic!("nothing is free") };
    let mut now = T0;
    let mut sent = requests(&mut member).len();
    while !member.is_cut_off() {
        now = member.poll_timeout().unwrap();
        member.handle_timeout(now);
        let effects: Vec<_> = std::iter::from_fn(|| member.poll_effect()).collect();
        sent += effects.iter().filter(|effect| matches!(effect, member::Effect::Send { .. })).count();
        assert_eq!(effects.contains(&member::Effect::Denied(ticket, Refusal::Leader)), member.is_cut_off());
    }
    assert_eq!((now - T0, sent), (PATIENCE, 14));
}

#[test]
fn after_a_lower_limit_nothing_is_used_again_until_enough_has_ended() {
    let mut world = world(2, TEN);
    world.duration = SECOND..2 * SECOND;
    (0..10).for_each(|call| world.offer(call % 2));
    world.after(Duration::from_millis(20));
    world.resize(Limits { channels: Some(4), cps: None });
    let before = world.starts.len();
    while world.used() > 4 {
        world.offer(0);
        world.offer(1);
        world.after(Duration::from_millis(10));
        assert!(world.used() <= 4 || world.starts.len() == before, "a call began while too many went on");
    }
    world.after(Duration::from_millis(300));
    (0..10).for_each(|call| world.offer(call % 2));
    world.after(Duration::from_millis(20));
    assert_eq!(world.used(), 4);
}

#[test]
fn a_limit_that_comes_later_finds_the_calls_that_began_without_one() {
    let mut world = world(2, Limits { channels: None, cps: Some(1000) });
    world.duration = 5 * SECOND..6 * SECOND;
    (0..6).for_each(|call| world.offer(call % 2));
    world.after(Duration::from_millis(100));
    assert_eq!(world.used(), 6);
    world.allowed = 10;
    world.resize(TEN);
    world.after(Duration::from_millis(100));
    (0..60).for_each(|call| world.offer(call % 2));
    world.after(Duration::from_millis(400));
    assert_eq!(world.used(), 10);
}

#[test]
fn starts_are_worth_nothing_once_they_are_old() {
    let mut member = member(Limits { channels: None, cps: Some(10) }, WithoutLeader::Spend);
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    let sequence = requests(&mut member)[0].sequence;
    answer(&mut member, T0 + VALID, sequence, (0, 5), None);
    assert_eq!(member.used(), 0, "they count from the moment of asking");
    let sequence = requests(&mut member)[0].sequence;
    let later = T0 + VALID + Duration::from_millis(1);
    answer(&mut member, later, sequence, (0, 2), None);
    assert_eq!((member.used(), member.try_acquire(later)), (1, Acquire::Taken));
}

#[test]
fn a_new_leader_begins_with_an_empty_bucket_if_calls_have_just_started() {
    let limits = Limits { channels: None, cps: Some(10) };
    for (ago, starts) in [(Some(Duration::from_millis(999)), 0), (Some(Duration::from_secs(1)), 10), (None, 10)] {
        let mut leader = Leader::new(T0, 9, TERM, limits, &peers(&[1]));
        let need = Amount { channels: 0, starts: 60 };
        tell(&mut leader, T0, Request { round: 1, last_start: ago, ..request(1, 1, 0, 0) });
        let said = tell(&mut leader, T0, Request { round: 2, need, ..request(1, 2, 0, 0) });
        let given = said.iter().find_map(|(_, notice)| match notice {
            Notice::Answer { granted, .. } => Some(granted.starts),
            Notice::Wait { .. } | Notice::Ask { .. } => None,
        });
        assert_eq!(given, Some(starts));
    }
}

#[test]
fn a_call_that_lacks_a_channel_costs_no_start() {
    let mut world = world(2, Limits { channels: Some(2), cps: Some(5) });
    world.duration = 100 * MILLI..110 * MILLI;
    (0..20).for_each(|call| world.offer(call % 2));
    world.after(Duration::from_millis(120));
    assert_eq!((world.starts.len(), world.used()), (2, 0));
    world.offer(0);
    world.offer(1);
    world.after(Duration::from_millis(50));
    assert_eq!(world.starts.len(), 4);
}

#[test]
fn only_so_many_calls_wait() {
    let mut member = member(TEN, WithoutLeader::Spend);
    for _ in 0..MAX_WAITING {
        assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    }
    assert_eq!(member.try_acquire(T0), Acquire::Refused(Refusal::Crowded));
    assert_eq!(requests(&mut member).len(), 1, "one request for all");
}

#[test]
fn a_call_that_gives_up_waiting_takes_nothing() {
    let mut member = member(TEN, WithoutLeader::Spend);
    let Acquire::Ask(ticket) = member.try_acquire(T0) else { panic!("nothing is free") };
    assert!(member.cancel(ticket) && !member.cancel(ticket));
    let sequence = requests(&mut member)[0].sequence;
    answer(&mut member, T0, sequence, (1, 0), None);
    assert_eq!((member.used(), member.free()), (0, 1));
}

#[test]
fn an_adopted_call_counts_even_above_what_was_granted() {
    let mut member = member(TEN, WithoutLeader::Spend);
    granted(&mut member, 2);
    (0..3).for_each(|_| member.adopt(T0));
    assert_eq!((member.used(), member.granted()), (4, 4));
    assert_eq!(requests(&mut member).first().map(|request| request.held.channels), Some(3), "the leader hears at once");
}

#[test]
fn what_an_adopted_call_frees_is_for_nobody_before_the_leader_has_counted_it() {
    let mut member = member(TEN, WithoutLeader::Spend);
    (0..2).for_each(|_| member.adopt(T0));
    let sequence = requests(&mut member)[0].sequence;
    member.release(T0);
    assert_eq!((member.used(), member.free()), (1, 0));
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)), "its channel may have been lent anew");
    // Both are counted by now: the limit is not passed, and the next one stays here.
    answer(&mut member, T0, sequence, (2, 0), None);
    member.release(T0);
    assert_eq!(member.free(), 2);
}

/// What becomes of a call that finds a channel which has just become free, after a new leader has answered what the member holds.
fn after_the_next_leader(mut member: Member, over: Option<bool>) -> Acquire {
    let next = Term { epoch: TERM.epoch + 1, ..TERM };
    member.handle_input(T0, member::Input::Leader { node: 9, term: next });
    member.handle_timeout(T0 + SETTLE);
    let sequence = requests(&mut member).pop().expect("it says what it holds").sequence;
    let granted = Amount::default();
    hear(&mut member, T0 + SETTLE, next, Notice::Answer { sequence, granted, short: None, round: 1, over });
    member.release(T0 + SETTLE);
    member.try_acquire(T0 + SETTLE)
}

#[test]
fn what_a_leader_said_of_too_much_being_held_stands_until_the_next_one_has_counted() {
    let over = || {
        let mut member = member(TEN, WithoutLeader::Spend);
        granted(&mut member, 1);
        assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
        let sequence = requests(&mut member).pop().unwrap().sequence;
        answer(&mut member, T0, sequence, (1, 0), None);
        hear(&mut member, T0, TERM, Notice::Ask { round: 2, recall: false, over: true });
        member
    };
    assert!(matches!(after_the_next_leader(over(), None), Acquire::Ask(_)), "it cannot tell yet");
    assert!(matches!(after_the_next_leader(over(), Some(false)), Acquire::Taken), "it has counted");
}

#[test]
fn what_an_adopted_call_frees_waits_for_a_leader_that_has_counted() {
    let adopted = || {
        let mut member = member(TEN, WithoutLeader::Spend);
        (0..2).for_each(|_| member.adopt(T0));
        member
    };
    assert!(matches!(after_the_next_leader(adopted(), None), Acquire::Ask(_)), "it cannot tell yet");
    assert!(matches!(after_the_next_leader(adopted(), Some(false)), Acquire::Taken), "it has counted");
}

#[test]
fn who_has_not_got_its_grant_yet_cannot_say_that_nothing_of_it_is_idle() {
    let mut leader = counted(TEN, &[1, 2]);
    assert_eq!(given(&tell(&mut leader, T0, request(1, 3, 0, 10)), 1), Some(10));
    assert_eq!(given(&tell(&mut leader, T0, request(2, 3, 0, 1)), 2), None);
    // The question has overtaken the answer: node 1 asks the same again, and its calls have given up meanwhile.
    let again = tell(&mut leader, T0, Request { round: 3, ..request(1, 3, 0, 10) });
    assert_eq!((given(&again, 1), given(&again, 2)), (Some(10), None));
    assert!(matches!(again[..], [_, (1, Notice::Ask { round: 3, .. })]), "{again:?}");
    assert_eq!(given(&tell(&mut leader, T0, Request { round: 3, ..request(1, 4, 0, 0) }), 2), Some(1));
}

#[test]
fn starts_that_a_leader_lent_end_with_its_term() {
    let mut member = member(Limits { channels: None, cps: Some(10) }, WithoutLeader::Spend);
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
    let sequence = requests(&mut member)[0].sequence;
    answer(&mut member, T0, sequence, (0, 3), None);
    let next = Term { epoch: 8, incarnation: 1 };
    member.handle_input(T0, member::Input::Leader { node: 9, term: next });
    assert_eq!(requests(&mut member)[0].held.starts, 0);
    assert!(matches!(member.try_acquire(T0), Acquire::Ask(_)));
}
