//! `tandem cluster`: how the cluster stands, and who belongs to it.

use super::{Client, escape, text_table};
use crate::logging::say;
use anyhow::bail;
use clap::Args;
use console::api;
use mesh::certs::{self, Subject};
use serde_json::{Value, json};
use std::path::PathBuf;
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
    super::lists::below(&answer).iter().for_each(|line| say(line));
    Ok(code)
}

/// What is said above the table.
fn headline(cluster: &api::Cluster) -> Vec<String> {
    // The beginning tells clusters apart; all of it is in the JSON.
    let short: String = cluster.id.chars().take(8).collect();
    let id = if short.is_empty() { "no cluster yet".to_owned() } else { format!("cluster {short}") };
    let leader = cluster.leader.as_deref().map_or("nobody leads".to_owned(), |leader| format!("led by {leader}"));
    let up = cluster.nodes.iter().filter(|node| matches!(&*node.state, "up" | "draining")).count();
    let of = cluster.nodes.len();
    let mut lines = vec![format!(
        "{id}, {leader} in term {}, {up} of {of} nodes up, revision {}; asked {}",
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

/// `tandem cluster certs`
#[derive(Args)]
pub(crate) struct Certs {
    /// The nodes: the name of each, and after `=` the host names and addresses that other programs shall find in its
    /// certificate, such as `fra-1` or `fra-1=192.0.2.1,fra-1.example`.
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// The folder. One that holds an authority already gets certificates by that.
    #[arg(long, default_value = "certs")]
    out: PathBuf,
}

/// Writes the files; asks no node.
///
/// # Errors
/// A name cannot stand in a certificate, a file is there already, the folder cannot be written.
pub(crate) fn certs(arguments: &Certs, json: bool) -> anyhow::Result<ExitCode> {
    let subjects = arguments.nodes.iter().map(|node| subject(node)).collect::<anyhow::Result<Vec<Subject>>>()?;
    let written = certs::make(&arguments.out, &subjects)?;
    if json {
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        say(&json!({ "files": files }).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    written.iter().for_each(|path| say(&path.display().to_string()));
    let out = arguments.out.display();
    say(&format!(
        "\nEach node takes ca.pem and its own two files, and in its node.toml:\n\n[cluster.tls]\nca = \"{out}/ca.pem\""
    ));
    say(&format!(
        "cert = \"{out}/NODE.pem\"\nkey = \"{out}/NODE.key\"\n\nKeep ca.key elsewhere: whoever has it can make nodes."
    ));
    Ok(ExitCode::SUCCESS)
}

fn subject(node: &str) -> anyhow::Result<Subject> {
    let (name, hosts) = node.split_once('=').unwrap_or((node, ""));
    let hosts: Vec<String> = hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
    if node.contains('=') && hosts.is_empty() {
        bail!("{node}: no host stands after `=`; write {name}=192.0.2.1, or {name} alone");
    }
    Ok(Subject { name: name.to_owned(), hosts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_name_with_or_without_hosts() {
        let read = |text: &str| subject(text).map(|subject| (subject.name, subject.hosts)).ok();
        assert_eq!(read("fra-1"), Some(("fra-1".to_owned(), vec![])));
        let hosts = vec!["192.0.2.1".to_owned(), "fra.example".to_owned()];
        assert_eq!(read("fra-1=192.0.2.1,fra.example"), Some(("fra-1".to_owned(), hosts)));
        assert_eq!(read("fra-1="), None);
    }

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
