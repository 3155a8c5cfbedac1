//! The whole state of the tables at one revision, as rows by key.
//!
//! A clone shares everything; a change copies only the maps that it touches.

mod bodies;
mod deck;
mod ported;

pub use bodies::{Opening, PlanRows};
pub use deck::DeckRows;
pub(crate) use deck::Rates;
pub use ported::PortedRows;

use crate::change::Change;
use crate::digits::E164;
use crate::error::Error;
use crate::model::{Account, Name, Number, Ported, Price, Screen, Trunk, User};
use crate::row::{Row, RowKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    accounts: Arc<BTreeMap<Name, Arc<Account>>>,
    decks: BTreeMap<Name, Arc<DeckRows>>,
    plans: BTreeMap<Name, Arc<PlanRows>>,
    trunks: Arc<BTreeMap<Name, Arc<Trunk>>>,
    numbers: Arc<BTreeMap<E164, Arc<Number>>>,
    users: Arc<BTreeMap<Name, Arc<User>>>,
    ported: Arc<PortedRows>,
    screens: Arc<BTreeMap<Name, Arc<Screen>>>,
}

impl Tables {
    /// The accounts by name.
    #[must_use]
    pub fn accounts(&self) -> &BTreeMap<Name, Arc<Account>> {
        &self.accounts
    }

    /// The decks by name.
    #[must_use]
    pub const fn decks(&self) -> &BTreeMap<Name, Arc<DeckRows>> {
        &self.decks
    }

    /// The plans by name.
    #[must_use]
    pub const fn plans(&self) -> &BTreeMap<Name, Arc<PlanRows>> {
        &self.plans
    }

    /// The trunks by name.
    #[must_use]
    pub fn trunks(&self) -> &BTreeMap<Name, Arc<Trunk>> {
        &self.trunks
    }

    /// The numbers that we serve.
    #[must_use]
    pub fn numbers(&self) -> &BTreeMap<E164, Arc<Number>> {
        &self.numbers
    }

    /// The lines by name.
    #[must_use]
    pub fn users(&self) -> &BTreeMap<Name, Arc<User>> {
        &self.users
    }

    /// The routing numbers of ported numbers.
    #[must_use]
    pub fn ported(&self) -> &PortedRows {
        &self.ported
    }

    /// The screens by name.
    #[must_use]
    pub fn screens(&self) -> &BTreeMap<Name, Arc<Screen>> {
        &self.screens
    }

    /// The row of this key.
    #[must_use]
    pub fn get(&self, key: &RowKey) -> Option<Row> {
        match key {
            RowKey::Account(name) => self.accounts.get(name).cloned().map(Row::Account),
            RowKey::Deck(name) => self.decks.get(name).map(|deck| Row::Deck(deck.head.clone())),
            RowKey::Rate { deck, prefix, from } => {
                self.decks.get(deck)?.rate(*prefix, *from).map(|rate| Row::Rate(rate.into()))
            }
            RowKey::Plan(name) => self.plans.get(name).map(|plan| Row::Plan(plan.head().clone())),
            RowKey::Route { plan, prefix, hours } => {
                self.plans.get(plan)?.route(*prefix, hours.as_deref()).map(Row::Route)
            }
            RowKey::Trunk(name) => self.trunks.get(name).cloned().map(Row::Trunk),
            RowKey::Number(number) => self.numbers.get(number).cloned().map(Row::Number),
            RowKey::User(name) => self.users.get(name).cloned().map(Row::User),
            RowKey::Ported(number) => self.ported.get(*number).map(|lrn| Row::Ported(Ported { number: *number, lrn })),
            RowKey::Screen(name) => self.screens.get(name).cloned().map(Row::Screen),
        }
    }

    /// Every row; heads stand before their rates and routes.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let accounts = self.accounts.values().cloned().map(Row::Account);
        let trunks = self.trunks.values().cloned().map(Row::Trunk);
        let users = self.users.values().cloned().map(Row::User);
        accounts
            .chain(self.decks.values().flat_map(|deck| deck.rows()))
            .chain(self.plans.values().flat_map(|plan| plan.rows()))
            .chain(trunks)
            .chain(self.numbers.values().cloned().map(Row::Number))
            .chain(users)
            .chain(self.ported.iter().map(Row::Ported))
            .chain(self.screens.values().cloned().map(Row::Screen))
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    /// Applies a change whole or not at all.
    ///
    /// # Errors
    /// The tables would not be valid; they then stay as they were.
    pub fn apply(&mut self, change: &Change) -> Result<(), Vec<Error>> {
        let mut after = self.clone();
        after.apply_unchecked(change);
        after.validate()?;
        *self = after;
        Ok(())
    }

    /// Applies a change that is known to lead to valid tables, as one that was validated before it was stored.
    ///
    /// A route or rate without its head is dropped.
    pub fn apply_unchecked(&mut self, change: &Change) {
        for key in &change.delete {
            self.delete(key);
        }
        // Heads first, so that a change may list its rows in any order.
        let (heads, rest): (Vec<_>, Vec<_>) =
            change.put.iter().partition(|row| matches!(row, Row::Plan(_) | Row::Deck(_)));
        for row in heads.into_iter().chain(rest) {
            self.put(row.clone());
        }
    }

    /// Puts one row: how a store fills the tables. A plan or deck must come before its routes or rates.
    pub fn put(&mut self, row: Row) {
        match row {
            Row::Account(row) => drop(Arc::make_mut(&mut self.accounts).insert(row.name.clone(), row)),
            Row::Deck(head) => {
                let name = head.name.clone();
                match self.decks.get_mut(&name) {
                    Some(deck) => Arc::make_mut(deck).head = head,
                    None => drop(self.decks.insert(name, Arc::new(DeckRows::new(head)))),
                }
            }
            Row::Rate(row) => {
                if let Some(deck) = self.decks.get_mut(&row.deck) {
                    Arc::make_mut(deck).put(&row.price());
                }
            }
            Row::Plan(head) => {
                let name = head.name.clone();
                match self.plans.get_mut(&name) {
                    Some(plan) => Arc::make_mut(plan).set_head(head),
                    None => drop(self.plans.insert(name, Arc::new(PlanRows::new(head)))),
                }
            }
            Row::Route(row) => {
                if let Some(plan) = self.plans.get_mut(&row.plan) {
                    Arc::make_mut(plan).put(row);
                }
            }
            Row::Trunk(row) => drop(Arc::make_mut(&mut self.trunks).insert(row.name.clone(), row)),
            Row::Number(row) => drop(Arc::make_mut(&mut self.numbers).insert(row.number, row)),
            Row::User(row) => drop(Arc::make_mut(&mut self.users).insert(row.name.clone(), row)),
            Row::Ported(row) => Arc::make_mut(&mut self.ported).put(row),
            Row::Screen(row) => drop(Arc::make_mut(&mut self.screens).insert(row.name.clone(), row)),
        }
    }

    /// Puts many rates of a deck without a row for each; without the deck nothing happens. Those in order are quickest.
    pub fn put_rates(&mut self, deck: &str, prices: impl IntoIterator<Item = Price>) {
        if let Some(deck) = self.decks.get_mut(deck) {
            let deck = Arc::make_mut(deck);
            prices.into_iter().for_each(|price| deck.put(&price));
        }
    }

    /// Puts many ported numbers without a row for each. Those in order are quickest.
    pub fn put_ported(&mut self, ported: impl IntoIterator<Item = Ported>) {
        let rows = Arc::make_mut(&mut self.ported);
        ported.into_iter().for_each(|row| rows.put(row));
    }

    /// Deletes every ported number.
    pub fn clear_ported(&mut self) {
        self.ported = Arc::default();
    }

    /// Deletes every rate of a deck, and keeps its head.
    pub fn clear_rates(&mut self, deck: &str) {
        if let Some(deck) = self.decks.get_mut(deck) {
            *deck = Arc::new(DeckRows::new(deck.head.clone()));
        }
    }

    /// Deletes one row; a plan or deck takes its routes or rates along.
    pub fn delete(&mut self, key: &RowKey) {
        match key {
            RowKey::Account(name) => drop(Arc::make_mut(&mut self.accounts).remove(name)),
            RowKey::Deck(name) => drop(self.decks.remove(name)),
            RowKey::Rate { deck, prefix, from } => {
                if let Some(deck) = self.decks.get_mut(deck) {
                    Arc::make_mut(deck).delete(*prefix, *from);
                }
            }
            RowKey::Plan(name) => drop(self.plans.remove(name)),
            RowKey::Route { plan, prefix, hours } => {
                if let Some(plan) = self.plans.get_mut(plan) {
                    Arc::make_mut(plan).delete(*prefix, hours.as_deref());
                }
            }
            RowKey::Trunk(name) => drop(Arc::make_mut(&mut self.trunks).remove(name)),
            RowKey::Number(number) => drop(Arc::make_mut(&mut self.numbers).remove(number)),
            RowKey::User(name) => drop(Arc::make_mut(&mut self.users).remove(name)),
            RowKey::Ported(number) => Arc::make_mut(&mut self.ported).delete(*number),
            RowKey::Screen(name) => drop(Arc::make_mut(&mut self.screens).remove(name)),
        }
    }
}
