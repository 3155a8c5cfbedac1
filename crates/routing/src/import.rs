//! Files of rows in CSV: rate decks, served numbers and ported numbers, read whole before a row changes.
//!
//! A file is fed in pieces of any size and never kept: [`Rates`], [`Numbers`] and [`Ported`] take its bytes and give a
//! [`List`], or up to a hundred mistakes, each with its line and column. What could be meant in two ways is a mistake. A
//! list knows what it would change ([`List::summary`]), becomes a [`crate::Change`], and travels as [`crate::block`]s.
//! No file is opened here.

mod cells;
mod columns;
mod list;
mod mistakes;
mod numbers;
mod ported;
mod rates;
mod record;
mod sheet;

pub use list::{List, Summary};
pub use numbers::{NumberList, Numbers};
pub use ported::{Ported, PortedList};
pub use rates::{RateList, RateOptions, Rates};

use sip::clock::Wall;

/// Reads a moment with its offset from UTC (RFC 3339), or a day as `2026-01-31`, which begins at midnight UTC. Nothing if
/// it is neither, and so for every day whose month could be its day of the month.
#[must_use]
pub fn date(text: &str) -> Option<Wall> {
    let day = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if day { crate::time::read(&format!("{text}T00:00:00Z")) } else { crate::time::read(text) }
}
