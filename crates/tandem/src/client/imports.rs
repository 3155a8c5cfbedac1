//! `tandem import`: files of rates, numbers and ported numbers, with a bar that shows how far it is. All or nothing.

use super::bar::{Bar, Step, grouped};
use super::{Client, escape, who};
use crate::cli::Reach;
use crate::logging::say;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use console::api::{ImportState, Imported, Imports};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often the bar moves.
const FRAME: Duration = Duration::from_millis(200);

/// `tandem import`
#[derive(Subcommand)]
pub(crate) enum Import {
    /// Rates of a deck.
    Rates {
        /// The deck, which must be in the tables: a file does not say its currency.
        #[arg(long)]
        deck: String,
        /// From when rows are valid that do not say: 2026-01-31, or RFC 3339.
        #[arg(long)]
        from: Option<String>,
        /// The file.
        #[command(flatten)]
        file: Source,
    },
    /// Numbers that we serve.
    Numbers(Source),
    /// Ported numbers.
    Ported(Source),
}

/// What every import has.
#[derive(Args)]
pub(crate) struct Source {
    /// CSV with a header.
    file: PathBuf,
    /// Rows that the file does not list go.
    #[arg(long)]
    replace: bool,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Refuse unless the tables are at this revision.
    #[arg(long)]
    expect: Option<u64>,
    /// Why; kept with the revision.
    #[arg(short = 'm', long, default_value = "")]
    comment: String,
    /// How to reach the node.
    #[command(flatten)]
    reach: Reach,
}

/// Sends the file and says what came of it.
///
/// # Errors
/// The file cannot be read, or the node refuses it: then nothing has changed.
pub(crate) fn run(import: &Import) -> anyhow::Result<ExitCode> {
    let id = new_id();
    let (path, source) = match import {
        Import::Rates { deck, from, file } => {
            let from = from.as_ref().map_or_else(String::new, |from| format!("&from={}", escape(from)));
            (format!("import/rates?deck={}{from}&", escape(deck)), file)
        }
        Import::Numbers(file) => ("import/numbers?".to_owned(), file),
        Import::Ported(file) => ("import/ported?".to_owned(), file),
    };
    let path = format!("{path}{}", query(source, &id));
    let client = source.reach.client();
    let answer = send(&client, &path, "text/csv", &source.file, &id)?;
    if client.json {
        say(&serde_json::to_string(&answer)?);
    } else {
        said(&answer).iter().for_each(|line| say(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// A name for an import that no other one has.
pub(super) fn new_id() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{:x}-{:x}", std::process::id(), now.as_micros())
}

fn query(source: &Source, id: &str) -> String {
    let file = escape(&source.file.display().to_string());
    let (who, comment) = (escape(&who()), escape(&source.comment));
    let expect = source.expect.map_or_else(String::new, |expect| format!("&expect={expect}"));
    let Source { replace, dry_run, .. } = source;
    format!("replace={replace}&dry_run={dry_run}&file={file}&who={who}&comment={comment}&id={id}{expect}")
}

/// Two lines: what is in the file, and what has become of the tables.
pub(super) fn said(answer: &Imported) -> Vec<String> {
    let Imported { revision, dry_run, added, changed, removed, summary, .. } = answer;
    let made = match (added + changed + removed, dry_run) {
        (0, _) => format!("nothing to change; the tables are at revision {revision}"),
        (count, true) => format!("{} change(s), not made; the tables stay at revision {revision}", grouped(count)),
        (count, false) => format!("{} change(s) made; the tables are at revision {revision}", grouped(count)),
    };
    vec![summary.clone(), made]
}

/// A file that counts what is read of it.
struct Counted<'a> {
    file: File,
    read: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

/// Sends on this thread; another one asks how far the node is, and draws.
pub(super) fn send(client: &Client, path: &str, kind: &str, file: &Path, id: &str) -> anyhow::Result<Imported> {
    let open = || format!("{}: cannot be read", file.display());
    let opened = File::open(file).with_context(open)?;
    let meta = opened.metadata().with_context(open)?;
    if !meta.is_file() {
        bail!("{}: is no file; name one file", file.display());
    }
    let (read, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bar = Bar::new();
            while !over.load(Relaxed) {
                std::thread::park_timeout(FRAME);
                let state = state(client, id);
                if let Some(step) = step(read.load(Relaxed), meta.len(), state.as_ref()) {
                    bar.draw(&step);
                }
            }
            bar.clear();
        });
        let answer = client.upload(path, kind, Counted { file: opened, read: &read });
        over.store(true, Relaxed);
        answer
    });
    Ok(serde_json::from_value(answer?)?)
}

/// What the node says of our import; nothing before it began.
fn state(client: &Client, id: &str) -> Option<ImportState> {
    let imports: Imports = serde_json::from_value(client.get("imports").ok()?).ok()?;
    imports.imports.into_iter().find(|state| state.id == id)
}

/// While the file is read we know best how much of it is sent; then the node does. Nothing once it is over: the answer is
/// on its way.
fn step(read: u64, whole: u64, state: Option<&ImportState>) -> Option<Step> {
    #[allow(clippy::cast_precision_loss, reason = "a share for the eye")]
    let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
    let step = match state {
        Some(state) if matches!(&*state.stage, "done" | "failed") => return None,
        Some(state) if state.stage == "writing" && (1..state.rows).contains(&state.written) => {
            let detail = format!("{} of {} rows", grouped(state.written), grouped(state.rows));
            Step { stage: state.stage.clone(), share: share(state.written, state.rows), detail }
        }
        Some(state) if matches!(&*state.stage, "checking" | "writing") => {
            Step { stage: state.stage.clone(), share: None, detail: format!("{} rows", grouped(state.rows)) }
        }
        Some(_) | None => {
            Step { stage: "reading".to_owned(), share: share(read, whole), detail: format!("{} bytes", grouped(read)) }
        }
    };
    Some(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_the_file_first_and_then_the_rows() {
        let state = |stage: &str| ImportState {
            stage: stage.to_owned(),
            rows: 4_000,
            written: 1_000,
            ..ImportState::default()
        };
        assert_eq!(super::step(200, 200, Some(&state("done"))), None);
        let step = |read, whole, state: Option<&ImportState>| super::step(read, whole, state).expect("it is under way");
        assert_eq!(step(50, 200, None).share, Some(0.25));
        assert_eq!(step(0, 0, None).share, None, "an empty file has no share");
        assert_eq!(step(50, 200, Some(&state("reading"))).detail, "50 bytes");
        assert_eq!(step(200, 200, Some(&state("checking"))).share, None);
        let writing = step(200, 200, Some(&state("writing")));
        assert_eq!((writing.share, writing.detail.as_str()), (Some(0.25), "1,000 of 4,000 rows"));
        let unknown = step(200, 200, Some(&ImportState { written: 0, ..state("writing") }));
        assert_eq!((unknown.stage.as_str(), unknown.share), ("writing", None), "a store that tells nothing of its way");
        let whole = step(200, 200, Some(&ImportState { written: 4_000, ..state("writing") }));
        assert_eq!(whole.share, None, "all is there and put in force, of which nobody knows how far it is");
    }

    #[test]
    fn what_was_made_is_told_apart_from_what_would_be() {
        let made = Imported { revision: 4, added: 1_200, summary: "s".into(), ..Imported::default() };
        assert_eq!(said(&made)[1], "1,200 change(s) made; the tables are at revision 4");
        assert!(said(&Imported { dry_run: true, ..made.clone() })[1].contains("not made"));
        assert!(said(&Imported { added: 0, ..made })[1].starts_with("nothing to change"));
    }
}
