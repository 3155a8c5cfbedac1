//! What is remembered of a revision.

use serde::{Deserialize, Serialize};
use sip::clock::Wall;

/// A state of the tables, counted from 0, which is empty. Every change makes the next one.
pub type Revision = u64;

/// One revision: when, by whom, why, how much.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Its number.
    pub revision: Revision,
    /// When it was made.
    pub at: Wall,
    /// Who asked for it, as far as was said.
    pub who: String,
    /// Why, as far as was said.
    pub comment: String,
    /// Rows that were not there before.
    pub added: u64,
    /// Rows that were there with other content.
    pub changed: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// The revision that this one returned to.
    pub rollback_to: Option<Revision>,
}
