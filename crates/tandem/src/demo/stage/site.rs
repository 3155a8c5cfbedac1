//! One node's process.

use crate::client::Client;
use anyhow::{Context as _, bail};
use console::api::{Cluster, Trunk};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use topology::Node;

/// How long a node may take to clear its calls and end.
const END: Duration = Duration::from_secs(10);
/// When a node that has calls is told once more.
const SECOND_WORD: Duration = Duration::from_millis(500);
/// How long a look may take: a site that hangs must not stop the show.
const LOOK: Duration = Duration::from_secs(2);

/// A running node.
pub(super) struct Site {
    /// What it was started with.
    pub node: Node,
    /// Asks it for what may take long.
    pub client: Client,
    looks: Client,
    child: Child,
    killed: bool,
    log: PathBuf,
}

impl Site {
    /// Starts it; it does not answer yet.
    pub(super) fn start(node: &Node, folder: &Path) -> anyhow::Result<Self> {
        let config = folder.join(format!("{}.toml", node.name));
        fs::write(&config, node.to_toml()).with_context(|| format!("{}: cannot be written", config.display()))?;
        let log = folder.join(format!("{}.log", node.name));
        let child = Command::new(std::env::current_exe()?)
            .arg("node")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("the process of {}", node.name))?;
        let client = Client::new(&node.url(), None, false);
        Ok(Self {
            client,
            looks: Client::with_patience(&node.url(), LOOK),
            node: node.clone(),
            child,
            killed: false,
            log,
        })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It ends, or takes too long.
    pub(super) fn wait_ready(&mut self, deadline: Instant) -> anyhow::Result<()> {
        while self.looks.get("nodes").is_err() {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!("{} does not answer; its log: {}", self.node.name, self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Another node on these addresses would have answered in its place.
        self.check_alive()
    }

    /// # Errors
    /// Its process has ended; its last words.
    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}); it said: {}", self.node.name, self.log()),
        }
    }

    /// Whether [`Self::kill`] was called.
    pub(super) const fn is_killed(&self) -> bool {
        self.killed
    }

    /// The end of its log.
    fn log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// The cluster as it sees it; nothing while it does not answer.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        serde_json::from_value(self.looks.get("cluster").ok()?).ok()
    }

    /// Its trunks; none while it does not answer.
    pub(super) fn trunks(&self) -> Vec<Trunk> {
        self.looks.get("trunks").map(|answer| super::typed(answer, "trunks")).unwrap_or_default()
    }

    /// Asks it to end in order.
    pub(super) fn tell_to_stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            crate::limits::terminate(self.child.id());
        }
    }

    /// Waits for its end; kills it if that takes too long.
    pub(super) fn wait_for_end(&mut self) {
        let began = Instant::now();
        let mut told = false;
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < END {
            // Nobody waits for calls in a demo that ends: a second word ends them at once.
            if !told && began.elapsed() > SECOND_WORD {
                told = true;
                crate::limits::terminate(self.child.id());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Ends it at once, as a failing machine does. Nothing happens to one that has ended.
    pub(super) fn kill(&mut self) {
        self.killed = true;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill();
    }
}
