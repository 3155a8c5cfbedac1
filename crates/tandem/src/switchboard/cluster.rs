//! The cluster as this node sees it.

use super::Board;
use console::{Problem, api};
use routing::cluster::SHARDS;

impl Board {
    /// This node, for the list of nodes.
    pub(super) fn node(&self) -> api::Node {
        api::Node {
            name: self.name.clone(),
            site: self.site.clone(),
            state: "up".to_owned(),
            calls: self.shell.calls.directory.len() as u64,
            registrations: self.shell.contacts.len() as u64,
            relay_sessions: self.shell.relay.gauges().sessions,
            revision: self.shell.tables.revision(),
            started: self.started.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// A node by itself leads itself, owns everything and needs no lease from anybody.
    pub(super) fn cluster_of_one(&self) -> api::Cluster {
        let api::Node { name, site, state, calls, registrations, relay_sessions, revision, version, .. } = self.node();
        let member = api::Member {
            name: name.clone(),
            site,
            state,
            role: "leader".to_owned(),
            shards_owned: SHARDS,
            shards_backup: 0,
            lease_remaining_ms: None,
            rtt_ms: None,
            calls: Some(calls),
            registrations: Some(registrations),
            relay_sessions: Some(relay_sessions),
            revision: Some(revision),
            version: Some(version),
            address: self.mesh.clone(),
        };
        let leader = Some(name.clone());
        api::Cluster { id: String::new(), me: name, leader, term: 0, revision, quorum: true, nodes: vec![member] }
    }
}

/// Why a node that is alone removes nobody.
pub(super) fn not_removed(me: &str, name: &str) -> Problem {
    if name == me {
        return Problem::new(409, format!("`{name}` is the only node")).mend("stop it instead");
    }
    Problem::new(404, format!("there is no node `{name}` in the cluster")).mend("`tandem cluster status` lists them")
}
