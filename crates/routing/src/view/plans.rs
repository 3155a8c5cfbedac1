//! A plan ready for look-ups: each prefix leads to one of few distinct lists of trunks.

use crate::digits::Prefix;
use crate::index::PrefixIndex;
use crate::model::{Name, Order};
use crate::tables::{Opening, PlanRows};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The index of one plan.
#[derive(Debug)]
pub(crate) struct PlanIndex {
    pub(crate) name: Name,
    pub(crate) order: Order,
    index: PrefixIndex,
    lists: Vec<Arc<[Opening]>>,
}

impl PlanIndex {
    pub(crate) fn build(rows: &PlanRows) -> Self {
        let mut lists: Vec<Arc<[Opening]>> = Vec::new();
        let mut places: FxHashMap<*const Opening, u32> = FxHashMap::default();
        let entries = rows.routes().iter().map(|(prefix, openings)| {
            let place = *places.entry(openings.as_ptr()).or_insert_with(|| {
                lists.push(openings.clone());
                u32::try_from(lists.len() - 1).unwrap_or(u32::MAX)
            });
            (*prefix, place)
        });
        let index = PrefixIndex::build(entries);
        Self { name: rows.head().name.clone(), order: rows.head().order, index, lists }
    }

    /// The prefixes that begin `number`, the longest first, each with its openings.
    pub(crate) fn matches(&self, number: Prefix) -> impl Iterator<Item = (Prefix, &[Opening])> {
        self.index.matches(number).map(|(prefix, place)| (prefix, &*self.lists[place as usize]))
    }
}
