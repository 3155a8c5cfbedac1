//! The ported numbers: sixteen bytes each, for a country has tens of millions.

use crate::digits::E164;
use crate::model::Ported;
use crate::runs::{Entry, Runs, walk};

/// Ported numbers with their routing numbers.
#[derive(Clone, Debug, Default)]
pub struct PortedRows {
    rows: Runs<Ported>,
}

impl Entry for Ported {
    type Key = E164;
    const FULL: usize = 512;

    fn key(&self) -> E164 {
        self.number
    }
}

/// Equal if they have equal numbers.
impl PartialEq for PortedRows {
    fn eq(&self, other: &Self) -> bool {
        let mut equal = self.len() == other.len();
        if equal {
            self.differences(other, |_, _| equal = false);
        }
        equal
    }
}

impl PortedRows {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The routing number of a number that moved.
    #[must_use]
    pub fn get(&self, number: E164) -> Option<E164> {
        self.rows.get(number).map(|row| row.lrn)
    }

    /// All of them by number.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Ported> + '_ {
        self.rows.iter().copied()
    }

    pub(crate) fn put(&mut self, row: Ported) {
        self.rows.put(row);
    }

    pub(crate) fn delete(&mut self, number: E164) {
        self.rows.remove(number);
    }

    /// What differs from `after`, in order: the row that was, if there was one, and the one that is.
    pub(crate) fn differences(&self, after: &Self, mut differs: impl FnMut(Option<Ported>, Option<Ported>)) {
        walk(&self.rows, &after.rows, |was, is| {
            if was != is {
                differs(was.copied(), is.copied());
            }
        });
    }
}
