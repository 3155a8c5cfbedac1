//! Imports of many rows from a file of CSV.

use serde::{Deserialize, Serialize};

/// What an import did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Imported {
    /// The revision after it; that of before, if nothing changed or it was a dry run.
    pub revision: u64,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// Rows of the file.
    pub rows: u64,
    /// Rows that were new.
    pub added: u64,
    /// Rows that were there with other content.
    pub changed: u64,
    /// Rows that went because the file replaces them.
    pub removed: u64,
    /// Rows that were there already as they are in the file.
    pub same: u64,
    /// All this, and what the rows span, in one line.
    pub summary: String,
    /// Of a backup: the difference, a line a row, beginning with `+`, `~` or `-`; the first thousand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
}

/// The imports under way, and the last ones that ended.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Imports {
    /// The newest first.
    pub imports: Vec<ImportState>,
}

/// How far an import is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ImportState {
    /// As whoever sent it called it.
    pub id: String,
    /// `rates`, `numbers`, `ported` or `backup`.
    pub what: String,
    /// The file, as it was named.
    pub file: String,
    /// Who sent it.
    pub who: String,
    /// `reading`, `checking`, `writing`, `done` or `failed`.
    pub stage: String,
    /// Bytes that have come.
    pub bytes: u64,
    /// Rows of the file, once it is read.
    pub rows: u64,
    /// Rows that a quorum of the cluster holds.
    pub written: u64,
    /// Since it began, until now or its end.
    pub seconds: f64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
