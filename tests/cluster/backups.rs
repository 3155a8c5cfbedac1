//! All tables as one file, and back: on the cluster that they are of, and on another one.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use tests::process::report;
use tests::tables::Tables;
use tests::{Lab, Node};

use crate::calls::wide;

/// Tables that have nothing in common with the others.
const OTHER: &str = "[[account]]\nname = \"else\"\ncurrency = \"EUR\"\nbilling = \"postpaid\"";
/// How long a restored revision may take to be everywhere.
const EVERYWHERE: Duration = Duration::from_secs(20);

fn deck(rates: u32) -> String {
    let mut csv = "prefix,rate,initial,next\n".to_owned();
    for number in 0..rates {
        let _ = writeln!(csv, "{},0.{:04},1,1", 10_000_000 + number * 7, number % 10_000);
    }
    csv
}

/// Runs a command that has to succeed; what it said.
#[track_caller]
fn done(run: (Option<i32>, String)) -> String {
    assert_eq!(run.0, Some(0), "{}", run.1);
    run.1
}

#[test]
fn a_backup_brings_all_tables_back_as_one_revision() {
    let lab = Lab::shared();
    let (cluster, _pbx, _carrier) = wide(&lab);
    // Asked and restored at a node that does not lead.
    let node = cluster.other_than(&cluster.leader().expect("somebody leads"));
    node.put_tables("[[deck]]\nname = \"many\"\ncurrency = \"EUR\"\n").expect("a deck");
    node.import_rates("many", &deck(5_000)).expect("rates");
    let whole = done(node.cli(&["export"]));
    let path = lab.path("tables.backup");
    let file = path.to_string_lossy();
    let said = done(node.cli(&["backup", &file]));
    assert!(said.contains("rows of revision"), "{said}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).expect("it is there"));
    assert_eq!(mode & 0o777, 0o600, "it holds secrets");
    assert_eq!(node.cli(&["backup", &file]).0, Some(2), "nothing is overwritten");

    // Rows come, change and go.
    let other = "[[account]]\nname = \"new\"\ncurrency = \"EUR\"\nbilling = \"postpaid\"\n\
                 [[deck]]\nname = \"many\"\ncurrency = \"EUR\"\n[[deck.rate]]\nprefix = \"44\"\nrate = \"1\"\n";
    node.put_tables(other).expect("a change");
    let (changed, revision) = (done(node.cli(&["export"])), node.own_revision());
    assert_ne!(changed, whole);
    let said = done(node.cli(&["restore", &file, "--dry-run"]));
    assert!(said.contains("- account new") && said.contains("not made"), "{said}");
    assert_eq!((node.own_revision(), done(node.cli(&["export"]))), (revision, changed));
    let said = done(node.cli(&["restore", &file, "-m", "as it was"]));
    assert!(said.contains("change(s) made"), "{said}");
    cluster.wait_revision(revision + 1, EVERYWHERE);
    for member in cluster.members() {
        assert!(done(member.cli(&["export"])) == whole, "{} has other tables", member.name());
    }
    assert!(done(node.cli(&["restore", &file])).contains("nothing to change"));
    // What it undid can be brought back in its turn.
    done(node.cli(&["rollback", &revision.to_string()]));

    // One byte of a rate.
    let mut bytes = fs::read(&path).expect("readable");
    let at = bytes.windows(9).position(|text| text == b"10000007\"").expect("a rate");
    bytes[at] = b'2';
    fs::write(&path, &bytes).expect("writable");
    let revision = node.own_revision();
    let (status, said) = node.cli(&["restore", &file]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("checksum") && said.contains("tables.backup"), "{said}");
    assert_eq!(node.own_revision(), revision);
}

#[test]
fn a_backup_is_restored_on_another_cluster() {
    let lab = Lab::shared();
    let path = lab.path("other.backup");
    let file = path.to_string_lossy();
    let first = Node::start(&lab, &Tables::usual(&lab));
    let whole = done(first.cli(&["export"]));
    done(first.cli(&["backup", &file]));
    first.stop();
    fs::remove_dir_all(lab.path("data")).expect("its disk is lost");
    let fresh = Node::start(&lab, &Tables::default().with(OTHER));
    assert_ne!(done(fresh.cli(&["export"])), whole);
    done(fresh.cli(&["restore", &file]));
    assert_eq!(done(fresh.cli(&["export"])), whole, "secrets included");
}

#[test]
#[ignore = "a million rows, a minute or two: make cluster"]
fn a_million_rows_come_back() {
    let lab = Lab::shared();
    let deck_head = "[[deck]]\nname = \"many\"\ncurrency = \"EUR\"";
    let node = Node::start(&lab, &Tables::default().with(deck_head));
    let rates = lab.write("rates.csv", &deck(1_000_000));
    done(node.cli(&["import", "rates", "--deck", "many", &rates.to_string_lossy()]));
    let path = lab.path("million.backup");
    let file = path.to_string_lossy();
    let began = Instant::now();
    done(node.cli(&["backup", &file]));
    let (saved, bytes) = (began.elapsed(), fs::metadata(&path).expect("it is there").len());
    node.stop();
    fs::remove_dir_all(lab.path("data")).expect("its disk is lost");
    let fresh = Node::start(&lab, &Tables::default().with(OTHER));
    let began = Instant::now();
    let said = done(fresh.cli(&["restore", &file]));
    let restored = began.elapsed();
    // The rates and their deck, and the account that goes.
    assert!(said.contains("1,000,002 change(s) made"), "{}", said.lines().rev().take(9).collect::<String>());
    report(&format!("a million rates: {} MB in {saved:?}, and back in {restored:?}", bytes >> 20));
}
