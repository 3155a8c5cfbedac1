//! Many small changes, one after the other, at all nodes at once.

use std::time::{Duration, Instant};

use tests::process::report;
use tests::{Cluster, Lab};

/// Clients at each node: each makes its next change when the last one is in force at its node.
const CLIENTS: usize = 6;
/// Changes a second that are asked of a release build.
const RELEASE: f64 = 500.0;
/// What is asked of any build on a machine that does other things: a tenth.
const ANY: f64 = 50.0;

/// A change of one row, told apart by its limit.
fn change(client: &str, number: u32) -> String {
    format!("[[account]]\nname = \"{client}\"\ncurrency = \"EUR\"\ndaily_spend_limit = \"{number}.00\"\n")
}

/// One client: the changes that it made, all of them acknowledged.
#[track_caller]
fn make(cluster: &Cluster<'_>, at: usize, client: &str, until: Instant) -> u32 {
    let mut made = 0;
    while Instant::now() < until {
        let taken = cluster.members()[at].put_tables(&change(client, made + 1));
        assert!(taken.is_ok(), "change {made} of {client}: {taken:?}\n{}", cluster.logs());
        made += 1;
    }
    made
}

#[track_caller]
fn sustained(cluster: &Cluster<'_>, during: Duration) -> f64 {
    let (began, before) = (Instant::now(), cluster.members()[0].own_revision());
    let clients: Vec<(usize, String)> =
        (0..3).flat_map(|at| (0..CLIENTS).map(move |number| (at, format!("client-{at}-{number}")))).collect();
    let made: Vec<u32> = std::thread::scope(|scope| {
        let work = |at, client| scope.spawn(move || make(cluster, at, client, began + during));
        let clients: Vec<_> = clients.iter().map(|(at, client)| work(*at, client)).collect();
        clients.into_iter().map(|client| client.join().expect("every change is taken")).collect()
    });
    let took = began.elapsed();
    let all: u32 = made.iter().sum();
    let visible = cluster.wait_revision(before + u64::from(all), Duration::from_secs(5));
    for member in cluster.members() {
        let text = member.cli(&["export"]).1;
        for ((_, client), made) in clients.iter().zip(&made) {
            let row = text.split("[[account]]").find(|row| row.contains(client)).unwrap_or_default();
            assert!(row.contains(&format!("\"{made}")), "{client} made {made}, at {}: {row}", member.name());
        }
    }
    let rate = f64::from(all) / took.as_secs_f64();
    report(&format!(
        "{all} changes by {} clients in {took:?}: {rate:.0} a second, all of them in force everywhere {visible:?} later",
        clients.len()
    ));
    rate
}

#[test]
fn small_changes_at_all_nodes_at_once() {
    let lab = Lab::shared();
    let cluster = Cluster::three_sites(&lab);
    let rate = sustained(&cluster, Duration::from_secs(3));
    assert!(rate >= ANY, "{rate:.0} changes a second");
}

#[test]
#[ignore = "a figure of a release build: make figures"]
fn figure_five_hundred_small_changes_a_second() {
    let lab = Lab::alone();
    let cluster = Cluster::three_sites(&lab);
    let rate = sustained(&cluster, Duration::from_secs(10));
    assert!(rate >= RELEASE, "{rate:.0} changes a second");
}
