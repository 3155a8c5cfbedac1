//! A file of CSV becomes one revision: read piece by piece as it comes, checked against the tables, then put into them.

use console::{Import, ImportOf, Problem, Progress, Upload, api};
use routing::import::{List, Numbers, Ported, RateOptions, Rates};
use routing::{Change, Error, View};
use std::path::Path;
use std::sync::Arc;
use tables::{Handle, Proposal};

/// What a file has become.
struct Read {
    change: Change,
    answer: api::Imported,
}

/// Reads the file to its end and makes a revision of it.
///
/// # Errors
/// What is wrong with the file, by line, or why the tables do not take it: nothing has changed.
pub(super) async fn run(tables: Handle, import: Import) -> Result<api::Imported, Problem> {
    let Import { what, file, replace, dry_run, expect, by, upload, progress } = import;
    let view = tables.view();
    // A file is weighed against the tables as they are now; if they move meanwhile, it is to be weighed again.
    let expect = expect.unwrap_or(view.revision);
    let reading = Arc::clone(&progress);
    let job = move || read(&what, Path::new(&file), replace, upload, &view, &reading);
    let Read { change, mut answer } = match tokio::task::spawn_blocking(job).await {
        Ok(read) => read?,
        Err(error) => return Err(Problem::new(500, format!("a fault in the software: {error}"))),
    };
    answer.dry_run = dry_run;
    answer.revision = tables.revision();
    if dry_run {
        return Ok(answer);
    }
    progress.written(0);
    answer.revision = tables.propose(Proposal { change, by, expect: Some(expect) }).await?;
    progress.written(answer.rows);
    Ok(answer)
}

fn read(
    what: &ImportOf,
    file: &Path,
    replace: bool,
    upload: Upload,
    view: &View,
    progress: &Progress,
) -> Result<Read, Problem> {
    match what {
        ImportOf::Rates { deck, from } => {
            let options = RateOptions { deck: deck.as_str().into(), from: *from, replace };
            let mut reader = Rates::new(file, options);
            feed(upload, |bytes| {
                !reader.is_hopeless() && {
                    reader.feed(bytes);
                    true
                }
            })?;
            weigh(reader.finish(), view, progress)
        }
        ImportOf::Numbers => {
            let mut reader = Numbers::new(file, replace);
            feed(upload, |bytes| {
                !reader.is_hopeless() && {
                    reader.feed(bytes);
                    true
                }
            })?;
            weigh(reader.finish(), view, progress)
        }
        ImportOf::Ported => {
            let mut reader = Ported::new(file, replace);
            feed(upload, |bytes| {
                !reader.is_hopeless() && {
                    reader.feed(bytes);
                    true
                }
            })?;
            weigh(reader.finish(), view, progress)
        }
    }
}

/// Hands over every piece until the file ends or `take` has had enough.
fn feed(mut upload: Upload, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Problem> {
    while let Some(bytes) = upload.read()? {
        if !take(&bytes) {
            break;
        }
    }
    Ok(())
}

/// What the rows would change in the tables.
fn weigh<L: List>(list: Result<L, Vec<Error>>, view: &View, progress: &Progress) -> Result<Read, Problem> {
    let list = list.map_err(|errors| Problem::of_tables(&errors))?;
    let tables = view.tables();
    let summary = list.summary(tables);
    let count = |rows: usize| rows as u64;
    progress.checking(count(summary.rows));
    let change = list.change(tables).map_err(|errors| Problem::of_tables(&errors))?;
    let answer = api::Imported {
        rows: count(summary.rows),
        added: count(summary.added),
        changed: count(summary.changed),
        removed: count(summary.removed),
        same: count(summary.same),
        summary: summary.to_string(),
        ..api::Imported::default()
    };
    Ok(Read { change, answer })
}
