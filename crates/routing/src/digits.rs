//! Digits packed into one word: a prefix of a dialled number, and a whole E.164 number.
//!
//! Fifteen symbols fit (the longest E.164 number, E.164 §6.2.1): sixty bits from the left, and the length in the last four.
//! So comparing two words compares the digits as a dictionary would, a shorter one first.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// The most symbols that a prefix or a number has.
pub const MAX_DIGITS: usize = 15;

/// The leading digits of a number, `*` and `#` allowed; empty matches every number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Prefix(u64);

/// Why some text is no prefix or no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadDigits {
    /// A sign that is no digit.
    #[error("it holds `{0}`, which is no digit")]
    Sign(char),
    /// Over fifteen digits.
    #[error("it is longer than 15 digits")]
    Long,
    /// An E.164 number of fewer than three digits.
    #[error("it is shorter than 3 digits")]
    Short,
    /// An E.164 number without its `+`.
    #[error("it does not begin with `+` and a country code")]
    Local,
}

impl Prefix {
    /// The prefix of every number.
    pub const EMPTY: Self = Self(0);

    /// The first symbols of what was dialled, at most fifteen, a leading `+` left out; stops at the first sign that is no digit.
    #[must_use]
    pub fn leading(dialled: &str) -> Self {
        let mut prefix = Self::EMPTY;
        for byte in dialled.strip_prefix('+').unwrap_or(dialled).bytes() {
            match symbol(byte) {
                Some(nibble) if prefix.len() < MAX_DIGITS => prefix = prefix.with(nibble),
                Some(_) | None => break,
            }
        }
        prefix
    }

    /// How many symbols it has.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.0 & 15) as usize
    }

    /// Whether it is the prefix of every number.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether `number` begins with this prefix.
    #[must_use]
    pub const fn begins(self, number: Self) -> bool {
        self.len() <= number.len() && (self.0 ^ number.0) & mask(self.len()) == 0
    }

    /// Its first `len` symbols.
    #[must_use]
    pub const fn first(self, len: usize) -> Self {
        if len >= self.len() { self } else { Self((self.0 & mask(len)) | len as u64) }
    }

    /// How many symbols it and `other` begin with alike.
    #[must_use]
    pub const fn common(self, other: Self) -> usize {
        let (shorter, alike) = (if self.len() < other.len() { self } else { other }, self.0 ^ other.0);
        let alike = (alike >> 4).leading_zeros() as usize / 4 - 1;
        if alike < shorter.len() { alike } else { shorter.len() }
    }

    /// The packed word, ordered as the digits are.
    #[must_use]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Of a packed word; nothing if it was not packed here.
    #[must_use]
    pub fn of_word(word: u64) -> Option<Self> {
        let prefix = Self(word);
        let beyond = word & !mask(prefix.len()) & !15;
        let known = (0..prefix.len()).all(|at| (word >> (60 - 4 * at)) & 15 < 12);
        (beyond == 0 && known).then_some(prefix)
    }

    /// Of a word that [`Prefix::word`] gave.
    pub(crate) const fn of_packed(word: u64) -> Self {
        Self(word)
    }

    /// The symbols as ASCII.
    pub fn symbols(self) -> impl Iterator<Item = u8> {
        (0..self.len()).map(move |at| b"0123456789*#????"[((self.0 >> (60 - 4 * at)) & 15) as usize])
    }

    const fn with(self, nibble: u64) -> Self {
        Self((self.0 | (nibble << (60 - 4 * self.len()))) + 1)
    }
}

/// The bits of the first `len` symbols.
const fn mask(len: usize) -> u64 {
    if len == 0 { 0 } else { u64::MAX << (64 - 4 * len) }
}

const fn symbol(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some((byte - b'0') as u64),
        b'*' => Some(10),
        b'#' => Some(11),
        _ => None,
    }
}

impl FromStr for Prefix {
    type Err = BadDigits;

    /// Takes `44`, `*21` or nothing at all; a leading `+` is left out.
    fn from_str(text: &str) -> Result<Self, BadDigits> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let mut prefix = Self::EMPTY;
        for sign in text.chars() {
            let nibble = u8::try_from(sign).ok().and_then(symbol).ok_or(BadDigits::Sign(sign))?;
            if prefix.len() == MAX_DIGITS {
                return Err(BadDigits::Long);
            }
            prefix = prefix.with(nibble);
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; MAX_DIGITS];
        for (slot, byte) in text.iter_mut().zip(self.symbols()) {
            *slot = byte;
        }
        f.pad(std::str::from_utf8(&text[..self.len()]).unwrap_or_default())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A whole international number (E.164), written with its `+`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(Prefix);

impl E164 {
    /// The digits without the `+`.
    #[must_use]
    pub const fn digits(self) -> Prefix {
        self.0
    }

    /// Of a packed word; nothing if it is no number.
    #[must_use]
    pub fn of_word(word: u64) -> Option<Self> {
        let digits = Prefix::of_word(word)?;
        let plain = digits.symbols().all(|byte| byte.is_ascii_digit());
        (plain && digits.len() >= 3 && digits.symbols().next().is_none_or(|byte| byte != b'0')).then_some(Self(digits))
    }

    /// Of what was dialled, if it is an international number with or without its `+`.
    #[must_use]
    pub fn dialled(text: &str) -> Option<Self> {
        Self::of_digits(text.strip_prefix('+').unwrap_or(text)).ok()
    }

    fn of_digits(text: &str) -> Result<Self, BadDigits> {
        if let Some(sign) = text.chars().find(|sign| !sign.is_ascii_digit()) {
            return Err(BadDigits::Sign(sign));
        }
        match text.len() {
            0..3 => Err(BadDigits::Short),
            _ if text.starts_with('0') => Err(BadDigits::Local),
            _ => text.parse().map(Self),
        }
    }
}

impl FromStr for E164 {
    type Err = BadDigits;

    fn from_str(text: &str) -> Result<Self, BadDigits> {
        Self::of_digits(text.strip_prefix('+').ok_or(BadDigits::Local)?)
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Implements serde by the text form, so that every format holds what an operator wrote.
macro_rules! serde_by_text {
    ($type:ty, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}
pub(crate) use serde_by_text;

serde_by_text!(Prefix, "a prefix of digits");
serde_by_text!(E164, "an E.164 number with its +");
