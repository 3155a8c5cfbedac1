//! A Tandem node under test, through nothing but what its users have: files, the command line and HTTP.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::Process;

/// Where the node, or the first one of a cluster, takes calls.
pub(crate) const ADDRESS: &str = "127.77.1.1:5060";
/// Nodes of a cluster, each in a site of its own.
const SITES: u8 = 3;

/// A node's folder and binary; it can be started more than once.
pub(crate) struct Node {
    binary: PathBuf,
    folder: PathBuf,
    core: usize,
    http: SocketAddr,
    environment: &'static [(&'static str, &'static str)],
}

/// What is seen of a node's calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// As it comes.
    All,
    /// No ladder is kept.
    NoLadder,
    /// Nor is anything counted, nor any line written and so no span.
    Nothing,
}

const WITHOUT_LADDER: &str = "[ladder]\nmessages = 0\n";
const UNSEEN: &[(&str, &str)] = &[("TANDEM_METRICS", "off"), ("TANDEM_LOG", "off")];

impl Node {
    /// A node alone: writes its file into `folder`.
    pub(crate) fn new(binary: PathBuf, folder: &Path, core: usize) -> Result<Self> {
        Self::at(binary, folder, core, (1, false), "")
    }

    /// A node alone, one of several at addresses of their own, of whose calls so much is seen.
    pub(crate) fn seen(binary: PathBuf, folder: &Path, core: usize, number: u8, seen: Seen) -> Result<Self> {
        let (more, environment) = match seen {
            Seen::All => ("", &UNSEEN[..0]),
            Seen::NoLadder => (WITHOUT_LADDER, &UNSEEN[..0]),
            Seen::Nothing => (WITHOUT_LADDER, UNSEEN),
        };
        Ok(Self { environment, ..Self::at(binary, folder, core, (number, false), more)? })
    }

    /// Where it takes calls.
    pub(crate) fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.http.ip(), 5060)
    }

    /// A node alone beside [`Node::sites`].
    pub(crate) fn beside_sites(binary: &Path, folder: &Path, core: usize) -> Result<Self> {
        Self::at(binary.to_owned(), folder, core, (SITES + 1, false), "")
    }

    /// Three nodes in three sites, all on one core. They form a cluster as they are started, the first one first.
    pub(crate) fn sites(binary: &Path, folder: &Path, core: usize) -> Result<Vec<Self>> {
        (1..=SITES).map(|number| Self::at(binary.to_owned(), folder, core, (number, number > 1), "")).collect()
    }

    fn at(binary: PathBuf, folder: &Path, core: usize, (number, joins): (u8, bool), more: &str) -> Result<Self> {
        let folder = folder.join(format!("node-{number}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("node.toml"), node_toml(&folder.join("data"), number, joins) + more)?;
        Ok(Self { binary, folder, core, http: SocketAddr::from((ip(number), 8060)), environment: &[] })
    }

    /// Starts the node and waits until it takes calls.
    pub(crate) fn start(&self) -> Result<Process> {
        let config = self.folder.join("node.toml");
        let log = self.folder.join("node.log");
        let arguments = ["node".as_ref(), "-c".as_ref(), config.as_os_str()];
        let mut process = Process::start_with(self.core, &self.binary, &arguments, &log, self.environment)?;
        process.wait_until(Duration::from_secs(60), || self.get("/readyz").is_ok_and(|(code, _)| code == 200))?;
        Ok(process)
    }

    /// Applies tables given as TOML.
    pub(crate) fn apply(&self, tables: &str) -> Result<()> {
        let file = self.folder.join("tables.toml");
        fs::write(&file, tables)?;
        let node = format!("http://{}", self.http);
        let output =
            Command::new(&self.binary).args(["apply", "--node", &node, "-f"]).arg(&file).output().context("apply")?;
        if !output.status.success() {
            bail!("tandem apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// What the node tells Prometheus.
    pub(crate) fn metrics(&self) -> Result<Metrics> {
        let (code, body) = self.get("/metrics")?;
        match code {
            200 => Ok(Metrics(body)),
            other => bail!("/metrics answers {other}"),
        }
    }

    /// The status code and the body of a GET.
    fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let code = answer.get(9..12).and_then(|code| code.parse().ok()).context("no status line")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((code, body.to_owned()))
    }
}

/// One scrape of a node.
pub(crate) struct Metrics(String);

impl Metrics {
    /// The sum over all series of a metric, 0 where there is none.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.series(name).map(|(_, value)| value).sum()
    }

    /// The buckets of a histogram, upper bounds ascending, all its series together.
    pub(crate) fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let name = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for (labels, count) in self.series(&name) {
            let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
            let Some(bound) = bound.and_then(|bound| bound.replace('+', "").parse::<f64>().ok()) else { continue };
            match buckets.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((bound, count)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        buckets
    }

    /// Labels and value of each series of a metric.
    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            (labels.is_empty() || labels.starts_with('{')).then_some((labels, value.parse().ok()?))
        })
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

fn ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 77, number, 1)
}

fn node_toml(data: &Path, number: u8, joins: bool) -> String {
    let (ip, data) = (ip(number), data.display());
    let join = if joins { format!("\"{}:7060\"", self::ip(1)) } else { String::new() };
    format!(
        r#"[node]
name = "bench-{number}"
site = "site-{number}"
data_dir = "{data}"

[sip]
udp = ["{ip}:5060"]

[media]
address = ["{ip}", "127.77.{number}.2"]
ports = [10000, 64999]
workers = 1

[cluster]
listen = "{ip}:7060"
join = [{join}]

[http]
listen = "{ip}:8060"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_read_by_name_and_bound() {
        let text = "# HELP a_total x\na_total{node=\"n\"} 3\na_total{node=\"m\"} 4\na_total_other 9\n\
            h_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nb 1\n";
        let metrics = Metrics(text.into());
        assert_eq!((metrics.sum("a_total"), metrics.sum("b"), metrics.sum("c")), (7.0, 1.0, 0.0));
        assert_eq!(metrics.buckets("h"), [(0.5, 1.0), (f64::INFINITY, 2.0)]);
    }
}
