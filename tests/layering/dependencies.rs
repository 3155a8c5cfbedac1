//! Rules on the dependency graph, read from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crates without I/O, threads or a clock: what lets a call be tested in virtual time and moved to another site.
pub(crate) const PURE: [&str; 6] = ["sip", "call", "trunk", "registrar", "routing", "topology"];

/// What no pure crate may reach, however indirectly.
const IMPURE: [&str; 12] = [
    "tokio",
    "ractor",
    "tonic",
    "rocksdb",
    "librocksdb-sys",
    "socket2",
    "mio",
    "hickory-resolver",
    "tracing-subscriber",
    "axum",
    "ureq",
    "async-std",
];

/// The floor on which each crate stands; a crate may use its own floor and those below, never above.
const FLOORS: [(&str, u32); 14] = [
    ("sip", 0),
    ("call", 1),
    ("trunk", 1),
    ("registrar", 1),
    ("routing", 1),
    ("topology", 1),
    ("relay", 2),
    ("tables", 2),
    ("mesh", 2),
    ("supervise", 2),
    ("load", 2),
    ("switch", 3),
    ("console", 4),
    ("tandem", 5),
];

/// Crates that only tests use.
const DEV_ONLY: [&str; 3] = ["testkit", "tests", "benches"];

/// Package name → names of its normal and build dependencies, over the whole resolved graph.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let names: BTreeMap<&str, &str> =
        list(&metadata["packages"]).iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in list(&metadata["resolve"]["nodes"]) {
        let to = graph.entry(names[text(&node["id"])].to_owned()).or_default();
        for dependency in list(&node["deps"]) {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev") {
                to.insert(names[text(&dependency["pkg"])].to_owned());
            }
        }
    }
    graph
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let host = host_triple();
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--filter-platform", &host])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// Without a platform the graph holds crates for other systems, which would have to be downloaded.
fn host_triple() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc starts");
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string in cargo metadata")
}

/// Everything reachable from `root`, each with the path by which it was reached.
fn closure<'g>(graph: &'g BTreeMap<String, BTreeSet<String>>, root: &'g str) -> BTreeMap<&'g str, String> {
    let mut seen = BTreeMap::from([(root, root.to_owned())]);
    let mut open = vec![root];
    while let Some(name) = open.pop() {
        let path = seen[name].clone();
        for next in graph.get(name).into_iter().flatten() {
            if !seen.contains_key(next.as_str()) {
                seen.insert(next, format!("{path} → {next}"));
                open.push(next);
            }
        }
    }
    seen
}

fn floor(name: &str) -> Option<u32> {
    FLOORS.iter().find(|(floor_name, _)| *floor_name == name).map(|(_, floor)| *floor)
}

/// The workspace's own crates in the graph.
fn members(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<&str> {
    let own: BTreeSet<&str> = FLOORS.iter().map(|(name, _)| *name).chain(DEV_ONLY).collect();
    graph.keys().map(String::as_str).filter(|name| own.contains(name)).collect()
}

#[test]
fn pure_crates_reach_no_io() {
    let graph = graph();
    for pure in PURE {
        let reached = closure(&graph, pure);
        for impure in IMPURE {
            assert!(!reached.contains_key(impure), "{pure} is pure, yet reaches {impure}: {}", reached[impure]);
        }
    }
}

#[test]
fn only_sip_names_rsip() {
    for (name, dependencies) in graph() {
        let may = name == "sip" || name == "rsip";
        assert!(may || !dependencies.contains("rsip"), "{name} depends on rsip; only `sip` may, behind its own types");
    }
}

#[test]
fn nobody_depends_upward() {
    let graph = graph();
    for name in members(&graph) {
        let Some(own) = floor(name) else { continue };
        for dependency in &graph[name] {
            assert!(!DEV_ONLY.contains(&dependency.as_str()), "{name} ships {dependency}, which is for tests only");
            let below = floor(dependency).is_none_or(|floor| floor <= own);
            assert!(below, "{name} (floor {own}) depends on {dependency}, which stands above it");
        }
    }
}

#[test]
fn every_crate_has_its_floor() {
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates"));
    for entry in std::fs::read_dir(root).expect("crates/ exists") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        let known = floor(&name).is_some() || DEV_ONLY.contains(&name.as_str());
        assert!(known, "crates/{name} has no floor: say in tests/layering/dependencies.rs where it stands");
    }
}
