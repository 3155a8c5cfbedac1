//! Listings with live state.

use super::text_table::{self, Column, cell};
use super::{Client, escape, rows};
use crate::logging::say;
use serde_json::Value;
use std::process::ExitCode;

fn list(client: &Client, path: &str, columns: &[Column], nothing: &str) -> anyhow::Result<ExitCode> {
    let answer = client.get(path)?;
    if client.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    text_table::print(columns, &rows(answer, path)?, nothing);
    Ok(ExitCode::SUCCESS)
}

/// `tandem calls`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn calls(client: &Client) -> anyhow::Result<ExitCode> {
    let columns = [
        ("ID", "id"),
        ("STATE", "state"),
        ("FROM", "ingress_trunk"),
        ("CALLER", "caller"),
        ("TO", "egress_trunk"),
        ("CALLED", "called"),
        ("SECONDS", "seconds"),
        ("CODEC", "codec"),
        ("NODE", "node"),
    ];
    list(client, "calls", &columns, "no call")
}

/// `tandem calls show ID`
///
/// # Errors
/// The node cannot be reached, or there is no such call.
pub(crate) fn call(client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    let answer = client.get(&format!("calls/{}", escape(id)))?;
    if client.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    if let Value::Object(fields) = &answer {
        let width = fields.keys().map(String::len).max().unwrap_or(0);
        for (name, value) in fields {
            say(&format!("{name:width$}  {}", cell(Some(value))));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `tandem calls hangup ID`
///
/// # Errors
/// The node cannot be reached, or there is no such call.
pub(crate) fn hangup(client: &Client, id: &str) -> anyhow::Result<ExitCode> {
    client.delete(&format!("calls/{}", escape(id)))?;
    say(&format!("{id} is being ended"));
    Ok(ExitCode::SUCCESS)
}

/// `tandem trunks`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn trunks(client: &Client) -> anyhow::Result<ExitCode> {
    let columns = [
        ("TRUNK", "name"),
        ("ACCOUNT", "account"),
        ("USED", "channels_used"),
        ("CHANNELS", "channels_limit"),
        ("CPS", "cps_limit"),
        ("BY NODE", "nodes"),
        ("GATEWAYS", "gateways"),
        ("REGISTERED", "registered"),
    ];
    let answer = client.get("trunks")?;
    if client.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let mut trunks = rows(answer, "trunks")?;
    for trunk in &mut trunks {
        pairs(trunk, "nodes", ["node", "channels_used"]);
        pairs(trunk, "gateways", ["address", "state"]);
    }
    text_table::print(&columns, &trunks, "no trunk; apply a tables file");
    Ok(ExitCode::SUCCESS)
}

/// Makes a list of objects a list of texts, each of two of their fields.
fn pairs(row: &mut Value, field: &str, [name, value]: [&str; 2]) {
    let Some(Value::Array(items)) = row.get_mut(field) else { return };
    for item in items {
        *item = Value::String(format!("{} {}", cell(item.get(name)), cell(item.get(value))));
    }
}

/// `tandem numbers`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn numbers(client: &Client) -> anyhow::Result<ExitCode> {
    let columns =
        [("NUMBER", "number"), ("ACCOUNT", "account"), ("TO", "to"), ("STATE", "state"), ("ON FAILURE", "on_failure")];
    list(client, "numbers", &columns, "no number; apply a tables file")
}

/// `tandem registrations`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn registrations(client: &Client) -> anyhow::Result<ExitCode> {
    let columns = [
        ("NAME", "name"),
        ("CONTACT", "contact"),
        ("EXPIRES", "expires_seconds"),
        ("TRANSPORT", "transport"),
        ("NODE", "node"),
        ("USER AGENT", "user_agent"),
    ];
    list(client, "registrations", &columns, "nothing is registered")
}

/// `tandem nodes`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn nodes(client: &Client) -> anyhow::Result<ExitCode> {
    let columns = [
        ("NODE", "name"),
        ("SITE", "site"),
        ("STATE", "state"),
        ("CALLS", "calls"),
        ("AUDIO", "relay_sessions"),
        ("REGS", "registrations"),
        ("REVISION", "revision"),
        ("SINCE", "started"),
        ("VERSION", "version"),
    ];
    list(client, "nodes", &columns, "no node")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_within_a_row_are_short() {
        let mut row =
            json!({ "nodes": [{ "node": "fra-1", "channels_used": 3, "channels_leased": 5 }], "gateways": 7 });
        pairs(&mut row, "nodes", ["node", "channels_used"]);
        pairs(&mut row, "gateways", ["address", "state"]);
        assert_eq!(row, json!({ "nodes": ["fra-1 3"], "gateways": 7 }));
    }
}
