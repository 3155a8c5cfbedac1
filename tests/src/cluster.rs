//! A cluster of real processes: the nodes of a topology, moved to a test's own addresses.
//!
//! Every node is an executable as an operator starts it. They are killed, stopped and started again by their process ids,
//! and the links between them are cut in the kernel, so that a test sees what an operator would see.

mod distance;
mod links;
mod member;

pub use links::Links;
pub use member::Member;

use crate::process::{holds_within, sleep_until, wait_until};
use crate::{Lab, node};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use topology::{Action, Link, Plan, Topology};

/// How long nodes may take to find each other.
const FORM_LIMIT: Duration = Duration::from_secs(30);
/// Shards of a cluster.
const SHARDS: u64 = 1024;
/// The host number of the first node of the first site; sites follow each other by ten, nodes of a site by one.
const FIRST: u8 = 201;
/// The host number that partner 127.0.9.0 of a topology would have.
const PARTNERS: u8 = 100;
/// The PBX of the three sites, at port 5060.
pub const PBX: u8 = PARTNERS + 1;
/// The carrier without a limit, at [`CARRIER_PORT`]; calls to +44 go there.
pub const ALPHA: u8 = PARTNERS + 10;
/// The carrier of ten channels, at [`CARRIER_PORT`]; calls to +49 go there.
pub const BETA: u8 = PARTNERS + 20;
/// Of the carriers.
pub const CARRIER_PORT: u16 = 5080;

/// Path and text of the files of `cluster/five-nodes`, and the tables that they share with the three sites.
const FIVE_NODES: [(&str, &str); 6] = [
    ("nodes/ams-1.toml", include_str!("../../cluster/five-nodes/nodes/ams-1.toml")),
    ("nodes/fra-1.toml", include_str!("../../cluster/five-nodes/nodes/fra-1.toml")),
    ("nodes/fra-2.toml", include_str!("../../cluster/five-nodes/nodes/fra-2.toml")),
    ("nodes/lon-1.toml", include_str!("../../cluster/five-nodes/nodes/lon-1.toml")),
    ("nodes/lon-2.toml", include_str!("../../cluster/five-nodes/nodes/lon-2.toml")),
    ("tables.toml", include_str!("../../cluster/three-sites/tables.toml")),
];

/// The same of `cluster/large-site`.
const LARGE_SITE: [(&str, &str); 6] = [
    ("nodes/ams-1.toml", include_str!("../../cluster/large-site/nodes/ams-1.toml")),
    ("nodes/fra-1.toml", include_str!("../../cluster/large-site/nodes/fra-1.toml")),
    ("nodes/fra-2.toml", include_str!("../../cluster/large-site/nodes/fra-2.toml")),
    ("nodes/fra-3.toml", include_str!("../../cluster/large-site/nodes/fra-3.toml")),
    ("nodes/lon-1.toml", include_str!("../../cluster/large-site/nodes/lon-1.toml")),
    ("tables.toml", include_str!("../../cluster/three-sites/tables.toml")),
];

/// Running nodes. All of them are killed when it is dropped.
pub struct Cluster<'lab> {
    lab: &'lab Lab,
    topology: Topology,
    members: Vec<Member>,
    links: Links,
    affected: Vec<String>,
}

impl<'lab> Cluster<'lab> {
    /// Starts the three sites of `cluster/three-sites`; returns when they are one cluster.
    #[track_caller]
    pub fn three_sites(lab: &'lab Lab) -> Self {
        let mut cluster = Self::new(lab, topology::bundled::three_sites().expect("valid"));
        cluster.start_all();
        cluster.wait_formed();
        cluster
    }

    /// The same, with its tables in force everywhere.
    #[track_caller]
    pub fn serving(lab: &'lab Lab) -> Self {
        Self::serving_on(lab, topology::bundled::three_sites().expect("valid"))
    }

    /// The five nodes of `cluster/five-nodes` in the same sites, of which two may die, with the tables of the three sites.
    #[track_caller]
    pub fn five_nodes(lab: &'lab Lab) -> Self {
        Self::serving_on(lab, Topology::parse("five-nodes", &FIVE_NODES).expect("valid"))
    }

    /// The five nodes of `cluster/large-site`, three of them in one site, where a call has a second copy.
    #[track_caller]
    pub fn large_site(lab: &'lab Lab) -> Self {
        Self::serving_on(lab, Topology::parse("large-site", &LARGE_SITE).expect("valid"))
    }

    /// The three sites, serving, so far from each other that a message from node to node takes `one_way`.
    #[track_caller]
    pub fn serving_apart(lab: &'lab Lab, one_way: Duration) -> Self {
        let mut cluster = Self::new(lab, topology::bundled::three_sites().expect("valid"));
        let ends: Vec<SocketAddr> = cluster.topology.nodes.iter().map(|node| node.mesh).collect();
        for (index, one) in ends.iter().enumerate() {
            ends[..index].iter().for_each(|other| cluster.links.lengthen([*one, *other], one_way));
        }
        cluster.serve();
        cluster
    }

    /// The nodes of a topology as one cluster, with its tables in force everywhere.
    #[track_caller]
    fn serving_on(lab: &'lab Lab, topology: Topology) -> Self {
        let mut cluster = Self::new(lab, topology);
        cluster.serve();
        cluster
    }

    /// Starts its nodes and gives them its tables; returns when these are in force everywhere.
    #[track_caller]
    pub fn serve(&mut self) {
        self.start_all();
        self.wait_formed();
        let tables = self.topology.tables.as_ref().expect("it has tables").text.clone();
        let revision = self.apply(self.members[0].name(), &tables);
        self.wait_revision(revision, Duration::from_secs(5));
    }

    /// The nodes of a topology, none of which runs yet.
    #[track_caller]
    pub fn new(lab: &'lab Lab, topology: Topology) -> Self {
        let topology = moved(lab, topology);
        let members = topology.nodes.iter().map(|node| Member::new(lab, node.clone())).collect();
        Self { lab, topology, members, links: Links::new(lab), affected: Vec::new() }
    }

    /// Starts every node that does not run.
    #[track_caller]
    pub fn start_all(&mut self) {
        self.members.iter_mut().for_each(Member::start);
        self.members.iter_mut().for_each(Member::wait_ready);
    }

    /// The topology as it runs.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The nodes, in the order of the topology.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// One node.
    #[track_caller]
    pub fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|member| member.name() == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    #[track_caller]
    fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.name() == name).unwrap_or_else(|| panic!("no node {name}"))
    }

    /// With a variable in the environment of one node from its next start on.
    #[track_caller]
    pub fn set_variable(&mut self, name: &str, variable: &str, value: &str) {
        self.member_mut(name).set_variable(variable, value);
    }

    /// Waits until every running node sees all nodes up, a quorum, one and the same cluster, and each node with its share
    /// of the shards (±10 %).
    #[track_caller]
    pub fn wait_formed(&self) {
        let mut missing = None;
        let formed = holds_within(FORM_LIMIT, || {
            missing = self.missing();
            missing.is_none()
        });
        assert!(formed, "the nodes did not form a cluster: {}\n{}", missing.unwrap_or_default(), self.logs());
    }

    /// What is missing until the cluster stands; nothing if it does.
    pub fn missing(&self) -> Option<String> {
        let mut ids = BTreeSet::new();
        for member in &self.members {
            let name = member.name();
            let Some(cluster) = member.status() else { return Some(format!("{name} does not answer")) };
            let nodes = cluster["nodes"].as_array().cloned().unwrap_or_default();
            let up = nodes.iter().filter(|node| node["state"] == "up").count();
            if up != self.members.len() || nodes.len() != up {
                return Some(format!("{name} sees {up} of {} nodes up", nodes.len()));
            }
            if cluster["quorum"] != true {
                return Some(format!("{name} knows of no quorum"));
            }
            ids.insert(cluster["id"].to_string());
            let carriers = self.topology.nodes.iter().filter(|node| !node.witness).count() as u64;
            let owned = nodes.iter().filter(|node| node["role"] != "witness").map(|node| node["shards_owned"].as_u64());
            // Times the number of nodes, for a fair share need not be a whole number.
            let is_uneven = |owned: &u64| (owned * carriers).abs_diff(SHARDS) * 10 > SHARDS;
            if let Some(uneven) = owned.map(Option::unwrap_or_default).find(is_uneven) {
                return Some(format!("{name} sees a node with {uneven} shards of {SHARDS}, among {carriers}"));
            }
        }
        (ids.len() > 1).then(|| format!("there are several clusters: {ids:?}"))
    }

    /// Applies a table file at a node with the command that operators use; the exit code and what it printed.
    pub fn try_apply(&self, at: &str, text: &str) -> (Option<i32>, String) {
        let file = self.lab.write(&format!("tables-{at}.toml"), text);
        self.member(at).cli(&["apply", "-f", &file.to_string_lossy()])
    }

    /// The same, and it must be taken; the revision that it made.
    #[track_caller]
    pub fn apply(&self, at: &str, text: &str) -> u64 {
        let (status, output) = self.try_apply(at, text);
        assert_eq!(status, Some(0), "tandem apply at {at}: {output}");
        let revision = output.rsplit("at revision ").next().and_then(|rest| rest.trim().parse().ok());
        revision.unwrap_or_else(|| panic!("no revision in: {output}"))
    }

    /// Waits until every running node has this revision in force, and says how long that took.
    #[track_caller]
    pub fn wait_revision(&self, revision: u64, limit: Duration) -> Duration {
        let began = Instant::now();
        let running = || self.members.iter().filter(|member| member.is_started());
        wait_until(&format!("revision {revision} at every node"), limit, || {
            running().all(|member| member.revision() >= revision)
        });
        began.elapsed()
    }

    /// Who leads, as any node that answers has it.
    pub fn leader(&self) -> Option<String> {
        let statuses = self.members.iter().filter(|member| member.is_started()).filter_map(Member::status);
        statuses.filter_map(|cluster| Some(cluster["leader"].as_str()?.to_owned())).next()
    }

    /// A running node that is not this one.
    #[track_caller]
    pub fn other_than(&self, name: &str) -> &Member {
        let other = self.members.iter().find(|member| member.name() != name && member.is_started());
        other.unwrap_or_else(|| panic!("no other node than {name} runs"))
    }

    /// Ends a node as a failing machine would.
    #[track_caller]
    pub fn kill(&mut self, name: &str) {
        self.member_mut(name).kill();
    }

    /// Starts a node, and does not wait for it.
    #[track_caller]
    pub fn start(&mut self, name: &str) {
        self.member_mut(name).start();
    }

    /// Ends a node as an operator would.
    #[track_caller]
    pub fn stop(&mut self, name: &str) {
        self.member_mut(name).stop();
    }

    /// Starts a node again on its data.
    #[track_caller]
    pub fn restart(&mut self, name: &str) {
        let member = self.member_mut(name);
        member.start();
        member.wait_ready();
    }

    /// Waits for the end of a node that cannot stay; its status, and what it said.
    #[track_caller]
    pub fn wait_end(&mut self, name: &str) -> (std::process::ExitStatus, String) {
        self.member_mut(name).wait_end()
    }

    /// Lets a node stand still, as a stalled hypervisor would.
    #[track_caller]
    pub fn pause(&self, name: &str) {
        self.member(name).signal("STOP");
    }

    /// Lets it go on.
    #[track_caller]
    pub fn resume(&self, name: &str) {
        self.member(name).signal("CONT");
    }

    /// Cuts or heals a link between nodes or sites.
    #[track_caller]
    pub fn set_cut(&mut self, link: &Link, cut: bool) {
        for (one, other) in link.pairs(&self.topology) {
            let ends = [one, other].map(|node| node.mesh.ip());
            self.links.set_cut(ends, cut);
        }
    }

    /// Runs a fault plan to its end, and waits until the cluster stands again.
    #[track_caller]
    pub fn run(&mut self, plan: &Plan) {
        plan.check(&self.topology).unwrap_or_else(|error| panic!("{error}"));
        let began = Instant::now();
        for step in &plan.steps {
            // The steps of a plan are times, not conditions.
            sleep_until(began + Duration::from_millis(step.at_ms));
            self.perform(&step.action);
        }
        sleep_until(began + Duration::from_millis(plan.ends_ms));
        self.wait_formed();
    }

    fn perform(&mut self, action: &Action) {
        let leader = self.leader();
        let whom = |target: &topology::Target| -> Vec<String> {
            let nodes = target.nodes(&self.topology, leader.as_deref(), &self.affected);
            nodes.into_iter().map(|node| node.name.clone()).collect()
        };
        match action {
            Action::Kill(target) => self.each(whom(target), Self::kill, true),
            Action::Stop(target) => self.each(whom(target), |cluster, name| cluster.pause(name), true),
            Action::Continue(target) => self.each(whom(target), |cluster, name| cluster.resume(name), false),
            Action::Restart(target) => {
                let names = whom(target);
                // All start before one is waited for: a lone node of several may have to wait for the others.
                self.each(names.clone(), |cluster, name| cluster.member_mut(name).start(), false);
                self.each(names, |cluster, name| cluster.member_mut(name).wait_ready(), false);
            }
            Action::Cut(link) => self.set_cut(link, true),
            Action::Heal(Some(link)) => self.set_cut(link, false),
            Action::Heal(None) => self.links.heal_all(),
        }
    }

    fn each(&mut self, names: Vec<String>, act: impl Fn(&mut Self, &str), affected: bool) {
        for name in names {
            act(self, &name);
            self.affected.retain(|other| *other != name);
            if affected {
                self.affected.push(name);
            }
        }
    }

    /// Where each running node takes SIP.
    pub fn sip(&self) -> Vec<String> {
        self.members.iter().filter(|member| member.is_started()).map(Member::sip).collect()
    }

    /// The last words of every node, and what has become of it.
    pub fn logs(&self) -> String {
        let said =
            self.members.iter().map(|member| format!("--- {}\n{}{}\n", member.name(), member.log(), member.state()));
        said.collect()
    }
}

/// A topology on the addresses and in the folder of a lab.
#[track_caller]
pub fn moved(lab: &Lab, mut topology: Topology) -> Topology {
    // Each API on its node's own address, or several would meet on 127.0.0.1.
    let own = |node: topology::Node| {
        let http = SocketAddr::new(node.ip(), node.http.port());
        node.with_http(http)
    };
    topology.nodes = topology.nodes.into_iter().map(own).collect();
    let to = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => host(lab, v4),
        IpAddr::V6(_) => panic!("{ip}: topologies are on 127.0.x.y"),
    };
    let topology = topology.with_data_dir(&lab.dir().to_string_lossy());
    topology.on_addresses(to).unwrap_or_else(|error| panic!("{error}"))
}

fn host(lab: &Lab, ip: Ipv4Addr) -> IpAddr {
    match ip.octets() {
        [127, 0, 9, partner] => lab.host(PARTNERS + partner),
        [127, 0, site @ 1..=5, node @ 1..=9] => lab.host(FIRST + (site - 1) * 10 + (node - 1)),
        _ => panic!("{ip}: topologies are on 127.0.1.1 to 127.0.5.9, and their partners on 127.0.9.x"),
    }
}

/// A row of a listing by its name.
pub fn row<'v>(listing: &'v Value, name: &str) -> Option<&'v Value> {
    let lists = listing.as_object().into_iter().flat_map(|object| object.values());
    let rows = std::iter::once(listing).chain(lists).filter_map(Value::as_array).flatten();
    rows.into_iter().find(|row| row["name"] == name)
}

/// The JSON that a node answers; nothing if it does not.
fn ask(url: &str, path: &str) -> Option<Value> {
    serde_json::from_str(&node::get(&format!("{url}/api/v1/{path}"))?).ok()
}
