//! The node of the demo: a real process with a folder of its own, stopped by its process id.

use crate::client::Client;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The same files that the README starts a node with.
const NODE: &str = include_str!("../../../../cluster/local.toml");
const TABLES: &str = include_str!("../../../../cluster/local-tables.toml");
const URL: &str = "http://127.0.0.1:8060";
/// How long the node may take to become ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running node.
pub(super) struct Stage {
    child: Child,
    folder: PathBuf,
    client: Client,
}

impl Stage {
    /// Starts the node and waits until it takes calls.
    ///
    /// # Errors
    /// It does not start; its own words are repeated.
    pub(super) fn start() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("tandem-demo-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        let data = format!("data_dir = {:?}", folder.join("data").display().to_string());
        let config = NODE.replace("data_dir = \"/tmp/tandem-local\"", &data);
        let path = folder.join("node.toml");
        fs::write(&path, config)?;
        let log = fs::File::create(folder.join("node.log"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg("node")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the node's process")?;
        let mut stage = Self { child, folder, client: Client::new(URL, None, false) };
        stage.wait_ready()?;
        Ok(stage)
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.client.get("nodes").is_err() {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!("the node is not ready after {} s; its log: {}", PATIENCE.as_secs(), self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // Another node on these addresses would have answered in its place.
        self.check_alive()
    }

    /// # Errors
    /// The node's process has ended.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the node ended ({status}); it said: {}", self.log()),
        }
    }

    /// The end of its log.
    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Its API.
    pub(super) fn url(&self) -> &'static str {
        URL
    }

    /// Applies the sample tables.
    ///
    /// # Errors
    /// The node refuses them.
    pub(super) fn apply_tables(&self) -> anyhow::Result<()> {
        let file = json!({ "name": "cluster/local-tables.toml", "text": TABLES });
        let body = json!({ "files": [file], "comment": "demo", "who": "demo" });
        self.client.send("PUT", "tables?dry_run=false&prune=false", &body).map(drop)
    }

    /// A resource of its API; nothing if it cannot be read just now.
    pub(super) fn get(&self, path: &str) -> Option<Value> {
        self.client.get(path).ok()
    }

    /// Where its closed records are.
    pub(super) fn records(&self) -> PathBuf {
        self.folder.join("data").join("cdr")
    }

    /// Blocks until the node ends, or the user ends us both.
    pub(super) fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Ends the node in order, and removes its folder.
    pub(super) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            crate::limits::terminate(self.child.id());
            let deadline = Instant::now() + Duration::from_secs(10);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.end();
    }
}
