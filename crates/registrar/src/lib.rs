//! The registrar (RFC 3261 §10.3): which contacts stand for an address of record, over which flow each is reached, and
//! until when.
//!
//! [`Aor`] is one address of record as a machine; [`Registrar`] holds those that sleep, as compact [`Row`]s whose expiry
//! stands in an [`ExpiryWheel`]. Pure: no socket and no clock. Digests are checked elsewhere; who registers comes in as
//! a user's name that is already believed.

mod aor;
mod binding;
mod registrar;
mod request;
mod row;
mod same;
mod wheel;

pub use aor::{Aor, Effect};
pub use binding::Binding;
pub use registrar::Registrar;
pub use request::{Accepted, Contact, Contacts, Listed, Register, Reject};
pub use row::Row;
pub use wheel::ExpiryWheel;

/// Longest Contact URI, Path or instance, in bytes.
pub const MAX_URI_BYTES: usize = 1024;
/// Longest Call-ID, in bytes.
pub const MAX_CALL_ID_BYTES: usize = 256;
/// How much of a User-Agent is kept, in bytes.
pub const MAX_USER_AGENT_BYTES: usize = 128;

/// What becomes of a new contact where an address of record has as many as it may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Overflow {
    /// The request is refused.
    Refuse,
    /// The binding that was refreshed longest ago gives way: a phone that lost its port in a restart still gets in.
    ReplaceOldest,
}

/// What an address of record may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most contacts at a time.
    pub max_contacts: usize,
    /// Shortest expiry granted, in seconds; shorter ones are answered with 423.
    pub min_expires: u32,
    /// Longest expiry granted, in seconds; longer ones are shortened.
    pub max_expires: u32,
    /// Granted where the request names none, in seconds.
    pub default_expires: u32,
    /// What becomes of one contact too many.
    pub overflow: Overflow,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_contacts: 10,
            min_expires: 60,
            max_expires: 7200,
            default_expires: 3600,
            overflow: Overflow::ReplaceOldest,
        }
    }
}

/// Why a row cannot be kept or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// A row that was not written by this version.
    #[error("registration row cannot be read")]
    Row,
    /// As many addresses of record sleep as may.
    #[error("too many registrations")]
    Full,
}
