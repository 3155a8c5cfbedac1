//! Histories of writes and reads at the same time must be those of one register (`testkit::linear`).

use crate::fleet::{Fleet, until};
use routing::{Change, Row};
use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tables::{Handle, Proposal};
use testkit::linear::{Deed, Event, is_linear};

/// Where the times of a history are counted from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> u64 {
    u64::try_from(ORIGIN.elapsed().as_nanos()).unwrap()
}

fn account(value: u64) -> Row {
    let text = format!("[[account]]\nname = \"x\"\ncurrency = \"EUR\"\nbilling = \"prepaid\"\nbalance = \"{value}\"\n");
    crate::desk::document(&text).rows().next().unwrap().clone()
}

async fn write(handle: &Handle, value: u64) -> Event {
    let began = now();
    let change = Change { put: vec![account(value)], delete: vec![] };
    let made = handle.propose(Proposal { change, ..Proposal::default() }).await;
    Event { deed: Deed::Write(value), began, ended: made.is_ok().then(now) }
}

async fn read(handle: &Handle) -> Option<Event> {
    let began = now();
    handle.read_index().await.ok()?;
    let view = handle.view();
    let value = view.account("x").map_or(0, |found| {
        (0..1000).find(|value| matches!(account(*value), Row::Account(row) if row.balance == found.balance)).unwrap()
    });
    Some(Event { deed: Deed::Read(value), began, ended: Some(now()) })
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
        deeds.iter().filter_map(|event| if let Deed::Read(value) = event.deed { Some(value) } else { None }).collect();
    assert!(reads.len() > 5, "the readers see several values: {reads:?}");
    assert!(is_linear(&deeds), "{deeds:#?}");
}
