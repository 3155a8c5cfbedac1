//! `apply`, `export`, `history`, `rollback`.

use super::bar::grouped;
use super::{Client, rows, text_table, who};
use crate::cli::ApplyArguments;
use crate::logging::say;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Sends the files; prints the difference and the revision.
///
/// # Errors
/// A file cannot be read, or the node refuses it: then nothing has changed.
pub(crate) fn apply(client: &Client, arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &arguments.paths {
        for file in toml_files(path)? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
            files.push(json!({ "name": file.display().to_string(), "text": text }));
        }
    }
    let body = json!({ "files": files, "comment": arguments.comment, "who": who() });
    let path = format!("tables?dry_run={}&prune={}", arguments.dry_run, arguments.prune);
    let answer = client.send("PUT", &path, &body)?;
    Ok(changed(client, &answer, arguments.dry_run))
}

/// The file itself, or every `.toml` of a folder, by name.
fn toml_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(|| format!("{}: cannot be read", path.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("{}: no .toml file in this folder; name a file, or another folder", path.display());
    }
    Ok(files)
}

fn changed(client: &Client, answer: &Value, dry_run: bool) -> ExitCode {
    if client.json {
        say(&answer.to_string());
        return ExitCode::SUCCESS;
    }
    let lines = answer.get("changes").and_then(Value::as_array).cloned().unwrap_or_default();
    for line in &lines {
        say(line.as_str().unwrap_or_default());
    }
    let revision = answer.get("revision").and_then(Value::as_u64).unwrap_or(0);
    say(&match (count(&lines), dry_run) {
        (0, _) => format!("nothing to change; the tables are at revision {revision}"),
        (count, true) => format!("{} change(s), not made; the tables stay at revision {revision}", grouped(count)),
        (count, false) => format!("{} change(s) made; the tables are at revision {revision}", grouped(count)),
    });
    ExitCode::SUCCESS
}

/// How many changes these lines tell of: the last one may count those that are not listed.
fn count(lines: &[Value]) -> u64 {
    let rest = lines.last().and_then(Value::as_str).and_then(|last| last.strip_prefix("and ")?.strip_suffix(" more"));
    let rest: Option<u64> = rest.and_then(|rest| rest.parse().ok());
    let listed = lines.len() - usize::from(rest.is_some());
    rest.unwrap_or(0) + u64::try_from(listed).unwrap_or(u64::MAX)
}

/// Prints the tables as TOML.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn export(client: &Client) -> anyhow::Result<ExitCode> {
    let text = client.get_text("tables")?;
    say(text.trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Prints the revisions, newest first.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn history(client: &Client) -> anyhow::Result<ExitCode> {
    let answer = client.get("history")?;
    if client.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [
        ("REV", "revision"),
        ("AT", "at"),
        ("WHO", "who"),
        ("ADDED", "added"),
        ("CHANGED", "changed"),
        ("DELETED", "deleted"),
        ("COMMENT", "comment"),
    ];
    text_table::print(&columns, &rows(answer, "revisions")?, "no revision yet");
    Ok(ExitCode::SUCCESS)
}

/// Puts the tables back.
///
/// # Errors
/// The node cannot be reached or refuses, for instance because it does not keep the revision any more.
pub(crate) fn rollback(client: &Client, revision: u64, dry_run: bool) -> anyhow::Result<ExitCode> {
    let body = json!({ "revision": revision, "who": who(), "dry_run": dry_run });
    let answer = client.send("POST", "rollback", &body)?;
    Ok(changed(client, &answer, dry_run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_not_listed_count_too() {
        let count = |lines: &[&str]| count(&lines.iter().map(|line| Value::from(*line)).collect::<Vec<_>>());
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&["+ trunk alpha", "- deck many with 3 rates"]), 2);
        assert_eq!(count(&["- ported +442000000000", "- ported +442000000001", "and 9999998 more"]), 10_000_000);
    }
}
