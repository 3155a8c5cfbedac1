//! Single cells: money, digits, steps and dates. What can be read in two ways is not read.

use super::columns::Layout;
use super::mistakes::Mistakes;
use super::record::Record;
use crate::digits::{BadDigits, E164, Prefix};
use crate::model::{Name, check_words, is_name};
use rust_decimal::Decimal;
use sip::clock::Wall;
use std::fmt::Display;

/// What is wrong with a cell, and how it is mended.
pub(super) struct Problem {
    what: String,
    mend: String,
}

type Read<T> = Result<T, Problem>;

fn problem<T>(what: impl Display, mend: impl Display) -> Read<T> {
    Err(Problem { what: what.to_string(), mend: mend.to_string() })
}

/// A row of a file whose mistakes have been told: it gives nothing.
pub(super) struct Told;

/// The cells of a record by the columns of a form.
pub(super) struct Cells<'r> {
    pub(super) layout: &'r Layout,
    pub(super) record: &'r Record,
}

impl Cells<'_> {
    /// The line on which the record begins.
    pub(super) const fn line(&self) -> u32 {
        self.record.line
    }

    /// A cell; nothing if the file has no such column or nothing is written there.
    pub(super) fn get<T>(
        &self,
        column: usize,
        mistakes: &mut Mistakes,
        read: impl FnOnce(&str) -> Read<T>,
    ) -> Result<Option<T>, Told> {
        let Some(place) = self.layout.place(column) else { return Ok(None) };
        match self.record.field(place).unwrap_or_default() {
            "" => Ok(None),
            text => read(text).map(Some).map_err(|Problem { what, mend }| {
                mistakes.cell(self.line(), place, &self.layout.headers[place], what, mend);
                Told
            }),
        }
    }

    /// A cell that must be written.
    pub(super) fn need<T>(
        &self,
        column: usize,
        mistakes: &mut Mistakes,
        read: impl FnOnce(&str) -> Read<T>,
    ) -> Result<T, Told> {
        if let Some(value) = self.get(column, mistakes, read)? {
            return Ok(value);
        }
        self.wrong(column, mistakes, "it is empty", "write it, or remove the line");
        Err(Told)
    }

    /// Tells a mistake that shows only beside other cells.
    pub(super) fn wrong(&self, column: usize, mistakes: &mut Mistakes, what: impl Display, mend: &str) {
        match self.layout.place(column) {
            Some(place) => {
                mistakes.cell(self.line(), place, &self.layout.headers[place], what.to_string(), mend.into());
            }
            None => mistakes.line(self.line(), what.to_string(), mend.into()),
        }
    }
}

/// The digits that a destination begins with.
pub(super) fn prefix(text: &str) -> Read<Prefix> {
    if text.contains([';', ',', ' ', '/', '|', '-']) {
        return problem(format!("{text:?} is more than one code"), "write one line for each code, digits only");
    }
    if text.starts_with("00") {
        return problem(
            format!("{text:?} begins with an international dialling prefix"),
            "begin with the country code",
        );
    }
    text.parse().or_else(|error: BadDigits| {
        problem(format!("{text:?} is no prefix: {error}"), "write leading digits, for example 44")
    })
}

/// Money from nothing upwards, with a decimal point.
pub(super) fn price(text: &str) -> Read<Decimal> {
    if text.contains([',', '\'']) {
        let what = format!("{text:?} has a sign that may part thousands or be a decimal point");
        return problem(what, "write digits and one decimal point, for example 0.0100");
    }
    let mend = "write digits and one decimal point, without currency, for example 0.0100";
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if text.strip_prefix('-').is_some_and(plain) {
        return problem(format!("{text} is below zero"), "write zero or more");
    }
    match Decimal::from_str_exact(text) {
        Ok(money) if plain(text) => Ok(money),
        Ok(_) | Err(_) => problem(format!("{text:?} is no price"), mend),
    }
}

/// Whole seconds of a step.
pub(super) fn seconds(text: &str, least: u32, most: u32) -> Read<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if plain && (least..=most).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => {
            problem(format!("{text:?} is no number of seconds here"), format!("write a number from {least} to {most}"))
        }
    }
}

/// `60/1`: seconds billed at least, and seconds of each further step.
pub(super) fn increment(text: &str) -> Read<(u32, u32)> {
    match text.split_once('/') {
        Some((initial, next)) => Ok((seconds(initial.trim(), 0, DAY)?, seconds(next.trim(), 1, DAY)?)),
        None => {
            problem(format!("{text:?} has not both steps"), "write the first and the further ones, for example 60/1")
        }
    }
}

/// The longest step.
pub(super) const DAY: u32 = 86_400;

/// A whole number with its `+`.
pub(super) fn e164(text: &str) -> Read<E164> {
    text.parse().or_else(|error: BadDigits| {
        problem(format!("{text:?} is no number: {error}"), "write it in full, for example +442071230000")
    })
}

/// The name of a row.
pub(super) fn name(text: &str) -> Read<Name> {
    match is_name(text) {
        true => Ok(text.into()),
        false => problem(format!("{text:?} is no name"), "use 1 to 64 letters, digits, `.`, `_`, `-` or `+`"),
    }
}

/// Free text.
pub(super) fn words(text: &str) -> Read<String> {
    match check_words(text) {
        Ok(()) if !text.contains('\u{fffd}') => Ok(text.into()),
        Ok(()) => problem("it is not UTF-8", "save the file as UTF-8"),
        Err((what, mend)) => problem(what, mend),
    }
}

/// What a type reads itself.
pub(super) fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Read<T> {
    text.parse().or_else(|error: T::Err| problem(format!("{text:?} cannot be read"), error))
}

/// Dates of one column: most rows of a file have the same one.
#[derive(Debug, Default)]
pub(super) struct Dates {
    last: Option<(String, Wall)>,
}

impl Dates {
    pub(super) fn read(&mut self, text: &str) -> Read<Wall> {
        if let Some((last, wall)) = &self.last
            && last == text
        {
            return Ok(*wall);
        }
        let Some(wall) = super::date(text) else {
            let what = if text.contains('T') || text.contains(':') {
                format!("{text:?} is no moment with its offset from UTC since 1970")
            } else {
                format!("{text:?} is no date that can be read in one way only")
            };
            return problem(what, "write 2026-01-31, or 2026-01-31T00:00:00Z");
        };
        self.last = Some((text.to_owned(), wall));
        Ok(wall)
    }
}
