//! What the demo promises, checked against what the partners heard and what the node recorded.

use super::stage::Stage;
use load::Report;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use switch::cdr::read::{Columns, Filter, rows};

/// One promise.
pub(super) struct Promise {
    /// Whether it held.
    pub held: bool,
    /// What was promised, with the figures.
    pub text: String,
}

fn promise(held: bool, text: String) -> Promise {
    Promise { held, text }
}

/// How long the records may take after the last call.
const PATIENCE: Duration = Duration::from_secs(20);

/// Checks every promise.
pub(super) fn check(stage: &Stage, report: &Report, calls: u64) -> Vec<Promise> {
    let finals = finals(stage, calls);
    let answered = finals.values().flatten().filter(|row| !column(row, "answered").is_empty()).count() as u64;
    let once = finals.values().filter(|rows| rows.len() == 1).count() as u64;
    let mut promises = vec![
        promise(
            report.failed == 0 && report.offered == calls,
            format!("every call did what it was meant to: {} placed, {} failed", report.offered, report.failed),
        ),
        promise(
            once == calls && finals.len() as u64 == calls,
            format!("every call has exactly one final record: {once} of {calls}"),
        ),
        promise(
            answered == report.answered,
            format!("the records know the answered calls: {answered} recorded, {} answered", report.answered),
        ),
    ];
    if let Some(audio) = &report.audio {
        promises.push(promise(
            audio.silent_legs == 0 && audio.packets_received > 0,
            format!("every answered leg heard the other: {} legs, {} silent", audio.legs, audio.silent_legs),
        ));
        promises.push(promise(
            audio.bad_samples == 0 && audio.packets_lost == 0,
            format!(
                "the audio is the one sent: {} packets, {} lost, {} wrong samples",
                audio.packets_received, audio.packets_lost, audio.bad_samples
            ),
        ));
    }
    promises.push(promise(idle(stage), "every channel was given back".to_owned()));
    promises
}

/// Final rows by call, once they are all there.
fn finals(stage: &Stage, calls: u64) -> BTreeMap<String, Vec<Columns>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = rows(&stage.records(), &Filter { limit: 1_000_000, ..Filter::default() }).unwrap_or_default();
        let mut by_call: BTreeMap<String, Vec<Columns>> = BTreeMap::new();
        for row in all.into_iter().filter(|row| column(row, "final") == "true") {
            by_call.entry(column(&row, "call_id").to_owned()).or_default().push(row);
        }
        if by_call.len() as u64 >= calls || Instant::now() > deadline {
            return by_call;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn column<'a>(row: &'a Columns, name: &str) -> &'a str {
    row.get(name).map_or("", String::as_str)
}

/// Whether no trunk has a channel in use.
fn idle(stage: &Stage) -> bool {
    let trunks = stage.get("trunks").and_then(|answer| crate::client::rows(answer, "trunks").ok()).unwrap_or_default();
    !trunks.is_empty()
        && trunks.iter().all(|row| row.get("channels_used").and_then(serde_json::Value::as_u64) == Some(0))
}
