//! `[[plan]]` and `[[plan.route]]`: where calls go by prefix.

use super::{Name, words};
use crate::digits::Prefix;
use crate::hours::Hours;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

words! {
    /// By what the trunks of a route are put in order.
    Order {
        /// By `priority`, equal ones by `weight`.
        Priority = "priority",
        /// The cheapest first.
        Cost = "cost",
        /// The best measured first.
        Quality = "quality",
        /// All shuffled by `weight`.
        Weight = "weight",
    }
}

/// The head of a plan; its routes are rows of their own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanHead {
    /// Unique among plans.
    pub name: Name,
    /// By what the trunks of a route are put in order.
    pub order: Order,
    /// A route whose margin a minute is below this is dropped; absent is no check.
    pub margin: Option<Decimal>,
}

/// The trunks for one prefix of a plan. Its key is plan, prefix and hours.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// The plan that it stands in.
    pub plan: Name,
    /// The destination; empty is the default.
    pub prefix: Prefix,
    /// The trunks to try; shared between routes that list the same.
    pub trunks: Arc<[RouteTrunk]>,
    /// When the route is open; absent is always.
    pub hours: Option<Hours>,
}

/// One trunk of a route.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct RouteTrunk {
    /// Its name.
    pub trunk: Name,
    /// Lower first; absent is the place in the list, counted from 1.
    pub priority: Option<u16>,
    /// The share among those of equal priority.
    pub weight: u16,
    /// Whether a call may go back to the trunk that it came from.
    pub hairpin: bool,
}

impl RouteTrunk {
    /// The share of a trunk for which none is written.
    pub const DEFAULT_WEIGHT: u16 = 100;
}
