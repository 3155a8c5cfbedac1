//! Single values: their type, their range, and what to say when they are wrong.

use crate::digits::{BadDigits, Prefix};
use crate::model::{Name, check_words, is_name};
use rust_decimal::Decimal;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use toml::Spanned;
use toml::de::DeValue;

/// A value with its place.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// What is wrong with a value.
pub(super) struct Problem {
    /// Of the value itself, where it stands within a longer one.
    pub(super) span: Range<usize>,
    pub(super) what: String,
    pub(super) mend: String,
}

/// What reading a value gives.
pub(super) type Read<T> = Result<T, Problem>;

fn problem<T>(value: &Value<'_>, what: impl Display, mend: impl Display) -> Read<T> {
    Err(Problem { span: value.span(), what: what.to_string(), mend: mend.to_string() })
}

/// A type of TOML with its article.
pub(super) const fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A string.
pub(super) fn text<'v>(value: &'v Value<'_>) -> Read<&'v str> {
    match value.get_ref().as_str() {
        Some(text) => Ok(text),
        None => problem(value, format!("it is {}, not a string", kind_of(value.get_ref())), "write it in quotes"),
    }
}

/// A string that is not empty and holds no control character.
pub(super) fn words(value: &Value<'_>) -> Read<Name> {
    let text = text(value)?;
    match check_words(text) {
        Ok(()) => Ok(text.into()),
        Err((what, mend)) => problem(value, what, mend),
    }
}

/// The name of a row.
pub(super) fn name(value: &Value<'_>) -> Read<Name> {
    let text = text(value)?;
    if is_name(text) {
        return Ok(text.into());
    }
    problem(value, format!("{text:?} is no name"), "use 1 to 64 letters, digits, `.`, `_`, `-` or `+`")
}

/// A user name of digest authentication: what may stand in quotes without an escape, and no `:` (RFC 7616 §3.4).
pub(super) fn username(value: &Value<'_>) -> Read<Name> {
    let text = text(value)?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'"' | b'\\');
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(plain) {
        return Ok(text.into());
    }
    problem(value, format!("{text:?} is no user name"), "use visible ASCII without `:`, `\"` and `\\`")
}

/// A string that a type reads itself.
pub(super) fn parsed<T>(value: &Value<'_>) -> Read<T>
where
    T: FromStr,
    T::Err: Display,
{
    let text = text(value)?;
    text.parse().or_else(|error: T::Err| {
        // An error reads `what; mend`, or is the mend alone.
        let error = error.to_string();
        let (what, mend) = error.split_once("; ").unwrap_or(("", &error));
        let what = if what.is_empty() { format!("{text:?} cannot be read") } else { what.to_owned() };
        problem(value, what, mend)
    })
}

/// A number such as `+442071230000`.
pub(super) fn e164(value: &Value<'_>) -> Read<crate::digits::E164> {
    let text = text(value)?;
    text.parse().or_else(|error: BadDigits| {
        problem(value, format!("{text:?} is no number: {error}"), "write it in full, for example \"+442071230000\"")
    })
}

/// A prefix such as `44`.
pub(super) fn prefix(value: &Value<'_>) -> Read<Prefix> {
    let text = text(value)?;
    if let Some(rest) = text.strip_prefix('+') {
        return problem(value, format!("the prefix {text:?} begins with `+`"), format!("write \"{rest}\""));
    }
    text.parse().or_else(|error: BadDigits| {
        problem(value, format!("{text:?} is no prefix: {error}"), "write leading digits, for example \"44\"")
    })
}

/// Digits to add or to strip.
pub(super) fn tech_prefix(value: &Value<'_>) -> Read<String> {
    prefix(value).map(|prefix| prefix.to_string())
}

/// One word of an enumeration.
pub(super) fn word<T>(value: &Value<'_>, of_word: fn(&str) -> Option<T>, known: &[&str]) -> Read<T> {
    let text = text(value)?;
    match of_word(text) {
        Some(word) => Ok(word),
        None => problem(value, format!("{text:?} is not known here"), format!("write {}", known.join(", "))),
    }
}

/// A whole number within limits.
pub(super) fn whole(value: &Value<'_>, limits: RangeInclusive<u32>) -> Read<u32> {
    let (low, high) = (*limits.start(), *limits.end());
    let Some(written) = value.get_ref().as_integer() else {
        let what = format!("it is {}, not a whole number", kind_of(value.get_ref()));
        return problem(value, what, format!("write a number from {low} to {high}"));
    };
    let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
    match number.and_then(|number| u32::try_from(number).ok()).filter(|number| limits.contains(number)) {
        Some(number) => Ok(number),
        None => problem(value, format!("{written} is out of range"), format!("write a number from {low} to {high}")),
    }
}

/// A whole number that fits 16 bits.
pub(super) fn short(value: &Value<'_>, limits: RangeInclusive<u16>) -> Read<u16> {
    let wide = u32::from(*limits.start())..=u32::from(*limits.end());
    whole(value, wide).map(|number| u16::try_from(number).unwrap_or(u16::MAX))
}

/// `true` or `false`.
pub(super) fn flag(value: &Value<'_>) -> Read<bool> {
    match value.get_ref().as_bool() {
        Some(flag) => Ok(flag),
        None => problem(value, format!("it is {}, not true or false", kind_of(value.get_ref())), "write true or false"),
    }
}

/// Money: exact, so a string or a whole number and never a float.
pub(super) fn money(value: &Value<'_>) -> Read<Decimal> {
    let mend = "write it as a decimal in quotes, for example \"0.0100\"";
    let written = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Float(number) => {
            return problem(value, format!("{} is a floating-point number", number.as_str()), mend);
        }
        DeValue::Integer(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return problem(value, format!("it is {}, not money", kind_of(value.get_ref())), mend);
        }
    };
    match Decimal::from_str_exact(&written) {
        Ok(money) => Ok(money),
        Err(_) => problem(value, format!("{written:?} is no decimal"), mend),
    }
}

/// Money that is not below nothing.
pub(super) fn price(value: &Value<'_>) -> Read<Decimal> {
    match money(value)? {
        money if money.is_sign_negative() && !money.is_zero() => {
            problem(value, format!("{money} is below zero"), "write zero or more")
        }
        money => Ok(money),
    }
}

/// A moment with its offset from UTC (RFC 3339), quoted or as TOML's own date.
pub(super) fn moment(value: &Value<'_>) -> Read<sip::clock::Wall> {
    let written = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) | DeValue::Table(_) => {
            String::new()
        }
    };
    match crate::time::read(&written) {
        Some(at) => Ok(at),
        None => problem(value, "it is no moment since 1970", "write for example \"2026-01-01T00:00:00Z\""),
    }
}

/// A list, each item read alike; the first bad one is said.
pub(super) fn list<T>(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Read<T>) -> Read<Vec<T>> {
    match value.get_ref().as_array() {
        Some(items) => items.iter().map(read).collect(),
        None => problem(value, format!("it is {}, not a list", kind_of(value.get_ref())), "write it as [ … ]"),
    }
}

/// A list without doubles.
pub(super) fn set<T: PartialEq + Display>(value: &Value<'_>, read: impl Fn(&Value<'_>) -> Read<T>) -> Read<Vec<T>> {
    let items = list(value, read)?;
    match items.iter().enumerate().find(|(at, item)| items[..*at].contains(item)) {
        Some((_, twice)) => problem(value, format!("`{twice}` stands in it twice"), "remove one of them"),
        None => Ok(items),
    }
}

/// The known word that was probably meant: at most two letters off.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let near = known.iter().map(|known| (distance(word, known), *known)).min()?;
    (near.0 <= 2 && near.0 < word.len()).then_some(near.1)
}

/// How many letters must be added, removed or replaced (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[b.len()]
}
