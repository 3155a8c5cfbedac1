//! The files of `cluster/` as they were when this was built: the demo must run from the binary alone.

use crate::{Error, Plan, Topology};

/// Path and text of the files of `cluster/three-sites`.
pub const THREE_SITES: [(&str, &str); 4] = [
    ("nodes/fra-1.toml", include_str!("../../../cluster/three-sites/nodes/fra-1.toml")),
    ("nodes/lon-1.toml", include_str!("../../../cluster/three-sites/nodes/lon-1.toml")),
    ("nodes/ams-1.toml", include_str!("../../../cluster/three-sites/nodes/ams-1.toml")),
    ("tables.toml", include_str!("../../../cluster/three-sites/tables.toml")),
];

/// Name and text of the plans of `cluster/faults`.
pub const FAULTS: [(&str, &str); 9] = [
    ("cut-one-link", include_str!("../../../cluster/faults/cut-one-link.toml")),
    ("isolate-one-site", include_str!("../../../cluster/faults/isolate-one-site.toml")),
    ("kill-leader", include_str!("../../../cluster/faults/kill-leader.toml")),
    ("kill-one-node", include_str!("../../../cluster/faults/kill-one-node.toml")),
    ("kill-quorum", include_str!("../../../cluster/faults/kill-quorum.toml")),
    ("pause-leader", include_str!("../../../cluster/faults/pause-leader.toml")),
    ("pause-ten-seconds", include_str!("../../../cluster/faults/pause-ten-seconds.toml")),
    ("restart-all", include_str!("../../../cluster/faults/restart-all.toml")),
    ("rolling-restart", include_str!("../../../cluster/faults/rolling-restart.toml")),
];

/// The three sites.
///
/// # Errors
/// Never in a build whose tests pass: a broken file is found there.
pub fn three_sites() -> Result<Topology, Error> {
    Topology::parse("three-sites", &THREE_SITES)
}

/// The plan of this name, if there is one.
///
/// # Errors
/// As [`three_sites`].
pub fn fault(name: &str) -> Result<Option<Plan>, Error> {
    let found = FAULTS.iter().find(|(known, _)| *known == name);
    found.map(|(name, text)| Plan::parse(name, text)).transpose()
}
