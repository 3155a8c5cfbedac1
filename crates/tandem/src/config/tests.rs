//! The example of the documentation, and every mistake with its line.

use super::{Config, Problem};
use std::path::Path;

const EXAMPLE: &str = r#"[node]
name = "fra-1"
site = "fra"
data_dir = "/var/lib/tandem"
witness = false

[sip]
udp = ["127.0.1.1:5060"]
tcp = ["127.0.1.1:5060"]
tls = ["127.0.1.1:5061"]
ws = []
advertise = "127.0.1.1"

[media]
address = "127.0.1.1"
advertise = "127.0.1.1"
ports = [20000, 29999]
workers = 2

[cluster]
listen = "127.0.1.1:7060"
join = ["127.0.2.1:7060"]

[http]
listen = "127.0.1.1:8060"
"#;

fn parse(text: &str) -> Result<Config, Problem> {
    Config::parse(Path::new("node.toml"), text)
}

#[test]
fn the_documented_file_is_read_whole_and_says_what_is_not_done_yet() {
    let config = parse(EXAMPLE).expect("valid");
    assert_eq!((config.node.name.as_str(), config.media.ports), ("fra-1", [20_000, 29_999]));
    assert_eq!(config.not_yet().len(), 1, "TLS for SIP");
}

#[test]
fn several_media_addresses_are_a_list() {
    let text = EXAMPLE.replace("address = \"127.0.1.1\"", "address = [\"127.0.1.1\", \"127.0.1.2\"]");
    assert_eq!(parse(&text).expect("valid").media.addresses().len(), 2);
}

#[test]
fn every_mistake_names_its_line() {
    for (from, to, line, word) in [
        ("witness = false", "witnes = false", 5, "unknown field"),
        ("name = \"fra-1\"", "name = \"fra 1\"", 2, "letters"),
        ("udp = [\"127.0.1.1:5060\"]", "udp = [\"127.0.1.1\"]", 8, "socket address"),
        ("udp = [\"127.0.1.1:5060\"]", "udp = [\"127.0.1.1:5060\", \"127.0.1.1:5060\"]", 8, "twice"),
        ("ports = [20000, 29999]", "ports = [29999, 20000]", 17, "range"),
        ("workers = 2", "workers = 0", 18, "at least 1"),
        ("witness = false", "drain_seconds = 7201", 5, "longer than 7200"),
        ("listen = \"127.0.1.1:8060\"", "listen = \"192.0.2.1:8060\"", 25, "tokens"),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let problem = parse(&EXAMPLE.replacen(from, to, 1)).expect_err(to);
        assert_eq!(problem.line, Some(line), "{problem}");
        assert!(problem.to_string().contains(word), "{problem}");
    }
}
