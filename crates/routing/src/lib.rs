//! The tables of the switch and what is decided by them: their model, TOML, validation and difference, the prefix index,
//! and the planning of a call's attempts.
//!
//! Pure: no file is read, no clock, no randomness. A document comes in as text, time as [`sip::clock::Wall`], chance as a
//! seed. What is published to the calls is a [`View`], immutable, shared and built beside the path of calls.

pub mod block;
pub mod change;
pub mod cluster;
pub mod digits;
pub mod document;
pub mod error;
mod export;
pub mod hours;
pub mod import;
pub mod index;
pub mod model;
pub mod plan;
pub mod row;
mod runs;
pub mod tables;
mod time;
mod validate;
pub mod view;

pub use change::{Change, Step};
pub use cluster::Cluster;
pub use digits::{E164, Prefix};
pub use document::{Document, Scope};
pub use error::{Error, Place};
pub use plan::{Attempt, Candidate, Origin, Plan, Query, Refusal, Target};
pub use row::{Kind, Row, RowKey};
pub use tables::Tables;
pub use view::{Touched, View};

/// The realm of every digest challenge that we send, and so of every HA1 that we keep.
pub const REALM: &str = "tandem";
