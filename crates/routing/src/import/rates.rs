//! Rate decks as carriers send them.

use super::cells::{Cells, DAY, Dates, Told, increment, prefix, price, seconds};
use super::columns::{Column, Layout};
use super::list::{List, Seen, Summary, batches};
use super::mistakes::Mistakes;
use super::sheet::{Form, Sheet, reader};
use crate::block::{self, BadBlock};
use crate::error::Error;
use crate::model::{Name, Price};
use crate::row::{Row, RowKey};
use crate::tables::{Rates as Body, Tables};
use rust_decimal::Decimal;
use sip::clock::Wall;
use std::path::Path;

/// What a file of rates is imported as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RateOptions {
    /// The deck that takes the rates. It must be in the tables, for a file does not say its currency.
    pub deck: Name,
    /// The begin of validity of rows that say none.
    pub from: Option<Wall>,
    /// Whether the deck becomes exactly the file; else the rates that the file does not have stay.
    pub replace: bool,
}

reader! {
    /// Reads a file of rates.
    Rates of RateForm => RateList
}

impl Rates {
    /// `file` is for messages.
    #[must_use]
    pub fn new(file: &Path, options: RateOptions) -> Self {
        Self { sheet: Sheet::new(file, RateForm::new(options)) }
    }
}

/// The rates of a deck, each prefix and begin of validity once.
#[derive(Clone, Debug)]
pub struct RateList {
    deck: Name,
    replace: bool,
    rates: Body,
}

impl RateList {
    /// An empty one, to be filled from blocks.
    #[must_use]
    pub fn new(deck: Name, replace: bool) -> Self {
        Self { deck, replace, rates: Body::default() }
    }

    /// The deck that they are of.
    #[must_use]
    pub const fn deck(&self) -> &Name {
        &self.deck
    }

    /// Whether the deck is to become exactly these.
    #[must_use]
    pub const fn replaces(&self) -> bool {
        self.replace
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rates.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rates by prefix, then by begin of validity.
    pub fn prices(&self) -> impl Iterator<Item = Price> + '_ {
        self.rates.iter()
    }

    /// The list in blocks, in order: how it is sent.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        batches(self.prices(), block::MAX_ROWS).map(|prices| block::encode_rates(&prices))
    }

    /// Adds the rates of a block.
    ///
    /// # Errors
    /// It is no block of rates.
    pub fn add_block(&mut self, bytes: &[u8]) -> Result<(), BadBlock> {
        block::decode_rates(bytes)?.iter().for_each(|price| self.rates.put(price));
        Ok(())
    }
}

impl List for RateList {
    fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.prices().map(|price| Row::Rate(price.of_deck(&self.deck).into()))
    }

    fn summary(&self, tables: &Tables) -> Summary {
        let mut summary = Summary::default();
        for price in self.prices() {
            summary.span(price.prefix);
            price.from.into_iter().for_each(|from| summary.begin(from));
        }
        let there = tables.decks().get(&self.deck);
        let none = Body::default();
        there.map_or(&none, |deck| deck.body()).differences(&self.rates, |was, is| {
            if is.is_some() || self.replace {
                summary.count(was.is_some(), is.is_some(), false);
            }
        });
        summary.same = summary.rows - summary.added - summary.changed;
        summary
    }

    fn put_into(&self, tables: &mut Tables) {
        if self.replace {
            tables.clear_rates(&self.deck);
        }
        tables.put_rates(&self.deck, self.prices());
    }

    fn change(&self, tables: &Tables) -> Result<crate::Change, Vec<Error>> {
        if !tables.decks().contains_key(&self.deck) {
            let (key, what) = (RowKey::Deck(self.deck.clone()), "it does not exist".to_owned());
            let mend = "apply a [[deck]] with its `name` and `currency` first, or correct the name".to_owned();
            return Err(vec![Error::Row { key, what, mend }]);
        }
        // No rule binds a rate to another row, so the tables stay as valid as they were.
        let mut after = tables.clone();
        self.put_into(&mut after);
        Ok(tables.diff(&after))
    }
}

/// The columns of a file of rates, and the rates so far.
#[derive(Debug)]
struct RateForm {
    list: RateList,
    /// The begin of rows that say none.
    begin: Option<Wall>,
    seen: Seen,
    from: Dates,
    to: Dates,
}

const PREFIX: usize = 0;
const RATE: usize = 1;
const CONNECT_FEE: usize = 2;
const INITIAL: usize = 3;
const NEXT: usize = 4;
const INCREMENT: usize = 5;
const FROM: usize = 6;
const TO: usize = 7;

const fn column(name: &'static str, spellings: &'static [&'static str]) -> Column {
    Column { name, spellings, needed: false }
}

impl Form for RateForm {
    const COLUMNS: &'static [Column] = &[
        Column {
            name: "prefix",
            spellings: &[
                "code",
                "dialcode",
                "dialcodes",
                "dialingcode",
                "diallingcode",
                "dialprefix",
                "destinationcode",
            ],
            needed: true,
        },
        Column {
            name: "rate",
            spellings: &[
                "price",
                "rateperminute",
                "ratepermin",
                "ratemin",
                "priceperminute",
                "pricepermin",
                "pricemin",
            ],
            needed: true,
        },
        column(
            "connect_fee",
            &["connectionfee", "connectcharge", "connectioncharge", "setupfee", "setupcharge", "setup"],
        ),
        column(
            "initial",
            &["initialincrement", "initialinterval", "initialseconds", "firstincrement", "firstinterval"],
        ),
        column("next", &["nextincrement", "nextinterval", "nextseconds", "subsequentincrement", "subsequentinterval"]),
        column("increment", &["increments", "billingincrement", "billingincrements", "interval", "intervals"]),
        column("from", &["effectivedate", "effective", "effectivefrom", "validfrom", "startdate", "begindate"]),
        column("to", &["enddate", "effectiveto", "validto", "validuntil", "expirydate", "expirationdate"]),
    ];

    const MAX_ROWS: usize = 10_000_000;

    fn check(&self, layout: &Layout, mistakes: &mut Mistakes) {
        for step in [INITIAL, NEXT] {
            if let (Some(place), Some(_)) = (layout.place(INCREMENT), layout.place(step)) {
                let what = format!("the file has `{}` too, which says the same", Self::COLUMNS[step].name);
                mistakes.cell(1, place, &layout.headers[place], what, "remove one of them".into());
            }
        }
    }

    fn row(&mut self, cells: &Cells<'_>, mistakes: &mut Mistakes) {
        let Ok(price) = self.read(cells, mistakes) else { return };
        match self.seen.again(price.prefix, price.from, cells.line()) {
            None => self.list.rates.put(&price),
            Some(first) => {
                let from = price.from.map_or(String::new(), |from| format!(" from {}", crate::time::show(from)));
                let what = format!("{}{from} stands twice, first on line {first}", price.prefix);
                cells.wrong(PREFIX, mistakes, what, "remove one of the lines");
            }
        }
    }
}

impl RateForm {
    fn new(options: RateOptions) -> Self {
        let RateOptions { deck, from, replace } = options;
        let list = RateList::new(deck, replace);
        Self { list, begin: from, seen: Seen::default(), from: Dates::default(), to: Dates::default() }
    }

    fn into_list(self) -> RateList {
        self.list
    }

    /// Every cell is read before the first mistake ends the row, so that all of them are told at once.
    fn read(&mut self, cells: &Cells<'_>, mistakes: &mut Mistakes) -> Result<Price, Told> {
        let code = cells.need(PREFIX, mistakes, prefix);
        let rate = cells.need(RATE, mistakes, price);
        let connect_fee = cells.get(CONNECT_FEE, mistakes, price);
        let initial = cells.get(INITIAL, mistakes, |text| seconds(text, 0, DAY));
        let next = cells.get(NEXT, mistakes, |text| seconds(text, 1, DAY));
        let steps = cells.get(INCREMENT, mistakes, increment);
        let from = cells.get(FROM, mistakes, |text| self.from.read(text));
        let to = cells.get(TO, mistakes, |text| self.to.read(text));
        let (initial, next) = steps?.unwrap_or((initial?.unwrap_or(1), next?.unwrap_or(1)));
        let (from, to) = (from?.or(self.begin), to?);
        if let (Some(begin), Some(end)) = (from, to)
            && end <= begin
        {
            cells.wrong(TO, mistakes, "it is not after the begin of validity", "write a later moment");
            return Err(Told);
        }
        let connect_fee = connect_fee?.unwrap_or(Decimal::ZERO);
        Ok(Price { prefix: code?, rate: rate?, connect_fee, initial, next, from, to })
    }
}
