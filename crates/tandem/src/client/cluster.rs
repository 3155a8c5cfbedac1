//! `tandem cluster`: how the cluster stands, and who belongs to it.

use super::{Client, escape, text_table};
use crate::logging::say;
use console::api;
use serde_json::{Value, json};
use std::process::ExitCode;

const COLUMNS: [text_table::Column; 12] = [
    ("NODE", "node"),
    ("SITE", "site"),
    ("STATE", "state"),
    ("ROLE", "role"),
    ("OWNS", "owns"),
    ("BACKS", "backs"),
    ("LEASE", "lease"),
    ("RTT", "rtt"),
    ("CALLS", "calls"),
    ("REGS", "registrations"),
    ("REV", "revision"),
    ("ADDRESS", "address"),
];

/// `tandem cluster status`. Exit code 1 if the tables take no change.
///
/// # Errors
/// The node cannot be reached or refuses.
pub(crate) fn status(client: &Client) -> anyhow::Result<ExitCode> {
    let answer = client.get("cluster")?;
    let cluster: api::Cluster = serde_json::from_value(answer.clone())?;
    let code = if cluster.quorum { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if client.json {
        say(&answer.to_string());
        return Ok(code);
    }
    headline(&cluster).iter().for_each(|line| say(line));
    let rows: Vec<Value> = cluster.nodes.iter().map(row).collect();
    text_table::print(&COLUMNS, &rows, "no node");
    Ok(code)
}

/// What is said above the table.
fn headline(cluster: &api::Cluster) -> Vec<String> {
    let id = if cluster.id.is_empty() { "no cluster yet".to_owned() } else { format!("cluster {}", cluster.id) };
    let leader = cluster.leader.as_deref().map_or("nobody leads".to_owned(), |leader| format!("led by {leader}"));
    let up = cluster.nodes.iter().filter(|node| matches!(&*node.state, "up" | "draining")).count();
    let of = cluster.nodes.len();
    let mut lines = vec![format!(
        "{id}, {leader} in term {}, {up} of {of} nodes up, tables at revision {}; asked {}",
        cluster.term, cluster.revision, cluster.me
    )];
    if !cluster.quorum {
        lines.push("no quorum: calls go on from the last tables, and no change can be made".to_owned());
    }
    lines
}

fn row(node: &api::Member) -> Value {
    json!({
        "node": node.name,
        "site": node.site,
        "state": node.state,
        "role": node.role,
        "owns": node.shards_owned,
        "backs": node.shards_backup,
        "lease": node.lease_remaining_ms.map(|ms| format!("{ms} ms")),
        "rtt": node.rtt_ms.map(|ms| format!("{ms:.1} ms")),
        "calls": node.calls,
        "registrations": node.registrations,
        "revision": node.revision,
        "address": node.address,
    })
}

/// `tandem cluster remove NODE`
///
/// # Errors
/// The node cannot be reached, there is no such node in the cluster, or it must not go.
pub(crate) fn remove(client: &Client, name: &str) -> anyhow::Result<ExitCode> {
    client.delete(&format!("cluster/nodes/{}", escape(name)))?;
    if client.json {
        say(&json!({ "removed": name }).to_string());
    } else {
        say(&format!("{name} is removed; to use the machine again, start it with an empty data_dir and another name"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_without_quorum_says_so_before_anything_else() {
        let member = |name: &str, state: &str| api::Member {
            name: name.to_owned(),
            state: state.to_owned(),
            ..api::Member::default()
        };
        let nodes = vec![member("a", "up"), member("b", "down"), member("c", "fenced")];
        let cluster = api::Cluster { id: "x7".into(), me: "a".into(), term: 3, nodes, ..api::Cluster::default() };
        let lines = headline(&cluster);
        assert!(lines[0].starts_with("cluster x7, nobody leads in term 3, 1 of 3 nodes up"), "{lines:?}");
        assert!(lines[1].starts_with("no quorum"), "{lines:?}");
        let whole = api::Cluster { quorum: true, leader: Some("a".into()), ..cluster };
        assert_eq!(headline(&whole).len(), 1);
        assert!(row(&member("a", "up"))["calls"].is_null(), "what is not known is a dash, not a nought");
    }
}
