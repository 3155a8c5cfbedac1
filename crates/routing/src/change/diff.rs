//! The difference of two states of the tables.

use super::Change;
use crate::digits::Prefix;
use crate::hours::Hours;
use crate::model::Name;
use crate::row::{Row, RowKey};
use crate::tables::{DeckRows, Opening, PlanRows, Rates, Tables};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Tables {
    /// The change that leads from these tables to `after`. What both share by pointer is not looked at, so a plan of a
    /// million routes that nobody touched costs nothing, nor do the untouched pieces of a deck of a million rates.
    #[must_use]
    pub fn diff(&self, after: &Self) -> Change {
        let mut change = Change::default();
        let c = &mut change;
        walk(self.accounts(), after.accounts(), |_, new| c.put_or(new, Row::Account, RowKey::Account));
        diff_decks(self, after, c);
        diff_plans(self, after, c);
        walk(self.trunks(), after.trunks(), |_, new| c.put_or(new, Row::Trunk, RowKey::Trunk));
        walk(self.numbers(), after.numbers(), |_, new| c.put_or(new, Row::Number, RowKey::Number));
        walk(self.users(), after.users(), |_, new| c.put_or(new, Row::User, RowKey::User));
        self.ported().differences(after.ported(), |was, new| match (was, new) {
            (_, Some(row)) => c.put.push(Row::Ported(row)),
            (Some(was), None) => c.delete.push(RowKey::Ported(was.number)),
            (None, None) => {}
        });
        walk(self.screens(), after.screens(), |_, new| c.put_or(new, Row::Screen, RowKey::Screen));
        change
    }
}

/// A new value, or the key of one that is gone.
type New<'m, K, V> = Result<(&'m K, &'m V), &'m K>;

impl Change {
    fn put_or<K: Clone, V>(&mut self, new: New<'_, K, Arc<V>>, row: fn(Arc<V>) -> Row, key: fn(K) -> RowKey) {
        match new {
            Ok((_, value)) => self.put.push(row(value.clone())),
            Err(gone) => self.delete.push(key(gone.clone())),
        }
    }
}

/// Walks two maps side by side and tells what differs: the old value if there was one, and the new one or its key.
fn walk<'m, K: Ord, V: PartialEq>(
    before: &'m BTreeMap<K, V>,
    after: &'m BTreeMap<K, V>,
    mut differs: impl FnMut(Option<&'m V>, New<'m, K, V>),
) {
    if std::ptr::eq(before, after) {
        return;
    }
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        match order {
            Ordering::Less => old.next().into_iter().for_each(|(key, value)| differs(Some(value), Err(key))),
            Ordering::Greater => new.next().into_iter().for_each(|entry| differs(None, Ok(entry))),
            Ordering::Equal => {
                if let (Some((_, was)), Some(entry)) = (old.next(), new.next())
                    && was != entry.1
                {
                    differs(Some(was), Ok(entry));
                }
            }
        }
    }
}

fn diff_decks(before: &Tables, after: &Tables, change: &mut Change) {
    walk_bodies(before.decks(), after.decks(), |was, new| match new {
        Err(name) => change.delete.push(RowKey::Deck(name.clone())),
        Ok((name, deck)) => {
            if was.is_none_or(|was: &Arc<DeckRows>| was.head != deck.head) {
                change.put.push(Row::Deck(deck.head.clone()));
            }
            let none = Rates::default();
            was.map_or(&none, |was| was.body()).differences(deck.body(), |was, new| match (was, new) {
                (_, Some(price)) => change.put.push(Row::Rate(price.of_deck(name).into())),
                (Some(was), None) => {
                    change.delete.push(RowKey::Rate { deck: name.clone(), prefix: was.prefix, from: was.from });
                }
                (None, None) => {}
            });
        }
    });
}

fn diff_plans(before: &Tables, after: &Tables, change: &mut Change) {
    walk_bodies(before.plans(), after.plans(), |was, new| match new {
        Err(name) => change.delete.push(RowKey::Plan(name.clone())),
        Ok((_, plan)) => {
            if was.is_none_or(|was: &Arc<PlanRows>| was.head() != plan.head()) {
                change.put.push(Row::Plan(plan.head().clone()));
            }
            let none = BTreeMap::new();
            walk(was.map_or(&none, |was| was.routes()), plan.routes(), |was, new| match new {
                Ok((prefix, openings)) => diff_openings(was, *prefix, openings, plan, change),
                Err(prefix) => {
                    for opening in was.into_iter().flat_map(|was| was.iter()) {
                        change.delete.push(route_key(&plan.head().name, *prefix, opening));
                    }
                }
            });
        }
    });
}

/// As [`walk`], for bodies that are equal without a look when they are one and the same.
fn walk_bodies<'m, V: PartialEq>(
    before: &'m BTreeMap<Name, Arc<V>>,
    after: &'m BTreeMap<Name, Arc<V>>,
    mut differs: impl FnMut(Option<&'m Arc<V>>, New<'m, Name, Arc<V>>),
) {
    for (name, new) in after {
        let old = before.get(name);
        if !old.is_some_and(|old| Arc::ptr_eq(old, new)) {
            differs(old, Ok((name, new)));
        }
    }
    for (name, old) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        differs(Some(old), Err(name));
    }
}

fn diff_openings(
    was: Option<&Arc<[Opening]>>,
    prefix: Prefix,
    openings: &[Opening],
    plan: &PlanRows,
    change: &mut Change,
) {
    let was: &[Opening] = was.map_or(&[], |was| was);
    for opening in openings.iter().filter(|opening| !was.contains(opening)) {
        change.put.extend(plan.route(prefix, opening.hours.as_ref().map(Hours::as_str)).map(Row::Route));
    }
    for opening in was.iter().filter(|was| !openings.iter().any(|opening| opening.hours == was.hours)) {
        change.delete.push(route_key(&plan.head().name, prefix, opening));
    }
}

fn route_key(plan: &Name, prefix: Prefix, opening: &Opening) -> RowKey {
    let hours = opening.hours.as_ref().map(|hours| hours.as_str().into());
    RowKey::Route { plan: plan.clone(), prefix, hours }
}
