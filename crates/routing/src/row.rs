//! A row: the unit of storage and of change, and its key.

use crate::digits::{E164, Prefix};
use crate::model::{Account, Deck, Name, Number, PlanHead, Ported, Rate, Route, Screen, Trunk, User, words};
use serde::{Deserialize, Serialize};
use sip::clock::Wall;
use std::fmt;
use std::sync::Arc;

words! {
    /// The tables, by the word that an operator writes.
    Kind {
        /// `[[account]]`.
        Account = "account",
        /// `[[deck]]`.
        Deck = "deck",
        /// `[[deck.rate]]`.
        Rate = "rate",
        /// `[[plan]]`.
        Plan = "plan",
        /// `[[plan.route]]`.
        Route = "route",
        /// `[[trunk]]`.
        Trunk = "trunk",
        /// `[[number]]`.
        Number = "number",
        /// `[[user]]`.
        User = "user",
        /// `[[ported]]`.
        Ported = "ported",
        /// `[[screen]]`.
        Screen = "screen",
    }
}

/// One row of one table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Row {
    /// A customer or vendor.
    Account(Arc<Account>),
    /// The head of a deck.
    Deck(Arc<Deck>),
    /// A price in a deck.
    Rate(Arc<Rate>),
    /// The head of a plan.
    Plan(Arc<PlanHead>),
    /// A route in a plan.
    Route(Route),
    /// A partner's connection.
    Trunk(Arc<Trunk>),
    /// A number that we serve.
    Number(Arc<Number>),
    /// A line.
    User(Arc<User>),
    /// A number that moved.
    Ported(Ported),
    /// Rules on numbers.
    Screen(Arc<Screen>),
}

impl Row {
    /// What it is found by.
    #[must_use]
    pub fn key(&self) -> RowKey {
        match self {
            Self::Account(row) => RowKey::Account(row.name.clone()),
            Self::Deck(row) => RowKey::Deck(row.name.clone()),
            Self::Rate(row) => RowKey::Rate { deck: row.deck.clone(), prefix: row.prefix, from: row.from },
            Self::Plan(row) => RowKey::Plan(row.name.clone()),
            Self::Route(row) => RowKey::Route {
                plan: row.plan.clone(),
                prefix: row.prefix,
                hours: row.hours.as_ref().map(|hours| hours.as_str().into()),
            },
            Self::Trunk(row) => RowKey::Trunk(row.name.clone()),
            Self::Number(row) => RowKey::Number(row.number),
            Self::User(row) => RowKey::User(row.name.clone()),
            Self::Ported(row) => RowKey::Ported(row.number),
            Self::Screen(row) => RowKey::Screen(row.name.clone()),
        }
    }
}

/// What a row is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub enum RowKey {
    /// By name.
    Account(Name),
    /// By name.
    Deck(Name),
    /// By deck, destination and begin of validity.
    Rate {
        /// The deck.
        deck: Name,
        /// The destination.
        prefix: Prefix,
        /// Begin of validity.
        from: Option<Wall>,
    },
    /// By name.
    Plan(Name),
    /// By plan, destination and opening hours.
    Route {
        /// The plan.
        plan: Name,
        /// The destination.
        prefix: Prefix,
        /// Opening hours as written.
        hours: Option<Name>,
    },
    /// By name.
    Trunk(Name),
    /// By itself.
    Number(E164),
    /// By name.
    User(Name),
    /// By the number that was dialled.
    Ported(E164),
    /// By name.
    Screen(Name),
}

impl RowKey {
    /// The table that the row stands in.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Account(_) => Kind::Account,
            Self::Deck(_) => Kind::Deck,
            Self::Rate { .. } => Kind::Rate,
            Self::Plan(_) => Kind::Plan,
            Self::Route { .. } => Kind::Route,
            Self::Trunk(_) => Kind::Trunk,
            Self::Number(_) => Kind::Number,
            Self::User(_) => Kind::User,
            Self::Ported(_) => Kind::Ported,
            Self::Screen(_) => Kind::Screen,
        }
    }

    /// Bytes whose order is by table, then by name, then by digits: a key of storage. [`RowKey::of_bytes`] reads them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        bytes.push(tag(self.kind()));
        match self {
            Self::Account(name) | Self::Deck(name) | Self::Plan(name) => bytes.extend_from_slice(name.as_bytes()),
            Self::Trunk(name) | Self::User(name) | Self::Screen(name) => bytes.extend_from_slice(name.as_bytes()),
            Self::Number(number) | Self::Ported(number) => {
                bytes.extend_from_slice(&number.digits().word().to_be_bytes());
            }
            Self::Rate { deck, prefix, from } => {
                push_owner(&mut bytes, deck, *prefix);
                bytes.extend_from_slice(&from.map_or(0, |wall| wall.0.saturating_add(1)).to_be_bytes());
            }
            Self::Route { plan, prefix, hours } => {
                push_owner(&mut bytes, plan, *prefix);
                bytes.extend_from_slice(hours.as_deref().unwrap_or_default().as_bytes());
            }
        }
        bytes
    }

    /// Reads what [`RowKey::to_bytes`] wrote; nothing if it is something else.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (&first, rest) = bytes.split_first()?;
        let kind = KINDS.into_iter().find(|kind| tag(*kind) == first)?;
        let name = || std::str::from_utf8(rest).ok().map(Name::from);
        let number = || E164::of_word(word(rest)?);
        Some(match kind {
            Kind::Account => Self::Account(name()?),
            Kind::Deck => Self::Deck(name()?),
            Kind::Plan => Self::Plan(name()?),
            Kind::Trunk => Self::Trunk(name()?),
            Kind::User => Self::User(name()?),
            Kind::Screen => Self::Screen(name()?),
            Kind::Number => Self::Number(number()?),
            Kind::Ported => Self::Ported(number()?),
            Kind::Rate => {
                let (deck, prefix, rest) = split_owner(rest)?;
                Self::Rate { deck, prefix, from: word(rest)?.checked_sub(1).map(Wall) }
            }
            Kind::Route => {
                let (plan, prefix, rest) = split_owner(rest)?;
                let hours = std::str::from_utf8(rest).ok()?;
                Self::Route { plan, prefix, hours: (!hours.is_empty()).then(|| hours.into()) }
            }
        })
    }
}

const KINDS: [Kind; 10] = [
    Kind::Account,
    Kind::Deck,
    Kind::Rate,
    Kind::Plan,
    Kind::Route,
    Kind::Trunk,
    Kind::Number,
    Kind::User,
    Kind::Ported,
    Kind::Screen,
];

/// The first byte of a key. It is written to disk, so a letter never changes its meaning.
const fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::Account => b'A',
        Kind::Deck => b'D',
        Kind::Rate => b'E',
        Kind::Plan => b'P',
        Kind::Route => b'R',
        Kind::Trunk => b'T',
        Kind::Number => b'N',
        Kind::User => b'U',
        Kind::Ported => b'O',
        Kind::Screen => b'S',
    }
}

/// Names hold no NUL, so one ends them.
fn push_owner(bytes: &mut Vec<u8>, owner: &str, prefix: Prefix) {
    bytes.extend_from_slice(owner.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&prefix.word().to_be_bytes());
}

fn split_owner(bytes: &[u8]) -> Option<(Name, Prefix, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let owner = std::str::from_utf8(&bytes[..end]).ok()?;
    let (prefix, rest) = bytes[end + 1..].split_at_checked(8)?;
    Some((owner.into(), Prefix::of_word(word(prefix)?)?, rest))
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// As messages name it: `trunk acme-pbx`, `route retail 44`, `number +44…`.
impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        match self {
            Self::Account(name) | Self::Deck(name) | Self::Plan(name) => f.write_str(name),
            Self::Trunk(name) | Self::User(name) | Self::Screen(name) => f.write_str(name),
            Self::Number(number) | Self::Ported(number) => write!(f, "{number}"),
            Self::Rate { deck, prefix, from } => {
                write!(f, "{deck} {prefix:?}")?;
                from.map_or(Ok(()), |from| write!(f, " from {}", crate::time::show(from)))
            }
            Self::Route { plan, prefix, hours } => {
                write!(f, "{plan} {prefix:?}")?;
                hours.as_ref().map_or(Ok(()), |hours| write!(f, " {hours}"))
            }
        }
    }
}
