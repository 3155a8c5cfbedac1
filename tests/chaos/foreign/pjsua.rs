//! Two phones of pjsua2, each of which calls the other one through the same node.

use super::{PAUSE_MS, Sites};
use serde_json::json;
use tests::Lab;
use tests::pjsua::{self, CALLEE_SEED, CALLER_SEED, Phones};
use tests::process::report;

#[test]
fn pjsua2_goes_on_with_another_node_as_caller_and_as_callee() {
    let lab = Lab::alone();
    let mut sites = Sites::start(&lab);
    let mut phones = Phones::start(&lab, Some(&sites.sip()), "outlive", &[]);
    phones.wait_for("up");
    sites.kill(2);
    let dead = sites.sip();
    let seen = phones.end();
    assert_eq!(seen.get("error"), None, "{seen}\n{}", sites.cluster.logs());
    assert_eq!(seen["registration"], json!({"alice": [200], "bob": [200]}), "{seen}");
    assert_eq!(seen["moved"], json!([1, 1, 1, 1]), "re-INVITEs of each party: {seen}");
    assert!(!seen["moved_to"].to_string().contains(&dead), "by the dead: {seen}");
    let pauses = seen["pause_ms"].as_array().expect("a list");
    report(&format!("pjsua2: audio paused for {pauses:?} ms"));
    assert!(pauses.iter().all(|pause| pause.as_u64().is_some_and(|ms| ms <= PAUSE_MS)), "{seen}");
    for (caller, callee) in [("alice", "bob"), ("bob", "alice")] {
        pjsua::assert_heard(&lab, &format!("heard-by-{callee}-called-by-{caller}"), CALLER_SEED, 2);
        pjsua::assert_heard(&lab, &format!("heard-by-{caller}-calling-{callee}"), CALLEE_SEED, 2);
    }
    sites.settle(2);
}
