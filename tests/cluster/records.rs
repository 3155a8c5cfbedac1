//! Records of a node that does not come back: another node has a copy, and whoever removes the node gets them all.

use std::collections::HashSet;
use std::time::Duration;

use tests::cluster::Member;
use tests::node::finals;
use tests::process::{holds_within, report, wait_until};
use tests::{Agent, Cdr, Cluster, Lab};

use crate::calls::wide;

const WAIT: Duration = Duration::from_secs(4);
/// Rows become files every five seconds, and those of a removed node after all others have been asked.
const WRITTEN: Duration = Duration::from_secs(40);
/// Calls of one round.
const ROUND: usize = 20;
/// The node that does not come back.
const LOST: &str = "lon-1";

/// Places calls at a node and ends the first half of them; all that were answered, and those that were ended.
fn round(pbx: &Agent, node: &str) -> (Vec<String>, Vec<String>) {
    let offered = pbx.settle((0..ROUND).map(|_| pbx.call(node, "4420123456")).collect(), WAIT);
    let ended: Vec<String> = offered.answered.iter().take(ROUND / 2).cloned().collect();
    for call in &ended {
        assert_eq!(pbx.ask(call, "BYE", node).map(|(code, _)| code), Some(200));
    }
    (offered.answered, ended)
}

/// Removes a node that is dead as soon as its shards are with the others.
#[track_caller]
fn remove(cluster: &Cluster<'_>, name: &str) {
    let asked = cluster.other_than(name);
    let mut last = (None, String::new());
    let removed = holds_within(Duration::from_secs(15), || {
        last = asked.cli(&["cluster", "remove", name]);
        last.0 == Some(0)
    });
    assert!(removed, "{name} cannot be removed: {last:?}");
}

fn running<'a>(cluster: &'a Cluster<'_>) -> impl Iterator<Item = &'a Member> {
    cluster.members().iter().filter(|member| member.is_started())
}

/// All rows, once every one of these calls has a final one and no running node has anything left to write.
#[track_caller]
fn written(cluster: &Cluster<'_>, collected: &[Cdr], answered: &HashSet<String>) -> Vec<Cdr> {
    let mut rows = Vec::new();
    let whole = holds_within(WRITTEN, || {
        let left = ["tandem_cdr_pending", "tandem_cdr_legacies", "tandem_cdr_undecided"];
        let is_done = running(cluster).all(|member| left.iter().all(|left| member.metric(left, "") == 0.0));
        rows = running(cluster).flat_map(Member::cdrs).chain(collected.iter().cloned()).collect();
        let known: HashSet<&str> = rows.iter().filter(|row| row.last).map(|row| row.ingress_call_id.as_str()).collect();
        is_done && answered.iter().all(|call| known.contains(call.as_str()))
    });
    let missing = answered.iter().filter(|call| !rows.iter().any(|row| row.last && row.ingress_call_id == **call));
    let live: Vec<_> = running(cluster).map(|member| (member.name(), member.json(&["calls"]))).collect();
    assert!(whole, "no final record of {:?}; live: {live:?}\n{}", missing.collect::<Vec<_>>(), cluster.logs());
    rows
}

#[test]
fn a_node_that_is_lost_with_its_disk_leaves_one_final_record_of_every_answered_call() {
    let lab = Lab::shared();
    let (mut cluster, pbx, _carrier) = wide(&lab);
    let (lost, mut answered, mut over) = (cluster.member(LOST).sip(), HashSet::new(), 0);
    wait_until("some of its records are in a file", WRITTEN, || {
        let (calls, ended) = round(&pbx, &lost);
        answered.extend(calls);
        over += ended.len();
        !cluster.member(LOST).cdrs().is_empty()
    });
    // These end after the file was written, and before the next one is.
    let (calls, unwritten) = round(&pbx, &lost);
    answered.extend(calls);
    over += unwritten.len();
    wait_until("its records have a copy", WAIT, || {
        let (figure, written) = (|name| cluster.member(LOST).metric(name, ""), cluster.member(LOST).cdrs().len());
        figure("tandem_cdr_pending") + written as f64 >= over as f64 && figure("tandem_cdr_unreplicated") == 0.0
    });
    let offered = (0..ROUND).map(|_| pbx.call(&lost, "4420123456")).collect();
    cluster.kill(LOST);
    let collected = cluster.member(LOST).cdrs();
    assert!(
        collected.iter().all(|row| !unwritten.contains(&row.ingress_call_id)),
        "they were to be lost with the disk"
    );
    std::fs::remove_dir_all(&cluster.member(LOST).node().data_dir).expect("its folder");
    answered.extend(pbx.settle(offered, WAIT).answered);
    remove(&cluster, LOST);
    // Whatever another node has taken over ends there.
    pbx.hang_up_all(WAIT);

    let rows = written(&cluster, &collected, &answered);
    let finals = finals(&rows);
    for call in &unwritten {
        let row = finals[call.as_str()];
        assert_eq!((row.node.as_str(), row.ended_by.as_str()), (LOST, "caller"), "as the lost node had it: {row:#?}");
    }
    for call in &answered {
        assert!(finals[call.as_str()].is_answered(), "{:#?}", finals[call.as_str()]);
    }
    let inherited: f64 = running(&cluster).map(|member| member.metric("tandem_cdr_inherited_total", "")).sum();
    let by_crash = finals.values().filter(|row| row.reason == "process_died").count();
    report(&format!(
        "{} answered calls, {} rows collected before, {inherited} taken over, {by_crash} calls ended by the loss",
        answered.len(),
        collected.len()
    ));
}

#[test]
fn a_node_that_ends_in_order_and_is_removed_leaves_no_record_twice() {
    let lab = Lab::shared();
    let (mut cluster, pbx, _carrier) = wide(&lab);
    let (answered, ended) = round(&pbx, &cluster.member(LOST).sip());
    assert_eq!((answered.len(), ended.len()), (ROUND, ROUND / 2));
    cluster.stop(LOST);
    let collected = cluster.member(LOST).cdrs();
    remove(&cluster, LOST);
    pbx.hang_up_all(WAIT);
    let rows = written(&cluster, &collected, &answered.into_iter().collect());
    assert_eq!(finals(&rows).len(), ROUND);
    let inherited: f64 = running(&cluster).map(|member| member.metric("tandem_cdr_inherited_total", "")).sum();
    assert_eq!(inherited, 0.0, "it has written them itself");
}

#[test]
fn a_node_that_is_emptied_and_removed_while_it_runs_leaves_no_record_twice() {
    let lab = Lab::shared();
    let (mut cluster, pbx, _carrier) = wide(&lab);
    let (answered, ended) = round(&pbx, &cluster.member(LOST).sip());
    assert_eq!((answered.len(), ended.len()), (ROUND, ROUND / 2));
    // Calls that have not left by then end with it.
    cluster.other_than(LOST).cli(&["cluster", "drain", LOST, "--patience-seconds", "3"]);
    remove(&cluster, LOST);
    let (_, said) = cluster.wait_end(LOST);
    let collected = cluster.member(LOST).cdrs();
    pbx.hang_up_all(WAIT);
    let rows = written(&cluster, &collected, &answered.into_iter().collect());
    assert_eq!(finals(&rows).len(), ROUND, "{said}");
    assert!(rows.iter().all(|row| row.is_answered()), "{rows:#?}");
}
