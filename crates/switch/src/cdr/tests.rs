//! The outbox on a real disk: what survives what.

mod copies;

use super::outbox::{Outbox, Pace};
use super::*;
use crate::clock;
use ::call::CallId;
use ::call::record::{EndedBy, Row};
use sip::clock::Wall;
use std::path::Path;
use std::sync::atomic::Ordering;

const T0: u64 = 1_767_225_600_000;

fn options(dir: &Path) -> Options {
    Options { data_dir: dir.to_owned(), node: "fra-1".to_owned(), site: "fra".to_owned(), alone: true, shelf: None }
}

fn row(call: u64, attempt: u32) -> Row {
    Row {
        call: CallId { shard: 7, epoch: 1, call },
        attempt,
        is_final: true,
        started: Wall(T0),
        ringing: Some(Wall(T0 + 1_000)),
        answered: Some(Wall(T0 + 2_000)),
        ended: Wall(T0 + 5_001),
        duration_ms: 3_001,
        ingress_trunk: "acme".into(),
        egress_trunk: "alpha".into(),
        ingress_account: "acme".into(),
        egress_account: "alpha".into(),
        caller_in: "+442071230000".into(),
        called_in: "+447700900000".into(),
        caller_out: "+442071230000".into(),
        called_out: "9900447700900000".into(),
        lrn: "".into(),
        prefix: "44".into(),
        pdd_ms: Some(1_000),
        sip_code: 200,
        q850: 16,
        ended_by: EndedBy::Caller,
        reason: "".into(),
        codec: "PCMA".into(),
        mos: 4.4,
        jitter_ms: 1.25,
        loss_percent: 0.0,
        takeovers: 0,
        ingress_call_id: "a@x".into(),
        egress_call_id: "b@y".into(),
    }
}

fn close_orphans(outbox: &Outbox) -> usize {
    outbox.find_orphans().expect("reads");
    outbox.close_orphans().expect("reads")
}

fn failed_attempt(call: u64, attempt: u32) -> Row {
    Row { is_final: false, answered: None, duration_ms: 0, sip_code: 503, q850: 41, ..row(call, attempt) }
}

fn all(dir: &Path) -> Vec<read::Columns> {
    read::rows(&dir.join("cdr"), &read::Filter { limit: 1_000_000, ..read::Filter::default() }).expect("readable")
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("cdr")).expect("there");
    entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_final_row_closes_the_open_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    outbox.put_open(&row(1, 1)).expect("kept");
    outbox.put_closed(&row(1, 1)).expect("kept");
    assert_eq!((outbox.pending(), outbox.size()), (1, 1));
    assert_eq!((outbox.export(Pace::hurried()).expect("exports"), outbox.pending()), (1, 0));
    assert_eq!(all(dir.path()).len(), 1);
    assert_eq!(
        (close_orphans(&outbox), outbox.db().from(b"o").count()),
        (0, 0),
        "the open row is gone with the finished one"
    );
}

/// A call ends whenever a file appears: an export that took it along would meet the next one behind its next file.
#[test]
fn an_export_ends_whatever_comes_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    outbox.put_closed(&row(1, 1)).expect("kept");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for call in 2..20 {
                let files_before = usize::try_from(call).expect("few") - 2;
                while files(dir.path()).len() == files_before && !done.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                outbox.put_closed(&row(call, 1)).expect("kept");
            }
        });
        assert_eq!(outbox.export(Pace::steady()).expect("exports"), 1);
        assert_eq!(files(dir.path()).len(), 1);
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!((outbox.pending(), outbox.export(Pace::hurried()).expect("exports")), (18, 18));
}

#[test]
fn a_crash_at_any_moment_leaves_no_open_row_of_a_call_that_is_finished() {
    for moment in ["before the export", "after naming the file", "after the export"] {
        let dir = tempfile::tempdir().expect("a folder");
        let outbox = Outbox::open(options(dir.path())).expect("opens");
        for call in 0..6 {
            outbox.put_open(&row(call, 1)).expect("kept");
        }
        // In another order than they began; two go on.
        for call in [3, 0, 5, 1] {
            outbox.put_closed(&row(call, 1)).expect("kept");
        }
        match moment {
            "before the export" => {}
            "after naming the file" => outbox.stop_after_naming().expect("stops"),
            _ => assert_eq!(outbox.export(Pace::hurried()).expect("exports"), 4),
        }
        drop(outbox);
        let outbox = Outbox::open(options(dir.path())).expect("opens again");
        assert_eq!(close_orphans(&outbox), 2, "{moment}");
        outbox.export(Pace::hurried()).expect("exports");
        let mut ids: Vec<String> = all(dir.path()).iter().map(|row| row["id"].clone()).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..6).map(|call| format!("7.1.{call}-1")).collect::<Vec<_>>(), "{moment}");
    }
}

#[test]
fn a_call_with_a_failed_attempt_has_one_final_row_whatever_happens() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    // 1 fails over and dies with the process; 2 fails over, is answered and dies; 3 fails and is over in order.
    for call in 1..=3 {
        outbox.put_closed(&failed_attempt(call, 1)).expect("kept");
        outbox.put_closed(&failed_attempt(call, 2)).expect("kept");
    }
    outbox.put_open(&row(2, 3)).expect("kept");
    // A forked attempt that ends after the answer does not make the answered call an unanswered one.
    outbox.put_closed(&failed_attempt(2, 4)).expect("kept");
    outbox.put_closed(&Row { is_final: true, ..failed_attempt(3, 3) }).expect("kept");
    drop(outbox);
    let outbox = Outbox::open(options(dir.path())).expect("opens again");
    assert_eq!(close_orphans(&outbox), 2);
    outbox.export(Pace::hurried()).expect("exports");
    let rows = all(dir.path());
    let mut ids: Vec<&String> = rows.iter().map(|row| &row["id"]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rows.len(), "every id is there once");
    let mut finals: Vec<[&str; 5]> = rows
        .iter()
        .filter(|row| row["final"] == "true")
        .map(|row| ["id", "sip_code", "ended_by", "reason", "answered"].map(|column| row[column].as_str()))
        .collect();
    finals.sort_unstable();
    assert_eq!(
        finals,
        [
            ["7.1.1-3", "500", "switch", "process_died", ""],
            ["7.1.2-3", "200", "switch", "process_died", "2026-01-01T00:00:02.000Z"],
            ["7.1.3-3", "503", "caller", "", ""],
        ]
    );
}

#[test]
fn nobody_pays_for_the_time_that_the_process_lay_dead() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    let answered = clock::now().wall;
    outbox.put_open(&Row { answered: Some(answered), ..row(1, 1) }).expect("kept");
    outbox.put_open(&Row { answered: Some(Wall(answered.0 + 60_000)), ..row(2, 1) }).expect("kept");
    drop(outbox);
    // No heartbeat was ever written: both ended when they began.
    let outbox = Outbox::open(options(dir.path())).expect("opens again");
    close_orphans(&outbox);
    outbox.export(Pace::hurried()).expect("exports");
    assert!(all(dir.path()).iter().all(|row| row["billed_seconds"] == "0" && row["answered"] == row["ended"]));
}

#[test]
fn a_crash_after_naming_the_file_writes_no_row_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    for call in 0..5 {
        outbox.put_closed(&row(call, 1)).expect("kept");
    }
    outbox.stop_after_naming().expect("writes");
    outbox.put_closed(&row(5, 1)).expect("kept");
    drop(outbox);
    let outbox = Outbox::open(options(dir.path())).expect("opens again");
    assert_eq!(outbox.pending(), 1);
    assert_eq!(outbox.export(Pace::hurried()).expect("exports"), 1);
    assert_eq!((files(dir.path()).len(), all(dir.path()).len()), (2, 6));
}

#[test]
fn a_crash_before_naming_the_file_loses_no_row() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    outbox.put_closed(&row(1, 1)).expect("kept");
    outbox.stop_after_naming().expect("writes");
    let named = files(dir.path()).remove(0);
    let from = dir.path().join("cdr").join(&named);
    std::fs::rename(&from, from.with_extension("part")).expect("renames");
    drop(outbox);
    let outbox = Outbox::open(options(dir.path())).expect("opens again");
    assert_eq!(files(dir.path()).len(), 0, "the half written file is gone");
    assert_eq!((outbox.pending(), outbox.export(Pace::hurried()).expect("exports")), (1, 1));
    assert_eq!(all(dir.path()).len(), 1);
}

#[test]
fn no_two_files_are_named_alike_even_within_one_second() {
    let dir = tempfile::tempdir().expect("a folder");
    for call in 0..4 {
        let outbox = Outbox::open(options(dir.path())).expect("opens");
        outbox.put_closed(&row(call, 1)).expect("kept");
        assert_eq!(outbox.export(Pace::hurried()).expect("exports"), 1);
    }
    assert_eq!((files(dir.path()).len(), all(dir.path()).len()), (4, 4));
}

#[test]
fn one_row_that_cannot_be_read_holds_up_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    outbox.put_closed(&row(1, 1)).expect("kept");
    outbox.damage_next().expect("writes");
    outbox.put_closed(&row(2, 1)).expect("kept");
    assert_eq!((outbox.export(Pace::hurried()).expect("exports"), outbox.pending()), (2, 0));
    assert_eq!(outbox.export(Pace::hurried()).expect("exports"), 0);
    assert_eq!(all(dir.path()).len(), 2);
}

#[test]
fn more_rows_than_one_file_holds_become_several() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    let rows = outbox::FILE_ROWS as u64 + 3;
    for call in 0..rows {
        outbox.put_closed(&row(call, 1)).expect("kept");
    }
    drop(outbox);
    let outbox = Outbox::open(options(dir.path())).expect("opens again");
    assert_eq!(outbox.pending(), rows, "what waits is known after a restart");
    assert_eq!((outbox.export(Pace::hurried()).expect("exports"), outbox.pending()), (rows, 0));
    assert_eq!(files(dir.path()).len(), 2);
    assert_eq!(all(dir.path()).len() as u64, rows);
    // The first segment was the first process's, the second began with this one.
    let segments = std::fs::read_dir(dir.path().join("outbox/journal")).expect("there");
    let names: Vec<_> = segments.map(|entry| entry.expect("entry").file_name()).collect();
    assert_eq!(names, ["000000000003.journal"], "a long export lets go of what was written before its last file");
}

#[test]
fn a_node_that_took_a_call_over_and_died_closes_its_row_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let taken = Row { takeovers: 1, ..row(1, 1) };
    {
        let outbox = Outbox::open(options(dir.path())).expect("opens");
        outbox.put_open(&taken).expect("kept");
        assert!(outbox.has_taken(taken.call) && outbox.has_retaken(taken.call));
        outbox.abandon(taken.call, taken.ended);
        assert!(!outbox.has_retaken(taken.call), "it is somebody else's now");
        outbox.put_open(&taken).expect("kept");
        assert!(outbox.has_retaken(taken.call), "it has come once more");
    }
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    assert!(outbox.has_taken(taken.call), "others leave the call's record to this node");
    assert!(!outbox.has_retaken(taken.call), "so this node must not leave it to itself");
}

#[test]
fn columns_are_the_documented_ones_and_text_is_quoted() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    let nasty = "+44,20 \"7\"\r\nid,final";
    outbox.put_closed(&Row { caller_in: nasty.into(), reason: "=1+1".into(), ..row(1, 1) }).expect("kept");
    outbox.export(Pace::hurried()).expect("exports");
    let text = std::fs::read_to_string(dir.path().join("cdr").join(files(dir.path()).remove(0))).expect("a file");
    let documented = "id,call_id,attempt,final,node,site,epoch,started,ringing,answered,ended,duration_ms,billed_seconds,\
        ingress_trunk,egress_trunk,ingress_account,egress_account,caller_in,called_in,caller_out,called_out,lrn,prefix,\
        sell_rate,sell_amount,buy_rate,buy_amount,currency,pdd_ms,sip_code,q850,ended_by,reason,codec,mos,jitter_ms,\
        loss_percent,takeovers,ingress_call_id,egress_call_id\n";
    assert!(text.starts_with(documented), "{text}");
    let rows = all(dir.path());
    assert_eq!((rows.len(), rows[0]["caller_in"].as_str(), rows[0]["reason"].as_str()), (1, nasty, "=1+1"));
    let shown = [
        "id",
        "final",
        "epoch",
        "ended",
        "duration_ms",
        "billed_seconds",
        "pdd_ms",
        "ended_by",
        "mos",
        "egress_call_id",
    ];
    let expected = ["7.1.1-1", "true", "1", "2026-01-01T00:00:05.001Z", "3001", "4", "1000", "caller", "4.40", "b@y"];
    assert_eq!(shown.map(|column| rows[0][column].as_str()), expected);
}

#[test]
fn listings_are_filtered_bounded_and_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    for call in 0..6 {
        let trunk = if call % 2 == 0 { "alpha" } else { "beta" };
        let ended = Wall(T0 + call * 1_000);
        outbox.put_closed(&Row { egress_trunk: trunk.into(), ended, ..row(call, 1) }).expect("kept");
        outbox.export(Pace::hurried()).expect("exports");
    }
    let list = |since: Option<&str>, trunk: Option<&str>, limit| {
        let filter = read::Filter { since: since.map(str::to_owned), trunk: trunk.map(str::to_owned), limit };
        let rows = read::rows(&dir.path().join("cdr"), &filter).expect("readable");
        rows.iter().map(|row| row["call_id"].chars().last().expect("an id")).collect::<String>()
    };
    assert_eq!(list(None, None, 100), "012345");
    assert_eq!(list(None, None, 2), "45");
    assert_eq!(list(None, Some("beta"), 2), "35");
    assert_eq!(list(None, Some("acme"), 100), "012345", "the ingress trunk counts as well");
    assert_eq!(list(Some("2026-01-01T00:00:04.000Z"), None, 100), "45");
    assert_eq!(list(Some("2026-01-01T00:00:04.001Z"), Some("alpha"), 100), "");
    assert_eq!(list(None, None, 0), "");
}

#[test]
fn both_legs_of_a_transferred_call_have_a_row_when_the_process_dies() {
    let dir = tempfile::tempdir().expect("a folder");
    let outbox = Outbox::open(options(dir.path())).expect("opens");
    // 1 dies while both of its legs are counted; of 2 one has ended, of 3 both have.
    for call in 1..=3 {
        outbox.put_open(&row(call, 1)).expect("kept");
        outbox.put_open(&Row { is_final: false, ..row(call, 1) }).expect("kept");
        outbox.put_open(&row(call, 2)).expect("kept");
    }
    for call in 2..=3 {
        outbox.put_closed(&Row { is_final: false, ..row(call, 1) }).expect("kept");
    }
    outbox.put_closed(&row(3, 2)).expect("kept");
    drop(outbox);
    let outbox = Outbox::open(options(dir.path())).expect("opens again");
    assert_eq!(close_orphans(&outbox), 3);
    assert_eq!(close_orphans(&outbox), 0, "nothing is left");
    outbox.export(Pace::hurried()).expect("exports");
    let mut rows: Vec<_> = all(dir.path()).iter().map(|row| (row["id"].clone(), row["final"].clone())).collect();
    rows.sort();
    let ids: Vec<_> = rows.iter().map(|(id, is_final)| (&id[id.len() - 3..], is_final == "true")).collect();
    assert_eq!(ids, [("1-1", false), ("1-2", true), ("2-1", false), ("2-2", true), ("3-1", false), ("3-2", true)]);
}
