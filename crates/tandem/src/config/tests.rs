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

[ladder]
messages = 96
megabytes = 64
minutes = 60

[hep]
collector = "homer.example:9060"
id = 2001
password = "a-secret"
percent = 100

[otlp]
endpoint = "http://otel.example:4317"
percent = 1
"#;

fn parse(text: &str) -> Result<Config, Problem> {
    Config::parse(Path::new("node.toml"), text)
}

#[test]
fn the_documented_file_is_read_whole_and_says_what_is_not_done_yet() {
    let config = parse(EXAMPLE).expect("valid");
    assert_eq!((config.node.name.as_str(), config.media.ports), ("fra-1", [20_000, 29_999]));
    assert_eq!(config.not_yet().len(), 1, "TLS for SIP");
    assert_eq!(config.ladder.options(), switch::ladder::Options::default());
    assert!(!format!("{config:?}").contains("a-secret"));
    let otlp = config.otlp.as_ref().expect("there").options();
    assert_eq!((otlp.endpoint.as_str(), otlp.percent), ("http://otel.example:4317", 1));
    let short = &EXAMPLE[..EXAMPLE.find("[ladder]").expect("there")];
    let short = parse(short).expect("valid");
    assert!(short.hep.is_none() && short.otlp.is_none() && short.ladder.messages == 96);
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
        ("messages = 96", "messages = 5", 28, "16 to 256"),
        ("minutes = 60", "minutes = 60000", 30, "a week"),
        ("minutes = 60", "hours = 1", 30, "unknown field"),
        ("homer.example:9060", "homer.example", 33, "no host:port"),
        ("homer.example:9060", "2001:db8::1:9060", 33, "no host:port"),
        ("percent = 100", "percent = 0", 36, "1 to 100"),
        ("percent = 100", "share = 5", 36, "unknown field"),
        ("http://otel.example:4317", "https://otel.example:4317", 39, "by http://"),
        ("http://otel.example:4317", "otel.example:4317", 39, "no http://host:port"),
        ("http://otel.example:4317", "http://otel.example", 39, "no http://host:port"),
        ("http://otel.example:4317", "http://otel.example:4317/v1", 39, "no http://host:port"),
        ("percent = 1\n", "percent = 101\n", 40, "1 to 100"),
        ("percent = 1\n", "sample = 1\n", 40, "unknown field"),
    ] {
        assert!(EXAMPLE.contains(from), "{from}");
        let problem = parse(&EXAMPLE.replacen(from, to, 1)).expect_err(to);
        assert_eq!(problem.line, Some(line), "{problem}");
        assert!(problem.to_string().contains(word), "{problem}");
    }
}
