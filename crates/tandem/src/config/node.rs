//! `[node]`

use serde::Deserialize;
use std::path::PathBuf;

/// Who this node is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Unique in the cluster.
    pub name: String,
    /// The failure domain.
    pub site: String,
    /// Tables, outbox and records.
    pub data_dir: PathBuf,
    /// Votes, carries no calls.
    #[serde(default)]
    pub witness: bool,
    /// How long a node that is told to end may take until its calls are elsewhere or over; 0: it ends them at once.
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: u32,
}

const fn default_drain_seconds() -> u32 {
    60
}

/// The longest drain: two hours.
const DRAIN_MAX: u32 = 7_200;

impl Node {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let plain = |text: &str| {
            (1..=63).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        if !plain(&self.name) {
            return Err(("node.name", "use 1 to 63 letters, digits, '-', '_' or '.'".to_owned()));
        }
        if !plain(&self.site) {
            return Err(("node.site", "use 1 to 63 letters, digits, '-', '_' or '.'".to_owned()));
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(("node.data_dir", "name a folder".to_owned()));
        }
        if self.drain_seconds > DRAIN_MAX {
            return Err(("node.drain_seconds", format!("{} is longer than {DRAIN_MAX}", self.drain_seconds)));
        }
        Ok(())
    }
}
