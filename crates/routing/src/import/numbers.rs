//! Served numbers: the keys of `[[number]]` as columns.

use super::cells::{Cells, Told, e164, name, parsed, seconds, words};
use super::columns::Column;
use super::list::{List, Seen, Summary};
use super::mistakes::Mistakes;
use super::sheet::{Form, Sheet, reader};
use crate::change::Change;
use crate::digits::E164;
use crate::error::{Error, Place};
use crate::model::Number;
use crate::row::{Row, RowKey};
use crate::tables::Tables;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

reader! {
    /// Reads a file of served numbers.
    Numbers of NumberForm => NumberList
}

impl Numbers {
    /// `file` is for messages; `replace` is whether the table becomes exactly the file.
    #[must_use]
    pub fn new(file: &Path, replace: bool) -> Self {
        let form = NumberForm { list: NumberList { file: Some(file.into()), ..NumberList::new(replace) } };
        Self { sheet: Sheet::new(file, form) }
    }
}

/// Served numbers, each once.
#[derive(Debug)]
pub struct NumberList {
    replace: bool,
    numbers: BTreeMap<E164, Arc<Number>>,
    /// What it was read from.
    file: Option<Arc<Path>>,
    seen: Seen,
}

impl NumberList {
    /// An empty one, to be filled row by row.
    #[must_use]
    pub fn new(replace: bool) -> Self {
        Self { replace, numbers: BTreeMap::new(), file: None, seen: Seen::default() }
    }

    /// Whether the table is to become exactly these.
    #[must_use]
    pub const fn replaces(&self) -> bool {
        self.replace
    }

    /// The numbers in order.
    #[must_use]
    pub const fn numbers(&self) -> &BTreeMap<E164, Arc<Number>> {
        &self.numbers
    }

    /// Adds a number, in place of what the list had of it.
    pub fn add(&mut self, number: Arc<Number>) {
        self.numbers.insert(number.number, number);
    }

    /// With the line of the file, if the number was read from one.
    fn placed(&self, error: Error) -> Error {
        let Error::Row { key: RowKey::Number(number), what, mend } = error else { return error };
        match self.file.clone().zip(self.seen.line(number.digits())) {
            Some((file, line)) => {
                Error::Written { place: Place { file, line }, what: format!("{number}: {what}"), mend }
            }
            None => Error::Row { key: RowKey::Number(number), what, mend },
        }
    }
}

impl List for NumberList {
    fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.numbers.values().cloned().map(Row::Number)
    }

    fn summary(&self, tables: &Tables) -> Summary {
        let mut summary = Summary::default();
        for (number, row) in &self.numbers {
            summary.span(number.digits());
            let was = tables.numbers().get(number);
            summary.count(was.is_some(), true, was == Some(row));
        }
        if self.replace {
            let gone = tables.numbers().keys().filter(|number| !self.numbers.contains_key(number));
            gone.for_each(|_| summary.count(true, false, false));
        }
        summary
    }

    fn put_into(&self, tables: &mut Tables) {
        if self.replace {
            let gone = tables.numbers().keys().filter(|number| !self.numbers.contains_key(number));
            let gone: Vec<RowKey> = gone.copied().map(RowKey::Number).collect();
            gone.iter().for_each(|key| tables.delete(key));
        }
        self.rows().for_each(|row| tables.put(row));
    }

    fn change(&self, tables: &Tables) -> Result<Change, Vec<Error>> {
        let mut after = tables.clone();
        self.put_into(&mut after);
        match after.validate() {
            Ok(()) => Ok(tables.diff(&after)),
            Err(errors) => Err(errors.into_iter().map(|error| self.placed(error)).collect()),
        }
    }
}

/// The numbers so far.
#[derive(Debug)]
struct NumberForm {
    list: NumberList,
}

const NUMBER: usize = 0;
const ACCOUNT: usize = 1;
const TO: usize = 2;
const ON_FAILURE: usize = 3;
const EMERGENCY_ADDRESS: usize = 4;
const RING_SECONDS: usize = 5;

const fn column(name: &'static str, needed: bool) -> Column {
    Column { name, spellings: &[], needed }
}

impl Form for NumberForm {
    const COLUMNS: &'static [Column] = &[
        column("number", true),
        column("account", false),
        column("to", true),
        column("on_failure", false),
        column("emergency_address", false),
        column("ring_seconds", false),
    ];

    const MAX_ROWS: usize = 10_000_000;

    fn row(&mut self, cells: &Cells<'_>, mistakes: &mut Mistakes) {
        let Ok(row) = read(cells, mistakes) else { return };
        match self.list.seen.again(row.number.digits(), None, cells.line()) {
            None => self.list.add(row.into()),
            Some(first) => {
                let what = format!("{} stands twice, first on line {first}", row.number);
                cells.wrong(NUMBER, mistakes, what, "remove one of the lines");
            }
        }
    }
}

impl NumberForm {
    fn into_list(self) -> NumberList {
        self.list
    }
}

fn read(cells: &Cells<'_>, mistakes: &mut Mistakes) -> Result<Number, Told> {
    let number = cells.need(NUMBER, mistakes, e164);
    let account = cells.get(ACCOUNT, mistakes, name);
    let to = cells.need(TO, mistakes, parsed);
    let on_failure = cells.get(ON_FAILURE, mistakes, parsed);
    let emergency_address = cells.get(EMERGENCY_ADDRESS, mistakes, words);
    let ring_seconds = cells.get(RING_SECONDS, mistakes, |text| seconds(text, 1, 3600));
    Ok(Number {
        number: number?,
        account: account?,
        to: to?,
        on_failure: on_failure?,
        ring_seconds: ring_seconds?,
        emergency_address: emergency_address?,
    })
}
