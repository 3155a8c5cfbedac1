//! `tandem route`: why a call goes where it goes.

use super::{Client, escape, rows, text_table};
use crate::cli::Reach;
use crate::logging::say;
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;

/// `tandem route TRUNK CALLED`
#[derive(Args)]
pub(crate) struct Arguments {
    /// The trunk that the call comes from.
    trunk: String,
    /// The number that it calls.
    called: String,
    /// The number that it shows.
    #[arg(long, default_value = "")]
    caller: String,
    /// When, in RFC 3339; now if absent.
    #[arg(long)]
    at: Option<String>,
    /// How to reach the node.
    #[command(flatten)]
    pub reach: Reach,
}

/// Asks and explains. Exit code 1 if the call would be refused.
///
/// # Errors
/// The node cannot be reached, or there is no such trunk.
pub(crate) fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut path = format!(
        "route?trunk={}&called={}&caller={}",
        escape(&arguments.trunk),
        escape(&arguments.called),
        escape(&arguments.caller)
    );
    if let Some(at) = &arguments.at {
        path.push_str(&format!("&at={}", escape(at)));
    }
    let answer = client.get(&path)?;
    let refused = answer.get("refused").is_some_and(|refused| !refused.is_null());
    let code = if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    if client.json {
        say(&answer.to_string());
        return Ok(code);
    }
    if let Some(lrn) = answer.get("lrn").and_then(Value::as_str) {
        say(&format!("ported to {lrn}"));
    }
    if refused {
        say(&format!(
            "refused with {}: {}",
            text_table::cell(answer.get("sip_code")),
            text_table::cell(answer.get("refused"))
        ));
    }
    let attempts = answer.get("attempts").and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, attempt) in attempts.iter().enumerate() {
        let part = |name: &str| text_table::cell(attempt.get(name));
        say(&format!(
            "{}. {} calls {} (plan {}, prefix {})",
            index + 1,
            part("target"),
            part("called"),
            part("plan"),
            part("prefix")
        ));
    }
    let candidates = rows(answer, "candidates").unwrap_or_default();
    let columns = [("CANDIDATE", "what"), ("BY", "by"), ("KEPT", "kept"), ("WHY", "why")];
    text_table::print(&columns, &candidates, "no candidate");
    Ok(code)
}
