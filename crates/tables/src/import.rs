//! Many rows at once: they travel in pieces beside the tables, and become one revision when all are there.

use crate::Signature;
use crate::Revision;
use routing::RowKey;

/// How an import meets the rows that are there.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// The decks and plans that become exactly what is imported; rows of others stay. Empty: the rows are put, and
    /// everything else stays.
    pub replace: Vec<RowKey>,
    /// Who and why.
    pub by: Signature,
    /// Refuse with [`Error::Moved`](crate::Error::Moved) unless the tables are at this revision when it is committed.
    pub expect: Option<Revision>,
}

/// How far an import is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Rows that a quorum holds.
    pub staged: u64,
    /// Whether all are, and only the commit is left.
    pub committing: bool,
}
