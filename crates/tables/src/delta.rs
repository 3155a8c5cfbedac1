//! What a change really does to the tables, row by row: without what changes nothing, with its way back. Its cost is that
//! of the rows that it names, not that of the tables.

use crate::calm::breathe;
use routing::{Change, Row, RowKey, Step, Tables};
use std::collections::BTreeSet;

/// A change as it was made.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    /// Only rows that differ.
    pub(crate) change: Change,
    /// The way back.
    pub(crate) inverse: Change,
    pub(crate) counts: Counts,
}

/// How many rows a change changes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) added: u64,
    pub(crate) changed: u64,
    pub(crate) deleted: u64,
}

impl Counts {
    pub(crate) const fn add(&mut self, step: &Step) {
        match step {
            Step::Added(_) => self.added += 1,
            Step::Changed(_) => self.changed += 1,
            Step::Gone(_, with_it) => self.deleted += 1 + *with_it,
        }
    }

    pub(crate) const fn is_none(self) -> bool {
        self.added + self.changed + self.deleted == 0
    }
}

/// Makes the change in the tables, unchecked.
pub(crate) fn make(tables: &mut Tables, change: &Change) -> Delta {
    let keys = touched(tables, change);
    // Boxed, since of a million new rows none was there before.
    let before: Vec<Option<Box<Row>>> = keys
        .iter()
        .map(|key| {
            breathe();
            tables.get(key).map(Box::new)
        })
        .collect();
    tables.apply_unchecked(change);
    let mut delta = Delta::default();
    // As large a change mostly adds. Room that is not used is no memory yet.
    delta.change.put.reserve(change.put.len());
    delta.inverse.delete.reserve(change.put.len());
    for (key, was) in keys.into_iter().zip(before) {
        breathe();
        match (was.map(|row| *row), tables.get(&key)) {
            (None, None) => {}
            (None, Some(row)) => {
                delta.counts.added += 1;
                delta.change.put.push(row);
                delta.inverse.delete.push(key);
            }
            (Some(was), None) => {
                delta.counts.deleted += 1;
                delta.change.delete.push(key);
                delta.inverse.put.push(was);
            }
            (Some(was), Some(row)) => {
                if was != row {
                    delta.counts.changed += 1;
                    delta.change.put.push(row);
                    delta.inverse.put.push(was);
                }
            }
        }
    }
    without_bodies(&mut delta.change.delete);
    without_bodies(&mut delta.inverse.delete);
    delta
}

/// The keys that a change names, and those that go along with a plan or deck.
fn touched(tables: &Tables, change: &Change) -> BTreeSet<RowKey> {
    let mut keys: BTreeSet<RowKey> = change.put.iter().map(Row::key).collect();
    for key in &change.delete {
        if let RowKey::Plan(name) = key {
            keys.extend(tables.plans().get(name).into_iter().flat_map(|plan| plan.rows()).map(|row| row.key()));
        } else if let RowKey::Deck(name) = key {
            keys.extend(tables.decks().get(name).into_iter().flat_map(|deck| deck.rows()).map(|row| row.key()));
        }
        keys.insert(key.clone());
    }
    keys
}

/// A plan takes its routes along and a deck its rates, so these are not named beside it.
fn without_bodies(keys: &mut Vec<RowKey>) {
    let owners: BTreeSet<RowKey> =
        keys.iter().filter(|key| matches!(key, RowKey::Plan(_) | RowKey::Deck(_))).cloned().collect();
    if !owners.is_empty() {
        keys.retain(|key| owner(key).is_none_or(|owner| !owners.contains(&owner)));
    }
}

/// The plan of a route and the deck of a rate.
pub(crate) fn owner(key: &RowKey) -> Option<RowKey> {
    match key {
        RowKey::Route { plan, .. } => Some(RowKey::Plan(plan.clone())),
        RowKey::Rate { deck, .. } => Some(RowKey::Deck(deck.clone())),
        RowKey::Account(_) | RowKey::Deck(_) | RowKey::Plan(_) | RowKey::Trunk(_) | RowKey::Number(_) => None,
        RowKey::User(_) | RowKey::Ported(_) | RowKey::Screen(_) => None,
    }
}
