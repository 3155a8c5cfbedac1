//! The recorder of metrics: what each one means, and the buckets that fit it.

use crate::sample::{self, Sample};
use crate::{Error, process};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::sync::Arc;

/// Name and meaning of every counter.
const COUNTERS: &[(&str, &str)] = &[
    ("tandem_call_attempts_total", "Calls from a trunk (ingress) and attempts to one (egress)"),
    ("tandem_calls_answered_total", "Calls and attempts that were answered"),
    ("tandem_call_failures_total", "Calls and attempts that ended without an answer, by SIP code"),
    (
        "tandem_media_one_way_total",
        "Calls of whose side nothing was heard for 10 s since the answer, while the other spoke",
    ),
    ("tandem_media_silent_total", "Calls of which nothing was heard from either side for 10 s since the answer"),
    ("tandem_rtp_packets_total", "RTP packets relayed"),
    ("tandem_rtp_lost_packets_total", "RTP packets that never came, by their sequence numbers"),
    ("tandem_rtp_dropped_total", "RTP and RTCP packets dropped, by reason"),
    ("tandem_sip_messages_total", "SIP messages by method, code (empty for a request) and way"),
    ("tandem_sip_rejected_total", "SIP messages dropped or refused before a call saw them, by reason"),
    ("tandem_takeover_calls_total", "Calls taken over from a lost node, by result"),
    ("tandem_calls_abandoned_total", "Calls given up without a word, because another node has them or may have"),
    ("tandem_checkpoints_late_total", "Calls that went on before their backup had confirmed their state"),
    ("tandem_checkpoint_batches_lost_total", "Batches of states that a backup did not confirm"),
    ("tandem_cdr_written_total", "Rows of call records in closed files"),
    ("tandem_cdr_unreplicated_total", "Rows of call records written to files before another node had a copy"),
    ("tandem_cdr_inherited_total", "Rows of call records of removed nodes that this node has taken over"),
    ("tandem_cdr_failed_total", "Call records that could not be stored"),
    ("tandem_cdr_sync_failed_total", "Times that the disk refused to sync call records"),
    ("tandem_sip_carried_total", "SIP messages passed on to the node that has their call"),
    ("tandem_registrations_unprotected_total", "Registrations that were confirmed without a copy on another node"),
    ("tandem_trunk_leader_lost_total", "Times that the node which leads the limits of a trunk was out of reach"),
    ("tandem_mesh_refused_total", "Connections and requests of other nodes that were refused, by reason"),
    ("tandem_relay_refused_total", "Calls that got no media ports"),
    ("tandem_dns_timeouts_total", "Look-ups of gateways that took too long"),
    ("tandem_queue_full_total", "Messages refused because a queue or a table was full"),
    ("tandem_ladders_evicted_total", "Ladders of ended calls that are no longer kept, by reason"),
    ("tandem_hep_packets_total", "Copies of messages and reports for the HEP collector, sent or failed"),
    ("tandem_otlp_spans_total", "Spans of traced calls for the OTLP collector, sent or failed"),
    ("tandem_parcels_refused_total", "Messages of other nodes that could not be read"),
    ("tandem_actor_restarts_total", "Actors restarted after a failure"),
];

/// Name and meaning of every gauge.
const GAUGES: &[(&str, &str)] = &[
    ("tandem_relay_free_port_pairs", "Pairs of media ports that are free"),
    ("tandem_relay_sessions", "Media sessions on the relay"),
    ("tandem_registrations", "Contacts that are registered"),
    ("tandem_registrations_lacking", "Addresses of which the backup has not heard what they hold now"),
    (
        "tandem_overload_level",
        "Share of new calls that is refused because of overload; always 0, for this version never does",
    ),
    ("tandem_calls_unprotected", "Calls without a copy in another site"),
    ("tandem_checkpoints_kept", "Calls of other nodes whose state is kept here"),
    ("tandem_takeover_waiting", "Calls that are ours and wait for their turn to be led here"),
    ("tandem_cdr_undecided", "Calls whose records wait until it is known who closes them"),
    ("tandem_cdr_unreplicated", "Rows of call records that no other node has a copy of"),
    ("tandem_cdr_unreplicated_seconds", "For how long the oldest of these has had none"),
    ("tandem_cdr_kept", "Rows of call records that are kept for other nodes"),
    ("tandem_cdr_legacies", "Removed nodes whose call records still have to be taken over"),
    ("tandem_cdr_pending", "Rows of call records that no closed file holds yet"),
    ("tandem_ladders_kept", "Ended calls whose ladder is kept"),
    ("tandem_ladders_kept_bytes", "Bytes that these take"),
    ("tandem_table_revision", "The revision of the tables"),
    ("tandem_raft_term", "The term of the Raft group"),
    ("tandem_raft_leader", "Whether this node leads the Raft group"),
    ("tandem_raft_log_lag", "Entries of the Raft log that are on a quorum and not in this node's tables yet"),
    ("tandem_raft_log_last", "The last entry of this node's Raft log"),
    ("tandem_lease_remaining_seconds", "Time until the lease of the node runs out"),
];

/// Name, meaning and upper bounds of every histogram.
const HISTOGRAMS: &[(&str, &str, &[f64])] = &[
    (
        "tandem_call_duration_seconds",
        "Time from the answer to the end of a call",
        &[1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0],
    ),
    (
        "tandem_post_dial_delay_seconds",
        "Time from the INVITE to the first ringing",
        &[0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0],
    ),
    (
        "tandem_mos",
        "Mean opinion score of a leg by the E-model",
        &[1.5, 2.0, 2.5, 2.8, 3.0, 3.2, 3.4, 3.6, 3.8, 4.0, 4.1, 4.2, 4.3, 4.4],
    ),
    (
        "tandem_takeover_seconds",
        "Time from the loss of a node until a call of it is ours",
        &[0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0],
    ),
    (
        "tandem_media_gap_seconds",
        "Silence that a takeover made on a leg",
        &[0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0],
    ),
    (
        "tandem_checkpoint_lag_seconds",
        "Time until the backup acknowledged a checkpoint",
        &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0],
    ),
    (
        "tandem_checkpoint_wait_seconds",
        "The same of checkpoints that a message waited for",
        &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0],
    ),
];

/// The bounds of a histogram that is not listed: seconds of something quick.
const OTHER_BOUNDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// Renders what was recorded.
#[derive(Clone)]
pub struct Recorder {
    handle: PrometheusHandle,
    common: Arc<[(&'static str, String)]>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl Recorder {
    /// Installs the recorder of this process. `node` and `site` become labels of every metric. To be called before anything
    /// takes a handle on a metric, for a handle taken earlier records nothing.
    ///
    /// # Errors
    /// The process has a recorder already.
    pub fn install(node: &str, site: &str) -> Result<Self, Error> {
        let recorder = build(node, site)?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|error| Error::Recorder(error.to_string()))?;
        describe();
        begin();
        Ok(Self::of(handle, node, site))
    }

    /// One that is not installed: nothing in the process is counted, and [`Recorder::render`] has only what is looked up when it is
    /// asked. For measuring what it costs to count.
    ///
    /// # Errors
    /// None that [`Recorder::install`] would not have.
    pub fn aside(node: &str, site: &str) -> Result<Self, Error> {
        Ok(Self::of(build(node, site)?.handle(), node, site))
    }

    fn of(handle: PrometheusHandle, node: &str, site: &str) -> Self {
        Self { handle, common: Arc::new([("node", node.to_owned()), ("site", site.to_owned())]) }
    }

    /// The text that Prometheus reads: what was recorded, what is so now, and the figures of the process.
    #[must_use]
    pub fn render(&self, samples: Vec<Sample>) -> String {
        let mut text = self.handle.render();
        sample::render(&mut text, &self.common, samples);
        process::render(&mut text);
        text
    }

    /// Folds samples together. Must run every few seconds, or they pile up while nobody fetches them.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn build(node: &str, site: &str) -> Result<PrometheusRecorder, Error> {
    let failed = |error: metrics_exporter_prometheus::BuildError| Error::Recorder(error.to_string());
    let mut builder = PrometheusBuilder::new().add_global_label("node", node).add_global_label("site", site);
    builder = builder.set_buckets(OTHER_BOUNDS).map_err(failed)?;
    for (name, _, bounds) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds).map_err(failed)?;
    }
    Ok(builder.build_recorder())
}

/// What must be there at 0 from the start: the first rise of a series that was not there yet is no rise to Prometheus.
fn begin() {
    for name in BEGUN {
        metrics::counter!(*name).absolute(0);
    }
    metrics::gauge!("tandem_overload_level").set(0.0);
    for result in TAKEN {
        metrics::counter!("tandem_takeover_calls_total", "result" => *result).absolute(0);
    }
}

/// Counters without labels of which a single rise is news.
const BEGUN: &[&str] = &[
    "tandem_calls_abandoned_total",
    "tandem_cdr_failed_total",
    "tandem_cdr_sync_failed_total",
    "tandem_cdr_unreplicated_total",
    "tandem_checkpoints_late_total",
    "tandem_relay_refused_total",
];

/// What can come of a call that is taken over.
const TAKEN: &[&str] = &["kept", "ringing", "ended", "ended_elsewhere", "silent", "refused", "stale", "unreadable"];

fn describe() {
    for (name, meaning) in COUNTERS {
        describe_counter!(*name, *meaning);
    }
    for (name, meaning) in GAUGES {
        describe_gauge!(*name, *meaning);
    }
    for (name, meaning, _) in HISTOGRAMS {
        describe_histogram!(*name, *meaning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_buckets_with_their_own_bounds_and_the_labels_of_the_node() {
        let recorder = build("fra-1", "fra").unwrap();
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::histogram!("tandem_mos").record(4.15);
            metrics::counter!("tandem_call_attempts_total", "trunk" => "alpha", "direction" => "ingress").increment(2);
        });
        let text = recorder.handle().render();
        let lines: Vec<&str> = text.lines().collect();
        let counted = "tandem_call_attempts_total{node=\"fra-1\",site=\"fra\",trunk=\"alpha\",direction=\"ingress\"} 2";
        assert!(lines.contains(&counted), "{text}");
        assert!(lines.contains(&"# TYPE tandem_mos histogram"), "{text}");
        assert!(lines.contains(&"tandem_mos_bucket{node=\"fra-1\",site=\"fra\",le=\"4.1\"} 0"), "{text}");
        assert!(lines.contains(&"tandem_mos_bucket{node=\"fra-1\",site=\"fra\",le=\"4.2\"} 1"), "{text}");
        assert!(lines.iter().any(|line| line.starts_with("# HELP tandem_mos ")), "{text}");
    }

    #[test]
    fn bounds_rise_and_names_follow_the_rules() {
        for (name, meaning, bounds) in HISTOGRAMS {
            assert!(bounds.is_sorted(), "{name}");
            assert!(!meaning.is_empty());
        }
        assert!(COUNTERS.iter().all(|(name, _)| name.ends_with("_total")));
        assert!(GAUGES.iter().all(|(name, _)| !name.ends_with("_total")));
    }
}
