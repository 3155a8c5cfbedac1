//! `tandem cdr`: call records of closed files, or as they come.

use super::{Client, escape, rows, text_table};
use crate::cli::Reach;
use crate::logging::say;
use clap::Args;
use serde_json::Value;
use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

/// `tandem cdr`
#[derive(Args)]
pub(crate) struct Arguments {
    /// Ended at or after this time, RFC 3339 in UTC.
    #[arg(long)]
    since: Option<String>,
    /// Of this ingress or egress trunk.
    #[arg(long)]
    trunk: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Go on with what comes.
    #[arg(long)]
    follow: bool,
    /// How to reach the node.
    #[command(flatten)]
    pub reach: Reach,
}

const COLUMNS: [text_table::Column; 10] = [
    ("ENDED", "ended"),
    ("CALL", "call_id"),
    ("FROM", "ingress_trunk"),
    ("CALLED", "called_in"),
    ("TO", "egress_trunk"),
    ("FINAL", "final"),
    ("MS", "duration_ms"),
    ("SIP", "sip_code"),
    ("BY", "ended_by"),
    ("REASON", "reason"),
];

/// Prints what is there; with `--follow`, what comes, each row once.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut since = arguments.since.clone();
    let mut seen: HashSet<String> = HashSet::new();
    loop {
        let fresh: Vec<Value> = fetch(client, arguments, since.as_deref())?
            .into_iter()
            .filter(|row| row.get("id").and_then(Value::as_str).is_some_and(|id| !seen.contains(id)))
            .collect();
        if client.json {
            fresh.iter().for_each(|row| say(&row.to_string()));
        } else if !fresh.is_empty() || seen.is_empty() {
            text_table::print(&COLUMNS, &fresh, "no record");
        }
        if !arguments.follow {
            return Ok(ExitCode::SUCCESS);
        }
        // The next question begins where this answer ended; rows of that very moment are told apart by their id.
        if let Some(ended) = fresh.last().and_then(|row| row.get("ended")).and_then(Value::as_str) {
            since = Some(ended.to_owned());
        }
        seen.extend(fresh.iter().filter_map(|row| row.get("id").and_then(Value::as_str).map(str::to_owned)));
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn fetch(client: &Client, arguments: &Arguments, since: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let mut path = format!("cdrs?limit={}", arguments.limit);
    if let Some(since) = since {
        path.push_str(&format!("&since={}", escape(since)));
    }
    if let Some(trunk) = &arguments.trunk {
        path.push_str(&format!("&trunk={}", escape(trunk)));
    }
    rows(client.get(&path)?, "cdrs")
}
