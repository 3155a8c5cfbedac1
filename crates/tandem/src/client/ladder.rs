//! `tandem calls show`: one call with its ladder, drawn for a terminal, as JSON, or written as a capture.

mod drawing;
mod pcap;
mod row;

use super::text_table::{harmless, terminal};
use super::{Client, escape};
use crate::logging::say;
use anyhow::{Context as _, bail};
use clap::Args;
use console::api;
pub(crate) use drawing::{Drawing, wrapped};
use row::Paint;
pub(crate) use row::{Colour, Row};
use serde_json::{Value, json};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Columns where standard output is no terminal.
const USUAL: usize = 80;

/// `tandem calls show ID`
#[derive(Args)]
pub(crate) struct Show {
    /// Its id.
    id: String,
    /// Also print each message in full; needs the scope `calls` or `records`.
    #[arg(long)]
    messages: bool,
    /// Write the messages to this file, as Wireshark and tshark read it; needs the scope `calls` or `records`.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

/// `tandem calls show ID`
///
/// # Errors
/// The node cannot be reached, there is no such call, or the file cannot be written.
pub(crate) fn show(client: &Client, asked: &Show) -> anyhow::Result<ExitCode> {
    let Show { id, messages, pcap } = asked;
    let with = if *messages || pcap.is_some() { "?messages=true" } else { "" };
    let answer = client.get(&format!("{}{with}", resource(id)))?;
    if let Some(path) = pcap {
        return capture(client, &read(answer)?, path);
    }
    if client.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let call = read(answer)?;
    let width = Some(terminal()).filter(|width| *width < usize::MAX).unwrap_or(USUAL);
    let paint =
        Paint::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()));
    Drawing::new(&call, width).rows().iter().for_each(|row| say(&paint.text(row)));
    if *messages {
        call.ladder.iter().for_each(say_whole);
    }
    Ok(ExitCode::SUCCESS)
}

/// One call with its ladder, live or ended, as all nodes that had a part of it tell it; without the text of its messages.
///
/// # Errors
/// The node cannot be reached or refuses, or no node knows the call any more.
pub(crate) fn fetch(client: &Client, id: &str) -> anyhow::Result<api::Call> {
    read(client.get(&resource(id))?)
}

fn resource(id: &str) -> String {
    format!("calls/{}", escape(id))
}

fn read(answer: Value) -> anyhow::Result<api::Call> {
    serde_json::from_value(answer).context("the node's answer is no call")
}

/// Writes the messages of a call to a file.
fn capture(client: &Client, call: &api::Call, path: &Path) -> anyhow::Result<ExitCode> {
    let (bytes, count) = pcap::write(&call.ladder);
    if count == 0 {
        bail!("no message of `{}` is kept; see [ladder] of node.toml", call.id);
    }
    std::fs::write(path, bytes).with_context(|| format!("{}: cannot be written", path.display()))?;
    if client.json {
        say(&json!({ "file": path.display().to_string(), "packets": count }).to_string());
    } else {
        say(&format!("{}: {count} packets", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// One message in full.
fn say_whole(step: &api::Step) {
    if step.way == "note" {
        return;
    }
    let [local, remote, transport] =
        [&step.local, &step.remote, &step.transport].map(|part| part.as_deref().unwrap_or("-"));
    let (from, to) = if step.way == "in" { (remote, local) } else { (local, remote) };
    say("");
    say(&format!("{} {} {transport} {from} > {to}, {} bytes", step.at, step.leg, step.length));
    match (&step.message, &step.message_base64) {
        (Some(text), _) => text.lines().for_each(|line| say(format!("    {}", harmless(line)).trim_end())),
        (None, Some(text)) => say(&format!("    (no text, in base64) {text}")),
        (None, None) => say("    (not kept)"),
    }
}
