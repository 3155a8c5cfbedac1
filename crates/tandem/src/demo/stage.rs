//! The nodes of the demo: real processes with a folder each, started from the topology of three sites, stopped by their
//! process ids.

mod formed;
mod site;

use super::scene::Answers;
use crate::client;
use crate::logging::say;
use anyhow::{Context as _, bail};
use console::api::{Cluster, Trunk};
use serde_json::json;
use site::Site;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use topology::Topology;

/// How long the nodes may take to answer, and then to find each other.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a change may take to be in force everywhere before the demo gives up on it.
const SPREAD: Duration = Duration::from_secs(10);
/// How long channels may take to be given back after the last call.
const RELEASE: Duration = Duration::from_secs(10);
/// How often something that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The running nodes.
pub(super) struct Stage {
    sites: Vec<Site>,
    topology: Topology,
    folder: PathBuf,
    began: Instant,
}

impl Stage {
    /// Starts the nodes and waits until each answers.
    ///
    /// # Errors
    /// One does not start; its own words are repeated.
    pub(super) fn start() -> anyhow::Result<Self> {
        let began = Instant::now();
        let folder = std::env::temp_dir().join(format!("tandem-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        let topology = topology::bundled::three_sites()?.with_data_dir(&folder.join("data").display().to_string());
        let mut stage = Self { sites: Vec::new(), topology, folder, began };
        for node in &stage.topology.nodes {
            stage.sites.push(Site::start(node, &stage.folder)?);
        }
        let deadline = began + PATIENCE;
        for site in &mut stage.sites {
            site.wait_ready(deadline)?;
        }
        Ok(stage)
    }

    /// Waits until the nodes are one cluster; how long that took since their start, or what is still missing.
    ///
    /// # Errors
    /// A node's process has ended.
    pub(super) fn wait_formed(&mut self) -> anyhow::Result<Result<Duration, String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.check_alive()?;
            let clusters: Vec<Option<Cluster>> = self.sites.iter().map(Site::cluster).collect();
            let Some(missing) = formed::missing(&self.topology, &clusters) else {
                return Ok(Ok(self.began.elapsed()));
            };
            if Instant::now() > deadline {
                return Ok(Err(missing));
            }
            std::thread::sleep(LOOK * 10);
        }
    }

    /// # Errors
    /// A node's process has ended.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        self.sites.iter_mut().filter(|site| !site.is_killed()).try_for_each(Site::check_alive)
    }

    /// Applies the tables at one node; how long it took until all had them in force.
    ///
    /// # Errors
    /// The node refuses them, or another one does not get them.
    pub(super) fn apply_tables(&self) -> anyhow::Result<Duration> {
        let (Some(first), Some(tables)) = (self.sites.first(), &self.topology.tables) else {
            bail!("no node, no tables")
        };
        let file = json!({ "name": format!("cluster/{}", tables.file), "text": tables.text });
        let body = json!({ "files": [file], "comment": "demo", "who": "demo" });
        let asked = Instant::now();
        let applied = first.client.send("PUT", "tables?dry_run=false&prune=false", &body)?;
        let revision = applied.get("revision").and_then(serde_json::Value::as_u64).unwrap_or(0);
        loop {
            let behind =
                self.sites.iter().find(|site| site.cluster().is_none_or(|cluster| cluster.revision < revision));
            let Some(behind) = behind else { return Ok(asked.elapsed()) };
            if asked.elapsed() > SPREAD {
                bail!("revision {revision} has not come to {} within {} s", behind.node.name, SPREAD.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Kills the process of a site's node, as a failing site does; how many calls it carried, by its own last word.
    pub(super) fn kill(&mut self, index: usize) -> u64 {
        let Some(site) = self.sites.get_mut(index) else { return 0 };
        let name = site.node.name.clone();
        let member = site.cluster().and_then(|cluster| cluster.nodes.into_iter().find(|member| member.name == name));
        site.kill();
        member.map_or(0, |member| member.relay_sessions.or(member.calls).unwrap_or(0))
    }

    /// Starts a node again on its data, and waits until the nodes are one cluster.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn restart(&mut self, index: usize) -> anyhow::Result<Result<Duration, String>> {
        self.began = Instant::now();
        let Some(node) = self.topology.nodes.get(index) else { bail!("no such node") };
        let mut site = Site::start(node, &self.folder)?;
        site.wait_ready(self.began + PATIENCE)?;
        self.sites[index] = site;
        self.wait_formed()
    }

    /// What each node says just now, in the order of [`Stage::names`].
    pub(super) fn ask(&self) -> Vec<Answers> {
        self.sites.iter().map(|site| Answers { cluster: site.cluster(), trunks: site.trunks() }).collect()
    }

    /// Site and name of each node.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        self.sites.iter().map(|site| (site.node.site.clone(), site.node.name.clone())).collect()
    }

    /// The sites with their addresses, in words.
    pub(super) fn sites(&self) -> String {
        let site = |site: &Site| format!("{} {}", site.node.site, site.node.ip());
        self.sites.iter().map(site).collect::<Vec<_>>().join(", ")
    }

    /// The node at which changes are made here; any other would do.
    pub(super) fn entrance(&self) -> &str {
        self.sites.first().map_or("", |site| &site.node.name)
    }

    /// Where calls enter, in the order of the nodes.
    pub(super) fn entrances(&self) -> Vec<SocketAddr> {
        self.entrances_by_node().into_iter().map(|(_, address)| address).collect()
    }

    /// Where calls enter at each node that takes any.
    pub(super) fn entrances_by_node(&self) -> Vec<(String, SocketAddr)> {
        let udp = |site: &Site| Some((site.node.name.clone(), *site.node.udp.first()?));
        self.sites.iter().filter_map(udp).collect()
    }

    /// The channels of a trunk in the whole cluster, as the first node has them.
    pub(super) fn limit_of(&self, trunk: &str) -> u64 {
        let trunks: Vec<Trunk> = self.sites.first().map(Site::trunks).unwrap_or_default();
        let found = trunks.into_iter().find(|row| row.name == trunk);
        found.and_then(|row| row.channels_limit).map_or(0, u64::from)
    }

    /// Where the closed records of each node are.
    pub(super) fn records(&self) -> Vec<PathBuf> {
        self.sites.iter().map(|site| PathBuf::from(&site.node.data_dir).join("cdr")).collect()
    }

    /// Whether every node has trunks, and none of them has a channel in use, before long.
    pub(super) fn wait_idle(&self) -> bool {
        let idle = |site: &Site| {
            let trunks = site.trunks();
            !trunks.is_empty() && trunks.iter().all(|trunk| trunk.channels_used == 0)
        };
        let deadline = Instant::now() + RELEASE;
        loop {
            let all = self.sites.iter().all(idle);
            if all || Instant::now() > deadline {
                return all;
            }
            std::thread::sleep(LOOK * 10);
        }
    }

    /// Commands to try while the nodes stay up.
    pub(super) fn hints(&self) -> String {
        let last = self.sites.last().map_or_else(String::new, |site| site.node.url());
        format!(
            "  tandem cluster status\n  tandem trunks --node {last}\n  tandem history --node {last}\n  \
             tandem route acme-pbx +447700900001 --node {last}"
        )
    }

    /// Blocks until a node ends, or the user ends us all.
    pub(super) fn wait(&mut self) {
        while let Ok(()) = self.check_alive() {
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Ends the nodes in order, and removes their folder.
    pub(super) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // All are told first, so that they clear their calls side by side.
        self.sites.iter_mut().for_each(Site::tell_to_stop);
        self.sites.iter_mut().for_each(Site::wait_for_end);
        if let Err(error) = std::fs::remove_dir_all(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            say(&format!("{}: left behind: {error}", self.folder.display()));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end();
    }
}

/// The rows of a listing, typed; none if the answer is no such listing.
fn typed<T: serde::de::DeserializeOwned>(answer: serde_json::Value, name: &str) -> Vec<T> {
    let rows = client::rows(answer, name).unwrap_or_default();
    rows.into_iter().filter_map(|row| serde_json::from_value(row).ok()).collect()
}
