//! Rules on numbers: where they lead exists, and they do not lead in a circle.

use super::Rules;
use crate::model::{Destination, Number};
use crate::plan::MAX_CHAIN;
use crate::row::{Kind, RowKey};

impl Rules<'_> {
    pub(super) fn numbers(&mut self) {
        for row in self.tables.numbers().values() {
            let key = RowKey::Number(row.number);
            self.refer(&key, "account", Kind::Account, row.account.as_ref());
            self.destination(&key, "to", &row.to);
            if let Some(failure) = &row.on_failure {
                self.destination(&key, "on_failure", failure);
            }
            self.chain(&key, row);
        }
    }

    fn destination(&mut self, key: &RowKey, field: &'static str, destination: &Destination) {
        match destination {
            Destination::Trunk(trunk) => self.callable(key, field, trunk),
            Destination::User(user) => self.refer(key, field, Kind::User, Some(user)),
            Destination::Plan(plan) => self.refer(key, field, Kind::Plan, Some(plan)),
            // A number that is not ours goes out by a plan.
            Destination::Number(_) => {}
        }
    }

    /// Follows `to` from number to number.
    fn chain(&mut self, key: &RowKey, first: &Number) {
        let mut row = first;
        for _ in 0..MAX_CHAIN {
            let Destination::Number(next) = &row.to else { return };
            match self.tables.numbers().get(next) {
                None => return,
                Some(next) if next.number == first.number => break,
                Some(next) => row = next,
            }
        }
        let what = format!("`to` leads through more than {MAX_CHAIN} numbers or in a circle");
        self.fault(key.clone(), "to", what, "let it lead to a trunk, a user or a plan");
    }
}
