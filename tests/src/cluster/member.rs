//! One node of a cluster, as a process.

use super::ask;
use crate::process::{Process, wait_until};
use crate::{Cdr, Lab, cdr, node};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;
use topology::Node;

/// How long a node may take to start or to stop.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A node that runs, or that can be started.
pub struct Member {
    node: Node,
    /// Of its files.
    file: String,
    dir: PathBuf,
    /// What is in its environment besides that of the test.
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

impl Member {
    /// A node whose files are in the lab's folder. It does not run yet.
    pub fn new(lab: &Lab, node: Node) -> Self {
        let file = node.name.clone();
        Self::named(lab, node, &file)
    }

    /// The same, with another name for its files: of a node whose own name is taken.
    pub fn named(lab: &Lab, node: Node, file: &str) -> Self {
        lab.write(&format!("{file}.toml"), &node.to_toml());
        Self { node, file: file.to_owned(), dir: lab.dir().to_owned(), environment: Vec::new(), process: None }
    }

    /// With further lines in its `node.toml`, from its next start on.
    pub fn configure(&self, more: &str) {
        let path = self.dir.join(format!("{}.toml", self.file));
        let text = std::fs::read_to_string(&path).expect("it was written");
        std::fs::write(&path, format!("{text}\n{more}")).expect("the lab's folder is writable");
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Its site.
    pub fn site(&self) -> &str {
        &self.node.site
    }

    /// What it was started with.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// With a variable in its environment from its next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The id of its process; 0 if it does not run.
    pub fn process_id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// Starts it on the data that it has. It does not answer yet; nothing happens if it runs.
    pub fn start(&mut self) {
        if self.is_started() {
            return;
        }
        let mut command = Command::new(node::executable());
        command.arg("node").arg("-c").arg(self.dir.join(format!("{}.toml", self.file))).current_dir(&self.dir);
        command.envs(self.environment.iter().cloned());
        self.process = Some(Process::start(&mut command, &self.dir, &self.file));
    }

    /// Waits until its API answers. Whether it takes calls by then is another question.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let url = format!("{}/healthz", self.node.url());
        let process = self.process.as_mut().expect("it was started");
        wait_until("the node answers", START_LIMIT, || {
            assert!(process.runs(), "the node ended while starting:\n{}", process.output());
            node::get(&url).is_some()
        });
    }

    /// Waits for the end of one that cannot stay; its status, and what it said.
    #[track_caller]
    pub fn wait_end(&mut self) -> (ExitStatus, String) {
        let mut process = self.process.take().expect("it was started");
        (process.wait(START_LIMIT), process.output())
    }

    /// Whether it was started and not killed since.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Ends it as a failing machine would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Ends it as an operator would; panics if it does not end well.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it was started");
        let status = process.stop(START_LIMIT);
        assert!(status.success(), "{} ended with {status}:\n{}", self.node.name, process.output());
    }

    /// Sends it a signal by name.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("it runs").signal(name);
    }

    /// Where it takes SIP.
    #[track_caller]
    pub fn sip(&self) -> String {
        self.node.udp.first().expect("it takes SIP over UDP").to_string()
    }

    /// Runs a client command against it; the exit code and all that it printed.
    pub fn cli(&self, arguments: &[&str]) -> (Option<i32>, String) {
        node::cli(&self.node.url(), arguments)
    }

    /// Applies a table file over its API, without a command around it; the revision that it made, or what it said.
    ///
    /// # Errors
    /// The status, 0 for no answer, and the body.
    pub fn put_tables(&self, text: &str) -> Result<u64, (u16, String)> {
        let body = serde_json::json!({ "files": [{ "name": "put.toml", "text": text }] }).to_string();
        let (status, said) =
            node::send("PUT", &format!("{}/api/v1/tables", self.node.url()), "application/json", &body);
        let applied = serde_json::from_str::<Value>(&said).ok().and_then(|applied| applied["revision"].as_u64());
        applied.filter(|_| status == 200).ok_or((status, said))
    }

    /// Imports rates into a deck over its API; what it answered.
    ///
    /// # Errors
    /// As of [`Member::put_tables`].
    pub fn import_rates(&self, deck: &str, csv: &str) -> Result<Value, (u16, String)> {
        let url = format!("{}/api/v1/import/rates?deck={deck}&from=2026-01-01&file=rates.csv", self.node.url());
        let (status, said) = node::send("POST", &url, "text/csv", csv);
        let imported = serde_json::from_str(&said).ok();
        imported.filter(|_| status == 200).ok_or((status, said))
    }

    /// A client command's `--json`.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let (status, output) = self.cli(&[arguments, &["--json"]].concat());
        assert_eq!(status, Some(0), "tandem {arguments:?}: {output}");
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("tandem {arguments:?}: {error}: {output}"))
    }

    /// The cluster as it sees it; nothing if it does not answer.
    pub fn status(&self) -> Option<Value> {
        ask(&self.node.url(), "cluster")
    }

    /// What another node, or it itself, is in its eyes.
    pub fn sees(&self, name: &str) -> Option<Value> {
        self.status().and_then(|cluster| super::row(&cluster["nodes"], name).cloned())
    }

    /// The revision of its tables by its own word alone, which asks no other node; 0 if it does not answer.
    pub fn own_revision(&self) -> u64 {
        let past = ask(&self.node.url(), "history");
        past.and_then(|past| past["revisions"].as_array()?.last()?["revision"].as_u64()).unwrap_or(0)
    }

    /// The revision of its tables; 0 if it does not answer.
    pub fn revision(&self) -> u64 {
        self.status().and_then(|cluster| cluster["revision"].as_u64()).unwrap_or(0)
    }

    /// The sum of a metric over all label sets that hold `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        node::metric(&self.node.url(), name, labels)
    }

    /// The call records of its closed files now.
    pub fn cdrs(&self) -> Vec<Cdr> {
        cdr::read(&Path::new(&self.node.data_dir).join("cdr"))
    }

    /// What it logged last.
    pub fn log(&self) -> String {
        crate::process::tail(&self.dir.join(format!("{}.out", self.file)), 3_000)
    }

    /// What its process does, or how it has ended.
    pub fn state(&self) -> String {
        self.process.as_ref().map_or_else(|| "was ended by the test".to_owned(), Process::state)
    }
}
