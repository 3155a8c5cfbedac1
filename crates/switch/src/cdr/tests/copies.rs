//! Copies of an outbox on another node: what they hold, and what becomes of them.

use super::super::finished::Origin;
use super::super::legacy::Verdict;
use super::super::log::PATIENCE;
use super::super::outbox::{Outbox, Pace};
use super::super::store::{ROWS, Shelf};
use super::super::told::{Mark, Part};
use super::*;
use routing::cluster::NodeId;
use std::path::Path;

/// The node whose rows are copied.
const NODE: NodeId = 2;

fn among_others(dir: &Path, shelf: &Shelf) -> Outbox {
    let options = Options { alone: false, shelf: Some(shelf.clone()), ..options(dir) };
    Outbox::open(options).expect("opens")
}

fn origin() -> Origin {
    Origin { node: "lon-1".into(), site: "lon".into() }
}

/// Copies one outbox to another, part by part, as over a mesh that loses nothing.
struct Copying<'a> {
    from: &'a Outbox,
    to: &'a Outbox,
    mark: Mark,
}

impl<'a> Copying<'a> {
    fn begin(from: &'a Outbox, to: &'a Outbox, term: u64) -> Self {
        let mark = Mark { incarnation: 1, term, number: 0, is_whole: false };
        let mut copying = Self { from, to, mark };
        from.log().begin();
        let mut cursor = Some(ROWS.to_vec());
        while let Some(at) = cursor {
            let (changes, next) = from.rows_from(&at).expect("reads");
            copying.mark.is_whole = next.is_none();
            copying.send(changes);
            cursor = next;
        }
        from.log().follow();
        copying
    }

    fn send(&mut self, changes: Vec<super::super::store::Op>) {
        self.mark.number += 1;
        let part = Part { mark: self.mark, alive: T0 + 60_000, rows: self.from.size(), changes };
        assert_eq!(self.to.keep(NODE, origin(), part).expect("kept"), Some(self.mark));
    }

    /// Sends what is new.
    fn go_on(&mut self) {
        let (changes, count, _) = self.from.log().batch(usize::MAX);
        self.send(changes);
        self.from.log().confirm(count);
    }
}

/// What is kept of the node: key and value of each row.
fn kept(outbox: &Outbox) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = outbox.db().from(b"k").map(|entry| entry.expect("reads"));
    let rows = rows.map_while(|(key, value)| Some((super::super::kept::parse(&key)?.1.to_vec(), value.to_vec())));
    rows.filter(|(key, _)| !key.is_empty()).collect()
}

/// The open and finished rows of an outbox.
fn own(outbox: &Outbox) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = outbox.db().from(ROWS).map(|entry| entry.expect("reads"));
    rows.map(|(key, value)| (key.to_vec(), value.to_vec())).filter(|(key, _)| matches!(key[0], b'o' | b'r')).collect()
}

#[test]
fn a_copy_is_the_outbox_whatever_happens_to_its_rows() {
    let (dir, shelves) = (tempfile::tempdir().expect("a folder"), [Shelf::default(), Shelf::default()]);
    let [ours, theirs] = shelves.each_ref().map(|shelf| among_others(dir.path(), shelf));
    for call in 0..2_000 {
        ours.put_open(&row(call, 1)).expect("kept");
    }
    let mut copying = Copying::begin(&ours, &theirs, 1);
    assert!(copying.mark.number > 1, "it takes several parts");
    assert_eq!(kept(&theirs), own(&ours));
    for call in 0..100 {
        ours.put_closed(&row(call, 1)).expect("kept");
        ours.put_closed(&failed_attempt(5_000 + call, 1)).expect("kept");
    }
    assert_ne!(kept(&theirs), own(&ours));
    copying.go_on();
    assert_eq!(kept(&theirs), own(&ours));
    assert_eq!(ours.export(Pace::hurried()).expect("exports"), 200);
    copying.go_on();
    assert_eq!(kept(&theirs), own(&ours), "what is in a file is in the copy no more");
    let before = own(&ours);
    // A new copy replaces what is there, and what the holder has confirmed outlives its machine.
    ours.put_closed(&row(100, 1)).expect("kept");
    Copying::begin(&ours, &theirs, 2);
    shelves[1].lose_unsynced();
    drop(theirs);
    let theirs = among_others(dir.path(), &shelves[1]);
    assert_eq!(kept(&theirs), own(&ours));
    assert_ne!(before, own(&ours));
    assert_eq!(theirs.kept().copy(NODE).map(|copy| copy.mark.term), Some(2));
}

#[test]
fn parts_are_taken_in_their_order_or_not_at_all() {
    let (dir, shelf) = (tempfile::tempdir().expect("a folder"), Shelf::default());
    let theirs = among_others(dir.path(), &shelf);
    let mark = |term, number| Mark { incarnation: 1, term, number, is_whole: true };
    let part = |mark, changes| Part { mark, alive: T0, rows: 1, changes };
    let put = |key: &[u8]| vec![super::super::store::Op::Put(key.to_vec(), vec![1])];
    let keep = |mark, key: &[u8]| theirs.keep(NODE, origin(), part(mark, put(key))).expect("kept");
    assert_eq!(keep(mark(1, 2), b"o2"), None, "the first one is not there");
    assert_eq!(keep(mark(1, 1), b"o1"), Some(mark(1, 1)));
    assert_eq!(keep(mark(1, 3), b"o3"), Some(mark(1, 1)));
    assert_eq!(keep(mark(1, 2), b"o2"), Some(mark(1, 2)));
    assert_eq!(keep(mark(1, 1), b"o9"), Some(mark(1, 2)), "it was there");
    assert_eq!(keep(mark(2, 1), b"o4"), Some(mark(2, 1)), "a newer copy");
    assert_eq!(keep(mark(1, 3), b"o9"), Some(mark(2, 1)), "of the older one");
    for strange in [&b"h"[..], b"t234567890123456", b"k1", b""] {
        assert_eq!(keep(mark(2, 2), strange), None, "nothing but rows");
    }
    let keys: Vec<_> = kept(&theirs).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [b"o1", b"o2", b"o4"]);
    theirs.let_go(NODE, mark(1, 9)).expect("let go");
    assert_eq!(kept(&theirs).len(), 3, "that was about an older one");
    theirs.let_go(NODE, mark(2, 0)).expect("let go");
    assert!(kept(&theirs).is_empty() && theirs.kept().copy(NODE).is_none());
}

#[test]
fn no_row_is_seen_outside_before_it_has_a_copy_or_has_waited() {
    let (dir, shelves) = (tempfile::tempdir().expect("a folder"), [Shelf::default(), Shelf::default()]);
    let [ours, theirs] = shelves.each_ref().map(|shelf| among_others(dir.path(), shelf));
    ours.put_closed(&row(1, 1)).expect("kept");
    assert_eq!(ours.export(Pace::hurried()).expect("exports"), 0, "nobody has a copy yet");
    let mut copying = Copying::begin(&ours, &theirs, 1);
    ours.put_closed(&row(2, 1)).expect("kept");
    assert_eq!((ours.export(Pace::hurried()).expect("exports"), all(dir.path()).len()), (1, 1));
    copying.go_on();
    assert_eq!((ours.export(Pace::hurried()).expect("exports"), all(dir.path()).len()), (1, 2));
    ours.put_closed(&row(3, 1)).expect("kept");
    let later = clock::now().mono + PATIENCE;
    assert_eq!((ours.log().bound(clock::now().mono), ours.log().bound(later)), (2, u64::MAX));
    // The node was removed: what the copy has is written where that is, the rest here.
    ours.put_closed(&row(4, 1)).expect("kept");
    copying.go_on();
    ours.put_closed(&row(5, 1)).expect("kept");
    ours.disown();
    assert_eq!(ours.export_all(Pace::hurried()).expect("exports"), 1);
    let calls: Vec<String> = all(dir.path()).iter().map(|row| row["call_id"].clone()).collect();
    assert_eq!(calls, ["7.1.1", "7.1.2", "7.1.5"]);
}

/// Takes over what is decided: `theirs` says whose call it is. The process may die when the finished rows are taken.
fn inherit(outbox: &Outbox, verdict: impl Fn(u64) -> Verdict, dies: bool) -> u64 {
    let copy = outbox.kept().copy(NODE).expect("a copy");
    let (open, mut taken) = (outbox.open_rows_of(NODE).expect("reads"), 0);
    for kind in [b"r", b"o"].into_iter().take(if dies { 1 } else { 2 }) {
        let (page, next) = outbox.page_of(NODE, kind, kind).expect("reads");
        assert!(next.is_none(), "they fit in one page");
        let verdicts: Vec<_> = page.iter().map(|legacy| verdict(legacy.found.row.call.call)).collect();
        taken += outbox.take_over(NODE, &copy, page, &verdicts, &open).expect("takes");
    }
    taken
}

#[test]
fn rows_of_a_removed_node_are_written_once_under_its_name_and_the_calls_of_others_are_not() {
    let (dir, shelves) = (tempfile::tempdir().expect("a folder"), [Shelf::default(), Shelf::default()]);
    let [ours, theirs] = shelves.each_ref().map(|shelf| among_others(dir.path(), shelf));
    // 1 and 2 are up, 3 is up and not decided, 4 is over, 5 has failed once, 6 is over while the copy is made.
    for call in [1, 2, 3, 4, 6] {
        ours.put_open(&row(call, 1)).expect("kept");
    }
    ours.put_closed(&row(4, 1)).expect("kept");
    ours.put_closed(&failed_attempt(5, 1)).expect("kept");
    let mut copying = Copying::begin(&ours, &theirs, 1);
    let open_6 = own(&ours)
        .into_iter()
        .find(|(_, value)| postcard::from_bytes::<Row>(value).is_ok_and(|row| row.call.call == 6));
    let (key, value) = open_6.expect("it is open");
    ours.put_closed(&row(6, 1)).expect("kept");
    copying.go_on();
    copying.send(vec![super::super::store::Op::Put(key, value)]);
    drop(ours);

    let verdict = |call| match call {
        2 => Verdict::Theirs,
        3 => Verdict::Undecided,
        _ => Verdict::Ours,
    };
    assert_eq!(inherit(&theirs, verdict, true), 3);
    shelves[1].lose_unsynced();
    drop(theirs);
    let theirs = among_others(dir.path(), &shelves[1]);
    assert_eq!(inherit(&theirs, verdict, false), 5, "the death of the machine took the rows and the mark together");
    assert_eq!(inherit(&theirs, verdict, false), 0);
    assert_eq!(kept(&theirs).len(), 1, "the one that is not decided");
    assert_eq!(inherit(&theirs, |_| Verdict::Ours, false), 1);
    let copy = theirs.kept().copy(NODE).expect("a copy");
    theirs.note_taken_over(NODE, copy).expect("noted");
    theirs.export_all(Pace::hurried()).expect("exports");
    let rows = all(dir.path());
    let mut rows: Vec<_> = rows.iter().map(|row| ["id", "final", "node", "site", "reason"].map(|c| &*row[c])).collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        [
            ["7.1.1-1", "true", "lon-1", "lon", "process_died"],
            ["7.1.3-1", "true", "lon-1", "lon", "process_died"],
            ["7.1.4-1", "true", "lon-1", "lon", ""],
            ["7.1.5-1", "false", "lon-1", "lon", ""],
            ["7.1.5-2", "true", "lon-1", "lon", "process_died"],
            ["7.1.6-1", "true", "lon-1", "lon", ""],
        ]
    );
    // Whoever comes late with an older copy hears that there was a later one.
    drop(theirs);
    let theirs = among_others(dir.path(), &shelves[1]);
    assert!(theirs.kept().copy(NODE).is_some_and(|copy| copy.is_taken) && kept(&theirs).is_empty());
}
