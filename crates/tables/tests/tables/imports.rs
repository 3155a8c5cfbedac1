//! Imports: many rows, one revision, nothing of it seen before.

use crate::fleet::{Fleet, size_of, until};
use routing::{Row, RowKey};
use std::time::{Duration, Instant};
use tables::{Error, Import, PACKED, Progress, RaftCall, Signature};

const DECK: &str = "[[deck]]\nname = \"buy\"\ncurrency = \"EUR\"\n";

fn deck() -> Row {
    crate::desk::document(DECK).rows().next().unwrap().clone()
}

/// Rates with prefixes that differ.
fn rates(count: u32, price: &str) -> impl Iterator<Item = Vec<Row>> + Send {
    let text = format!("{DECK}[[deck.rate]]\nprefix = \"1\"\nrate = \"{price}\"\n");
    let document = crate::desk::document(&text);
    let rate = document.rows().find_map(|row| if let Row::Rate(rate) = row { Some(rate.clone()) } else { None });
    let rate = rate.unwrap();
    let row = move |number: u32| {
        let prefix = (1_000_000_000 + u64::from(number)).to_string().parse().unwrap();
        Row::Rate(std::sync::Arc::new(routing::model::Rate { prefix, ..(*rate).clone() }))
    };
    let row = std::sync::Arc::new(row);
    (0..count.div_ceil(5000)).map(move |batch| {
        let row = row.clone();
        let first = batch * 5000;
        (first..(first + 5000).min(count)).map(move |number| row(number)).collect()
    })
}

fn by() -> Signature {
    Signature { who: "import".into(), comment: "list".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_one_revision_and_can_be_rolled_back() {
    let mut fleet = Fleet::new(3, true).await;
    let importer = fleet.follower().await;
    let rows = std::iter::once(vec![deck()]).chain(rates(30_000, "0.0100"));
    let mut seen = Vec::new();
    let import = Import { by: by(), ..Import::default() };
    let revision = importer
        .handle
        .import(rows, import, |progress: Progress| {
            assert_eq!(importer.handle.revision(), 0, "nothing is seen before it is whole");
            seen.push(progress);
        })
        .await
        .unwrap();
    assert_eq!(revision, 1);
    assert!(seen.len() > 3 && seen.last().unwrap().committing && seen.last().unwrap().staged == 30_001);
    let info = importer.handle.history()[0].clone();
    assert_eq!((info.added, info.who.as_str()), (30_001, "import"));
    let count = |fleet: &Fleet| fleet.node(1).handle.view().tables().decks()["buy"].rates().count();
    fleet.agree().await;
    assert_eq!(count(&fleet), 30_000);

    // The deck becomes what is imported; its head stays.
    let import = Import { replace: vec![RowKey::Deck("buy".into())], by: by(), expect: Some(1) };
    let revision = fleet.node(2).handle.import(rates(20_000, "0.0200"), import.clone(), |_| ()).await.unwrap();
    assert_eq!(revision, 2);
    fleet.agree().await;
    assert_eq!(count(&fleet), 20_000);
    let info = fleet.node(3).handle.history()[1].clone();
    assert_eq!((info.added, info.changed, info.deleted), (0, 20_000, 10_000));
    let error = fleet.node(3).handle.import(rates(10, "0.0300"), import, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Moved { expected: 1, found: 2 }), "{error}");

    fleet.node(3).handle.rollback(1, Signature::default(), false).await.unwrap();
    fleet.agree().await;
    assert_eq!(count(&fleet), 30_000);
    fleet.stop(2).await;
    fleet.start(2).await;
    fleet.agree().await;
}

/// What a release does not read that one of the members runs, is not sent to any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_are_packed_where_every_member_reads_them() {
    let mut sent = Vec::new();
    for protocol in [PACKED - 1, PACKED] {
        let fleet = Fleet::speaking(protocol, 2).await;
        let import = || Import { by: by(), ..Import::default() };
        let rows = std::iter::once(vec![deck()]).chain(rates(20_000, "0.0100"));
        let before = fleet.net.entries();
        fleet.node(2).handle.import(rows, import(), |_| ()).await.unwrap();
        fleet.agree().await;
        sent.push(fleet.net.entries() - before);
        // So is what the leader itself has in pieces.
        fleet.node(1).handle.rollback(0, Signature::default(), false).await.unwrap();
        let before = fleet.net.entries();
        fleet.node(1).handle.rollback(1, Signature::default(), false).await.unwrap();
        let count = fleet.agree().await.decks()["buy"].rates().count();
        assert_eq!(count, 20_000);
        sent.push(fleet.net.entries() - before);
    }
    let [plain, plain_again, packed, packed_again] = sent[..] else { panic!("two of each") };
    assert!(packed * 4 < plain, "{packed} of {plain}");
    assert!(packed_again * 4 < plain_again, "{packed_again} of {plain_again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_a_large_change_fits_into_a_message_however_often_it_is_asked() {
    const RATES: u32 = 90_000;
    let fleet = Fleet::new(3, false).await;
    let asker = fleet.follower().await;
    let rows = std::iter::once(vec![deck()]).chain(rates(RATES, "0.0100"));
    asker.handle.import(rows, Import::default(), |_| ()).await.unwrap();
    let (net, id) = (fleet.net.clone(), asker.id);
    let last = move |progress: Progress| {
        if progress.committing {
            net.lose_answers(id, RaftCall::Forward, 1);
        }
    };
    let revision = asker.handle.import(rates(RATES, "0.0200"), Import::default(), last).await.unwrap();
    assert_eq!(revision, 2);
    fleet.net.lose_answers(id, RaftCall::Forward, 1);
    let applied = asker.handle.rollback(1, Signature::default(), false).await.unwrap();
    assert_eq!((applied.revision, applied.lines.len()), (3, 10_001));
    let last = applied.lines.last().map(String::as_str);
    assert_eq!(last, Some(format!("and {} more", RATES - 10_000).as_str()));
    assert_eq!(applied.lines[0], "~ rate buy \"1000000000\": rate \"0.0200\" -> \"0.0100\"");
    assert_eq!(asker.handle.show(3).await.unwrap().len(), RATES as usize, "all of it is there to be looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_cannot_be_is_refused_whole_and_leaves_nothing_behind() {
    let fleet = Fleet::new(3, false).await;
    let user =
        "[[account]]\nname = \"a\"\ncurrency = \"EUR\"\n[[user]]\nname = \"u\"\naccount = \"a\"\npassword = \"x\"\n";
    let rows: Vec<Row> =
        crate::desk::document(user).rows().filter(|row| matches!(row, Row::User(_))).cloned().collect();
    for _ in 0..12 {
        let error = fleet.node(2).handle.import(std::iter::once(rows.clone()), Import::default(), |_| ()).await;
        assert!(matches!(error, Err(Error::Refused(_))), "{error:?}");
    }
    assert_eq!(fleet.node(1).handle.revision(), 0);
    // More would be open than may be if those had stayed.
    fleet.node(2).handle.import(std::iter::once(vec![deck()]), Import::default(), |_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_outlives_its_leader() {
    let fleet = Fleet::new(3, true).await;
    let leader = fleet.leader().await.id;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    let importer = fleet.node(others[0]).handle.clone();
    let (net, mut parted) = (fleet.net.clone(), false);
    let rows = std::iter::once(vec![deck()]).chain(rates(20_000, "0.0100"));
    let revision = importer
        .import(rows, Import::default(), |progress| {
            if progress.staged > 5000 && !parted {
                parted = true;
                net.part(&[leader], &others);
            }
        })
        .await
        .unwrap();
    assert_eq!(revision, 1);
    fleet.net.heal();
    until("all have it", || fleet.up().all(|node| node.handle.revision() == 1)).await;
    fleet.agree().await;
    assert_eq!(fleet.node(leader).handle.view().tables().decks()["buy"].rates().count(), 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: cargo nextest run -p tables --release --run-ignored all -E 'test(million)' --no-capture"]
async fn a_million_rates_on_three_nodes() {
    let fleet = Fleet::new(3, true).await;
    let rows = std::iter::once(vec![deck()]).chain(rates(1_000_000, "0.0100"));
    let importer = fleet.follower().await;
    let began = Instant::now();
    let mut staged = None;
    let revision = importer
        .handle
        .import(rows, Import::default(), |progress| {
            if progress.committing {
                staged = Some(began.elapsed());
            }
        })
        .await
        .unwrap();
    let took = began.elapsed();
    until("all have it", || fleet.up().all(|node| node.handle.revision() == revision)).await;
    let everywhere = began.elapsed();
    println!("staged {:?}, committed {took:?}, everywhere {everywhere:?}, {} MB a node", staged.unwrap(), {
        size_of(&fleet.folder(1)) >> 20
    });
    assert!(everywhere < Duration::from_secs(60), "{everywhere:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_every_kind_may_be_imported_in_any_order() {
    let fleet = Fleet::new(3, false).await;
    let document = crate::desk::document(crate::desk::EVERY_KIND);
    let mut rows: Vec<Row> = document.rows().cloned().collect();
    let kinds: std::collections::BTreeSet<String> = rows.iter().map(|row| row.key().kind().to_string()).collect();
    assert_eq!(kinds.len(), routing::Kind::WORDS.len(), "{kinds:?}");
    let mut expected = routing::Tables::default();
    expected.apply_unchecked(&routing::Change { put: rows.clone(), delete: Vec::new() });
    rows.reverse();
    fleet.node(2).handle.import(rows.into_iter().map(|row| vec![row]), Import::default(), |_| ()).await.unwrap();
    assert_eq!(fleet.agree().await, expected);
}
