//! One closed file of records: written under another name, synced, then named.

use super::Options;
use super::finished::Finished;
use ::call::record::EndedBy;
use csv::ByteRecord;
use jiff::Timestamp;
use jiff::tz::Offset;
use sip::clock::Wall;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The columns, in their fixed order.
pub(super) const COLUMNS: [&str; 40] = [
    "id",
    "call_id",
    "attempt",
    "final",
    "node",
    "site",
    "epoch",
    "started",
    "ringing",
    "answered",
    "ended",
    "duration_ms",
    "billed_seconds",
    "ingress_trunk",
    "egress_trunk",
    "ingress_account",
    "egress_account",
    "caller_in",
    "called_in",
    "caller_out",
    "called_out",
    "lrn",
    "prefix",
    "sell_rate",
    "sell_amount",
    "buy_rate",
    "buy_amount",
    "currency",
    "pdd_ms",
    "sip_code",
    "q850",
    "ended_by",
    "reason",
    "codec",
    "mos",
    "jitter_ms",
    "loss_percent",
    "takeovers",
    "ingress_call_id",
    "egress_call_id",
];

/// What a file is called while it is written.
const UNFINISHED: &str = "part";

/// `node-20261121T120000Z-sequence.csv`: sorts by time, and no two are alike.
pub(super) fn name(node: &str, at: Wall, first: u64) -> String {
    let stamp: String = time_text(at).chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
    format!("{node}-{stamp}Z-{first:012}.csv")
}

/// Whether the file was named before `since` (RFC 3339 in UTC). One of another name never was.
pub(super) fn is_older(path: &Path, since: &str) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let stamp = stem.rsplit('-').nth(1).filter(|stamp| stamp.len() == 16 && stamp.ends_with('Z'));
    let since: String = since.chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
    stamp.is_some_and(|stamp| stamp[..15] < *since)
}

/// Removes what a crash left half written; its rows are still in the outbox.
pub(super) fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Writes, syncs, names, and syncs the folder.
pub(super) fn write<'a>(path: &Path, options: &Options, rows: impl Iterator<Item = &'a Finished>) -> io::Result<()> {
    let hidden = path.with_extension(UNFINISHED);
    let mut out = csv::Writer::from_writer(BufWriter::new(File::create(&hidden)?));
    out.write_record(COLUMNS)?;
    let mut line = Line::default();
    for row in rows {
        out.write_byte_record(line.of(options, row))?;
    }
    let mut buffer = out.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    buffer.flush()?;
    buffer.get_ref().sync_all()?;
    fs::rename(&hidden, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The columns of one row after the other: the room for them is the same.
#[derive(Default)]
struct Line {
    columns: ByteRecord,
    written: Vec<u8>,
}

impl Line {
    fn text(&mut self, text: &str) {
        self.columns.push_field(text.as_bytes());
    }

    fn figure(&mut self, figure: fmt::Arguments<'_>) {
        self.written.clear();
        // Memory takes it.
        let _ = self.written.write_fmt(figure);
        self.columns.push_field(&self.written);
    }

    fn time(&mut self, at: Option<Wall>) {
        self.text(at.and_then(time).as_ref().map_or("", |written| std::str::from_utf8(written).unwrap_or("")));
    }

    fn of(&mut self, options: &Options, Finished { row, origin }: &Finished) -> &ByteRecord {
        let (node, site) = match origin {
            Some(origin) => (&*origin.node, &*origin.site),
            None => (options.node.as_str(), options.site.as_str()),
        };
        self.columns.clear();
        self.figure(format_args!("{}-{}", row.call, row.attempt));
        self.figure(format_args!("{}", row.call));
        self.figure(format_args!("{}", row.attempt));
        self.text(if row.is_final { "true" } else { "false" });
        self.text(node);
        self.text(site);
        self.figure(format_args!("{}", row.call.epoch));
        self.time(Some(row.started));
        self.time(row.ringing);
        self.time(row.answered);
        self.time(Some(row.ended));
        self.figure(format_args!("{}", row.duration_ms));
        // Rounded up: a begun second counts. Rating refines this by the rate's own intervals.
        self.figure(format_args!("{}", row.duration_ms.div_ceil(1000)));
        for text in [&row.ingress_trunk, &row.egress_trunk, &row.ingress_account, &row.egress_account] {
            self.text(text);
        }
        for text in [&row.caller_in, &row.called_in, &row.caller_out, &row.called_out, &row.lrn, &row.prefix] {
            self.text(text);
        }
        // Rates and amounts stay empty until calls are rated.
        (0..5).for_each(|_| self.text(""));
        match row.pdd_ms {
            Some(ms) => self.figure(format_args!("{ms}")),
            None => self.text(""),
        }
        self.figure(format_args!("{}", row.sip_code));
        self.figure(format_args!("{}", row.q850));
        self.text(match row.ended_by {
            EndedBy::Caller => "caller",
            EndedBy::Callee => "callee",
            EndedBy::Switch => "switch",
        });
        self.text(&row.reason);
        self.text(&row.codec);
        self.known(row.mos, 2, row.mos > 0.0);
        self.known(row.jitter_ms, 1, row.jitter_ms > 0.0);
        self.known(row.loss_percent, 2, row.mos > 0.0);
        self.figure(format_args!("{}", row.takeovers));
        self.text(&row.ingress_call_id);
        self.text(&row.egress_call_id);
        &self.columns
    }

    /// A figure of the media, where there was any.
    fn known(&mut self, value: f32, digits: usize, is_known: bool) {
        match is_known {
            true => self.figure(format_args!("{value:.digits$}")),
            false => self.text(""),
        }
    }
}

/// RFC 3339 in UTC with milliseconds; nothing for a time that has no year of four digits. Written digit by digit: every row has four, and
/// a format string is read anew each time.
fn time(at: Wall) -> Option<[u8; 24]> {
    let t = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    let t = Offset::UTC.to_datetime(t);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let milliseconds = i32::from(t.millisecond());
    let parts = [
        (0, 4, i32::from(t.year())),
        (5, 2, t.month().into()),
        (8, 2, t.day().into()),
        (11, 2, t.hour().into()),
        (14, 2, t.minute().into()),
        (17, 2, t.second().into()),
        (20, 3, milliseconds),
    ];
    for (from, digits, mut rest) in parts {
        for place in (from..from + digits).rev() {
            out[place] = b'0' + u8::try_from(rest.rem_euclid(10)).unwrap_or(0);
            rest /= 10;
        }
    }
    Some(out)
}

/// The same as text; empty where there is none.
fn time_text(at: Wall) -> String {
    time(at).map_or_else(String::new, |written| String::from_utf8_lossy(&written).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(time_text(Wall(1_767_225_600_007)), "2026-01-01T00:00:00.007Z");
        assert_eq!(time_text(Wall(1_798_761_599_999)), "2026-12-31T23:59:59.999Z");
        assert_eq!(time_text(Wall(u64::MAX)), "");
        assert_eq!(name("fra-1", Wall(1_767_225_600_007), 9), "fra-1-20260101T000000Z-000000000009.csv");
    }

    #[test]
    fn a_file_is_older_by_its_name() {
        let file = Path::new("cdr/fra-1-20260101T000005Z-000000000009.csv");
        assert!(is_older(file, "2026-01-01T00:00:06.000Z"));
        assert!(!is_older(file, "2026-01-01T00:00:05.999Z"));
        assert!(!is_older(Path::new("cdr/other.csv"), "2026-01-01T00:00:06.000Z"));
    }
}
