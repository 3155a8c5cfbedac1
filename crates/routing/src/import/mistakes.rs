//! What is wrong with a file, up to a hundred places.

use crate::error::{Error, Place};
use std::path::Path;
use std::sync::Arc;

/// How many are told; a file of the wrong kind has one on every line.
const MAX: usize = 100;

/// How much is shown of what a cell holds.
const MAX_TEXT: usize = 200;

/// The mistakes of one file.
#[derive(Debug)]
pub(super) struct Mistakes {
    file: Arc<Path>,
    errors: Vec<Error>,
    /// Whether nothing that follows can be read.
    fatal: bool,
}

impl Mistakes {
    pub(super) fn of(file: &Path) -> Self {
        Self { file: file.into(), errors: Vec::new(), fatal: false }
    }

    /// In one cell; `place` is counted from 0, as records count.
    pub(super) fn cell(&mut self, line: u32, place: usize, header: &str, what: String, mend: String) {
        let column = u32::try_from(place + 1).unwrap_or(u32::MAX);
        let header = header.chars().take(64).collect();
        let what = if what.len() > MAX_TEXT { what.chars().take(MAX_TEXT).chain(['…']).collect() } else { what };
        let place = Place { file: self.file.clone(), line };
        self.push(Error::Cell { place, column, header, what, mend });
    }

    /// In a whole line.
    pub(super) fn line(&mut self, line: u32, what: String, mend: String) {
        let place = Place { file: self.file.clone(), line };
        self.push(Error::Written { place, what, mend });
    }

    /// After which nothing more is read.
    pub(super) fn fatal(&mut self, line: u32, what: &str, mend: &str) {
        self.line(line, what.into(), mend.into());
        self.stop();
    }

    /// Nothing more is read.
    pub(super) const fn stop(&mut self) {
        self.fatal = true;
    }

    fn push(&mut self, error: Error) {
        if self.errors.len() < MAX {
            self.errors.push(error);
        }
    }

    pub(super) const fn is_hopeless(&self) -> bool {
        self.fatal || self.errors.len() >= MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn into_errors(self) -> Vec<Error> {
        self.errors
    }
}
