//! A change of the tables: what is put and what is deleted, its inverse, and its lines for a human.

mod diff;
mod lines;

pub use diff::Step;

use crate::document::{Document, Scope};
use crate::error::Error;
use crate::row::{Kind, Row, RowKey};
use crate::tables::Tables;
use serde::{Deserialize, Serialize};

/// Rows to put (new or replaced) and to delete. Applying it is one revision.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Change {
    /// New rows, and rows that replace those of the same key.
    pub put: Vec<Row>,
    /// Keys of rows that go, before any is put. A plan or deck takes its routes or rates along.
    pub delete: Vec<RowKey>,
}

impl Change {
    /// Whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }

    /// The change that leads back to `before`, the tables that this one is about to be applied to.
    #[must_use]
    pub fn inverse(&self, before: &Tables) -> Self {
        let mut after = before.clone();
        after.apply_unchecked(self);
        after.diff(before)
    }
}

impl Tables {
    /// The change that a document asks for, validated against these tables.
    ///
    /// # Errors
    /// The tables after it would not be valid; each with file and line where the document wrote the row.
    pub fn plan_change(&self, document: &Document, scope: Scope) -> Result<Change, Vec<Error>> {
        let mut after = self.clone();
        self.unlisted(document, scope).iter().for_each(|key| after.delete(key));
        // Keys are in an order that has plans before routes and decks before rates.
        document.rows().cloned().for_each(|row| after.put(row));
        let faults = after.faults();
        if faults.is_empty() {
            return Ok(self.diff(&after));
        }
        Err(faults.into_iter().map(|fault| fault.into_error(Some(document))).collect())
    }

    /// What goes because the document does not list it.
    fn unlisted(&self, document: &Document, scope: Scope) -> Vec<RowKey> {
        let declares = |kind| scope == Scope::Declare && document.names(kind);
        let mut keys: Vec<RowKey> = Vec::new();
        if declares(Kind::Account) {
            keys.extend(self.accounts().keys().cloned().map(RowKey::Account));
        }
        if declares(Kind::Deck) {
            keys.extend(self.decks().keys().cloned().map(RowKey::Deck));
        }
        if declares(Kind::Plan) {
            keys.extend(self.plans().keys().cloned().map(RowKey::Plan));
        }
        if declares(Kind::Trunk) {
            keys.extend(self.trunks().keys().cloned().map(RowKey::Trunk));
        }
        if declares(Kind::Number) {
            keys.extend(self.numbers().keys().copied().map(RowKey::Number));
        }
        if declares(Kind::User) {
            keys.extend(self.users().keys().cloned().map(RowKey::User));
        }
        if declares(Kind::Ported) {
            keys.extend(self.ported().iter().map(|row| RowKey::Ported(row.number)));
        }
        if declares(Kind::Screen) {
            keys.extend(self.screens().keys().cloned().map(RowKey::Screen));
        }
        let plans = self.plans().iter().filter(|(name, _)| document.lists(&RowKey::Plan((*name).clone())));
        keys.extend(plans.flat_map(|(_, plan)| plan.rows()).map(|row| row.key()));
        let decks = self.decks().iter().filter(|(name, _)| document.lists(&RowKey::Deck((*name).clone())));
        let decks = decks.filter(|(name, _)| !document.keeps_rates_of(name));
        keys.extend(decks.flat_map(|(_, deck)| deck.rows()).map(|row| row.key()));
        keys.retain(|key| !document.lists(key));
        keys
    }
}
