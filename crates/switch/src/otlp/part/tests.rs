//! A call as a node sees it, and the phases that it tells.

use super::*;
use crate::otlp::Options;

const ID: CallId = CallId { shard: 3, epoch: 2, call: 42 };

fn now(ms: u64) -> Now {
    Now { mono: Instant::from_micros(1_000_000 + ms * 1_000), wall: Wall(50_000 + ms) }
}

const fn us(ms: u64) -> u64 {
    (50_000 + ms) * 1_000
}

fn queue() -> Queue {
    Queue::new(Options { endpoint: "http://127.0.0.1:4317".to_owned(), percent: 100 })
}

/// What was handed over: which phase, from when to when in milliseconds, and how much happened in it.
fn told(queue: &Queue) -> Vec<(What, u64, u64, usize)> {
    let mut taken = queue.taken.lock();
    let waiting = taken.as_mut().expect("nobody has it");
    let ms = |us: u64| us / 1_000 - 50_000;
    let phases = std::iter::from_fn(|| waiting.try_recv().ok());
    phases.map(|phase| (phase.what, ms(phase.began_us), ms(phase.ended_us), phase.events.len())).collect()
}

fn trunk(name: &str) -> Arc<str> {
    name.into()
}

fn attempt(number: u32, name: &str) -> Note {
    let to = Party::Trunk(trunk(name));
    Note::Attempt { number, to, plan: None, prefix: "44".into(), forwarded_by: Box::default() }
}

fn row(attempt: u32, code: u16, answered: Option<u64>, ended: u64, is_final: bool) -> Box<Row> {
    let none = || trunk("");
    Box::new(Row {
        call: ID,
        attempt,
        is_final,
        started: Wall(50_000),
        ringing: None,
        answered: answered.map(|ms| Wall(50_000 + ms)),
        ended: Wall(50_000 + ended),
        duration_ms: ended - answered.unwrap_or(ended),
        ingress_trunk: trunk("in"),
        egress_trunk: trunk("out"),
        ingress_account: none(),
        egress_account: none(),
        caller_in: "442071230001".into(),
        called_in: "447700900001".into(),
        caller_out: "442071230001".into(),
        called_out: "447700900001".into(),
        lrn: Arc::default(),
        prefix: "44".into(),
        pdd_ms: None,
        sip_code: code,
        q850: 16,
        ended_by: EndedBy::Caller,
        reason: "bye".into(),
        codec: "PCMA".into(),
        mos: 4.1,
        jitter_ms: 1.0,
        loss_percent: 0.0,
        takeovers: 0,
        ingress_call_id: "leg-a@192.0.2.1".into(),
        egress_call_id: "leg-b".into(),
    })
}

fn leg(attempt: u32, name: &str, code: u16) -> Leg {
    Leg { attempt, trunk: trunk(name), code }
}

const fn carried(over: bool) -> What {
    What::Carried { over, figures: None }
}

#[test]
fn each_phase_is_told_at_its_end_with_what_happened_in_it() {
    let (queue, mut part) = (queue(), Part::new(ID, now(0)));
    part.decided(&queue, now(1), &Note::Recognised { from: Party::Trunk(trunk("in")), by: By::Address });
    part.decided(&queue, now(2), &Note::Planned { attempts: 2, lrn: "447700900999".into(), emergency: false });
    assert_eq!(told(&queue), [], "nothing is over");
    part.decided(&queue, now(3), &attempt(1, "alpha"));
    assert_eq!(told(&queue), [(What::Routing, 0, 3, 2)]);
    part.happened(now(9), Happened::Gateway { trunk: trunk("alpha"), fault: Fault::Silent });
    part.decided(&queue, now(10), &attempt(2, "beta"));
    part.recorded(&queue, now(10), &Record::Close(row(1, 408, None, 10, false)));
    assert_eq!(told(&queue), [(What::Attempt(leg(1, "alpha", 408)), 3, 10, 1)]);
    part.recorded(&queue, now(20), &Record::Open(row(2, 200, Some(20), 20, true)));
    assert_eq!(told(&queue), [(What::Attempt(leg(2, "beta", 200)), 10, 20, 0)], "at the answer, not at the end");
    part.happened(now(30), Happened::Heard(MediaSide::A));
    part.recorded(&queue, now(95), &Record::Close(row(2, 200, Some(20), 90, true)));
    part.gone(&queue, now(9_000).mono);
    let last = told(&queue);
    assert_eq!(last.len(), 3, "{last:#?}");
    assert_eq!(last[0], (What::Conversation(leg(2, "out", 200)), 20, 90, 0));
    assert_eq!(last[1], (carried(true), 0, 95, 1));
    let (What::Call(whole), 0, 90, 0) = &last[2] else { panic!("{last:#?}") };
    assert_eq!((whole.duration_ms, whole.code, &*whole.ingress), (Some(70), 200, "in"));
    assert!(!format!("{last:?}").contains("4477") && !format!("{last:?}").contains("192.0.2"));
}

#[test]
fn a_call_that_comes_from_another_node_has_its_root_here_and_the_answer_there() {
    let summary = |answered: Option<u64>| Summary {
        id: ID,
        state: "connected",
        caller: "442071230001".into(),
        called: "447700900001".into(),
        ingress_trunk: trunk("in"),
        egress_trunk: trunk("beta"),
        started: Some(Wall(50_000)),
        answered: answered.map(|ms| Wall(50_000 + ms)),
        seconds: 1,
        codec: Arc::default(),
        attempts: 2,
    };
    let queue = queue();
    let mut part = Part::taken_over(&summary(Some(20)), now(500), 7, Why::NodeLost);
    part.recorded(&queue, now(501), &Record::Open(row(2, 200, Some(20), 501, true)));
    part.happened(now(510), Happened::Followed(Said::Yes));
    part.recorded(&queue, now(900), &Record::Close(row(2, 200, Some(20), 900, true)));
    let last = told(&queue);
    assert_eq!(last[0], (What::Conversation(leg(2, "out", 200)), 20, 900, 0), "the attempt is not told again");
    assert_eq!(last[1], (carried(true), 500, 900, 2));
    assert!(matches!(&last[2], (What::Call(_), 0, 900, 0)) && last.len() == 3, "{last:#?}");

    let mut part = Part::taken_over(&summary(None), now(500), 7, Why::NodeLost);
    part.recorded(&queue, now(600), &Record::Open(row(2, 200, Some(600), 600, true)));
    assert_eq!(told(&queue), [(What::Attempt(leg(2, "beta", 200)), 0, 600, 1)], "one that rang is answered here");
    part.went(&queue, now(700), Some(8));
    part.recorded(&queue, now(701), &Record::Close(row(2, 200, Some(600), 701, true)));
    part.gone(&queue, now(800).mono);
    assert_eq!(told(&queue), [(carried(false), 500, 700, 1)], "the end is told where the call has gone");

    let mut part = Part::taken_over(&summary(None), now(500), 7, Why::NodeLost);
    part.gone(&queue, now(800).mono);
    assert_eq!(told(&queue), [(What::Attempt(leg(0, "beta", 0)), 500, 800, 1), (carried(false), 500, 800, 0)]);
}

#[test]
fn a_stranger_is_not_told_of_and_a_call_that_is_refused_is() {
    let queue = queue();
    let mut part = Part::new(ID, now(0));
    part.decided(&queue, now(1), &Note::TurnedAway { code: 401 });
    part.gone(&queue, now(9_000).mono);
    assert_eq!(told(&queue), []);
    let mut part = Part::new(ID, now(0));
    part.decided(&queue, now(1), &Note::Recognised { from: Party::Line("alice".into()), by: By::Digest });
    part.recorded(&queue, now(2), &Record::Close(row(0, 404, None, 2, true)));
    let all = told(&queue);
    assert!(!format!("{all:?}").contains("alice"), "a line is a person");
    let [(What::Routing, 0, 2, 1), (What::Carried { over: true, .. }, 0, 2, 0), (What::Call(whole), 0, 2, 0)] =
        &all[..]
    else {
        panic!("{all:#?}")
    };
    assert_eq!((whole.code, whole.duration_ms), (404, None));
}

#[test]
fn what_happens_too_often_is_counted_and_codecs_are_names() {
    let (queue, mut part) = (queue(), Part::new(ID, now(0)));
    (0..100).for_each(|ms| part.happened(now(ms), Happened::Heard(MediaSide::B)));
    part.decided(&queue, now(100), &attempt(1, "alpha"));
    let phase = queue.taken.lock().as_mut().and_then(|waiting| waiting.try_recv().ok()).expect("told");
    assert_eq!((phase.events.len(), phase.dropped, phase.events[63].at_us), (64, 36, us(63)));
    assert_eq!(["PCMA", "G722", "telephone-event"].map(codec), ["PCMA", "G722", "telephone-event"]);
    assert_eq!(["447700900001", "a447700900001", "a-name-that-is-far-too-long"].map(codec), [""; 3]);
}
