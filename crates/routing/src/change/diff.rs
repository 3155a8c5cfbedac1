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

/// One row in which two states of the tables differ.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// It was not there.
    Added(Row),
    /// It was another one with the same key.
    Changed(Row),
    /// It is gone, and so many more with it: the routes of a plan, the rates of a deck.
    Gone(RowKey, u64),
}

/// Takes the steps one by one.
type Take<'t> = &'t mut dyn FnMut(Step);

impl Tables {
    /// The change that leads from these tables to `after`. What both share by pointer is not looked at, so a plan of a
    /// million routes that nobody touched costs nothing, nor do the untouched pieces of a deck of a million rates.
    #[must_use]
    pub fn diff(&self, after: &Self) -> Change {
        let mut change = Change::default();
        self.steps(after, |step| match step {
            Step::Added(row) | Step::Changed(row) => change.put.push(row),
            Step::Gone(key, _) => change.delete.push(key),
        });
        change
    }

    /// As [`Tables::diff`], row by row as they are found, so that a change of millions is nowhere as a whole. The head of a plan
    /// or deck comes before its routes or rates; otherwise no step depends on another.
    pub fn steps(&self, after: &Self, mut take: impl FnMut(Step)) {
        let take: Take<'_> = &mut take;
        walk(self.accounts(), after.accounts(), |was, new| step(take, was, new, Row::Account, RowKey::Account));
        diff_decks(self, after, take);
        diff_plans(self, after, take);
        walk(self.trunks(), after.trunks(), |was, new| step(take, was, new, Row::Trunk, RowKey::Trunk));
        walk(self.numbers(), after.numbers(), |was, new| step(take, was, new, Row::Number, RowKey::Number));
        walk(self.users(), after.users(), |was, new| step(take, was, new, Row::User, RowKey::User));
        self.ported().differences(after.ported(), |was, new| match (was, new) {
            (None, Some(row)) => take(Step::Added(Row::Ported(row))),
            (Some(_), Some(row)) => take(Step::Changed(Row::Ported(row))),
            (Some(was), None) => take(Step::Gone(RowKey::Ported(was.number), 0)),
            (None, None) => {}
        });
        walk(self.screens(), after.screens(), |was, new| step(take, was, new, Row::Screen, RowKey::Screen));
    }
}

/// A new value, or the key of one that is gone.
type New<'m, K, V> = Result<(&'m K, &'m V), &'m K>;

fn step<K: Clone, V>(
    take: Take<'_>,
    was: Option<&Arc<V>>,
    new: New<'_, K, Arc<V>>,
    row: fn(Arc<V>) -> Row,
    key: fn(K) -> RowKey,
) {
    take(match new {
        Ok((_, value)) => put(was.is_some(), row(value.clone())),
        Err(gone) => Step::Gone(key(gone.clone()), 0),
    });
}

const fn put(was_there: bool, row: Row) -> Step {
    if was_there { Step::Changed(row) } else { Step::Added(row) }
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

fn diff_decks(before: &Tables, after: &Tables, take: Take<'_>) {
    walk_bodies(before.decks(), after.decks(), |was: Option<&Arc<DeckRows>>, new| match new {
        Err(name) => take(Step::Gone(RowKey::Deck(name.clone()), was.map_or(0, |was| was.len() as u64))),
        Ok((name, deck)) => {
            if was.is_none_or(|was| was.head != deck.head) {
                take(put(was.is_some(), Row::Deck(deck.head.clone())));
            }
            let none = Rates::default();
            was.map_or(&none, |was| was.body()).differences(deck.body(), |was, new| match (was, new) {
                (was, Some(price)) => take(put(was.is_some(), Row::Rate(price.of_deck(name).into()))),
                (Some(was), None) => {
                    take(Step::Gone(RowKey::Rate { deck: name.clone(), prefix: was.prefix, from: was.from }, 0));
                }
                (None, None) => {}
            });
        }
    });
}

fn diff_plans(before: &Tables, after: &Tables, take: Take<'_>) {
    walk_bodies(before.plans(), after.plans(), |was: Option<&Arc<PlanRows>>, new| match new {
        Err(name) => take(Step::Gone(RowKey::Plan(name.clone()), was.map_or(0, |was| was.iter().count() as u64))),
        Ok((_, plan)) => {
            if was.is_none_or(|was| was.head() != plan.head()) {
                take(put(was.is_some(), Row::Plan(plan.head().clone())));
            }
            let none = BTreeMap::new();
            walk(was.map_or(&none, |was| was.routes()), plan.routes(), |was, new| match new {
                Ok((prefix, openings)) => diff_openings(was, *prefix, openings, plan, take),
                Err(prefix) => {
                    for opening in was.into_iter().flat_map(|was| was.iter()) {
                        take(Step::Gone(route_key(&plan.head().name, *prefix, opening), 0));
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

fn diff_openings(was: Option<&Arc<[Opening]>>, prefix: Prefix, openings: &[Opening], plan: &PlanRows, take: Take<'_>) {
    let was: &[Opening] = was.map_or(&[], |was| was);
    for opening in openings.iter().filter(|opening| !was.contains(opening)) {
        let was_there = was.iter().any(|was| was.hours == opening.hours);
        if let Some(route) = plan.route(prefix, opening.hours.as_ref().map(Hours::as_str)) {
            take(put(was_there, Row::Route(route)));
        }
    }
    for opening in was.iter().filter(|was| !openings.iter().any(|opening| opening.hours == was.hours)) {
        take(Step::Gone(route_key(&plan.head().name, prefix, opening), 0));
    }
}

fn route_key(plan: &Name, prefix: Prefix, opening: &Opening) -> RowKey {
    let hours = opening.hours.as_ref().map(|hours| hours.as_str().into());
    RowKey::Route { plan: plan.clone(), prefix, hours }
}
