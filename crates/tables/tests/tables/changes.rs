//! What a change leaves behind, over a restart too.

use crate::desk::{Desk, EVERY_KIND, account, document};
use tables::{Apply, Error, Options, Proposal, Signature};

#[tokio::test]
async fn a_restart_keeps_every_row_and_the_whole_history() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    let by = Signature { who: "ops".into(), comment: "first".into() };
    let apply = Apply { by: by.clone(), ..Apply::default() };
    let applied = desk.handle.apply(document(EVERY_KIND), apply).await.unwrap();
    assert_eq!(applied.revision, 1);
    desk.apply(&account("other")).await.unwrap();
    let (rows, history) = (desk.rows(), desk.handle.history());
    assert_eq!(rows.plans().len(), 2);

    let desk = desk.reopen(dir.path()).await;
    assert_eq!(desk.rows(), rows);
    assert_eq!(desk.handle.history(), history);
    assert_eq!(desk.handle.revision(), 2);
    assert_eq!(history[0].who, by.who);
    assert_eq!((history[0].added, history[0].changed, history[0].deleted), (16, 0, 0));
}

#[tokio::test]
async fn a_dry_run_says_the_difference_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    let dry = Apply { dry_run: true, ..Apply::default() };
    let applied = desk.handle.apply(document(EVERY_KIND), dry).await.unwrap();
    assert_eq!(applied.revision, 0);
    assert!(applied.lines.iter().any(|line| line.starts_with("+ trunk alpha")), "{:?}", applied.lines);
    assert!(desk.rows().is_empty());
    assert!(desk.handle.history().is_empty());
}

#[tokio::test]
async fn a_change_that_changes_nothing_makes_no_revision() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    assert_eq!(desk.apply(EVERY_KIND).await.unwrap().revision, 1);
    let again = desk.apply(EVERY_KIND).await.unwrap();
    assert_eq!((again.revision, again.lines.len()), (1, 0));
}

#[tokio::test]
async fn a_listed_plan_becomes_what_is_listed_and_other_rows_stay() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    desk.apply("[[plan]]\nname = \"retail\"\n[[plan.route]]\nprefix = \"44\"\ntrunks = [\"alpha\"]\n").await.unwrap();
    let rows = desk.rows();
    assert_eq!(rows.plans()["retail"].iter().count(), 1);
    assert_eq!(rows.plans()["retail2"].iter().count(), 1);
    assert_eq!(rows.trunks().len(), 2);
    assert_eq!(desk.reopen(dir.path()).await.rows(), rows);
}

#[tokio::test]
async fn a_listed_deck_without_rates_keeps_them() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    desk.apply("[[deck]]\nname = \"sell\"\ncurrency = \"USD\"\n").await.unwrap();
    assert_eq!(desk.rows().decks()["sell"].rates().count(), 2);
    let one = "[[deck]]\nname = \"sell\"\ncurrency = \"USD\"\n[[deck.rate]]\nprefix = \"49\"\nrate = \"0.02\"\n";
    desk.apply(one).await.unwrap();
    assert_eq!(desk.rows().decks()["sell"].rates().count(), 1);
}

#[tokio::test]
async fn pruning_deletes_what_is_not_listed_in_the_tables_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    // A name that begins with the name of the plan that goes must not go along.
    let plan = "[[plan]]\nname = \"retail2\"\n[[plan.route]]\nprefix = \"1\"\ntrunks = [\"alpha\"]\n";
    let error = desk.prune(plan).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "beta and alice use the plan: {error}");
    desk.apply("[[user]]\nname = \"alice\"\naccount = \"acme\"\npassword = \"x\"\n").await.unwrap();
    desk.apply("[[trunk]]\nname = \"beta\"\n[trunk.egress]\ngateways = [{ address = \"192.0.2.2:5060\" }]\n")
        .await
        .unwrap();
    desk.prune(plan).await.unwrap();
    let rows = desk.rows();
    assert_eq!(rows.plans().keys().map(|name| &**name).collect::<Vec<_>>(), ["retail2"]);
    assert_eq!(rows.trunks().len(), 2);
    assert_eq!(desk.handle.history().last().unwrap().deleted, 4, "the plan and its three routes");
    assert_eq!(desk.reopen(dir.path()).await.rows(), rows);
}

#[tokio::test]
async fn only_the_newest_revisions_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::with(Options { revisions_kept: 3, ..Options::new(dir.path()) }).await.unwrap();
    for number in 0..6 {
        desk.apply(&account(&format!("a{number}"))).await.unwrap();
    }
    let revisions = |desk: &Desk| desk.handle.history().iter().map(|info| info.revision).collect::<Vec<_>>();
    assert_eq!(revisions(&desk), [4, 5, 6]);
    let desk = desk.reopen(dir.path()).await;
    assert_eq!(revisions(&desk), [4, 5, 6]);
    let by = Signature::default();
    let error = desk.handle.rollback(2, by.clone(), false).await.unwrap_err();
    assert!(matches!(error, Error::NoRevision { asked: 2, oldest: 3, newest: 6 }), "{error}");
    desk.handle.rollback(3, by, false).await.unwrap();
    assert_eq!(desk.rows().accounts().len(), 3);
}

#[tokio::test]
async fn the_past_can_be_shown() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    desk.apply(&account("other")).await.unwrap();
    desk.apply(&account("third")).await.unwrap();
    assert_eq!(desk.handle.show(2).await.unwrap(), ["+ account other"]);
    assert!(desk.handle.show(0).await.unwrap().is_empty());
    assert!(matches!(desk.handle.show(4).await, Err(Error::NoRevision { .. })));
}

#[tokio::test]
async fn a_proposal_for_another_revision_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path()).await.unwrap();
    desk.apply(EVERY_KIND).await.unwrap();
    let error = desk.handle.propose(Proposal { expect: Some(0), ..Proposal::default() }).await.unwrap_err();
    assert!(matches!(error, Error::Moved { expected: 0, found: 1 }));
    let late = Apply { expect: Some(7), ..Apply::default() };
    let error = desk.handle.apply(document(""), late).await.unwrap_err();
    assert!(matches!(error, Error::Moved { expected: 7, found: 1 }));
}
