//! Cuts links between the addresses of a lab with nftables, in a table that holds nothing else.
//!
//! What is cut is told by the two addresses of a packet, so a node must send from its own: SIP and RTP do by their
//! sockets, gRPC by binding its connections to the address of `[cluster] listen`.

use crate::Lab;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

/// Links that are cut. All of them heal when it is dropped.
pub struct Links {
    table: String,
    cut: BTreeSet<[IpAddr; 2]>,
}

impl Links {
    /// Nothing is cut yet.
    pub fn new(lab: &Lab) -> Self {
        let table = format!("tandem_{}", lab.host(0).to_string().replace('.', "_"));
        Self { table, cut: BTreeSet::new() }
    }

    /// Whether links can be cut here: it takes root and `nft`.
    pub fn can_be_cut() -> bool {
        nft("list tables\n").is_ok()
    }

    /// Cuts or heals a link, in both directions.
    #[track_caller]
    pub fn set_cut(&mut self, mut ends: [IpAddr; 2], cut: bool) {
        ends.sort_unstable();
        if cut {
            self.cut.insert(ends)
        } else {
            self.cut.remove(&ends)
        };
        self.write().unwrap_or_else(|error| panic!("nft: {error}"));
    }

    /// Heals all links.
    #[track_caller]
    pub fn heal_all(&mut self) {
        self.cut.clear();
        self.write().unwrap_or_else(|error| panic!("nft: {error}"));
    }

    /// Replaces the whole table in one step, so that there is no moment between two cuts.
    fn write(&self) -> Result<(), String> {
        let table = &self.table;
        let mut rules = format!("add table ip {table}\ndelete table ip {table}\n");
        if !self.cut.is_empty() {
            let _ = writeln!(rules, "table ip {table} {{\nchain cut {{\ntype filter hook output priority 0;");
            for [one, other] in &self.cut {
                for (from, to) in [(one, other), (other, one)] {
                    let _ = writeln!(rules, "ip saddr {from} ip daddr {to} drop");
                }
            }
            rules.push_str("}\n}\n");
        }
        nft(&rules)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if !self.cut.is_empty() {
            self.cut.clear();
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
