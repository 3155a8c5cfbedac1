//! Records of CSV (RFC 4180) out of bytes that come in pieces: fields, quotes and the line on which each record begins.
//!
//! Stricter than many readers: a quote opens only at the begin of a field, and after the closing one the field ends.

/// The most bytes of a record; a longer one has a quote that nobody closed.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// One record, its fields without their quotes.
#[derive(Default, Debug)]
pub(super) struct Record {
    bytes: Vec<u8>,
    /// Where each field ends.
    ends: Vec<usize>,
    /// The line on which it begins, counted from 1.
    pub(super) line: u32,
}

impl Record {
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// A field without the white space around it. What is not UTF-8 is shown as such, and no value takes it.
    pub(super) fn field(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let begin = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(std::str::from_utf8(&self.bytes[begin..end]).map_or("\u{fffd}", str::trim))
    }

    /// Whether nothing is written in it.
    pub(super) fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    fn clear(&mut self, line: u32) {
        self.bytes.clear();
        self.ends.clear();
        self.line = line;
    }
}

/// Why no further record can be told from the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// Text between a closing quote and the separator.
    AfterQuote,
    /// A quote that is open at the end of the file.
    OpenQuote,
    /// Longer than [`MAX_BYTES`].
    Long,
}

/// Where in a record the next byte stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// Before the first byte of a record.
    Start,
    /// At the begin of a field.
    Begin,
    Plain,
    Quoted,
    /// After a quote within quotes: the closing one, or the first of two that mean one.
    Quote,
}

/// Gathers records.
#[derive(Debug)]
pub(super) struct Records {
    separator: u8,
    at: At,
    line: u32,
    record: Record,
}

impl Records {
    /// `line` is that of the first byte to come.
    pub(super) fn new(separator: u8, line: u32) -> Self {
        Self { separator, at: At::Start, line, record: Record { line, ..Record::default() } }
    }

    /// Takes bytes up to the end of the next record, and moves `bytes` behind them; nothing if they end before it.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<&Record>, Broken> {
        if self.at == At::Start {
            self.record.clear(self.line);
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.record.bytes.len() > MAX_BYTES {
                return Err(Broken::Long);
            }
            if self.at == At::Plain && byte != self.separator && byte != b'\n' {
                self.run(bytes);
                continue;
            }
            *bytes = rest;
            if byte == b'\n' {
                self.line += 1;
                if self.at != At::Quoted {
                    return Ok(Some(self.close()));
                }
            }
            self.take(byte)?;
        }
        Ok(None)
    }

    /// What stands after the last line end, if anything does.
    pub(super) fn last(&mut self) -> Result<Option<&Record>, Broken> {
        if self.at == At::Quoted {
            return Err(Broken::OpenQuote);
        }
        Ok(if self.at == At::Start { None } else { Some(self.close()) })
    }

    /// The rest of a field without quotes, as far as it is here.
    fn run(&mut self, bytes: &mut &[u8]) {
        let separator = self.separator;
        let end = bytes.iter().position(|byte| *byte == separator || *byte == b'\n').unwrap_or(bytes.len());
        let (run, rest) = bytes.split_at(end);
        self.record.bytes.extend_from_slice(run);
        *bytes = rest;
    }

    fn take(&mut self, byte: u8) -> Result<(), Broken> {
        match (self.at, byte) {
            (At::Start | At::Begin | At::Plain | At::Quote, byte) if byte == self.separator => {
                self.record.ends.push(self.record.bytes.len());
                self.at = At::Begin;
            }
            (At::Start | At::Begin, b'"') => self.at = At::Quoted,
            (At::Quoted, b'"') => self.at = At::Quote,
            (At::Quote, b'"') => {
                self.record.bytes.push(byte);
                self.at = At::Quoted;
            }
            (At::Quote, b' ' | b'\t' | b'\r') => {}
            (At::Quote, _) => return Err(Broken::AfterQuote),
            (At::Start | At::Begin | At::Plain, _) => {
                self.record.bytes.push(byte);
                self.at = At::Plain;
            }
            (At::Quoted, _) => self.record.bytes.push(byte),
        }
        Ok(())
    }

    fn close(&mut self) -> &Record {
        self.record.ends.push(self.record.bytes.len());
        self.at = At::Start;
        &self.record
    }

    /// The record as far as it is read.
    pub(super) fn into_record(self) -> Record {
        self.record
    }

    /// The line of the byte to come.
    pub(super) const fn line(&self) -> u32 {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every record with its line, the text given in pieces of `size` bytes.
    fn read(text: &[u8], size: usize) -> Result<Vec<(u32, Vec<String>)>, Broken> {
        let mut records = Records::new(b',', 1);
        let mut found = Vec::new();
        let own = |record: &Record| {
            let fields = (0..record.len()).map(|at| record.field(at).expect("within").to_owned()).collect();
            (record.line, fields)
        };
        for mut piece in text.chunks(size) {
            while let Some(record) = records.next(&mut piece)? {
                found.push(own(record));
            }
        }
        found.extend(records.last()?.map(own));
        Ok(found)
    }

    #[test]
    fn fields_quotes_and_lines() {
        let text = b"a, b ,c\r\n\"x, \"\"y\"\"\nz\" ,,\"\"\n5\" pipe\nlast";
        for size in [1, 2, 3, 7, 100] {
            let records = read(text, size).unwrap();
            let fields: Vec<&[String]> = records.iter().map(|(_, fields)| &fields[..]).collect();
            assert_eq!(fields[0], ["a", "b", "c"]);
            assert_eq!(fields[1], ["x, \"y\"\nz", "", ""]);
            assert_eq!(fields[2], ["5\" pipe"]);
            assert_eq!(fields[3], ["last"]);
            let lines: Vec<u32> = records.iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [1, 2, 4, 5], "in pieces of {size}");
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        assert_eq!(read(b"\"a\"b,c\n", 4), Err(Broken::AfterQuote));
        assert_eq!(read(b"a,\"b\n", 4), Err(Broken::OpenQuote));
        let long = [b"\"".to_vec(), vec![b'\n'; MAX_BYTES + 10]].concat();
        assert_eq!(read(&long, 1000), Err(Broken::Long));
        assert!(read(b"", 1).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn records_written_by_the_rules_read_back(rows in prop::collection::vec(prop::collection::vec("[a-c,\"\n]{0,5}", 1..4), 0..8), size in 1..9usize) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n";
            let text: String = rows.iter().map(line).collect();
            let found: Vec<Vec<String>> = read(text.as_bytes(), size).unwrap().into_iter().map(|(_, fields)| fields).collect();
            let trimmed: Vec<Vec<String>> =
                rows.iter().map(|row| row.iter().map(|field| field.trim().to_owned()).collect()).collect();
            prop_assert_eq!(found, trimmed);
        }

        #[test]
        fn pieces_make_no_difference(text in prop::collection::vec(prop::sample::select(b"ab,\"\n\r \xff".to_vec()), 0..60), size in 1..9usize) {
            prop_assert_eq!(read(&text, size), read(&text, 1000));
        }
    }
}
