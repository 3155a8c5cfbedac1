//! A backup becomes one revision: read whole and checked, weighed against the tables, then put into them.

use super::imports::feed;
use console::{Import, Problem, api};
use routing::{Change, Row, Tables};
use std::sync::Arc;
use tables::backup::{Backup, Reader};
use tables::{Handle, Proposal};

/// Rows that are put at a time.
const BATCH: usize = 1_000;
/// Lines of the difference that are told.
const LINES: usize = 1_000;

/// Reads the backup to its end and makes the tables as it has them.
///
/// # Errors
/// The file is damaged, or why the tables do not take it: nothing has changed.
pub(super) async fn run(tables: Handle, import: Import) -> Result<api::Imported, Problem> {
    let Import { file, dry_run, expect, by, upload, progress, .. } = import;
    let view = tables.view();
    // What goes was weighed against these tables; if they move meanwhile, it is to be weighed again.
    let expect = expect.unwrap_or(view.revision);
    let reading = Arc::clone(&progress);
    let job = move || {
        let _calm = tables::Calm::begin();
        let mut reader = Reader::default();
        feed(upload, |bytes| {
            reader.feed(bytes);
            reader.is_hopeless()
        })?;
        let backup = reader.finish().map_err(|why| damaged(&file, &why))?;
        reading.checking(backup.rows);
        backup.tables.validate().map_err(|errors| Problem::of_tables(&errors))?;
        Ok::<_, Problem>(weighed(view.tables(), &backup))
    };
    let (change, mut answer) = match tokio::task::spawn_blocking(job).await {
        Ok(read) => read?,
        Err(error) => return Err(Problem::new(500, format!("a fault in the software: {error}"))),
    };
    answer.dry_run = dry_run;
    answer.revision = tables.revision();
    if dry_run && answer.revision != expect {
        return Err(tables::Error::Moved { expected: expect, found: answer.revision }.into());
    }
    if dry_run || change.is_empty() {
        return Ok(answer);
    }
    let told = |state: tables::Progress| progress.written(state.staged);
    // Rows that only come travel in pieces, however many they are; where others go, all is one message.
    answer.revision = if change.delete.is_empty() {
        let import = tables::Import { replace: Vec::new(), by, expect: Some(expect) };
        tables.import(batches(change.put), import, told).await?
    } else {
        tables.propose(Proposal { change, by, expect: Some(expect) }).await?
    };
    Ok(answer)
}

fn damaged(file: &str, why: &str) -> Problem {
    let (at, what) = why.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).unwrap_or(("", why));
    let at = if at.is_empty() { file.to_owned() } else { format!("{file}:{at}") };
    Problem::new(422, what).at(at).mend("take another backup; nothing has changed")
}

fn batches(rows: Vec<Row>) -> impl Iterator<Item = Vec<Row>> + Send {
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        let batch: Vec<Row> = rows.by_ref().take(BATCH).collect();
        (!batch.is_empty()).then_some(batch)
    })
}

/// What leads from the tables to those of the backup, and what is said of it.
fn weighed(now: &Tables, backup: &Backup) -> (Change, api::Imported) {
    let change = now.diff(&backup.tables);
    let count = |rows: usize| rows as u64;
    let changed = change.put.iter().filter(|row| now.get(&row.key()).is_some()).count();
    let added = change.put.len() - changed;
    // A plan or deck that goes takes its rows along, and is one line.
    let mut changes = change.lines(now);
    if let Some(more) = changes.len().checked_sub(LINES).filter(|more| *more > 0) {
        changes.truncate(LINES);
        changes.push(format!("… and {more} more"));
    }
    let head = &backup.head;
    let summary = format!(
        "{} rows of revision {} of cluster {}, backed up at {}: {added} new, {changed} changed, {} gone",
        backup.rows,
        head.revision,
        head.cluster,
        head.made,
        change.delete.len()
    );
    let answer = api::Imported {
        rows: backup.rows,
        added: count(added),
        changed: count(changed),
        removed: count(change.delete.len()),
        same: backup.rows - count(change.put.len()),
        summary,
        changes,
        ..api::Imported::default()
    };
    (change, answer)
}
