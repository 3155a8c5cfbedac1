//! What readers see while the tables change.

use crate::desk::Desk;
use routing::{Change, Row};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tables::{Handle, Proposal};

const TRUNKS: &str = "
[[trunk]]
name = \"alpha\"
[trunk.egress]
gateways = [{ address = \"192.0.2.1:5060\" }]
[[trunk]]
name = \"beta\"
[trunk.egress]
gateways = [{ address = \"192.0.2.2:5060\" }]
";

fn plan(prefixes: u32, trunk: &str) -> String {
    let mut text = format!("{TRUNKS}[[plan]]\nname = \"big\"\n");
    for prefix in 0..prefixes {
        let _ = write!(text, "[[plan.route]]\nprefix = \"{}\"\ntrunks = [\"{trunk}\"]\n", 1_000_000 + prefix);
    }
    text
}

/// The trunk that all routes of the plan lead to, and the revision.
fn one_trunk(handle: &Handle) -> u64 {
    let view = handle.view();
    if let Some(plan) = view.tables().plans().get("big") {
        let mut trunks = plan.iter().map(|route| route.trunks[0].trunk.clone());
        let first = trunks.next().expect("a plan has routes");
        assert!(trunks.all(|trunk| trunk == first), "revision {} is half of two changes", view.revision);
    }
    view.revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_whole_revisions_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    let done = AtomicBool::new(false);
    let (texts, runtime) = ([plan(50, "alpha"), plan(50, "beta")], tokio::runtime::Handle::current());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut last, mut seen) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let revision = one_trunk(&desk.handle);
                assert!(revision >= last, "{revision} after {last}");
                seen += u32::from(revision > last);
                last = revision;
            }
            seen
        });
        scope.spawn(|| {
            for round in 0..60 {
                let applied = runtime.block_on(desk.apply(&texts[round % 2])).unwrap();
                assert_eq!(desk.handle.revision(), applied.revision, "published before it returns");
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(reader.join().unwrap() > 5);
    });
}

/// How long this thread has stood in line for a processor.
fn in_line() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or_default())
}

/// The longest that one look at the view took while the change was made, without the time that other processes took.
fn longest_look(handle: &Handle, change: impl FnOnce() + Send) -> Duration {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            change();
            done.store(true, Ordering::Relaxed);
        });
        let (mut longest, mut held) = (Duration::ZERO, handle.view());
        while !done.load(Ordering::Relaxed) {
            let (before, start) = (in_line(), Instant::now());
            // Letting go of the view before belongs to it: a reader must never be the one who frees it.
            held = handle.view();
            let took = start.elapsed();
            longest = longest.max(took.saturating_sub(in_line().saturating_sub(before)));
        }
        drop(held);
        longest
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_look_waits_for_a_change_in_a_plan_of_100_000_prefixes() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(&plan(100_000, "alpha")).await.unwrap();
    let runtime = tokio::runtime::Handle::current();
    let route = |trunk: &str| {
        let rows = desk.rows();
        let mut routes = rows.plans()["big"].iter();
        let mut route = routes.next().unwrap();
        let mut trunks = route.trunks.to_vec();
        trunks[0].trunk = trunk.into();
        route.trunks = trunks.into();
        Change { put: vec![Row::Route(route)], delete: vec![] }
    };
    // The machine below may stop everything in one round, but a reader that waits does so in every one.
    let longest = (0..5).map(|round| {
        let change = route(if round % 2 == 0 { "beta" } else { "alpha" });
        longest_look(&desk.handle, || {
            runtime.block_on(desk.handle.propose(Proposal { change, ..Proposal::default() })).unwrap();
        })
    });
    let best = longest.min().unwrap();
    assert!(best < Duration::from_millis(5), "{best:?}");
    assert_eq!(desk.handle.revision(), 6);
}
