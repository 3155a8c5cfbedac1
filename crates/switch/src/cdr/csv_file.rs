//! One closed file of records: written under another name, synced, then named.

use super::finished::Finished;
use super::{Options, row_id};
use ::call::record::EndedBy;
use jiff::Timestamp;
use jiff::tz::Offset;
use sip::clock::Wall;
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
    let stamp: String = time(at).chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect();
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
    for row in rows {
        out.write_record(record(options, row))?;
    }
    let mut buffer = out.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    buffer.flush()?;
    buffer.get_ref().sync_all()?;
    fs::rename(&hidden, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn record(options: &Options, Finished { row, origin }: &Finished) -> [String; 40] {
    let (node, site) = match origin {
        Some(origin) => (&*origin.node, &*origin.site),
        None => (options.node.as_str(), options.site.as_str()),
    };
    let optional = |at: Option<Wall>| at.map_or_else(String::new, time);
    let figure = |value: f32, digits: usize| if value > 0.0 { format!("{value:.digits$}") } else { String::new() };
    let ended_by = match row.ended_by {
        EndedBy::Caller => "caller",
        EndedBy::Callee => "callee",
        EndedBy::Switch => "switch",
    };
    let text = |text: &str| text.to_owned();
    [
        row_id(row),
        row.call.to_string(),
        row.attempt.to_string(),
        row.is_final.to_string(),
        text(node),
        text(site),
        row.call.epoch.to_string(),
        time(row.started),
        optional(row.ringing),
        optional(row.answered),
        time(row.ended),
        row.duration_ms.to_string(),
        // Rounded up: a begun second counts. Rating refines this by the rate's own intervals.
        row.duration_ms.div_ceil(1000).to_string(),
        text(&row.ingress_trunk),
        text(&row.egress_trunk),
        text(&row.ingress_account),
        text(&row.egress_account),
        text(&row.caller_in),
        text(&row.called_in),
        text(&row.caller_out),
        text(&row.called_out),
        text(&row.lrn),
        text(&row.prefix),
        // Rates and amounts stay empty until calls are rated.
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        String::new(),
        row.pdd_ms.map_or_else(String::new, |ms| ms.to_string()),
        row.sip_code.to_string(),
        row.q850.to_string(),
        ended_by.to_owned(),
        text(&row.reason),
        text(&row.codec),
        figure(row.mos, 2),
        figure(row.jitter_ms, 1),
        if row.mos > 0.0 { format!("{:.2}", row.loss_percent) } else { String::new() },
        row.takeovers.to_string(),
        text(&row.ingress_call_id),
        text(&row.egress_call_id),
    ]
}

/// RFC 3339 in UTC with milliseconds. Written digit by digit: every row has four, and a format string is read anew each time.
pub(super) fn time(at: Wall) -> String {
    let Ok(t) = Timestamp::from_millisecond(i64::try_from(at.0).unwrap_or(i64::MAX)) else { return String::new() };
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
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        assert_eq!(time(Wall(1_767_225_600_007)), "2026-01-01T00:00:00.007Z");
        assert_eq!(time(Wall(1_798_761_599_999)), "2026-12-31T23:59:59.999Z");
        assert_eq!(time(Wall(u64::MAX)), "");
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
