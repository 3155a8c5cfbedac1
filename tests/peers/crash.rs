//! A node that dies in mid-load keeps its books.

use std::collections::HashSet;
use std::time::Duration;

use tests::node::finals;
use tests::process::wait_until;
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Cdr, Lab, Node, Sipp};

/// Calls a second, each of which lasts two.
const RATE: usize = 100;

/// The Call-IDs that SIPp logged under `word`.
fn called<'a>(lines: &'a [String], word: &str) -> HashSet<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
}

/// The final records, once every call in `answered` has one.
#[track_caller]
fn reconciled(node: &Node<'_>, answered: &HashSet<&str>) -> Vec<Cdr> {
    let mut rows = Vec::new();
    wait_until("a final record of every call that was answered", Duration::from_secs(40), || {
        rows = node.cdrs();
        let known: HashSet<&str> = rows.iter().filter(|r| r.last).map(|r| r.ingress_call_id.as_str()).collect();
        answered.is_subset(&known)
    });
    rows
}

#[test]
fn no_record_of_an_answered_call_is_lost() {
    let lab = Lab::alone();
    let mut node = Node::start(&lab, &Tables::usual(&lab));
    let callee =
        Sipp::new(&lab, GATEWAY, "callee_load").load(100_000, RATE).limit(Duration::from_secs(100)).serve(100_000);
    let caller = Sipp::new(&lab, CALLER, "caller").args(&["-d", "2000"]).load(100_000, RATE);
    let caller = caller.limit(Duration::from_secs(100)).call(&node.sip(), "441234");
    wait_until("calls have come and gone", Duration::from_secs(30), || {
        called(&caller.logged(), "BYE").len() >= 2 * RATE
    });
    node.kill();
    let log = caller.kill().logged();
    callee.kill();
    let (answered, over) = (called(&log, "ANSWERED"), called(&log, "BYE"));
    let open: HashSet<&str> = answered.difference(&over).copied().collect();
    assert!(open.len() > RATE / 2, "the node was to be killed amid calls, not after them: {} open", open.len());

    node.restart();
    let rows = reconciled(&node, &answered);
    let finals = finals(&rows);
    for call in &answered {
        let row = finals[call];
        assert!(row.is_answered(), "it was answered: {row:#?}");
        assert!(!row.ended.is_empty(), "a final record has an end: {row:#?}");
    }
    for call in &open {
        assert_eq!(finals[call].ended_by, "switch", "nobody but the crash ended it: {:#?}", finals[call]);
    }
    // A BYE that SIPp sent in the node's last moment may not have been read any more.
    let lost_byes = over.iter().filter(|call| finals[*call].ended_by != "caller").count();
    assert!(lost_byes <= RATE / 5, "{lost_byes} calls had ended before the crash and are not recorded so");
    assert_eq!(node.metric("tandem_calls_active", ""), 0.0, "the calls of the dead process are not live any more");
}
