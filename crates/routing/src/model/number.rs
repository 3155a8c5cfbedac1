//! `[[number]]`: the numbers that we serve; `[[ported]]`: the numbers that moved to another network.

use super::Name;
use crate::digits::{E164, serde_by_text};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Where a served number leads.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Destination {
    /// To a trunk: where it is registered, or else its gateways.
    Trunk(Name),
    /// To the contacts of a line.
    User(Name),
    /// As if this number had been called.
    Number(E164),
    /// By the routes of a plan.
    Plan(Name),
}

/// Some text names no destination.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a destination is `trunk:NAME`, `user:NAME`, `number:+…` or `plan:NAME`")]
pub struct BadDestination;

impl FromStr for Destination {
    type Err = BadDestination;

    fn from_str(text: &str) -> Result<Self, BadDestination> {
        match text.split_once(':') {
            Some((_, "")) | None => Err(BadDestination),
            Some(("trunk", name)) => Ok(Self::Trunk(name.into())),
            Some(("user", name)) => Ok(Self::User(name.into())),
            Some(("plan", name)) => Ok(Self::Plan(name.into())),
            Some(("number", number)) => number.parse().map(Self::Number).map_err(|_| BadDestination),
            Some(_) => Err(BadDestination),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trunk(name) => write!(f, "trunk:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Number(number) => write!(f, "number:{number}"),
            Self::Plan(name) => write!(f, "plan:{name}"),
        }
    }
}

serde_by_text!(Destination, "a destination");

/// A number that we serve.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Number {
    /// The number itself, its key.
    pub number: E164,
    /// Whose it is.
    pub account: Option<Name>,
    /// Where calls to it go.
    pub to: Destination,
    /// Where they go when `to` cannot be reached or does not answer in `ring_seconds`.
    pub on_failure: Option<Destination>,
    /// How long `to` may ring.
    pub ring_seconds: Option<u32>,
    /// Where its caller stands, for the emergency services.
    pub emergency_address: Option<String>,
}

/// A number that moved: calls to it are routed by another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ported {
    /// The number that was dialled, its key.
    pub number: E164,
    /// The routing number (LRN, RFC 4694 `rn`).
    pub lrn: E164,
}
