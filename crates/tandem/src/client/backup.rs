//! `tandem backup` and `tandem restore`: all tables as one file, and back as one revision.

use super::bar::grouped;
use super::imports::{new_id, said, send};
use super::{Client, escape, who};
use crate::cli::Reach;
use crate::logging::say;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tables::backup::{Backup, Reader};

/// What a backup is sent as.
const KIND: &str = "application/x-tandem-backup";
/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

/// `tandem restore`
#[derive(Args)]
pub(crate) struct Restore {
    /// What `tandem backup` wrote.
    file: PathBuf,
    /// Only show what would change.
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

/// Writes the file under another name, reads all of it once more as it came, and only then gives it its name.
///
/// # Errors
/// The file is there already or cannot be written, the node cannot be reached or refuses, or what came was not whole.
pub(crate) fn backup(client: &Client, file: &Path) -> anyhow::Result<ExitCode> {
    if file.exists() {
        bail!("{}: is there already; name a file that is not", file.display());
    }
    let mut begun = file.as_os_str().to_owned();
    begun.push(".part");
    let begun = PathBuf::from(begun);
    let made = fetch(client, &begun).and_then(|backup| {
        fs::rename(&begun, file).with_context(|| format!("{}: cannot be given its name", file.display()))?;
        Ok(backup)
    });
    let backup = made.inspect_err(|_| drop(fs::remove_file(&begun)))?;
    let Backup { head, rows, .. } = backup;
    if client.json {
        say(&json!({ "file": file, "rows": rows, "revision": head.revision, "cluster": head.cluster }).to_string());
    } else {
        let rows = grouped(rows);
        say(&format!("{}: {rows} rows of revision {}, secrets included", file.display(), head.revision));
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(client: &Client, path: &Path) -> anyhow::Result<Backup> {
    let unwritable = || format!("{}: cannot be written", path.display());
    let mut from = client.download("backup")?;
    // It holds secrets: nobody else may read it at any moment.
    let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let to = to.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", unwritable()))?;
    let (mut reader, mut piece) = (Reader::default(), vec![0; PIECE]);
    loop {
        let count = from.read(&mut piece).context("the node did not send all of it; try again")?;
        if count == 0 {
            break;
        }
        reader.feed(&piece[..count]);
        to.write_all(&piece[..count]).with_context(unwritable)?;
    }
    to.sync_all().with_context(unwritable)?;
    reader.finish().map_err(|why| anyhow::anyhow!("what the node sent is not whole: {why}; try again"))
}

/// Sends the file; prints the difference and the revision.
///
/// # Errors
/// The file cannot be read or is damaged, or the node refuses it: then nothing has changed.
pub(crate) fn restore(arguments: &Restore) -> anyhow::Result<ExitCode> {
    let Restore { file, dry_run, expect, comment, reach } = arguments;
    check(file)?;
    let (client, id) = (reach.client(), new_id());
    let expect = expect.map_or_else(String::new, |expect| format!("&expect={expect}"));
    let (name, who, comment) = (escape(&file.display().to_string()), escape(&who()), escape(comment));
    let path = format!("restore?dry_run={dry_run}&file={name}&who={who}&comment={comment}&id={id}{expect}");
    let answer = send(&client, &path, KIND, file, &id)?;
    if client.json {
        say(&serde_json::to_string(&answer)?);
    } else {
        answer.changes.iter().chain(&said(&answer)).for_each(|line| say(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// A damaged file is told here, before anything is sent.
fn check(file: &Path) -> anyhow::Result<()> {
    let unreadable = || format!("{}: cannot be read", file.display());
    let mut from = File::open(file).with_context(unreadable)?;
    let (mut reader, mut piece) = (Reader::default(), vec![0; PIECE]);
    while !reader.is_hopeless() {
        let count = from.read(&mut piece).with_context(unreadable)?;
        if count == 0 {
            break;
        }
        reader.feed(&piece[..count]);
    }
    match reader.finish() {
        Ok(_) => Ok(()),
        Err(why) => bail!("{}: {why}; take another backup, nothing has changed", file.display()),
    }
}
