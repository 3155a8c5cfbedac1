//! How many small changes a second a cluster on disks takes.

use crate::fleet::Fleet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_changes_on_three_nodes_with_disks() {
    let fleet = Fleet::new(3, true).await;
    let (made, deadline) = (Arc::new(AtomicU64::new(0)), Instant::now() + Duration::from_secs(6));
    let began = Instant::now();
    let askers: Vec<_> = (0..96)
        .map(|asker| {
            let (handle, made) = (fleet.node(1 + asker % 3).handle.clone(), Arc::clone(&made));
            tokio::spawn(async move {
                let mut turn = 0;
                while Instant::now() < deadline {
                    turn += 1;
                    let text = format!(
                        "[[account]]\nname = \"a{asker}\"\ncurrency = \"EUR\"\nbilling = \"prepaid\"\nbalance = \"{turn}.00\"\n"
                    );
                    handle.apply(crate::desk::document(&text), tables::Apply::default()).await.unwrap();
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.unwrap();
    }
    let (made, took) = (made.load(Ordering::Relaxed), began.elapsed());
    let rate = made as f64 / took.as_secs_f64();
    println!("{rate:.0} changes a second, {made} in {took:?}");
    fleet.agree().await;
    assert_eq!(fleet.node(1).handle.revision(), made, "each is one revision");
    // The target of 500 is for a release build on a machine of its own.
    assert!(rate > 100.0, "{rate}");
}
