//! Ported numbers: `number,lrn`.

use super::cells::{Cells, Told, e164};
use super::columns::Column;
use super::list::{List, Seen, Summary, batches};
use super::mistakes::Mistakes;
use super::sheet::{Form, Sheet, reader};
use crate::block::{self, BadBlock};
use crate::model::Ported as Line;
use crate::row::Row;
use crate::tables::{PortedRows, Tables};
use std::path::Path;

reader! {
    /// Reads a file of ported numbers.
    Ported of PortedForm => PortedList
}

impl Ported {
    /// `file` is for messages; `replace` is whether the table becomes exactly the file.
    #[must_use]
    pub fn new(file: &Path, replace: bool) -> Self {
        let form = PortedForm { list: PortedList::new(replace), seen: Seen::default() };
        Self { sheet: Sheet::new(file, form) }
    }
}

/// Ported numbers, each once.
#[derive(Clone, Debug)]
pub struct PortedList {
    replace: bool,
    ported: PortedRows,
}

impl PortedList {
    /// An empty one, to be filled from blocks.
    #[must_use]
    pub fn new(replace: bool) -> Self {
        Self { replace, ported: PortedRows::default() }
    }

    /// Whether the table is to become exactly these.
    #[must_use]
    pub const fn replaces(&self) -> bool {
        self.replace
    }

    /// The numbers in order.
    #[must_use]
    pub const fn ported(&self) -> &PortedRows {
        &self.ported
    }

    /// The list in blocks, in order: how it is sent.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        batches(self.ported.iter(), block::MAX_ROWS).map(|rows| block::encode_ported(&rows))
    }

    /// Adds the numbers of a block.
    ///
    /// # Errors
    /// It is no block of ported numbers.
    pub fn add_block(&mut self, bytes: &[u8]) -> Result<(), BadBlock> {
        block::decode_ported(bytes)?.into_iter().for_each(|row| self.ported.put(row));
        Ok(())
    }
}

impl List for PortedList {
    fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.ported.iter().map(Row::Ported)
    }

    fn summary(&self, tables: &Tables) -> Summary {
        let mut summary = Summary::default();
        self.ported.iter().for_each(|row| summary.span(row.number.digits()));
        tables.ported().differences(&self.ported, |was, is| {
            if is.is_some() || self.replace {
                summary.count(was.is_some(), is.is_some(), false);
            }
        });
        summary.same = summary.rows - summary.added - summary.changed;
        summary
    }

    fn put_into(&self, tables: &mut Tables) {
        if self.replace {
            tables.clear_ported();
        }
        tables.put_ported(self.ported.iter());
    }
}

/// The ported numbers so far.
#[derive(Debug)]
struct PortedForm {
    list: PortedList,
    seen: Seen,
}

const NUMBER: usize = 0;
const LRN: usize = 1;

impl Form for PortedForm {
    const COLUMNS: &'static [Column] = &[
        Column { name: "number", spellings: &["phonenumber", "telephonenumber", "msisdn"], needed: true },
        Column { name: "lrn", spellings: &["routingnumber", "locationroutingnumber"], needed: true },
    ];

    const MAX_ROWS: usize = 100_000_000;

    fn row(&mut self, cells: &Cells<'_>, mistakes: &mut Mistakes) {
        let Ok(row) = read(cells, mistakes) else { return };
        match self.seen.again(row.number.digits(), None, cells.line()) {
            None => self.list.ported.put(row),
            Some(first) => {
                let what = format!("{} stands twice, first on line {first}", row.number);
                cells.wrong(NUMBER, mistakes, what, "remove one of the lines");
            }
        }
    }
}

impl PortedForm {
    fn into_list(self) -> PortedList {
        self.list
    }
}

fn read(cells: &Cells<'_>, mistakes: &mut Mistakes) -> Result<Line, Told> {
    let (number, lrn) = (cells.need(NUMBER, mistakes, e164), cells.need(LRN, mistakes, e164));
    Ok(Line { number: number?, lrn: lrn? })
}
