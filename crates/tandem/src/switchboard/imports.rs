//! A file of CSV becomes one revision: read piece by piece as it comes, weighed against the tables, then put into them.

use super::restore;
use console::{Import, ImportOf, Problem, Progress, Upload, api};
use routing::import::{List, NumberList, Numbers, Ported, PortedList, RateList, RateOptions, Rates};
use routing::{Change, Error, Row, RowKey, View};
use std::path::Path;
use std::sync::Arc;
use tables::{Handle, Proposal, Signature};

/// Rows that are taken from a list at a time.
const BATCH: usize = 1_000;

/// What a file has become.
enum Rows {
    /// Rates of a deck, and whether the deck becomes exactly these.
    Rates(RateList, bool),
    Numbers(NumberList),
    Ported(PortedList),
    /// Numbers or ported numbers that take the place of all others: the others have to be named.
    Change(Change),
    /// Everything is there already, or it was only to be looked at.
    Nothing,
}

/// Reads the file to its end and makes a revision of it.
///
/// # Errors
/// What is wrong with the file, by line, or why the tables do not take it: nothing has changed.
pub(super) async fn run(tables: Handle, import: Import) -> Result<api::Imported, Problem> {
    if import.what == ImportOf::Backup {
        return restore::run(tables, import).await;
    }
    let Import { what, file, replace, dry_run, expect, by, upload, progress } = import;
    let view = tables.view();
    // A file is weighed against the tables as they are now; if they move meanwhile, it is to be weighed again.
    let expect = expect.unwrap_or(view.revision);
    let reading = Arc::clone(&progress);
    let job = move || {
        let _calm = tables::Calm::begin();
        let weigher = Weigher { view: &view, progress: &reading, replace, dry_run };
        read(&what, Path::new(&file), upload, &weigher)
    };
    let (rows, mut answer) = match tokio::task::spawn_blocking(job).await {
        Ok(read) => read?,
        Err(error) => return Err(Problem::new(500, format!("a fault in the software: {error}"))),
    };
    answer.dry_run = dry_run;
    answer.revision = put(&tables, rows, by, expect, &progress).await?;
    Ok(answer)
}

/// The rows of a list in order, some at a time, as whoever puts them takes them: made on a thread that may block, which owns the list.
fn apart(list: impl List + Send + 'static) -> impl Iterator<Item = Vec<Row>> + Send + 'static {
    let (sender, batches) = std::sync::mpsc::sync_channel(1);
    tokio::task::spawn_blocking(move || {
        let _calm = tables::Calm::begin();
        // Goes before the calm does: to free a million rows takes long as well.
        let list = list;
        // It ends early when an import fails.
        list.batches(BATCH).all(|batch| sender.send(batch).is_ok())
    });
    batches.into_iter()
}

/// Puts the rows into the tables as one revision; that after it.
async fn put(tables: &Handle, rows: Rows, by: Signature, expect: u64, progress: &Progress) -> Result<u64, Problem> {
    let told = |state: tables::Progress| progress.written(state.staged);
    let mut import = tables::Import { replace: Vec::new(), by, expect: Some(expect) };
    let revision = match rows {
        Rows::Nothing => return Ok(tables.revision()),
        Rows::Rates(list, replaces) => {
            import.replace.extend(replaces.then(|| RowKey::Deck(list.deck().clone())));
            tables.import(apart(list), import, told).await
        }
        Rows::Numbers(list) => tables.import(apart(list), import, told).await,
        Rows::Ported(list) => tables.import(apart(list), import, told).await,
        Rows::Change(change) => tables.propose(Proposal { change, by: import.by, expect: import.expect }).await,
    };
    Ok(revision?)
}

fn read(what: &ImportOf, file: &Path, upload: Upload, weigher: &Weigher<'_>) -> Result<(Rows, api::Imported), Problem> {
    let replace = weigher.replace;
    match what {
        ImportOf::Rates { deck, from } => {
            let mut reader = Rates::new(file, RateOptions { deck: deck.as_str().into(), from: *from, replace });
            feed(upload, |bytes| {
                reader.feed(bytes);
                reader.is_hopeless()
            })?;
            // Other rates of the deck go without being named.
            weigher.weigh(reader.finish(), |list| Rows::Rates(list, replace), true)
        }
        ImportOf::Numbers => {
            let mut reader = Numbers::new(file, replace);
            feed(upload, |bytes| {
                reader.feed(bytes);
                reader.is_hopeless()
            })?;
            weigher.weigh(reader.finish(), Rows::Numbers, false)
        }
        ImportOf::Ported => {
            let mut reader = Ported::new(file, replace);
            feed(upload, |bytes| {
                reader.feed(bytes);
                reader.is_hopeless()
            })?;
            weigher.weigh(reader.finish(), Rows::Ported, false)
        }
        ImportOf::Backup => Err(Problem::new(500, "a fault in the software: a backup is no file of rows")),
    }
}

/// Hands over every piece until the file ends or the taker has had enough.
pub(super) fn feed(mut upload: Upload, mut enough: impl FnMut(&[u8]) -> bool) -> Result<(), Problem> {
    while let Some(bytes) = upload.read()? {
        tables::breathe();
        if enough(&bytes) {
            break;
        }
    }
    Ok(())
}

/// Says what rows would change in the tables.
struct Weigher<'a> {
    view: &'a View,
    progress: &'a Progress,
    replace: bool,
    dry_run: bool,
}

impl Weigher<'_> {
    /// The rows as they are to be put, and what is said of them. `wholly`: the tables themselves can replace by the list.
    fn weigh<L: List>(
        &self,
        list: Result<L, Vec<Error>>,
        rows: impl FnOnce(L) -> Rows,
        wholly: bool,
    ) -> Result<(Rows, api::Imported), Problem> {
        let list = list.map_err(|errors| Problem::of_tables(&errors))?;
        let tables = self.view.tables();
        let summary = list.summary(tables);
        let count = |rows: usize| rows as u64;
        self.progress.checking(count(summary.rows));
        let answer = api::Imported {
            rows: count(summary.rows),
            added: count(summary.added),
            changed: count(summary.changed),
            removed: count(summary.removed),
            same: count(summary.same),
            summary: summary.to_string(),
            ..api::Imported::default()
        };
        let change = || list.change(tables).map_err(|errors| Problem::of_tables(&errors));
        if self.dry_run {
            // Whether the tables would be valid is part of the look.
            change()?;
            return Ok((Rows::Nothing, answer));
        }
        let rows = match (summary.added + summary.changed + summary.removed, self.replace && !wholly) {
            (0, _) => Rows::Nothing,
            (_, true) => Rows::Change(change()?),
            (_, false) => rows(list),
        };
        Ok((rows, answer))
    }
}
