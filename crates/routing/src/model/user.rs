//! `[[user]]`: a SIP line, one phone.

use super::Name;
use crate::digits::E164;
use serde::{Deserialize, Serialize};
use sip::digest::Ha1;

/// A SIP line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Unique among users; also its user name for digest and the user part of its address of record.
    pub name: Name,
    /// Whose it is.
    pub account: Option<Name>,
    /// Its secret, hashed with [`crate::REALM`].
    pub ha1: Ha1,
    /// The number that it shows.
    pub caller: Option<E164>,
    /// The plan of its calls; absent is the plan of its account.
    pub plan: Option<Name>,
}
