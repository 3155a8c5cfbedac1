//! Figures that are read when Prometheus asks, and kept nowhere: those of things that come and go, such as trunks and nodes. The
//! recorder keeps every series that was ever set, and would tell of what was removed until the process ends.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Name, type and meaning of each of them.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("tandem_calls_active", "gauge", "Answered calls that are up"),
    ("tandem_channels_limit", "gauge", "Concurrent calls that the trunk may have in the cluster; 0 is no limit"),
    ("tandem_gateway_up", "gauge", "Whether the gateway answers; 1 where it is not pinged, absent until that is known"),
    ("tandem_node_up", "gauge", "Whether the peer node is alive, as seen from here"),
    ("tandem_mesh_round_trip_seconds", "gauge", "To the peer node and back"),
    ("tandem_relay_cpu_seconds_total", "counter", "CPU time of the packet threads"),
    ("tandem_disk_free_bytes", "gauge", "Space for the node on the disk of the path"),
    ("tandem_disk_size_bytes", "gauge", "Size of the disk of the path"),
    (
        "tandem_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the first certificate of the file ends, since 1970; of the file as the node read it at its start",
    ),
];

/// One figure, now.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    name: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Sample {
    /// A figure of a thing that its labels name.
    #[must_use]
    pub fn new(name: &'static str, labels: &[(&'static str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
        Self { name, labels, value }
    }
}

/// Appends samples in the form of Prometheus, those of one name together. `common` are labels of all of them.
pub(crate) fn render(text: &mut String, common: &[(&'static str, String)], samples: Vec<Sample>) {
    let mut by_name: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(sample.name).or_default().push(sample);
    }
    for (name, samples) in by_name {
        let known = MEANINGS.iter().find(|(known, ..)| *known == name);
        let (_, kind, meaning) = known.unwrap_or(&("", "untyped", "What a later version counts"));
        let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} {kind}");
        for Sample { labels, value, .. } in samples {
            let labels = common.iter().chain(&labels).map(|(key, label)| format!("{key}=\"{}\"", escaped(label)));
            let _ = writeln!(text, "{name}{{{}}} {value}", labels.collect::<Vec<_>>().join(","));
        }
        text.push('\n');
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_name_stand_together_below_their_meaning() {
        let mut text = String::new();
        let up = |peer: &str, value| Sample::new("tandem_node_up", &[("peer", peer)], value);
        let free = Sample::new("tandem_disk_free_bytes", &[("path", "/odd \"one\"\\")], 5e12);
        render(&mut text, &[("node", "fra-1".to_owned())], vec![up("lon-1", 1.0), free, up("ams-1", 0.0)]);
        let want = "# HELP tandem_disk_free_bytes Space for the node on the disk of the path\n\
                    # TYPE tandem_disk_free_bytes gauge\n\
                    tandem_disk_free_bytes{node=\"fra-1\",path=\"/odd \\\"one\\\"\\\\\"} 5000000000000\n\n\
                    # HELP tandem_node_up Whether the peer node is alive, as seen from here\n\
                    # TYPE tandem_node_up gauge\n\
                    tandem_node_up{node=\"fra-1\",peer=\"lon-1\"} 1\n\
                    tandem_node_up{node=\"fra-1\",peer=\"ams-1\"} 0\n\n";
        assert_eq!(text, want);
    }
}
