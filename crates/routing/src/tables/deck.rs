//! The rates of a deck: forty bytes each, for a deck may have a million.

use crate::digits::Prefix;
use crate::model::{Deck, Price, Rate};
use crate::row::Row;
use crate::runs::{Entry, Runs, walk};
use rust_decimal::Decimal;
use sip::clock::Wall;
use std::sync::Arc;

/// A deck with its rates.
#[derive(Clone, PartialEq, Debug)]
pub struct DeckRows {
    /// Its name and currency.
    pub head: Arc<Deck>,
    rates: Rates,
}

impl DeckRows {
    pub(super) fn new(head: Arc<Deck>) -> Self {
        Self { head, rates: Rates::default() }
    }

    /// How many rates it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rates.packed.len()
    }

    /// Whether it has no rate.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rates by prefix, then by begin of validity.
    pub fn rates(&self) -> impl Iterator<Item = Rate> + '_ {
        self.prices().map(|price| price.of_deck(&self.head.name))
    }

    /// As [`DeckRows::rates`], without the name of the deck on each.
    pub fn prices(&self) -> impl Iterator<Item = Price> + '_ {
        self.rates.iter()
    }

    /// The rate of this key.
    #[must_use]
    pub fn rate(&self, prefix: Prefix, from: Option<Wall>) -> Option<Rate> {
        self.rates.get(prefix, from).map(|price| price.of_deck(&self.head.name))
    }

    /// What a call to `number` costs that begins at `at`: of the longest prefix that has a rate then, the one that began
    /// last. The rates of a prefix that have ended since are passed over one by one.
    #[must_use]
    pub fn price(&self, number: Prefix, at: Wall) -> Option<Price> {
        self.rates.price(number, at)
    }

    /// Its head, then its rates.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        std::iter::once(Row::Deck(self.head.clone())).chain(self.rates().map(|rate| Row::Rate(rate.into())))
    }

    pub(crate) const fn body(&self) -> &Rates {
        &self.rates
    }

    pub(super) fn put(&mut self, price: &Price) {
        self.rates.put(price);
    }

    pub(super) fn delete(&mut self, prefix: Prefix, from: Option<Wall>) {
        self.rates.delete(prefix, from);
    }
}

/// Rates by prefix, then by begin of validity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    packed: Runs<Packed>,
    /// What does not fit into [`Packed`]. A change of one of these touches the piece of its packed entry too, so a piece
    /// that two decks share says the same in both.
    wide: Runs<Wide>,
}

/// Equal if they have equal rates.
impl PartialEq for Rates {
    fn eq(&self, other: &Self) -> bool {
        let mut equal = self.packed.len() == other.packed.len();
        if equal {
            self.differences(other, |_, _| equal = false);
        }
        equal
    }
}

impl Rates {
    pub(crate) const fn len(&self) -> usize {
        self.packed.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Price> + '_ {
        self.packed.iter().map(|packed| self.unpack(packed))
    }

    pub(crate) fn get(&self, prefix: Prefix, from: Option<Wall>) -> Option<Price> {
        self.packed.get((prefix.word(), pack_moment(from))).map(|packed| self.unpack(packed))
    }

    pub(crate) fn put(&mut self, price: &Price) {
        let (packed, wide) = pack(price);
        match wide {
            Some(wide) => self.wide.put(wide),
            None if self.wide.len() > 0 => drop(self.wide.remove(packed.key())),
            None => {}
        }
        self.packed.put(packed);
    }

    pub(crate) fn delete(&mut self, prefix: Prefix, from: Option<Wall>) {
        let key = (prefix.word(), pack_moment(from));
        self.packed.remove(key);
        self.wide.remove(key);
    }

    /// What differs from `after`, in order: the rate that was, if there was one, and the one that is.
    pub(crate) fn differences(&self, after: &Self, mut differs: impl FnMut(Option<Price>, Option<Price>)) {
        walk(&self.packed, &after.packed, |was, is| {
            if was == is && was.is_none_or(|packed| !packed.is_wide()) {
                return;
            }
            let (was, is) = (was.map(|packed| self.unpack(packed)), is.map(|packed| after.unpack(packed)));
            if was != is {
                differs(was, is);
            }
        });
    }

    pub(crate) fn price(&self, number: Prefix, at: Wall) -> Option<Price> {
        let moment = pack_moment(Some(at));
        let mut sought = number;
        let mut place = self.packed.last_up_to((sought.word(), moment))?;
        loop {
            let packed = self.packed.at(place);
            if packed.prefix == sought.word() {
                if packed.lasts_past(moment) {
                    return Some(self.unpack(packed));
                }
                place = self.packed.before(place)?;
                continue;
            }
            // What begins `sought` and stands no later than this prefix begins this prefix too: nothing that is longer
            // than what they have in common is left to be found.
            sought = sought.first(Prefix::of_packed(packed.prefix).common(sought));
            place = self.packed.last_up_to_before(place, (sought.word(), moment))?;
        }
    }

    fn unpack(&self, packed: &Packed) -> Price {
        let wide = packed.is_wide().then(|| self.wide.get(packed.key())).flatten();
        let low = |word: u64| u32::from((word & 0xffff) as u16);
        let (rate, connect_fee, initial, next) = match wide {
            Some(wide) => (wide.rate, wide.connect_fee, wide.initial, wide.next),
            None => (unpack_money(packed.rate), unpack_money(packed.connect_fee), low(packed.from), low(packed.to)),
        };
        let (from, to) = (unpack_moment(packed.from >> 16), unpack_moment(packed.to >> 16));
        Price { prefix: Prefix::of_packed(packed.prefix), rate, connect_fee, initial, next, from, to }
    }
}

/// A rate in five words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packed {
    prefix: u64,
    /// The moment, and below it sixteen bits for `initial`.
    from: u64,
    /// The moment, and below it sixteen bits for `next`.
    to: u64,
    /// Fifty-nine bits of coefficient, and below them the scale.
    rate: u64,
    connect_fee: u64,
}

/// A scale that no decimal has.
const WIDE: u64 = 31;

impl Packed {
    const fn is_wide(&self) -> bool {
        self.rate == WIDE
    }

    /// Whether it is still valid at a moment at which it has begun.
    const fn lasts_past(&self, moment: u64) -> bool {
        let to = self.to >> 16;
        to == 0 || to > moment
    }
}

impl Entry for Packed {
    type Key = (u64, u64);
    const FULL: usize = 128;

    fn key(&self) -> Self::Key {
        (self.prefix, self.from >> 16)
    }
}

/// A rate whose money has eighteen digits or more, or that is below zero, or whose steps are longer than eighteen hours.
#[derive(Clone, Copy, Debug)]
struct Wide {
    key: (u64, u64),
    rate: Decimal,
    connect_fee: Decimal,
    initial: u32,
    next: u32,
}

impl Entry for Wide {
    type Key = (u64, u64);
    const FULL: usize = 128;

    fn key(&self) -> Self::Key {
        self.key
    }
}

fn pack(price: &Price) -> (Packed, Option<Wide>) {
    let &Price { prefix, rate, connect_fee, initial, next, from, to } = price;
    let (prefix, from, to) = (prefix.word(), pack_moment(from), pack_moment(to));
    let steps = u16::try_from(initial).ok().zip(u16::try_from(next).ok());
    match (pack_money(rate), pack_money(connect_fee), steps) {
        (Some(rate), Some(connect_fee), Some((initial, next))) => {
            let (from, to) = (from << 16 | u64::from(initial), to << 16 | u64::from(next));
            (Packed { prefix, from, to, rate, connect_fee }, None)
        }
        _ => {
            let packed = Packed { prefix, from: from << 16, to: to << 16, rate: WIDE, connect_fee: 0 };
            (packed, Some(Wide { key: (prefix, from), rate, connect_fee, initial, next }))
        }
    }
}

/// The last moment that has room, some 10,000 years from now. Later ones are kept as this one; RFC 3339 has none.
const LAST: u64 = (1 << 48) - 2;

/// Ordered as the moments, nothing before all of them.
fn pack_moment(moment: Option<Wall>) -> u64 {
    moment.map_or(0, |moment| moment.0.min(LAST) + 1)
}

fn unpack_moment(packed: u64) -> Option<Wall> {
    packed.checked_sub(1).map(Wall)
}

/// With its scale, so that `0.0100` stays `0.0100`.
fn pack_money(money: Decimal) -> Option<u64> {
    let coefficient = u64::try_from(money.mantissa()).ok().filter(|coefficient| *coefficient < 1 << 59)?;
    (!money.is_sign_negative()).then_some(coefficient << 5 | u64::from(money.scale()))
}

fn unpack_money(packed: u64) -> Decimal {
    let (low, middle) = ((packed >> 5) as u32, (packed >> 37) as u32);
    Decimal::from_parts(low, middle, 0, false, (packed & 31) as u32)
}

#[cfg(test)]
mod tests;
