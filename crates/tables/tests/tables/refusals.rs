//! What is refused is refused whole.

use crate::desk::{Desk, EVERY_KIND, account, open};
use routing::{Change, Row, RowKey};
use tables::{Error, Options, Proposal};

#[tokio::test]
async fn one_bad_row_refuses_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let before = desk.rows();
    let bob = "[[user]]\nname = \"bob\"\naccount = \"nobody\"\npassword = \"x\"\n";
    let error = desk.apply(&(account("good") + bob)).await.unwrap_err();
    assert!(error.to_string().starts_with("tables.toml:6: "), "{error}");
    assert_eq!(desk.rows(), before);
    let desk = desk.reopen(dir.path()).await;
    assert_eq!(desk.rows(), before);
    assert_eq!(desk.handle.revision(), 1);
}

#[tokio::test]
async fn a_row_that_others_need_is_not_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let extra: Vec<Row> = desk.rows().rows().filter(|row| matches!(row, Row::Account(_))).collect();
    let change = Change { put: extra, delete: vec![RowKey::Trunk("alpha".into())] };
    let error = desk.handle.propose(Proposal { change, ..Proposal::default() }).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(errors) if !errors.is_empty()), "{error}");
    assert!(desk.handle.view().trunk("alpha").is_some());
    assert_eq!(desk.handle.revision(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::with(Options { queue: 2, ..Options::new(dir.path()) }).await.unwrap();
    let texts: Vec<String> = (0..5).map(|n| account(&format!("a{n}"))).collect();
    let (a, b, c, d, e) = tokio::join!(
        desk.apply(&texts[0]),
        desk.apply(&texts[1]),
        desk.apply(&texts[2]),
        desk.apply(&texts[3]),
        desk.apply(&texts[4])
    );
    let results = [a, b, c, d, e];
    assert_eq!(results.iter().filter(|result| matches!(result, Err(Error::Busy))).count(), 3);
    assert_eq!(desk.rows().accounts().len(), 2);
    desk.apply(&texts[4]).await.expect("the queue is free again");
}

#[tokio::test]
async fn without_its_actor_nothing_changes_and_all_can_read() {
    let dir = tempfile::tempdir().unwrap();
    let (service, handle) = open(&Options::new(dir.path())).unwrap();
    let error = handle.propose(Proposal::default()).await.unwrap_err();
    assert!(matches!(error, Error::Stopped));
    assert_eq!(handle.revision(), 0);
    drop(service);
}
