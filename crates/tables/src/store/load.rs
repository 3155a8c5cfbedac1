//! Reads the whole store, and believes nothing: every key must fit its row, every row must find its head, and there must be
//! as many rows as the last revision left.

use super::engine::{Engine, Family};
use super::{HEAD_KEY, Head, revision};
use crate::Error;
use crate::history::{Revision, RevisionInfo};
use routing::{Row, RowKey, Tables};
use std::collections::VecDeque;

/// What a store holds.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) revision: Revision,
    pub(crate) rows: u64,
    pub(crate) tables: Tables,
    pub(crate) history: VecDeque<RevisionInfo>,
}

pub(crate) fn load(engine: &Engine) -> Result<Loaded, Error> {
    revision::undo(engine)?;
    let stored = engine.get(Family::Meta, HEAD_KEY)?;
    let head: Head = stored
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| engine.broken("its head is not readable"))?;
    let (tables, found) = rows(engine)?;
    if found != head.rows {
        return Err(engine.broken(format!("revision {} has {} rows, and {found} are there", head.revision, head.rows)));
    }
    let history = history(engine)?;
    if history.back().map_or(0, |info| info.revision) != head.revision {
        return Err(engine.broken(format!("the history does not end with revision {}", head.revision)));
    }
    Ok(Loaded { revision: head.revision, rows: found, tables, history })
}

/// How many rows the tables have.
pub(crate) fn count(tables: &Tables) -> u64 {
    let rates: usize = tables.decks().values().map(|deck| 1 + deck.rates().count()).sum();
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
fn rows(engine: &Engine) -> Result<(Tables, u64), Error> {
    let (mut tables, mut found) = (Tables::default(), 0);
    engine.scan(Family::Rows, &[], |key, value| {
        let named = RowKey::of_bytes(key).ok_or_else(|| engine.broken(format!("a row has the key {key:02x?}")))?;
        let row: Row = serde_json::from_slice(value).map_err(|error| engine.broken(format!("{named}: {error}")))?;
        if row.key() != named {
            return Err(engine.broken(format!("{named} holds {}", row.key())));
        }
        tables.put(row);
        found += 1;
        Ok(true)
    })?;
    if count(&tables) != found {
        return Err(engine.broken("there are routes or rates without their plan or deck"));
    }
    Ok((tables, found))
}

fn history(engine: &Engine) -> Result<VecDeque<RevisionInfo>, Error> {
    let mut history = VecDeque::<RevisionInfo>::new();
    engine.scan(Family::History, &[], |key, value| {
        let info: RevisionInfo =
            serde_json::from_slice(value).map_err(|error| engine.broken(format!("the history: {error}")))?;
        let follows = history.back().is_none_or(|last| last.revision + 1 == info.revision);
        if key != info.revision.to_be_bytes() || !follows {
            return Err(engine.broken(format!("the history breaks off before revision {}", info.revision)));
        }
        history.push_back(info);
        Ok(true)
    })?;
    Ok(history)
}
