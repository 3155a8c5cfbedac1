//! A file being read: its lines, and what was found wrong in it.

use super::value::nearest;
use crate::error::{Error, Place};
use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::DeString;

/// How many mistakes of a file are said; a file of the wrong kind has one on every line.
const MAX_ERRORS: usize = 100;

/// One file.
pub(super) struct Source {
    file: Arc<Path>,
    /// Where each line begins.
    lines: Vec<usize>,
    errors: RefCell<Vec<Error>>,
}

impl Source {
    pub(super) fn new(file: &Path, text: &str) -> Self {
        let begins = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { file: file.into(), lines: std::iter::once(0).chain(begins).collect(), errors: RefCell::default() }
    }

    /// The line of a byte.
    pub(super) fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.lines.partition_point(|begin| *begin <= offset)).unwrap_or(u32::MAX)
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        Place { file: self.file.clone(), line: self.line(offset) }
    }

    pub(super) fn report(&self, span: Range<usize>, what: String, mend: String) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < MAX_ERRORS {
            errors.push(Error::Written { place: self.place(span.start), what, mend });
        }
    }

    /// What the TOML reader refuses.
    pub(super) fn syntax(&self, error: &toml::de::Error) {
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        self.report(error.span().unwrap_or(0..0), what, "the file is not TOML (https://toml.io) here".into());
    }

    /// A key that `owner` does not have.
    pub(super) fn unknown(&self, key: &Spanned<DeString<'_>>, owner: &str, known: &[&str]) {
        let name: &str = key.get_ref();
        let mend = match nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("it has {}", known.join(", ")),
        };
        self.report(key.span(), format!("{owner} has no key `{name}`"), mend);
    }

    pub(super) fn into_errors(self) -> Vec<Error> {
        self.errors.into_inner()
    }
}
