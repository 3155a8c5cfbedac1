//! What can be wrong with a document or a change, said with the place and the way to mend it.

use crate::row::RowKey;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file as it was named.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why a document or a change is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
pub enum Error {
    /// Something written in a file.
    #[error("{place}: {what}; {mend}")]
    Written {
        /// Where.
        place: Place,
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// Something written in one cell of a file of columns.
    #[error("{place}, column {column} `{header}`: {what}; {mend}")]
    Cell {
        /// Where: the line on which the record begins.
        place: Place,
        /// Counted from 1.
        column: u32,
        /// Its header.
        header: String,
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
    /// A row that does not fit the others, and is written in no file at hand.
    #[error("{key}: {what}; {mend}")]
    Row {
        /// Which row.
        key: RowKey,
        /// What is wrong.
        what: String,
        /// How to mend it.
        mend: String,
    },
}
