//! Cuts and lengthens links between the addresses of a lab with nftables, in a table that holds nothing else.
//!
//! What is meant is told by the two addresses of a packet, so a node must send from its own: SIP and RTP do by their
//! sockets, gRPC by binding its connections to the address of `[cluster] listen`.

use super::distance::Distance;
use crate::Lab;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The host number of what holds back what travels far.
const DISTANCES: u8 = 199;

/// Links that are cut or long. All of them heal when it is dropped.
pub struct Links {
    table: String,
    distances: IpAddr,
    cut: BTreeSet<[IpAddr; 2]>,
    /// From whom to which gRPC.
    long: BTreeMap<(IpAddr, SocketAddr), Distance>,
}

impl Links {
    /// Nothing is cut yet.
    pub fn new(lab: &Lab) -> Self {
        let table = format!("tandem_{}", lab.host(0).to_string().replace('.', "_"));
        Self { table, distances: lab.host(DISTANCES), cut: BTreeSet::new(), long: BTreeMap::new() }
    }

    /// Whether links can be cut or made long here: it takes root and `nft`.
    pub fn can_be_cut() -> bool {
        nft("list tables\n").is_ok()
    }

    /// Cuts or heals a link, in both directions.
    ///
    /// Not those that are long: their packets have other addresses.
    #[track_caller]
    pub fn set_cut(&mut self, mut ends: [IpAddr; 2], cut: bool) {
        ends.sort_unstable();
        let is_long = self.long.keys().any(|(from, to)| ends.contains(from) && ends.contains(&to.ip()));
        assert!(!is_long, "the link between {ends:?} is long");
        if cut {
            self.cut.insert(ends)
        } else {
            self.cut.remove(&ends)
        };
        self.write().unwrap_or_else(|error| panic!("nft: {error}"));
    }

    /// From now on connections between two nodes, named by where their gRPC listens, take so long each way.
    ///
    /// Nothing is lost or overtaken, and bandwidth has no limit. Connections that are open keep their way.
    #[track_caller]
    pub fn lengthen(&mut self, ends: [SocketAddr; 2], one_way: Duration) {
        for [from, to] in [ends, [ends[1], ends[0]]] {
            self.long.insert((from.ip(), to), Distance::new(self.distances, to, one_way));
        }
        self.write().unwrap_or_else(|error| panic!("nft: {error}"));
    }

    /// Heals all cuts.
    #[track_caller]
    pub fn heal_all(&mut self) {
        self.cut.clear();
        self.write().unwrap_or_else(|error| panic!("nft: {error}"));
    }

    /// Replaces the whole table in one step, so that there is no moment between two cuts.
    fn write(&self) -> Result<(), String> {
        let table = &self.table;
        let mut rules = format!("add table ip {table}\ndelete table ip {table}\n");
        if !self.is_whole() {
            let _ = writeln!(rules, "table ip {table} {{\nchain cut {{\ntype filter hook output priority 0;");
            for [one, other] in &self.cut {
                for (from, to) in [(one, other), (other, one)] {
                    let _ = writeln!(rules, "ip saddr {from} ip daddr {to} drop");
                }
            }
            rules.push_str("}\nchain long {\ntype nat hook output priority -100;\n");
            for ((from, to), distance) in &self.long {
                let (ip, port, at) = (to.ip(), to.port(), distance.at());
                let _ = writeln!(rules, "ip saddr {from} ip daddr {ip} tcp dport {port} dnat to {at}");
            }
            rules.push_str("}\n}\n");
        }
        nft(&rules)
    }

    fn is_whole(&self) -> bool {
        self.cut.is_empty() && self.long.is_empty()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if !self.is_whole() {
            self.cut.clear();
            self.long.clear();
            let _ = self.write();
        }
    }
}

fn nft(rules: &str) -> Result<(), String> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let sent = child.stdin.take().map(|mut input| input.write_all(rules.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match (output.status.success(), sent) {
        (true, Some(Ok(()))) => Ok(()),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
