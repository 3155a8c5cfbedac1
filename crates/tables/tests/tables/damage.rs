//! Folders that are not what they should be.

use crate::desk::{Desk, EVERY_KIND, account, open};
use rocksdb::{DB, Options as Rocks};
use std::fs;
use std::path::{Path, PathBuf};
use tables::{Error, Options};

const FAMILIES: [&str; 8] = ["default", "rows", "history", "changes", "meta", "log", "cluster", "staged"];

async fn filled(dir: &Path) -> routing::Tables {
    let desk = Desk::open(dir).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    desk.apply(&account("other")).await.unwrap();
    // Opening again moves everything from the write-ahead log to table files.
    let desk = desk.reopen(dir).await;
    let rows = desk.rows();
    desk.reopen(dir).await.close().await;
    rows
}

fn refused(dir: &Path) -> Error {
    open(&Options::new(dir)).map(|_| ()).expect_err("it must not open")
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("db")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("db")).unwrap();
    for entry in fs::read_dir(from.join("db")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join("db").join(path.file_name().unwrap())).unwrap();
    }
}

/// What the refusal says, and what was done to the store.
type Tampering = (&'static str, fn(&DB));

fn with_db(dir: &Path, act: impl FnOnce(&DB)) {
    let db = DB::open_cf(&Rocks::default(), dir.join("db"), FAMILIES).unwrap();
    act(&db);
}

#[tokio::test]
async fn a_flipped_byte_in_a_table_file_is_found_or_does_no_harm() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rows = filled(dir.path()).await;
    let mut found = 0;
    for file in files(dir.path(), "sst") {
        let length = fs::metadata(&file).unwrap().len() as usize;
        for at in (0..length).step_by(length / 12 + 1) {
            let copied = other.path().join(format!("{at}-{}", file.file_stem().unwrap().display()));
            copy(dir.path(), &copied);
            let path = copied.join("db").join(file.file_name().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 0x40;
            fs::write(&path, bytes).unwrap();
            match open(&Options::new(&copied)) {
                Ok((_, handle)) => assert_eq!(handle.view().tables(), &rows, "{} at {at}", file.display()),
                Err(error) => {
                    assert!(matches!(error, Error::Broken { .. }), "{error}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 0);
}

#[tokio::test]
async fn a_log_damaged_in_the_middle_is_refused_and_a_torn_end_is_a_change_that_was_never_made() {
    let (dir, damaged, torn) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let first = desk.rows();
    let before = log_file(dir.path()).0.len();
    desk.apply(&account("other")).await.unwrap();
    let second = desk.rows();
    // While it is open, everything still stands in the log.
    copy(dir.path(), damaged.path());
    copy(dir.path(), torn.path());
    desk.close().await;

    let (mut bytes, path) = log_file(damaged.path());
    bytes[200] ^= 1;
    fs::write(path, bytes).unwrap();
    assert!(matches!(refused(damaged.path()), Error::Broken { .. }));

    // The end of what was applied is torn: the log in front of it has it still.
    let (bytes, path) = log_file(torn.path());
    fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
    let (_, handle) = open(&Options::new(torn.path())).unwrap();
    assert_eq!((handle.revision(), handle.view().tables()), (1, &first));
    drop(handle);
    let desk = Desk::open(torn.path()).await.unwrap();
    assert_eq!((desk.handle.revision(), &desk.rows()), (2, &second));
    desk.close().await;

    // The entry of the log itself is torn.
    fs::remove_dir_all(torn.path().join("db")).unwrap();
    copy(damaged.path(), torn.path());
    fs::write(log_file(torn.path()).1, &bytes[..before + 20]).unwrap();
    let desk = Desk::open(torn.path()).await.unwrap();
    assert_eq!((desk.handle.revision(), &desk.rows()), (1, &first));
}

/// The write-ahead log in use and what it holds.
fn log_file(dir: &Path) -> (Vec<u8>, PathBuf) {
    let longest = files(dir, "log").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    (fs::read(&longest).unwrap(), longest)
}

#[tokio::test]
async fn a_missing_file_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path()).await;
    let mut names: Vec<PathBuf> = files(dir.path(), "sst");
    names.push(dir.path().join("db/CURRENT"));
    for (number, name) in names.iter().enumerate() {
        let copied = other.path().join(number.to_string());
        copy(dir.path(), &copied);
        fs::remove_file(copied.join("db").join(name.file_name().unwrap())).unwrap();
        let error = refused(&copied);
        assert!(matches!(error, Error::Broken { .. } | Error::Database { .. }), "{}: {error}", name.display());
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_their_store_are_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path()).await;
    let tamper: [Tampering; 6] = [
        ("rows, and", |db| db.delete_cf(db.cf_handle("rows").unwrap(), b"Aother").unwrap()),
        ("without their plan", |db| db.delete_cf(db.cf_handle("rows").unwrap(), b"Pretail2").unwrap()),
        ("account other", |db| db.put_cf(db.cf_handle("rows").unwrap(), b"Aother", b"{}").unwrap()),
        ("a row has the key", |db| db.put_cf(db.cf_handle("rows").unwrap(), b"?", b"{}").unwrap()),
        ("head", |db| db.delete_cf(db.cf_handle("meta").unwrap(), b"head").unwrap()),
        ("history", |db| db.delete_cf(db.cf_handle("history").unwrap(), 2u64.to_be_bytes()).unwrap()),
    ];
    for (number, (said, act)) in tamper.into_iter().enumerate() {
        let copied = other.path().join(number.to_string());
        copy(dir.path(), &copied);
        with_db(&copied, act);
        let error = refused(&copied);
        assert!(matches!(error, Error::Broken { .. }) && error.to_string().contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    with_db(dir.path(), |db| db.put_cf(db.cf_handle("meta").unwrap(), b"format", b"3").unwrap());
    assert!(matches!(refused(dir.path()), Error::Newer { found: 3, known: 2, .. }));
}

#[tokio::test]
async fn a_folder_from_before_raft_is_migrated_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let rows = filled(dir.path()).await;
    let family = ["rows", "history", "changes", "meta"];
    let mut db = DB::open_cf(&Rocks::default(), dir.path().join("db"), FAMILIES).unwrap();
    for name in FAMILIES.iter().filter(|name| **name != "default" && !family.contains(name)) {
        db.drop_cf(name).unwrap();
    }
    for key in ["identity", "vote", "purged"] {
        db.delete_cf(db.cf_handle("meta").unwrap(), key).unwrap();
    }
    db.put_cf(db.cf_handle("meta").unwrap(), b"format", b"1").unwrap();
    drop(db);
    let desk = Desk::open(dir.path()).await.unwrap();
    assert_eq!((desk.handle.revision(), desk.rows()), (2, rows.clone()));
    desk.apply(&account("third")).await.unwrap();
    desk.handle.rollback(2, tables::Signature::default(), false).await.unwrap();
    assert_eq!(desk.reopen(dir.path()).await.rows(), rows);
}

#[test]
fn a_folder_of_something_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(refused(dir.path()), Error::Foreign { found, .. } if found == "letter.txt"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    let error = refused(&dir.path().join("letter.txt"));
    assert!(matches!(error, Error::File { .. }), "{error}");
}

#[test]
fn a_folder_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&Options::new(dir.path())).unwrap();
    assert!(matches!(open(&Options::new(dir.path())), Err(Error::Locked { .. })));
    drop(first);
    open(&Options::new(dir.path())).unwrap();
}

#[test]
fn a_first_start_that_was_killed_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::write(dir.path().join("new/CURRENT"), "half").unwrap();
    let (_, handle) = open(&Options::new(dir.path())).unwrap();
    assert_eq!(handle.revision(), 0);
}
