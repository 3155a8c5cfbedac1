//! The bodies of plans: their routes, kept small, for a plan may have a million.

use crate::digits::Prefix;
use crate::hours::Hours;
use crate::model::{PlanHead, Route, RouteTrunk};
use crate::row::Row;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The trunks of a prefix while it is open.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Opening {
    /// Absent: at all times that no other opening of the prefix takes.
    pub hours: Option<Hours>,
    /// In the order of the list.
    pub trunks: Arc<[RouteTrunk]>,
}

/// A plan with its routes. Prefixes that lead to the same trunks share one list.
#[derive(Clone, Debug)]
pub struct PlanRows {
    head: Arc<PlanHead>,
    routes: BTreeMap<Prefix, Arc<[Opening]>>,
    shared: FxHashSet<Arc<[Opening]>>,
}

/// The lists that are shared say nothing that the routes do not.
impl PartialEq for PlanRows {
    fn eq(&self, other: &Self) -> bool {
        self.head == other.head && self.routes == other.routes
    }
}

impl PlanRows {
    pub(super) fn new(head: Arc<PlanHead>) -> Self {
        Self { head, routes: BTreeMap::new(), shared: FxHashSet::default() }
    }

    /// Its name, order and margin.
    #[must_use]
    pub const fn head(&self) -> &Arc<PlanHead> {
        &self.head
    }

    /// Its prefixes in order, each with its openings: those with hours first, the one without last.
    #[must_use]
    pub const fn routes(&self) -> &BTreeMap<Prefix, Arc<[Opening]>> {
        &self.routes
    }

    /// The route of this key.
    #[must_use]
    pub fn route(&self, prefix: Prefix, hours: Option<&str>) -> Option<Route> {
        let openings = self.routes.get(&prefix)?;
        let opening = openings.iter().find(|opening| opening.hours.as_ref().map(Hours::as_str) == hours)?;
        Some(self.as_route(prefix, opening))
    }

    /// Its head, then its routes.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        std::iter::once(Row::Plan(self.head.clone())).chain(self.iter().map(Row::Route))
    }

    /// Its routes by prefix.
    pub fn iter(&self) -> impl Iterator<Item = Route> + '_ {
        self.routes.iter().flat_map(|(prefix, openings)| openings.iter().map(|opening| self.as_route(*prefix, opening)))
    }

    fn as_route(&self, prefix: Prefix, opening: &Opening) -> Route {
        let Opening { hours, trunks } = opening.clone();
        Route { plan: self.head.name.clone(), prefix, trunks, hours }
    }

    pub(super) fn set_head(&mut self, head: Arc<PlanHead>) {
        self.head = head;
    }

    pub(super) fn put(&mut self, route: Route) {
        let mut openings = self.others(route.prefix, route.hours.as_ref().map(Hours::as_str));
        openings.push(Opening { hours: route.hours, trunks: route.trunks });
        self.set(route.prefix, openings);
    }

    pub(super) fn delete(&mut self, prefix: Prefix, hours: Option<&str>) {
        let openings = self.others(prefix, hours);
        if openings.is_empty() {
            self.routes.remove(&prefix);
        } else {
            self.set(prefix, openings);
        }
    }

    fn others(&self, prefix: Prefix, hours: Option<&str>) -> Vec<Opening> {
        let openings = self.routes.get(&prefix).map_or(&[] as &[Opening], |list| list);
        openings.iter().filter(|opening| opening.hours.as_ref().map(Hours::as_str) != hours).cloned().collect()
    }

    fn set(&mut self, prefix: Prefix, mut openings: Vec<Opening>) {
        openings.sort_by(|a, b| {
            let key = |opening: &Opening| opening.hours.is_none();
            key(a)
                .cmp(&key(b))
                .then_with(|| a.hours.as_ref().map(Hours::as_str).cmp(&b.hours.as_ref().map(Hours::as_str)))
        });
        let list = match self.shared.get(openings.as_slice()) {
            Some(list) => list.clone(),
            None => {
                // Lists that no route of any revision uses any more would pile up over the years.
                if self.shared.len() >= 1024 && self.shared.len() > self.routes.len() {
                    self.shared.retain(|list| Arc::strong_count(list) > 1);
                }
                let list: Arc<[Opening]> = openings.into();
                self.shared.insert(list.clone());
                list
            }
        };
        self.routes.insert(prefix, list);
    }
}
