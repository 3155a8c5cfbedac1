//! What Prometheus reads of a node that has had calls.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::process::{report, wait_until};
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// Everything that is there.
fn scrape(node: &Node<'_>) -> String {
    let mut answer = ureq::get(format!("{}/metrics", node.url())).call().expect("it answers");
    answer.body_mut().read_to_string().expect("text")
}

#[test]
fn the_linter_of_prometheus_finds_nothing_in_a_scrape() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "100").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "500"]).call(&node.sip(), "441234").done();
    callee.done();
    node.wait_cdrs(1);
    let text = scrape(&node);
    for name in
        ["tandem_disk_free_bytes", "tandem_disk_size_bytes", "tandem_relay_cpu_seconds_total", "tandem_overload_level"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "no {name} in:\n{text}");
    }
    let (free, size) = (node.metric("tandem_disk_free_bytes", ""), node.metric("tandem_disk_size_bytes", ""));
    assert!(0.0 < free && free <= size, "{free} of {size} bytes");
    let linter =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut linter) = linter else {
        return report("promtool is not here: the scrape was not linted (scripts/install deploy)");
    };
    linter.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let said = linter.wait_with_output().expect("it ends");
    let complaints = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn a_trunk_that_was_removed_is_told_of_no_more() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let gauges = ["tandem_calls_active", "tandem_channels_limit", "tandem_gateway_up"];
    let there = |trunk: &str| gauges.map(|name| node.has_metric(name, &format!("trunk=\"{trunk}\"")));
    wait_until("the trunks are there", Duration::from_secs(5), || {
        there("alpha") == [true; 3] && there("beta") == [true; 3]
    });
    let (_, exported) = node.cli(&["export"]);
    // All that names it: the trunk with its two sections, and the plans.
    let rows: Vec<&str> = exported.split("\n\n[[").collect();
    let kept: Vec<String> = rows
        .iter()
        .filter(|row| !row.trim_start_matches("[[").starts_with("trunk]]\nname = \"beta\""))
        .map(|row| row.replace(", \"beta\"", ""))
        .collect();
    let file = lab.write("less.toml", &kept.join("\n\n[["));
    let (status, said) = node.cli(&["apply", "--prune", "-f", &file.to_string_lossy()]);
    assert_eq!(status, Some(0), "{said}");
    wait_until("beta is gone", Duration::from_secs(5), || there("beta") == [false; 3]);
    assert_eq!(there("alpha"), [true; 3]);
}
