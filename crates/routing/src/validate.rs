//! The rules that rows keep among each other: what is named exists, nothing is ambiguous.

mod numbers;
mod routes;
mod trunks;

use crate::document::Document;
use crate::error::Error;
use crate::model::{Account, Name, Screen, User};
use crate::row::{Kind, RowKey};
use crate::tables::Tables;

/// How many faults are said.
const MAX_FAULTS: usize = 100;

impl Tables {
    /// Checks that every row fits the others: every name that is referred to exists, nothing is ambiguous.
    ///
    /// # Errors
    /// Everything that does not fit.
    pub fn validate(&self) -> Result<(), Vec<Error>> {
        let faults = self.faults();
        if faults.is_empty() { Ok(()) } else { Err(faults.into_iter().map(|fault| fault.into_error(None)).collect()) }
    }

    /// What does not fit, at most a hundred.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut rules = Rules { tables: self, faults: Vec::new() };
        self.accounts().values().for_each(|row| rules.account(row));
        self.users().values().for_each(|row| rules.user(row));
        self.screens().values().for_each(|row| rules.screen(row));
        rules.trunks();
        rules.routes();
        rules.numbers();
        rules.faults.truncate(MAX_FAULTS);
        rules.faults
    }
}

/// A row that does not fit the others.
pub(crate) struct Fault {
    key: RowKey,
    field: &'static str,
    what: String,
    mend: String,
}

impl Fault {
    /// With the place, if a document wrote the row.
    pub(crate) fn into_error(self, document: Option<&Document>) -> Error {
        let Self { key, field, what, mend } = self;
        match document.and_then(|document| document.place(&key, field)) {
            Some(place) => Error::Written { place, what: format!("{key}: {what}"), mend },
            None => Error::Row { key, what, mend },
        }
    }
}

struct Rules<'t> {
    tables: &'t Tables,
    faults: Vec<Fault>,
}

impl Rules<'_> {
    fn fault(&mut self, key: RowKey, field: &'static str, what: String, mend: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { key, field, what, mend: mend.into() });
        }
    }

    /// What is named must exist.
    fn refer(&mut self, key: &RowKey, field: &'static str, kind: Kind, name: Option<&Name>) {
        let Some(name) = name else { return };
        let tables = self.tables;
        let there = match kind {
            Kind::Account => tables.accounts().contains_key(name),
            Kind::Deck | Kind::Rate => tables.decks().contains_key(name),
            Kind::Plan | Kind::Route => tables.plans().contains_key(name),
            Kind::Trunk => tables.trunks().contains_key(name),
            Kind::User => tables.users().contains_key(name),
            Kind::Screen => tables.screens().contains_key(name),
            Kind::Number | Kind::Ported => true,
        };
        if !there {
            let mend = format!("write [[{kind}]] with `name = \"{name}\"`, or correct `{field}`");
            self.fault(key.clone(), field, format!("`{field}` names {kind} `{name}`, which does not exist"), mend);
        }
    }

    /// A trunk that calls are sent to must exist and be able to take them.
    fn callable(&mut self, key: &RowKey, field: &'static str, name: &Name) {
        match self.tables.trunks().get(name) {
            None => self.refer(key, field, Kind::Trunk, Some(name)),
            Some(trunk) if trunk.takes_calls() => {}
            Some(_) => {
                let what = format!("`{field}` names trunk `{name}`, which has no gateway and does not register");
                self.fault(key.clone(), field, what, format!("give `{name}` a [trunk.egress] with gateways"));
            }
        }
    }

    fn account(&mut self, row: &Account) {
        let key = RowKey::Account(row.name.clone());
        self.refer(&key, "sell_deck", Kind::Deck, row.sell_deck.as_ref());
        self.refer(&key, "plan", Kind::Plan, row.plan.as_ref());
    }

    fn user(&mut self, row: &User) {
        let key = RowKey::User(row.name.clone());
        self.refer(&key, "account", Kind::Account, row.account.as_ref());
        self.refer(&key, "plan", Kind::Plan, row.plan.as_ref());
    }

    fn screen(&mut self, row: &Screen) {
        let key = RowKey::Screen(row.name.clone());
        for (at, entry) in row.emergency.iter().enumerate() {
            entry.trunks.iter().for_each(|trunk| self.callable(&key, "trunks", trunk));
            let before = self.tables.screens().values().take_while(|screen| screen.name != row.name);
            let mut earlier = before.flat_map(|screen| &screen.emergency).chain(&row.emergency[..at]);
            if earlier.any(|earlier| earlier.number == entry.number) {
                let what = format!("emergency number {} stands twice among the screens", entry.number);
                self.fault(key.clone(), "emergency", what, "keep one of them, with all its trunks");
            }
        }
    }
}
