//! A Tandem node under test, through nothing but what its users have: files, the command line and HTTP.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;

/// Where the node takes calls.
pub(crate) const ADDRESS: &str = "127.77.1.1:5060";
const HTTP: &str = "127.77.1.1:8060";

/// A node's folder and binary; it can be started more than once.
pub(crate) struct Node {
    binary: PathBuf,
    folder: PathBuf,
    core: usize,
}

impl Node {
    /// Writes the node's file into `folder`.
    pub(crate) fn new(binary: PathBuf, folder: &Path, core: usize) -> Result<Self> {
        let folder = folder.join("node");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("node.toml"), node_toml(&folder.join("data")))?;
        Ok(Self { binary, folder, core })
    }

    /// Starts the node and waits until it takes calls.
    pub(crate) fn start(&self) -> Result<Process> {
        let config = self.folder.join("node.toml");
        let log = self.folder.join("node.log");
        let arguments = ["node".as_ref(), "-c".as_ref(), config.as_os_str()];
        let mut process = Process::start(self.core, &self.binary, &arguments, &log)?;
        process.wait_until(Duration::from_secs(60), || status("/readyz") == Some(200))?;
        Ok(process)
    }

    /// Applies tables given as TOML.
    pub(crate) fn apply(&self, tables: &str) -> Result<()> {
        let file = self.folder.join("tables.toml");
        fs::write(&file, tables)?;
        let node = format!("http://{HTTP}");
        let output =
            Command::new(&self.binary).args(["apply", "--node", &node, "-f"]).arg(&file).output().context("apply")?;
        if !output.status.success() {
            bail!("tandem apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}

/// Two trunks and a default route from the one to the other.
pub(crate) fn tables(media: &str, caller: SocketAddr, callee: SocketAddr) -> String {
    format!(
        r#"[[account]]
name = "bench"
currency = "EUR"
billing = "postpaid"

[[trunk]]
name = "in"
account = "bench"
media = "{media}"
[trunk.ingress]
from = ["{}/32"]
plan = "all"
caller_policy = "pass"

[[trunk]]
name = "out"
account = "bench"
media = "{media}"
[trunk.egress]
gateways = [ {{ address = "{callee}", transport = "udp", priority = 1, weight = 100 }} ]
timeout_seconds = 4

[[plan]]
name = "all"
order = "priority"
[[plan.route]]
prefix = ""
trunks = ["out"]
"#,
        caller.ip()
    )
}

/// A trunk that no route leads to, with so many channels: a change of one row.
pub(crate) fn spare_trunk(channels: u32) -> String {
    format!(
        r#"[[trunk]]
name = "spare"
account = "bench"
channels = {channels}
[trunk.egress]
gateways = [ {{ address = "127.77.9.3:5080", transport = "udp", priority = 1, weight = 1, ping_seconds = 0 }} ]
"#
    )
}

fn node_toml(data: &Path) -> String {
    format!(
        r#"[node]
name = "bench-1"
site = "bench"
data_dir = "{}"

[sip]
udp = ["{ADDRESS}"]

[media]
address = ["127.77.1.1", "127.77.1.2"]
ports = [10000, 64999]
workers = 1

[cluster]
listen = "127.77.1.1:7060"
join = []

[http]
listen = "{HTTP}"
"#,
        data.display()
    )
}

/// The status code of a GET; `None` while nobody answers.
fn status(path: &str) -> Option<u16> {
    let address: SocketAddr = HTTP.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {HTTP}\r\nConnection: close\r\n\r\n").ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head[9..]).ok()?.parse().ok()
}
