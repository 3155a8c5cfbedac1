//! `[[deck]]` and `[[deck.rate]]`: what calls cost by destination. Kept and exported; rating reads them.

use super::{Currency, Name};
use crate::digits::Prefix;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sip::clock::Wall;

/// The head of a rate deck.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Deck {
    /// Unique among decks.
    pub name: Name,
    /// Of all its rates.
    pub currency: Currency,
}

/// The price of calls to one prefix during one time. Its key is deck, prefix and `from`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// The deck that it stands in.
    pub deck: Name,
    /// The destination.
    pub prefix: Prefix,
    /// A minute.
    pub rate: Decimal,
    /// Once a call.
    pub connect_fee: Decimal,
    /// Seconds billed at least.
    pub initial: u32,
    /// Seconds of each further step; at least 1.
    pub next: u32,
    /// First moment of validity; absent is since ever.
    pub from: Option<Wall>,
    /// First moment past validity; absent is for ever.
    pub to: Option<Wall>,
}

impl Rate {
    /// Without the name of its deck.
    #[must_use]
    pub const fn price(&self) -> Price {
        let Self { prefix, rate, connect_fee, initial, next, from, to, deck: _ } = *self;
        Price { prefix, rate, connect_fee, initial, next, from, to }
    }
}

/// A rate without the name of its deck: what a look-up, a block or a price list holds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Price {
    /// The destination.
    pub prefix: Prefix,
    /// A minute.
    pub rate: Decimal,
    /// Once a call.
    pub connect_fee: Decimal,
    /// Seconds billed at least.
    pub initial: u32,
    /// Seconds of each further step; at least 1.
    pub next: u32,
    /// First moment of validity; absent is since ever.
    pub from: Option<Wall>,
    /// First moment past validity; absent is for ever.
    pub to: Option<Wall>,
}

impl Price {
    /// The rate of a deck.
    #[must_use]
    pub fn of_deck(&self, deck: &Name) -> Rate {
        let Self { prefix, rate, connect_fee, initial, next, from, to } = *self;
        Rate { deck: deck.clone(), prefix, rate, connect_fee, initial, next, from, to }
    }
}
