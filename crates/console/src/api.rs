//! What goes over the wire, for both ends: the console writes it, the command line reads it.
//!
//! Times are RFC 3339 in UTC with milliseconds. A field that is absent is not known or does not apply.

mod cluster;
mod imports;
mod ladder;
mod live;
mod tables;

pub use cluster::{Cluster, Drain, Member};
pub use imports::{ImportState, Imported, Imports};
pub use ladder::{CallQuery, MediaSide, Move, Step};
pub use live::{
    Call, CallFilter, Calls, Cdr, CdrFilter, Cdrs, Gateway, GatewaySite, Missing, Node, Nodes, Number, Numbers,
    Registration, Registrations, Share, Traffic, Trunk, Trunks,
};
pub use tables::{
    Applied, Apply, Attempt, Candidate, File, History, Revision, RevisionDetail, Rollback, Route, RouteQuery,
};

pub use crate::problem::Problem;

/// The most rows that a listing gives.
pub const LIMIT_MAX: usize = 10_000;

/// The rows that a listing gives when nobody says how many.
pub const LIMIT_DEFAULT: usize = 1000;
