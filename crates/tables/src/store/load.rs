//! Reads the whole store, and believes nothing: every key must fit its row, every row must find its head, and there must be
//! as many rows as the last revision left.

use super::folder::Folder;
use super::{HEAD_KEY, HISTORY, Head, META, ROWS, family};
use crate::Error;
use crate::history::{Revision, RevisionInfo};
use rocksdb::{DB, ReadOptions};
use routing::{Row, RowKey, Tables};
use std::collections::VecDeque;

/// What a store holds.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) revision: Revision,
    pub(crate) tables: Tables,
    pub(crate) history: VecDeque<RevisionInfo>,
}

pub(super) fn load(folder: &Folder, db: &DB) -> Result<(Head, Loaded), Error> {
    let stored = db.get_cf(family(db, META), HEAD_KEY).map_err(|error| folder.broken(error.into_string()))?;
    let head: Head = stored
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| folder.broken("its head is not readable"))?;
    let (tables, found) = rows(folder, db)?;
    if found != head.rows {
        return Err(folder.broken(format!("revision {} has {} rows, and {found} are there", head.revision, head.rows)));
    }
    let history = history(folder, db)?;
    if history.back().map_or(0, |info| info.revision) != head.revision {
        return Err(folder.broken(format!("the history does not end with revision {}", head.revision)));
    }
    Ok((head.clone(), Loaded { revision: head.revision, tables, history }))
}

/// How many rows the tables have.
pub(crate) fn count(tables: &Tables) -> u64 {
    let rates: usize = tables.decks().values().map(|deck| 1 + deck.len()).sum();
    let routes: usize = tables
        .plans()
        .values()
        .map(|plan| 1 + plan.routes().values().map(|openings| openings.len()).sum::<usize>())
        .sum();
    let rest = [
        tables.accounts().len(),
        tables.trunks().len(),
        tables.numbers().len(),
        tables.users().len(),
        tables.ported().len(),
        tables.screens().len(),
    ];
    (rates + routes + rest.into_iter().sum::<usize>()) as u64
}

/// The rows and how many there are on the disk: a row without its head would be left out of the tables in silence.
fn rows(folder: &Folder, db: &DB) -> Result<(Tables, u64), Error> {
    let (mut tables, mut found) = (Tables::default(), 0);
    each(folder, db, ROWS, |key, value| {
        let named = RowKey::of_bytes(key).ok_or_else(|| folder.broken(format!("a row has the key {key:02x?}")))?;
        let row: Row = serde_json::from_slice(value).map_err(|error| folder.broken(format!("{named}: {error}")))?;
        if row.key() != named {
            return Err(folder.broken(format!("{named} holds {}", row.key())));
        }
        tables.put(row);
        found += 1;
        Ok(())
    })?;
    if count(&tables) != found {
        return Err(folder.broken("there are routes or rates without their plan or deck"));
    }
    Ok((tables, found))
}

fn history(folder: &Folder, db: &DB) -> Result<VecDeque<RevisionInfo>, Error> {
    let mut history = VecDeque::<RevisionInfo>::new();
    each(folder, db, HISTORY, |key, value| {
        let info: RevisionInfo =
            serde_json::from_slice(value).map_err(|error| folder.broken(format!("the history: {error}")))?;
        let follows = history.back().is_none_or(|last| last.revision + 1 == info.revision);
        if key != info.revision.to_be_bytes() || !follows {
            return Err(folder.broken(format!("the history breaks off before revision {}", info.revision)));
        }
        history.push_back(info);
        Ok(())
    })?;
    Ok(history)
}

fn each(
    folder: &Folder,
    db: &DB,
    name: &str,
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.set_readahead_size(1 << 20);
    options.fill_cache(false);
    let mut cursor = db.raw_iterator_cf_opt(family(db, name), options);
    cursor.seek_to_first();
    while let Some((key, value)) = cursor.item() {
        take(key, value)?;
        cursor.next();
    }
    cursor.status().map_err(|error| folder.broken(error.into_string()))
}
