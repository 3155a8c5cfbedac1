//! A process that is killed, and a disk that takes no more. The victim is this test binary, started again.

use crate::desk::{Desk, account};
use crate::fleet::Fleet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tables::Error;

const FOLDER: &str = "TABLES_TEST_FOLDER";

/// Starts a victim under a shell that may set limits first.
fn victim(name: &str, dir: &Path, before: &str) -> Child {
    let test = std::env::current_exe().unwrap();
    let script = format!("{before} exec \"$0\" --exact crash::{name} --ignored --nocapture");
    Command::new("sh")
        .args(["-c", &script])
        .arg(test)
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn folder() -> Option<std::path::PathBuf> {
    std::env::var_os(FOLDER).map(Into::into)
}

/// Sets the limit of the size of a file of this process.
fn limit_files(limit: &str) {
    let process = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &process, &format!("--fsize={limit}:unlimited")]).status();
    assert!(set.unwrap().success());
}

fn nth(number: u64) -> String {
    account(&format!("a{number}"))
}

#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn proposes_for_ever() {
    let Some(dir) = folder() else { return };
    let desk = Desk::open(&dir).await.unwrap();
    loop {
        let revision = desk.apply(&nth(desk.handle.revision())).await.unwrap().revision;
        println!("\nacknowledged {revision}");
    }
}

#[tokio::test]
async fn every_acknowledged_revision_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8u64 {
        let mut child = victim("proposes_for_ever", dir.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let goal = acknowledged + 1 + round * 3;
        let mut note = |line: String| {
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = acknowledged.max(number.parse().unwrap());
            }
            acknowledged
        };
        while note(lines.next().expect("the victim lives")) < goal {}
        child.kill().unwrap();
        // What it said before it died counts too.
        lines.for_each(|line| {
            note(line);
        });
        child.wait().unwrap();
        let desk = Desk::open(dir.path()).await.unwrap();
        let revision = desk.handle.revision();
        assert!(revision == acknowledged || revision == acknowledged + 1, "{revision} of {acknowledged}");
        assert_eq!(desk.rows().accounts().len() as u64, revision, "a revision is one account");
        assert_eq!(desk.handle.history().len() as u64, revision.min(1000));
        acknowledged = revision;
        desk.close().await;
    }
}

#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn replicates_for_ever() {
    let Some(dir) = folder() else { return };
    let fleet = Fleet::at(&dir, 3).await;
    for number in 0.. {
        let node = fleet.node(1 + number % 3);
        let revision = node.add(&format!("a{}", node.handle.revision())).await.unwrap();
        println!("\nacknowledged {revision}");
    }
}

/// All three at once, in the middle of what they do: there is no harder way to lose a node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replicated_revision_outlives_a_kill_of_all_nodes() {
    let dir = tempfile::tempdir().unwrap();
    // Founded in peace: what is tested is what a cluster has acknowledged.
    let fleet = Fleet::at(dir.path(), 3).await;
    for id in 1..=3 {
        fleet.node(id).handle.read_index().await.unwrap();
    }
    let mut fleet = Some(fleet);
    let mut acknowledged = 0;
    for round in 0..4u64 {
        if let Some(mut fleet) = fleet.take() {
            for id in 1..=3 {
                fleet.stop(id).await;
            }
        }
        let mut child = victim("replicates_for_ever", dir.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let goal = acknowledged + 3 + round * 5;
        let mut note = |line: String| {
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = acknowledged.max(number.parse().unwrap());
            }
            acknowledged
        };
        while note(lines.next().expect("the victim lives")) < goal {}
        child.kill().unwrap();
        lines.for_each(|line| {
            note(line);
        });
        child.wait().unwrap();
        let again = Fleet::at(dir.path(), 3).await;
        let rows = again.agree().await;
        let revision = again.node(2).handle.revision();
        assert!(revision == acknowledged || revision == acknowledged + 1, "{revision} of {acknowledged}");
        assert_eq!(rows.accounts().len() as u64, revision, "a revision is one account");
        acknowledged = revision;
        fleet = Some(again);
    }
}

/// Rows of an import that are written in several batches.
const MANY: u64 = 150_000;

/// The routing number of all of them at a revision.
fn lrn(revision: u64) -> routing::E164 {
    format!("+{}", 1000 + revision).parse().unwrap()
}

fn many(revision: u64) -> impl Iterator<Item = Vec<routing::Row>> + Send {
    let number = |row: u64| format!("+{}", 44_700_000_000 + row).parse().unwrap();
    let row = move |row| routing::Row::Ported(routing::model::Ported { number: number(row), lrn: lrn(revision) });
    (0..MANY / 1000).map(move |piece| (piece * 1000..(piece + 1) * 1000).map(row).collect())
}

#[tokio::test]
#[ignore = "started by the test that kills it"]
async fn imports_for_ever() {
    let Some(dir) = folder() else { return };
    let desk = Desk::open(&dir).await.unwrap();
    loop {
        let next = desk.handle.revision() + 1;
        let told = |progress: tables::Progress| {
            if progress.committing {
                println!("\ncommitting {next}");
            }
        };
        let revision = desk.handle.import(many(next), tables::Import::default(), told).await.unwrap();
        println!("\nacknowledged {revision}");
    }
}

/// Waits until a file of rows is there and then the database's own: from now on rows are there ahead of their revision.
fn wait_for_rows(dir: &Path) {
    let file = dir.join("snapshot").join("rows.sst");
    let deadline = Instant::now() + Duration::from_secs(60);
    for is_there in [true, false] {
        while file.exists() != is_there {
            assert!(Instant::now() < deadline, "no rows are written ahead");
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// Killed at another moment of its commit each time.
#[tokio::test]
async fn an_import_that_is_killed_is_there_whole_or_not_at_all() {
    const ROUNDS: u32 = 8;
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut commit = Duration::ZERO;
    for round in 0..=ROUNDS {
        let mut child = victim("imports_for_ever", dir.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut until = |what: &str| lines.find_map(|line| line.strip_prefix(what)?.parse::<u64>().ok()).unwrap();
        until("committing ");
        let began = Instant::now();
        if round == 0 {
            // One is let through, and says how long it takes.
            acknowledged = until("acknowledged ");
            commit = began.elapsed();
        } else if round % 2 == 0 {
            // Rows are written towards its end, and to change them takes longer than to add them.
            wait_for(began + commit * (5 + round) / 10);
        } else {
            wait_for_rows(dir.path());
            wait_for(Instant::now() + commit * (round / 2) / 100);
        }
        child.kill().unwrap();
        for line in lines {
            acknowledged = line.strip_prefix("acknowledged ").map_or(acknowledged, |number| number.parse().unwrap());
        }
        child.wait().unwrap();
        let desk = Desk::open(dir.path()).await.unwrap();
        let (revision, rows) = (desk.handle.revision(), desk.rows());
        assert!(revision == acknowledged || revision == acknowledged + 1, "{revision} of {acknowledged}");
        assert_eq!(rows.ported().len() as u64, MANY);
        assert!(rows.ported().iter().all(|row| row.lrn == lrn(revision)), "all are of revision {revision}");
        // And were of the one before when it was made: no row was there ahead of it.
        assert_eq!(desk.handle.show(revision).await.unwrap().len() as u64, MANY);
        acknowledged = revision;
        desk.close().await;
    }
}

/// Waits for a moment, for what happens then is what is tested.
fn wait_for(at: Instant) {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
}

#[tokio::test]
#[ignore = "started by the test that limits its files"]
async fn meets_the_end_of_the_disk() {
    let Some(dir) = folder() else { return };
    let desk = Desk::open(&dir).await.unwrap();
    desk.apply(&nth(0)).await.unwrap();
    let before = desk.rows();
    let big: String = (1..30_000).map(nth).collect();
    let error = desk.apply(&big).await.unwrap_err();
    assert!(matches!(error, Error::Write(_)), "{error}");
    assert_eq!((desk.handle.revision(), &desk.rows()), (1, &before));
    limit_files("unlimited");
    assert_eq!(desk.apply(&big).await.unwrap().revision, 2);
    println!("\nsurvived");
}

#[tokio::test]
async fn a_full_disk_refuses_the_change_and_space_heals_it() {
    let dir = tempfile::tempdir().unwrap();
    // A write beyond the limit fails instead of killing the process. The unit is 512 bytes.
    let child = victim("meets_the_end_of_the_disk", dir.path(), "trap '' XFSZ; ulimit -S -f 2000;");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("survived"), "{text}");
    let desk = tokio::time::timeout(Duration::from_secs(30), Desk::open(dir.path())).await.unwrap().unwrap();
    assert_eq!((desk.handle.revision(), desk.rows().accounts().len()), (2, 30_000));
}

#[tokio::test]
#[ignore = "started by the test that limits its files"]
async fn meets_a_disk_that_takes_nothing() {
    let Some(dir) = folder() else { return };
    let desk = Desk::open(&dir).await.unwrap();
    desk.apply(&nth(0)).await.unwrap();
    let before = desk.rows();
    limit_files("0");
    for _ in 0..3 {
        let error = desk.apply(&nth(1)).await.unwrap_err();
        assert!(matches!(error, Error::Write(_) | Error::Database { .. }), "{error}");
        assert_eq!((desk.handle.revision(), &desk.rows()), (1, &before), "what is published was written");
    }
    limit_files("unlimited");
    // The write that failed may have left its bytes behind; then it counts, and this one changes nothing.
    assert_eq!(desk.apply(&nth(1)).await.unwrap().revision, 2);
    println!("\nsurvived");
}

#[tokio::test]
async fn nothing_is_published_that_the_disk_did_not_take() {
    let dir = tempfile::tempdir().unwrap();
    let child = victim("meets_a_disk_that_takes_nothing", dir.path(), "trap '' XFSZ;");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("survived"), "{text}");
    let desk = Desk::open(dir.path()).await.unwrap();
    assert_eq!((desk.handle.revision(), desk.rows().accounts().len()), (2, 2));
}
