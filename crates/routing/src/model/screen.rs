//! `[[screen]]`: what may not be called or call, and the emergency numbers. Every screen holds for every call.

use super::Name;
use crate::digits::Prefix;
use serde::{Deserialize, Serialize};

/// A set of rules on numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Screen {
    /// Unique among screens.
    pub name: Name,
    /// Called numbers that begin so are refused.
    pub block_called: Vec<Prefix>,
    /// Callers whose numbers begin so are refused.
    pub block_caller: Vec<Prefix>,
    /// Numbers that reach the emergency services whatever the plan says; the first one also serves `urn:service:sos`.
    pub emergency: Vec<Emergency>,
}

/// An emergency number and the trunks that serve it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Emergency {
    /// As dialled: `112`.
    pub number: Prefix,
    /// In the order of trying.
    pub trunks: Vec<Name>,
}
