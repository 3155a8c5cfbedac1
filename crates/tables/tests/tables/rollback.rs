//! Back to an earlier state, for every kind of row and every kind of change.

use crate::desk::{Desk, EVERY_KIND};
use routing::{Change, Kind, Row, RowKey, Tables};
use tables::{Proposal, Signature};

/// A changed row for the row of this kind, for the kinds whose rows have more than their key.
fn altered(row: &Row) -> Option<Row> {
    let json = serde_json::to_string(row).unwrap();
    let other = match row.key().kind() {
        Kind::Account => json.replace("250.00", "1.00"),
        Kind::Deck => json.replace("EUR", "USD"),
        Kind::Rate => json.replace("0.0100", "0.0300"),
        Kind::Plan => json.replace("priority", "weight"),
        Kind::Route => json.replace("\"weight\":30", "\"weight\":31"),
        Kind::Trunk => json.replace("\"channels\":30", "\"channels\":31"),
        Kind::Number => json.replace("447700900000", "447700900009"),
        Kind::User => json.replace("442071230001", "442071230009"),
        Kind::Ported => json.replace("447999000001", "447999000009"),
        Kind::Screen => json.replace("4487", "4488"),
    };
    (other != json).then(|| serde_json::from_str(&other).unwrap())
}

async fn propose(desk: &Desk, put: Vec<Row>, delete: Vec<RowKey>) -> u64 {
    let change = Change { put, delete };
    desk.handle.propose(Proposal { change, ..Proposal::default() }).await.unwrap()
}

async fn back_to(desk: &Desk, revision: u64, expected: &Tables) {
    let applied = desk.handle.rollback(revision, Signature::default(), false).await.unwrap();
    assert_eq!(&desk.rows(), expected);
    assert!(!applied.lines.is_empty());
    assert_eq!(desk.handle.history().last().unwrap().rollback_to, Some(revision));
}

#[tokio::test]
async fn a_changed_row_of_each_kind_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let first = desk.rows();
    let mut kinds = std::collections::BTreeSet::new();
    for row in first.rows() {
        let Some(other) = altered(&row) else { continue };
        propose(&desk, vec![other.clone()], vec![]).await;
        assert_eq!(desk.rows().get(&row.key()), Some(other));
        kinds.insert(row.key().kind());
        back_to(&desk, 1, &first).await;
        desk = desk.reopen(dir.path()).await;
        assert_eq!(desk.rows(), first);
    }
    assert_eq!(kinds.len(), Kind::WORDS.len(), "only {kinds:?}");
}

#[tokio::test]
async fn deleted_rows_of_each_kind_come_back_and_go_again() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let first = desk.rows();
    let all = first.rows().map(|row| row.key()).collect();
    let emptied = propose(&desk, vec![], all).await;
    assert!(desk.rows().is_empty());
    back_to(&desk, 1, &first).await;
    back_to(&desk, emptied, &Tables::default()).await;
    back_to(&desk, 1, &first).await;
    assert_eq!(desk.reopen(dir.path()).await.rows(), first);
}

#[tokio::test]
async fn the_empty_tables_of_the_start_can_be_returned_to() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    back_to(&desk, 0, &Tables::default()).await;
    assert!(desk.reopen(dir.path()).await.rows().is_empty());
}

#[tokio::test]
async fn a_dry_rollback_only_says_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let applied = desk.handle.rollback(0, Signature::default(), true).await.unwrap();
    assert_eq!(applied.revision, 1);
    assert!(applied.lines.iter().any(|line| line.starts_with("- trunk alpha")));
    assert!(!desk.rows().is_empty());
}
