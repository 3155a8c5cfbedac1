//! A file being read: its separator and header first, then record after record into a form.

use super::cells::Cells;
use super::columns::{Column, Layout, known};
use super::mistakes::Mistakes;
use super::record::{Broken, MAX_BYTES, Record, Records};
use crate::error::Error;
use std::path::Path;

/// What the rows of a file are.
pub(super) trait Form {
    /// What is known of it, in the order in which [`Cells`] is asked.
    const COLUMNS: &'static [Column];

    /// The most rows of a file.
    const MAX_ROWS: usize;

    /// Whether the columns of a header go together.
    fn check(&self, _layout: &Layout, _mistakes: &mut Mistakes) {}

    /// Takes one row.
    fn row(&mut self, cells: &Cells<'_>, mistakes: &mut Mistakes);
}

/// A separator that is not clear is a mistake.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

#[derive(Debug)]
pub(super) struct Sheet<F> {
    form: F,
    mistakes: Mistakes,
    /// The begin of the file up to the end of its header.
    head: Vec<u8>,
    body: Option<Body>,
    rows: usize,
}

#[derive(Debug)]
struct Body {
    records: Records,
    layout: Layout,
}

impl<F: Form> Sheet<F> {
    pub(super) fn new(file: &Path, form: F) -> Self {
        Self { form, mistakes: Mistakes::of(file), head: Vec::new(), body: None, rows: 0 }
    }

    pub(super) const fn is_hopeless(&self) -> bool {
        self.mistakes.is_hopeless()
    }

    /// The next bytes of the file.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_hopeless() {
            match &mut self.body {
                Some(_) if self.rows > F::MAX_ROWS => self.too_long(),
                Some(body) => match body.records.next(&mut bytes) {
                    Ok(Some(record)) => {
                        self.rows += 1;
                        take(&mut self.form, &body.layout, record, &mut self.mistakes);
                    }
                    Ok(None) => {}
                    Err(broken) => tell(broken, body.records.line(), &mut self.mistakes),
                },
                None => self.feed_head(&mut bytes),
            }
        }
    }

    /// The file ends.
    pub(super) fn finish(mut self) -> Result<F, Vec<Error>> {
        if self.body.is_none() && !self.is_hopeless() {
            self.open();
        }
        if let Some(body) = &mut self.body
            && !self.mistakes.is_hopeless()
        {
            let line = body.records.line();
            match body.records.last() {
                Ok(Some(record)) => take(&mut self.form, &body.layout, record, &mut self.mistakes),
                Ok(None) => {}
                Err(broken) => tell(broken, line, &mut self.mistakes),
            }
        }
        if self.mistakes.is_empty() { Ok(self.form) } else { Err(self.mistakes.into_errors()) }
    }

    fn too_long(&mut self) {
        let line = self.body.as_ref().map_or(1, |body| body.records.line());
        let what = format!("the file has more than {} rows", F::MAX_ROWS);
        self.mistakes.line(line, what, "import it in parts".into());
        self.mistakes.stop();
    }

    fn feed_head(&mut self, bytes: &mut &[u8]) {
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        let (head, rest) = bytes.split_at(end);
        self.head.extend_from_slice(head);
        *bytes = rest;
        if self.head.ends_with(b"\n") {
            self.open();
        } else if self.head.len() > MAX_BYTES {
            self.mistakes.fatal(1, "the first line has no end", "begin the file with a header");
        }
    }

    /// Reads the header.
    fn open(&mut self) {
        if self.head.starts_with(&[0xff, 0xfe]) || self.head.starts_with(&[0xfe, 0xff]) {
            return self.mistakes.fatal(1, "the file is UTF-16", "save it as UTF-8");
        }
        let head = self.head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.head);
        let mut ways = Vec::new();
        let mut broken = None;
        for separator in SEPARATORS {
            match header(head, separator) {
                Ok(header) => ways.push((known(F::COLUMNS, &header), separator, header)),
                Err(error) => broken = Some(error),
            }
        }
        ways.sort_by_key(|(known, ..)| std::cmp::Reverse(*known));
        let best = ways.first().filter(|(known, ..)| *known > 0 || broken.is_none());
        let Some((most, separator, header)) = best else {
            return broken.into_iter().for_each(|broken| tell(broken, 1, &mut self.mistakes));
        };
        if header.is_blank() {
            return self.mistakes.fatal(1, "the first line is empty", "begin the file with a header");
        }
        if *most > 0 && ways.get(1).is_some_and(|(second, ..)| second == most) {
            let mend = "part the columns of the header by commas, semicolons or tabs, with one of them throughout";
            return self.mistakes.fatal(1, "it is not clear what parts the columns", mend);
        }
        let layout = Layout::read(F::COLUMNS, header, &mut self.mistakes);
        self.form.check(&layout, &mut self.mistakes);
        if !self.mistakes.is_empty() {
            self.mistakes.stop();
        }
        self.body = Some(Body { records: Records::new(*separator, 2), layout });
    }
}

/// The first line, read with one separator.
fn header(mut head: &[u8], separator: u8) -> Result<Record, Broken> {
    let mut records = Records::new(separator, 1);
    if records.next(&mut head)?.is_none() {
        records.last()?;
    }
    Ok(records.into_record())
}

fn take<F: Form>(form: &mut F, layout: &Layout, record: &Record, mistakes: &mut Mistakes) {
    if record.is_blank() {
        return;
    }
    let (found, expected) = (record.len(), layout.headers.len());
    if found != expected {
        let what = format!("the line has {found} fields, the header {expected}");
        let mend =
            "part the fields as the header does; a price with a decimal comma, or a text with a separator, is two";
        return mistakes.line(record.line, what, mend.into());
    }
    for place in &layout.unnamed {
        if record.field(*place).is_some_and(|text| !text.is_empty()) {
            mistakes.cell(record.line, *place, "", "the header does not name this column".into(), "name it".into());
        }
    }
    form.row(&Cells { layout, record }, mistakes);
}

fn tell(broken: Broken, line: u32, mistakes: &mut Mistakes) {
    match broken {
        Broken::AfterQuote => {
            mistakes.fatal(line, "text follows a closing quote", "double the quotes within the quotes")
        }
        Broken::OpenQuote => mistakes.fatal(line, "the file ends within quotes", "close the quote"),
        Broken::Long => mistakes.fatal(line, "a line is longer than 64 KiB", "close the quote that is probably open"),
    }
}

/// The public reader of a form: bytes in, a list or mistakes out.
macro_rules! reader {
    ($(#[$meta:meta])* $name:ident of $form:ty => $list:ty) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name {
            sheet: crate::import::sheet::Sheet<$form>,
        }

        impl $name {
            /// Takes the next bytes of the file: pieces of any size.
            pub fn feed(&mut self, bytes: &[u8]) {
                self.sheet.feed(bytes);
            }

            /// Whether so much is wrong that the rest of the file need not be fed.
            #[must_use]
            pub const fn is_hopeless(&self) -> bool {
                self.sheet.is_hopeless()
            }

            /// The file has ended.
            ///
            /// # Errors
            /// What is wrong with it, up to a hundred mistakes, each with its line.
            pub fn finish(self) -> Result<$list, Vec<crate::Error>> {
                self.sheet.finish().map(<$form>::into_list)
            }
        }
    };
}
pub(super) use reader;

#[cfg(test)]
mod tests {
    use super::*;

    struct Short(usize);

    impl Form for Short {
        const COLUMNS: &'static [Column] = &[Column { name: "a", spellings: &[], needed: true }];
        const MAX_ROWS: usize = 3;

        fn row(&mut self, cells: &Cells<'_>, mistakes: &mut Mistakes) {
            self.0 += usize::from(cells.get(0, mistakes, |_| Ok(())).is_ok());
        }
    }

    #[test]
    fn a_file_has_a_limit() {
        let read = |text: &str| {
            let mut sheet = Sheet::new(Path::new("s.csv"), Short(0));
            sheet.feed(text.as_bytes());
            sheet.finish().map(|form| form.0)
        };
        assert_eq!(read("a,notes\n1,\n2,\n3,\n"), Ok(3));
        let errors = read("a,notes\n1,\n2,\n3,\n4,\n5,\n").expect_err("too long");
        assert_eq!(errors[0].to_string(), "s.csv:6: the file has more than 3 rows; import it in parts");
    }
}
