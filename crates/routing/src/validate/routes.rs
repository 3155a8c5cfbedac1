//! Rules on routes: their trunks take calls, and of several hours of one prefix only one is open at a time.

use super::Rules;
use crate::digits::Prefix;
use crate::hours::Hours;
use crate::model::Name;
use crate::row::RowKey;
use crate::tables::Opening;
use rustc_hash::FxHashSet;

impl Rules<'_> {
    pub(super) fn routes(&mut self) {
        // Prefixes share their lists, so each list is looked at once, whatever the number of prefixes.
        let mut seen: FxHashSet<*const Opening> = FxHashSet::default();
        for (plan, rows) in self.tables.plans() {
            for (prefix, openings) in rows.routes() {
                if seen.insert(openings.as_ptr()) {
                    self.openings(plan, *prefix, openings);
                }
            }
        }
    }

    fn openings(&mut self, plan: &Name, prefix: Prefix, openings: &[Opening]) {
        for (at, opening) in openings.iter().enumerate() {
            let hours = opening.hours.as_ref();
            let key = RowKey::Route { plan: plan.clone(), prefix, hours: hours.map(|hours| hours.as_str().into()) };
            opening.trunks.iter().for_each(|item| self.callable(&key, "trunks", &item.trunk));
            let earlier = openings[..at].iter().filter_map(|earlier| earlier.hours.as_ref());
            let overlapping: Option<&Hours> =
                hours.and_then(|hours| earlier.into_iter().find(|it| it.may_overlap(hours)));
            if let Some(other) = overlapping {
                let what = format!("its hours may overlap with `{other}` of the same prefix");
                self.fault(key, "hours", what, "write hours of one time zone that do not overlap");
            }
        }
    }
}
