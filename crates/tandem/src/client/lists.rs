//! Listings with live state.

use super::text_table::{self, Column, cell};
use super::{Client, escape, rows};
use crate::logging::say;
use clap::Args;
use console::{api, parse_time};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which calls, and how many.
#[derive(Args)]
pub(crate) struct Which {
    /// Only calls from or to this trunk.
    #[arg(long)]
    trunk: Option<String>,
    /// Only calls after this id: the last of the listing before.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    most: Most,
}

/// How many rows.
#[derive(Args)]
pub(crate) struct Most {
    /// At most so many, up to 10000.
    #[arg(long, default_value_t = api::LIMIT_DEFAULT, value_name = "N")]
    limit: usize,
}

/// Prints the listing `name` as JSON, or as a table of rows that `show` has made readable, with what is to be said below it.
fn list(
    client: &Client,
    path: &str,
    columns: &[Column],
    nothing: &str,
    show: impl Fn(&mut Value),
) -> anyhow::Result<ExitCode> {
    let answer = client.get(path)?;
    if client.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let below = below(&answer);
    let name = path.split_once('?').map_or(path, |(name, _)| name);
    let mut shown = rows(answer, name)?;
    shown.iter_mut().for_each(show);
    text_table::print(columns, &shown, nothing);
    below.iter().for_each(|line| say(line));
    Ok(ExitCode::SUCCESS)
}

/// What is not in a listing, and why.
pub(super) fn below(answer: &Value) -> Vec<String> {
    let missing = answer.get("missing").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let named = missing.iter().map(|one| format!("{} ({})", cell(one.get("node")), cell(one.get("why"))));
    let named = named.collect::<Vec<_>>().join(", ");
    let mut lines = Vec::new();
    if !missing.is_empty() {
        let what = if missing.len() == 1 { "what it has" } else { "what they have" };
        lines.push(format!("no answer from {named}: {what} is not shown"));
    }
    if answer.get("more") == Some(&Value::Bool(true)) {
        lines.push("there are more; --limit shows more of them".to_owned());
    }
    lines
}

/// `tandem calls`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn calls(client: &Client, which: &Which) -> anyhow::Result<ExitCode> {
    let columns = [
        ("ID", "id"),
        ("STATE", "state"),
        ("FROM", "ingress_trunk"),
        ("CALLER", "caller"),
        ("TO", "egress_trunk"),
        ("CALLED", "called"),
        ("SECS", "seconds"),
        ("CODEC", "codec"),
        ("NODE", "node"),
    ];
    let mut path = format!("calls?limit={}", which.most.limit);
    for (name, value) in [("trunk", &which.trunk), ("after", &which.after)] {
        path.extend(value.iter().map(|value| format!("&{name}={}", escape(value))));
    }
    list(client, &path, &columns, "no call", |_| {})
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
        ("LIMIT", "channels_limit"),
        ("CPS", "cps_limit"),
        ("BY NODE", "nodes"),
        ("GATEWAYS", "gateways"),
        ("REGISTERED", "registered"),
    ];
    list(client, "trunks", &columns, "no trunk; apply a tables file", trunk_row)
}

/// Makes the lists within a trunk short: the nodes that use it, and each gateway with the sites that see it otherwise.
fn trunk_row(trunk: &mut Value) {
    let Ok(read) = serde_json::from_value::<api::Trunk>(trunk.clone()) else { return };
    let using = read.nodes.iter().filter(|share| share.channels_used > 0);
    let by_node: Vec<String> = using.map(|share| format!("{} {}", share.node, share.channels_used)).collect();
    let gateways: Vec<String> = read.gateways.iter().map(gateway_text).collect();
    trunk["nodes"] = json!(by_node.join(", "));
    trunk["gateways"] = json!(gateways);
    let without = read.nodes.iter().filter(|share| share.registered == Some(false));
    let without: Vec<&str> = without.map(|share| &*share.node).collect();
    if read.registered == Some(true) && !without.is_empty() {
        trunk["registered"] = json!(format!("not {}", without.join(", ")));
    }
}

fn gateway_text(gateway: &api::Gateway) -> String {
    let others = gateway.sites.iter().filter(|seen| seen.state != gateway.state);
    let others: Vec<String> = others.map(|seen| format!("{} from {}", seen.state, seen.site)).collect();
    let but = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    format!("{} {}{but}", gateway.address, gateway.state)
}

/// `tandem numbers`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn numbers(client: &Client, most: &Most) -> anyhow::Result<ExitCode> {
    let columns =
        [("NUMBER", "number"), ("ACCOUNT", "account"), ("TO", "to"), ("STATE", "state"), ("ON FAILURE", "on_failure")];
    list(client, &format!("numbers?limit={}", most.limit), &columns, "no number; apply a tables file", |_| {})
}

/// `tandem registrations`
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn registrations(client: &Client, most: &Most) -> anyhow::Result<ExitCode> {
    let columns = [
        ("NAME", "name"),
        ("CONTACT", "contact"),
        ("EXPIRES", "expires_seconds"),
        ("VIA", "transport"),
        ("NODE", "node"),
        ("USER AGENT", "user_agent"),
    ];
    list(client, &format!("registrations?limit={}", most.limit), &columns, "nothing is registered", |_| {})
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
        ("REV", "revision"),
        ("LEASE", "lease"),
        ("RTT", "rtt"),
        ("UP FOR", "up_for"),
        ("VERSION", "version"),
    ];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    list(client, "nodes", &columns, "no node", |node| node_row(node, now))
}

fn node_row(node: &mut Value, now: Duration) {
    let started = node.get("started").and_then(Value::as_str).and_then(parse_time);
    let up = started.map(|began| span(now.saturating_sub(Duration::from_millis(began.0))));
    node["lease"] = json!(node.get("lease_remaining_ms").and_then(Value::as_u64).map(|ms| format!("{ms} ms")));
    node["rtt"] = json!(node.get("rtt_ms").and_then(Value::as_f64).map(|ms| format!("{ms:.1} ms")));
    node["up_for"] = json!(up);
}

/// A span in its two greatest units.
fn span(of: Duration) -> String {
    let seconds = of.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_shows_who_uses_it_and_which_site_sees_a_gateway_otherwise() {
        let site = |site: &str, state: &str| api::GatewaySite { site: site.into(), state: state.into() };
        let share = |node: &str, used, registered| api::Share {
            node: node.into(),
            channels_used: used,
            registered,
            ..api::Share::default()
        };
        let trunk = api::Trunk {
            nodes: vec![share("fra-1", 3, Some(true)), share("lon-1", 0, Some(false))],
            gateways: vec![
                api::Gateway {
                    address: "g".into(),
                    state: "up".into(),
                    sites: vec![site("fra", "up"), site("lon", "down")],
                },
                api::Gateway { address: "h".into(), state: "down".into(), sites: vec![site("fra", "down")] },
            ],
            registered: Some(true),
            ..api::Trunk::default()
        };
        let mut row = serde_json::to_value(trunk).expect("JSON");
        trunk_row(&mut row);
        assert_eq!((&row["nodes"], &row["gateways"]), (&json!("fra-1 3"), &json!(["g up (down from lon)", "h down"])));
        assert_eq!(row["registered"], "not lon-1");
    }

    #[test]
    fn what_is_not_in_a_listing_is_said_below_it() {
        assert!(below(&json!({ "calls": [], "more": false, "missing": [] })).is_empty());
        let missing = json!([{ "node": "lon-1", "site": "lon", "why": "down" }]);
        let said = below(&json!({ "more": true, "missing": missing }));
        assert_eq!(said[0], "no answer from lon-1 (down): what it has is not shown");
        assert!(said[1].contains("--limit"), "{said:?}");
    }

    #[test]
    fn a_node_that_does_not_answer_has_dashes_and_one_that_does_its_time() {
        let mut silent = json!({ "name": "lon-1" });
        node_row(&mut silent, Duration::ZERO);
        assert!(silent["lease"].is_null() && silent["up_for"].is_null());
        let mut node = json!({ "started": "1970-01-01T00:00:10.000Z", "lease_remaining_ms": 987, "rtt_ms": 0.42 });
        node_row(&mut node, Duration::from_secs(10 + 3723));
        assert_eq!(
            (&node["lease"], &node["rtt"], &node["up_for"]),
            (&json!("987 ms"), &json!("0.4 ms"), &json!("1h 2m"))
        );
        assert_eq!(span(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!((span(Duration::from_secs(61)), span(Duration::from_secs(9))), ("1m 1s".into(), "9s".into()));
    }
}
