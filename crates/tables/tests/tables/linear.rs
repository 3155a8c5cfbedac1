//! Histories of writes and reads at the same time must be those of one register (Wing and Gong's search).

use crate::fleet::{Fleet, until};
use routing::{Change, Row};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tables::{Handle, Proposal};

/// What somebody did, and when it began and ended. A write without an end may have been made at any time since, or never.
#[derive(Clone, Copy, Debug)]
struct Deed {
    kind: Kind,
    began: Instant,
    ended: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Write(u64),
    Read(u64),
}

/// Whether an order of the deeds exists that keeps to their times and to the rules of a register that begins with 0.
fn is_linear(deeds: &[Deed]) -> bool {
    assert!(deeds.len() <= 128, "one bit each");
    let must: u128 =
        deeds.iter().enumerate().filter(|(_, deed)| deed.ended.is_some()).fold(0, |all, (at, _)| all | 1 << at);
    let (mut seen, mut open) = (HashSet::new(), vec![(0_u128, 0_u64)]);
    while let Some((done, value)) = open.pop() {
        if done & must == must {
            return true;
        }
        if !seen.insert((done, value)) {
            continue;
        }
        let left = || deeds.iter().enumerate().filter(|(at, _)| done & (1 << at) == 0);
        let first_end = left().filter_map(|(_, deed)| deed.ended).min();
        for (at, deed) in left().filter(|(_, deed)| first_end.is_none_or(|end| deed.began <= end)) {
            match deed.kind {
                Kind::Write(new) => open.push((done | 1 << at, new)),
                Kind::Read(read) if read == value => open.push((done | 1 << at, value)),
                Kind::Read(_) => {}
            }
        }
    }
    false
}

fn account(value: u64) -> Row {
    let text = format!("[[account]]\nname = \"x\"\ncurrency = \"EUR\"\nbilling = \"prepaid\"\nbalance = \"{value}\"\n");
    crate::desk::document(&text).rows().next().unwrap().clone()
}

async fn write(handle: &Handle, value: u64) -> Deed {
    let began = Instant::now();
    let change = Change { put: vec![account(value)], delete: vec![] };
    let made = handle.propose(Proposal { change, ..Proposal::default() }).await;
    Deed { kind: Kind::Write(value), began, ended: made.is_ok().then(Instant::now) }
}

async fn read(handle: &Handle) -> Option<Deed> {
    let began = Instant::now();
    handle.read_index().await.ok()?;
    let view = handle.view();
    let value = view.account("x").map_or(0, |found| {
        (0..1000).find(|value| matches!(account(*value), Row::Account(row) if row.balance == found.balance)).unwrap()
    });
    Some(Deed { kind: Kind::Read(value), began, ended: Some(Instant::now()) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_reads_on_all_nodes_are_those_of_one_register() {
    let fleet = Fleet::new(3, false).await;
    fleet.net.slow(Duration::from_millis(4));
    let workers: Vec<_> = (0..6)
        .map(|worker: u64| {
            let handle = fleet.node(1 + worker % 3).handle.clone();
            tokio::spawn(async move {
                let mut deeds = Vec::new();
                for turn in 0..20 {
                    if worker < 3 {
                        deeds.push(write(&handle, 1 + worker * 100 + turn).await);
                    } else {
                        deeds.extend(read(&handle).await);
                    }
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
                deeds
            })
        })
        .collect();
    let leader = fleet.leader().await.id;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    fleet.net.part(&[leader], &others);
    let rest: Vec<_> = others.iter().map(|id| fleet.node(*id).handle.clone()).collect();
    until("another leads", || rest.iter().any(|handle| handle.leadership().borrow().me)).await;
    fleet.net.heal();
    let mut deeds = Vec::new();
    for worker in workers {
        deeds.extend(worker.await.unwrap());
    }
    deeds.sort_by_key(|deed| deed.began);
    let reads: HashSet<u64> =
        deeds.iter().filter_map(|deed| if let Kind::Read(value) = deed.kind { Some(value) } else { None }).collect();
    assert!(reads.len() > 5, "the readers see several values: {reads:?}");
    assert!(is_linear(&deeds), "{deeds:#?}");
}

#[test]
fn the_search_finds_what_is_wrong() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let deed = |kind, began, ended: u64| Deed { kind, began: at(began), ended: (ended > 0).then(|| at(ended)) };
    let written = deed(Kind::Write(1), 0, 10);
    assert!(is_linear(&[written, deed(Kind::Read(1), 11, 12)]));
    assert!(is_linear(&[written, deed(Kind::Read(0), 5, 12)]), "before it had ended");
    assert!(!is_linear(&[written, deed(Kind::Read(0), 11, 12)]), "an old value after the new one");
    let lost = deed(Kind::Write(2), 0, 0);
    assert!(is_linear(&[lost, deed(Kind::Read(0), 5, 6), deed(Kind::Read(2), 8, 9)]));
    assert!(!is_linear(&[lost, deed(Kind::Read(2), 5, 6), deed(Kind::Read(0), 8, 9)]), "there and gone");
}
