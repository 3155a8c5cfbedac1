//! What can be asked of the tables.

use crate::Revision;
use routing::Change;
use serde::{Deserialize, Serialize};

/// Who asks, and why: kept with the revision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Signature {
    /// A person or a program.
    pub who: String,
    /// The reason.
    pub comment: String,
}

/// A change to be made as one revision.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    /// The rows.
    pub change: Change,
    /// Who and why.
    pub by: Signature,
    /// Refuse with [`Error::Moved`](crate::Error::Moved) unless the tables are at this revision.
    pub expect: Option<Revision>,
}

/// How a document is applied.
///
/// The rows that it lists are put. A plan that it lists becomes that plan with its routes and no others, and so does a deck
/// of which it lists rates: they are one thing to whoever writes them. Other rows stay, unless `prune` is set.
#[derive(Clone, Debug, Default)]
pub struct Apply {
    /// Every table that the document names becomes exactly what it says ([`routing::Scope::Declare`]): other rows go.
    pub prune: bool,
    /// Only say what would change.
    pub dry_run: bool,
    /// Who and why.
    pub by: Signature,
    /// Refuse with [`Error::Moved`](crate::Error::Moved) unless the tables are at this revision.
    pub expect: Option<Revision>,
}

/// What an apply or a rollback did, or would do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    /// The revision after it. That of before, if nothing changed or it was a dry run.
    pub revision: Revision,
    /// The difference, a line a row; see [`Change::lines`]. Empty: nothing to change. Of what was made the first 10,000, and how many
    /// more there are.
    pub lines: Vec<String>,
}
