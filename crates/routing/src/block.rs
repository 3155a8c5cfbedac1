//! Blocks: rates of one deck, or ported numbers, packed for storage and for the wire.
//!
//! A block is `kind, version, count`, then the rows in ascending order, each as what differs from the row before it: about
//! ten bytes a rate, five a ported number. Every number is a varint (LEB128), seven bits a byte, the lowest first. A block
//! says nothing of its deck: whoever stores or sends it does. What another version wrote is refused, never guessed at.

mod wire;

use crate::digits::E164;
use crate::model::{Ported, Price};
use rust_decimal::Decimal;
use sip::clock::Wall;
use wire::{Reader, Writer};

/// The most rows of a block.
pub const MAX_ROWS: usize = 4096;

/// The first byte, the same letters as of the keys of rows.
const RATES: u8 = b'E';
const PORTED: u8 = b'O';
/// The second byte. Rows of a version never change their form: another form is another version.
const VERSION: u8 = 1;

/// Why some bytes are no block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadBlock {
    /// Of another kind, or no block at all.
    #[error("a block of rates or of ported numbers was expected, not one that begins with byte {0:#04x}")]
    Kind(u8),
    /// Written by a later version.
    #[error("the block has version {0}, and this program reads version {VERSION}")]
    Version(u8),
    /// It ends within a row, or holds what no row has.
    #[error("the block is damaged: {0}")]
    Damaged(&'static str),
}

/// Packs up to [`MAX_ROWS`] rates.
///
/// # Panics
/// There are more, or they do not ascend by prefix and begin of validity: the caller's mistake.
#[must_use]
pub fn encode_rates(rates: &[Price]) -> Vec<u8> {
    assert!(rates.len() <= MAX_ROWS, "at most {MAX_ROWS} rates");
    let mut writer = Writer::begin(RATES, VERSION, rates.len());
    let mut before = ORIGIN;
    for (at, rate) in rates.iter().enumerate() {
        assert!(at == 0 || key(&before) < key(rate), "rates must ascend");
        put_rate(&mut writer, &before, rate);
        before = *rate;
    }
    writer.into_bytes()
}

/// Unpacks what [`encode_rates`] packed: rates that ascend by prefix and begin of validity.
///
/// # Errors
/// It is no block of rates of a version that is known here.
pub fn decode_rates(bytes: &[u8]) -> Result<Vec<Price>, BadBlock> {
    let (mut reader, count) = Reader::begin(bytes, RATES, VERSION, MAX_ROWS)?;
    let mut rates: Vec<Price> = Vec::with_capacity(count);
    let mut before = ORIGIN;
    for at in 0..count {
        let rate = take_rate(&mut reader, &before)?;
        if at > 0 && key(&before) >= key(&rate) {
            return Err(BadBlock::Damaged("its rates do not ascend"));
        }
        rates.push(rate);
        before = rate;
    }
    reader.end()?;
    Ok(rates)
}

/// Packs up to [`MAX_ROWS`] ported numbers.
///
/// # Panics
/// There are more, or they do not ascend: the caller's mistake.
#[must_use]
pub fn encode_ported(ported: &[Ported]) -> Vec<u8> {
    assert!(ported.len() <= MAX_ROWS, "at most {MAX_ROWS} numbers");
    assert!(ported.is_sorted_by(|a, b| a.number < b.number), "numbers must ascend");
    let mut writer = Writer::begin(PORTED, VERSION, ported.len());
    let (mut number, mut lrn) = (ORIGIN.prefix, ORIGIN.prefix);
    for row in ported {
        writer.digits(number, row.number.digits());
        writer.digits(lrn, row.lrn.digits());
        (number, lrn) = (row.number.digits(), row.lrn.digits());
    }
    writer.into_bytes()
}

/// Unpacks what [`encode_ported`] packed: numbers that ascend.
///
/// # Errors
/// It is no block of ported numbers of a version that is known here.
pub fn decode_ported(bytes: &[u8]) -> Result<Vec<Ported>, BadBlock> {
    let (mut reader, count) = Reader::begin(bytes, PORTED, VERSION, MAX_ROWS)?;
    let mut ported: Vec<Ported> = Vec::with_capacity(count);
    let (mut number, mut lrn) = (ORIGIN.prefix, ORIGIN.prefix);
    for at in 0..count {
        (number, lrn) = (reader.digits(number)?, reader.digits(lrn)?);
        let whole = |digits: crate::Prefix| {
            E164::of_word(digits.word()).ok_or(BadBlock::Damaged("it holds digits that are no number"))
        };
        let row = Ported { number: whole(number)?, lrn: whole(lrn)? };
        if at > 0 && ported[at - 1].number >= row.number {
            return Err(BadBlock::Damaged("its numbers do not ascend"));
        }
        ported.push(row);
    }
    reader.end()?;
    Ok(ported)
}

/// What the first row of a block is told from.
const ORIGIN: Price = Price {
    prefix: crate::Prefix::EMPTY,
    rate: Decimal::ZERO,
    connect_fee: Decimal::ZERO,
    initial: 1,
    next: 1,
    from: None,
    to: None,
};

const fn key(price: &Price) -> (u64, Option<Wall>) {
    (price.prefix.word(), price.from)
}

/// The bits of a rate's second byte: which of its fields are not those of the rate before.
mod differs {
    pub(super) const RATE: u8 = 1;
    pub(super) const CONNECT_FEE: u8 = 2;
    pub(super) const INITIAL: u8 = 4;
    pub(super) const NEXT: u8 = 8;
    pub(super) const FROM: u8 = 16;
    pub(super) const TO: u8 = 32;
    pub(super) const ALL: u8 = 63;
}

fn put_rate(writer: &mut Writer, before: &Price, rate: &Price) {
    // By its parts: 0.010 and 0.0100 are equal, and not the same.
    let alike = |a: Decimal, b: Decimal| a.serialize() == b.serialize();
    let bit = |bit: u8, alike: bool| if alike { 0 } else { bit };
    let bits = bit(differs::RATE, alike(before.rate, rate.rate))
        | bit(differs::CONNECT_FEE, alike(before.connect_fee, rate.connect_fee))
        | bit(differs::INITIAL, before.initial == rate.initial)
        | bit(differs::NEXT, before.next == rate.next)
        | bit(differs::FROM, before.from == rate.from)
        | bit(differs::TO, before.to == rate.to);
    writer.digits(before.prefix, rate.prefix);
    writer.byte(bits);
    for (bit, money) in [(differs::RATE, rate.rate), (differs::CONNECT_FEE, rate.connect_fee)] {
        if bits & bit != 0 {
            writer.money(money);
        }
    }
    for (bit, seconds) in [(differs::INITIAL, rate.initial), (differs::NEXT, rate.next)] {
        if bits & bit != 0 {
            writer.varint(u128::from(seconds));
        }
    }
    for (bit, moment) in [(differs::FROM, rate.from), (differs::TO, rate.to)] {
        if bits & bit != 0 {
            writer.varint(moment.map_or(0, |moment| u128::from(moment.0) + 1));
        }
    }
}

fn take_rate(reader: &mut Reader<'_>, before: &Price) -> Result<Price, BadBlock> {
    let mut rate = Price { prefix: reader.digits(before.prefix)?, ..*before };
    let bits = reader.byte()?;
    if bits & !differs::ALL != 0 {
        return Err(BadBlock::Damaged("a rate has fields that are not known"));
    }
    for (bit, money) in [(differs::RATE, &mut rate.rate), (differs::CONNECT_FEE, &mut rate.connect_fee)] {
        if bits & bit != 0 {
            *money = reader.money()?;
        }
    }
    for (bit, seconds) in [(differs::INITIAL, &mut rate.initial), (differs::NEXT, &mut rate.next)] {
        if bits & bit != 0 {
            *seconds = reader.seconds()?;
        }
    }
    for (bit, moment) in [(differs::FROM, &mut rate.from), (differs::TO, &mut rate.to)] {
        if bits & bit != 0 {
            *moment = reader.moment()?;
        }
    }
    Ok(rate)
}

#[cfg(test)]
mod tests;
