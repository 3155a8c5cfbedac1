//! The node under test: the real executable, started as an operator would start it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, wait_until};
use crate::tables::{PORT, Tables};
use crate::{Cdr, Lab, cdr};

/// How long a node may take to start or to stop.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a record may take to reach a closed file.
const CDR_LIMIT: Duration = Duration::from_secs(60);
/// How long a look at a node may take: one that stands still does not answer.
const LOOK: Duration = Duration::from_secs(5);
/// How long a file may take that is sent to a node.
const UPLOAD: Duration = Duration::from_secs(120);
/// The node's host number in every lab.
pub const HOST: u8 = 1;

/// A running node with its tables.
pub struct Node<'lab> {
    lab: &'lab Lab,
    process: Process,
}

impl<'lab> Node<'lab> {
    /// Starts a node and applies `tables`; returns when it takes calls.
    #[track_caller]
    pub fn start(lab: &'lab Lab, tables: &Tables) -> Self {
        Self::start_as(lab, tables, 60, "")
    }

    /// [`Node::start`], for a node that waits so long for its calls when it is told to end.
    #[track_caller]
    pub fn start_draining(lab: &'lab Lab, tables: &Tables, drain_seconds: u32) -> Self {
        Self::start_as(lab, tables, drain_seconds, "")
    }

    /// [`Node::start`], with further lines in its `node.toml`.
    #[track_caller]
    pub fn start_with(lab: &'lab Lab, tables: &Tables, more: &str) -> Self {
        Self::start_as(lab, tables, 60, more)
    }

    #[track_caller]
    fn start_as(lab: &'lab Lab, tables: &Tables, drain_seconds: u32, more: &str) -> Self {
        lab.write("node.toml", &format!("{}\n{more}", config(lab, drain_seconds)));
        let mut node = Self { lab, process: spawn(lab, &[]) };
        node.wait_ready();
        node.apply(tables);
        node
    }

    /// Starts it again on the same data, after [`Node::kill`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same with further words of its command line.
    #[track_caller]
    pub fn restart_with(&mut self, more: &[&str]) {
        self.process = spawn(self.lab, more);
        self.wait_ready();
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Stops it as an operator would; panics if it does not end well.
    #[track_caller]
    pub fn stop(mut self) {
        let status = self.process.stop(START_LIMIT);
        assert!(status.success(), "the node ended with {status}:\n{}", self.process.output());
    }

    /// Tells it to end, as an operator would.
    pub fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits for the end that it was told; how it ended.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        self.process.wait(START_LIMIT)
    }

    /// Where it takes SIP, as `address:port`.
    pub fn sip(&self) -> String {
        format!("{}:{PORT}", self.lab.host(HOST))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The base of its HTTP interface.
    pub fn url(&self) -> String {
        format!("http://{}:8060", self.lab.host(HOST))
    }

    /// Applies a table file with the command that operators use.
    #[track_caller]
    pub fn apply(&self, tables: &Tables) {
        let file = self.lab.write("tables.toml", tables.text());
        let (status, output) = self.cli(&["apply", "-f", &file.to_string_lossy()]);
        assert_eq!(status, Some(0), "tandem apply: {output}\n{}", tables.text());
    }

    /// Runs a client command against it; returns the exit code and all that it printed.
    pub fn cli(&self, arguments: &[&str]) -> (Option<i32>, String) {
        cli(&self.url(), arguments)
    }

    /// A client command's `--json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let (status, output) = self.cli(&[arguments, &["--json"]].concat());
        assert_eq!(status, Some(0), "tandem {arguments:?}: {output}");
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("tandem {arguments:?}: {error}: {output}"))
    }

    /// The sum of a metric over all label sets that hold `labels` (such as `trunk="pbx"`).
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        metric(&self.url(), name, labels)
    }

    /// Whether a metric is there with these labels, whatever its value.
    pub fn has_metric(&self, name: &str, labels: &str) -> bool {
        let text = get(&format!("{}/metrics", self.url())).unwrap_or_default();
        text.lines().any(|line| line.starts_with(name) && line.contains(labels))
    }

    /// Waits until a metric is as it should be: counters reach `/metrics` a moment after what they count.
    #[track_caller]
    pub fn wait_metric(&self, name: &str, labels: &str, right: impl Fn(f64) -> bool) {
        wait_until(&format!("{name}{{{labels}}} to be right"), Duration::from_secs(10), || {
            right(self.metric(name, labels))
        });
    }

    /// Waits until no call is left and everything that calls hold is given back (invariant 5 of the design).
    #[track_caller]
    pub fn wait_idle(&self) {
        wait_until("no call and no media session left", Duration::from_secs(40), || {
            self.metric("tandem_calls_active", "") == 0.0 && self.metric("tandem_relay_sessions", "") == 0.0
        });
    }

    /// Waits until its closed files hold `count` final records, then returns all rows.
    #[track_caller]
    pub fn wait_cdrs(&self, count: usize) -> Vec<Cdr> {
        let mut rows = Vec::new();
        wait_until(&format!("{count} final call records"), CDR_LIMIT, || {
            rows = self.cdrs();
            rows.iter().filter(|row| row.last).count() >= count
        });
        let finals = rows.iter().filter(|row| row.last).count();
        assert_eq!(finals, count, "more final records than calls: {rows:#?}");
        rows
    }

    /// The rows of its closed files now.
    pub fn cdrs(&self) -> Vec<Cdr> {
        cdr::read(&self.lab.path("data/cdr"))
    }

    /// What it logged last.
    pub fn log(&self) -> String {
        self.process.output()
    }

    #[track_caller]
    fn wait_ready(&mut self) {
        let url = format!("{}/readyz", self.url());
        wait_until("the node is ready", START_LIMIT, || {
            assert!(self.process.runs(), "the node ended while starting:\n{}", self.process.output());
            get(&url).is_some()
        });
    }
}

/// Final records by the caller's Call-ID; panics if a call has two.
#[track_caller]
pub fn finals(rows: &[Cdr]) -> HashMap<&str, &Cdr> {
    let mut finals = HashMap::new();
    for row in rows.iter().filter(|row| row.last) {
        let before = finals.insert(row.ingress_call_id.as_str(), row);
        assert!(before.is_none(), "two final records of one call: {before:?} and {row:?}");
    }
    finals
}

fn spawn(lab: &Lab, more: &[&str]) -> Process {
    let mut command = Command::new(executable());
    command.arg("node").arg("-c").arg(lab.path("node.toml")).args(more).current_dir(lab.dir());
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "info");
    }
    Process::start(&mut command, lab.dir(), "node")
}

fn config(lab: &Lab, drain_seconds: u32) -> String {
    let address = lab.host(HOST);
    let data = lab.path("data");
    format!(
        "[node]\nname = \"one\"\nsite = \"lab\"\ndata_dir = \"{}\"\ndrain_seconds = {drain_seconds}\n\n\
         [sip]\nudp = [\"{address}:{PORT}\"]\ntcp = [\"{address}:{PORT}\"]\n\n\
         [media]\naddress = \"{address}\"\nports = [20000, 29999]\nworkers = 1\n\n\
         [cluster]\nlisten = \"{address}:7060\"\njoin = []\n\n\
         [http]\nlisten = \"{address}:8060\"\n",
        data.display()
    )
}

/// The body of a success; nothing if there is no answer soon.
pub(crate) fn get(url: &str) -> Option<String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(LOOK)).build().into();
    agent.get(url).call().ok()?.body_mut().read_to_string().ok()
}

/// Sends a body; the status of the answer, 0 if there is none, and what it said.
pub(crate) fn send(method: &str, url: &str, kind: &str, body: &str) -> (u16, String) {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    let agent = AGENT.get_or_init(|| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(UPLOAD));
        config.build().into()
    });
    let request = ureq::http::Request::builder().method(method).uri(url).header("content-type", kind);
    let request = request.body(body.to_owned()).expect("a method and an address");
    match agent.run(request) {
        Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

/// Runs a client command against the node at `url`; the exit code and all that it printed.
pub(crate) fn cli(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    run(&[arguments, &["--node", url]].concat())
}

/// Runs a command that asks no node; the exit code and all that it printed.
pub fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(executable()).args(arguments).output().expect("tandem starts");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

/// The sum of a metric over all label sets that hold `labels`.
pub(crate) fn metric(url: &str, name: &str, labels: &str) -> f64 {
    let text = get(&format!("{url}/metrics")).unwrap_or_default();
    let samples = text.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The executable: `$TANDEM_BIN`, which `make test` sets, or built here as part of the workspace.
pub(crate) fn executable() -> &'static Path {
    static EXECUTABLE: OnceLock<PathBuf> = OnceLock::new();
    EXECUTABLE.get_or_init(|| match std::env::var_os("TANDEM_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

fn build() -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "-p", "tandem", "--message-format", "json-render-diagnostics"]).current_dir(root);
    let output = command.output().expect("cargo starts");
    assert!(output.status.success(), "cargo build -p tandem: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let path = artifacts.filter_map(|message| Some(message.get("executable")?.as_str()?.to_owned())).next_back();
    PathBuf::from(path.expect("cargo names the executable"))
}
