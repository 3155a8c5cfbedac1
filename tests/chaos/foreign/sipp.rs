//! SIPp as caller and as callee. Its own exit status is the check: every call went by the scenario, which wants a re-INVITE from
//! another address and a BYE that is answered there.

use super::{CALLEES, CALLERS, NUMBERS, Sites};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::process::wait_until;
use tests::sipp::{Done, Running};
use tests::{Lab, Sipp};

/// Calls of each pair of partners.
const CALLS: usize = 10;
/// How long they talk after the call has moved, in milliseconds.
const TALK: &str = "2000";

fn has_answers(caller: &Running) -> bool {
    caller.logged().iter().filter(|line| line.starts_with("ANSWERED")).count() == CALLS
}

/// Where its calls went.
fn moved_to(done: &Done) -> Vec<String> {
    done.logged().iter().filter_map(|line| Some(line.strip_prefix("MOVED ")?.to_owned())).collect()
}

#[test]
fn sipp_goes_on_with_another_node_as_caller_and_as_callee() {
    let lab = Lab::alone();
    let mut sites = Sites::start(&lab);
    let callees = [
        Sipp::new(&lab, CALLEES[0], "callee_moved").serve(CALLS),
        Sipp::new(&lab, CALLEES[1], "callee_moved_hangs_up").set("talk", TALK).serve(CALLS),
    ];
    let callers = [
        Sipp::new(&lab, CALLERS[0], "caller_moved").set("talk", TALK),
        Sipp::new(&lab, CALLERS[1], "caller_moved_hung_up"),
    ];
    let count = CALLS.to_string();
    let [first, second] = callers.map(|sipp| sipp.args(&["-m", &count, "-r", &count]));
    let callers = [first.call(&sites.sip(), NUMBERS[0]), second.call(&sites.sip(), NUMBERS[1])];
    wait_until("all calls are answered", Duration::from_secs(20), || callers.iter().all(has_answers));
    sites.kill(2 * u32::try_from(CALLS).expect("few"));
    let dead = sites.sip();
    let done: Vec<Done> = callers.into_iter().chain(callees).map(Running::done).collect();
    for sipp in &done {
        let to = moved_to(sipp);
        assert_eq!(to.len(), CALLS, "{to:?}");
        let to: BTreeSet<&str> = to.iter().map(String::as_str).collect();
        assert!(to.iter().all(|node| !dead.starts_with(&format!("{node}:"))), "from the dead: {to:?}");
    }
    sites.settle(2 * CALLS);
}
