//! The tables: apply, history, rollback, and why a call goes where it goes.

use serde::{Deserialize, Serialize};

/// A document to apply.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The files of which it consists.
    pub files: Vec<File>,
    /// Who applies it.
    #[serde(default)]
    pub who: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// A file of tables.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its path, for messages only.
    pub name: String,
    /// TOML.
    pub text: String,
}

/// What an apply or a rollback did, or would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Applied {
    /// The revision after it; that of before, if nothing changed or it was a dry run.
    pub revision: u64,
    /// Whether it was only looked at.
    pub dry_run: bool,
    /// The difference, a line a row, beginning with `+`, `~` or `-`.
    pub changes: Vec<String>,
}

/// The revisions that are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// The oldest first.
    pub revisions: Vec<Revision>,
}

/// One revision of the tables.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// When it was made.
    pub at: String,
    /// Who made it.
    pub who: String,
    /// Why.
    pub comment: String,
    /// Rows that were new.
    pub added: u64,
    /// Rows that were there with other content.
    pub changed: u64,
    /// Rows that were gone after it.
    pub deleted: u64,
    /// The revision that it returned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
}

/// One revision and what it changed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RevisionDetail {
    /// The revision.
    pub revision: Revision,
    /// The difference, a line a row.
    pub changes: Vec<String>,
}

/// A return to an earlier revision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision to return to; 0 is the empty tables of the start.
    pub revision: u64,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Who asks.
    #[serde(default)]
    pub who: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// A call to explain.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RouteQuery {
    /// The trunk that it comes from, or the name of a line.
    pub trunk: String,
    /// The called number as dialled, a tech prefix included.
    pub called: String,
    /// The caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// When; absent is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// The decision on a call.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Route {
    /// The revision of the tables that decided.
    pub revision: u64,
    /// What is tried, in order. Empty if the call is refused.
    pub attempts: Vec<Attempt>,
    /// Everything that was looked at.
    pub candidates: Vec<Candidate>,
    /// The routing number of a ported number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lrn: Option<String>,
    /// Whether it is an emergency call.
    pub emergency: bool,
    /// Why the call is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The SIP code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_code: Option<u16>,
}

/// One thing to try.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Attempt {
    /// `trunk:NAME`, `registered:NAME` (the contact of a trunk) or `user:NAME`.
    pub target: String,
    /// The number to call there.
    pub called: String,
    /// The plan that chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The prefix of the plan that matched.
    pub prefix: String,
}

/// A trunk or line that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// `trunk alpha`, `user alice`.
    pub what: String,
    /// The plan and prefix that led there.
    pub by: String,
    /// Whether it is tried.
    pub kept: bool,
    /// Why, or why not.
    pub why: String,
}
