//! The signs of a block: bytes, varints, digits and money. Nothing here panics, whatever it reads.

use super::BadBlock;
use crate::digits::Prefix;
use rust_decimal::Decimal;
use sip::clock::Wall;

/// Writes a block.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn begin(kind: u8, version: u8, rows: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(16 + 12 * rows) };
        writer.byte(kind);
        writer.byte(version);
        writer.varint(rows as u128);
        writer
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn varint(&mut self, mut number: u128) {
        while number > 127 {
            self.byte((number & 127) as u8 | 128);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// How many symbols are those of the digits before and how many there are, then the others, two a byte.
    pub(super) fn digits(&mut self, before: Prefix, digits: Prefix) {
        let (kept, length) = (before.common(digits), digits.len());
        self.byte((kept << 4 | length) as u8);
        let mut rest = (digits.word() & !15) << (4 * kept);
        for _ in 0..(length - kept).div_ceil(2) {
            self.byte((rest >> 56) as u8);
            rest <<= 8;
        }
    }

    /// The scale, with 32 for what is below zero, then the coefficient.
    pub(super) fn money(&mut self, money: Decimal) {
        let sign = if money.is_sign_negative() { 32 } else { 0 };
        self.byte(money.scale() as u8 | sign);
        self.varint(money.mantissa().unsigned_abs());
    }
}

/// Reads a block.
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
}

type Read<T> = Result<T, BadBlock>;

const SHORT: BadBlock = BadBlock::Damaged("it ends too early");
const WIDE: BadBlock = BadBlock::Damaged("a number in it is too large");

impl<'b> Reader<'b> {
    /// With the number of rows.
    pub(super) fn begin(bytes: &'b [u8], kind: u8, version: u8, most: usize) -> Read<(Self, usize)> {
        let mut reader = Self { bytes };
        match (reader.byte()?, reader.byte()?) {
            (found, _) if found != kind => Err(BadBlock::Kind(found)),
            (_, found) if found != version => Err(BadBlock::Version(found)),
            _ => match usize::try_from(reader.varint()?) {
                Ok(rows) if rows <= most => Ok((reader, rows)),
                Ok(_) | Err(_) => Err(BadBlock::Damaged("it claims more rows than a block has")),
            },
        }
    }

    pub(super) const fn end(&self) -> Read<()> {
        if self.bytes.is_empty() { Ok(()) } else { Err(BadBlock::Damaged("something follows its last row")) }
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.bytes.split_first().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(*first)
    }

    pub(super) fn varint(&mut self) -> Read<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(WIDE);
            }
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(WIDE)
    }

    pub(super) fn digits(&mut self, before: Prefix) -> Read<Prefix> {
        let lengths = self.byte()?;
        let (kept, length) = (usize::from(lengths >> 4), usize::from(lengths & 15));
        if kept > length || kept > before.len() {
            return Err(BadBlock::Damaged("digits keep more than there is"));
        }
        let mut rest: u64 = 0;
        let (taken, bytes) = self.bytes.split_at_checked((length - kept).div_ceil(2)).ok_or(SHORT)?;
        self.bytes = bytes;
        for (at, byte) in taken.iter().enumerate() {
            rest |= u64::from(*byte) << (56 - 8 * at);
        }
        let word = (before.first(kept).word() & !15) | rest.checked_shr(4 * kept as u32).unwrap_or(0) | length as u64;
        Prefix::of_word(word).ok_or(BadBlock::Damaged("it holds digits that are none"))
    }

    pub(super) fn money(&mut self) -> Read<Decimal> {
        let form = self.byte()?;
        let (scale, negative) = (u32::from(form & 31), form & 32 != 0);
        if form > 63 || scale > Decimal::MAX_SCALE {
            return Err(BadBlock::Damaged("money has a form that is not known"));
        }
        let coefficient = self.coefficient()?;
        let part = |shift: u32| (coefficient >> shift) as u32;
        Ok(Decimal::from_parts(part(0), part(32), part(64), negative, scale))
    }

    /// At most 96 bits: fourteen bytes.
    fn coefficient(&mut self) -> Read<u128> {
        let mut number = 0;
        for shift in (0..98).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 127) << shift;
            if byte < 128 {
                return if number >> 96 == 0 { Ok(number) } else { Err(WIDE) };
            }
        }
        Err(WIDE)
    }

    pub(super) fn seconds(&mut self) -> Read<u32> {
        u32::try_from(self.varint()?).map_err(|_| WIDE)
    }

    /// Nothing is zero, so the last moment of all has no room: no calendar has it.
    pub(super) fn moment(&mut self) -> Read<Option<Wall>> {
        Ok(self.varint()?.checked_sub(1).map(Wall))
    }
}
