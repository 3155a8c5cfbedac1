//! What the demo promises, checked against what the partners heard and what the nodes recorded.

use super::records::Final;
use super::scene::Death;
use load::Report;
use std::collections::BTreeMap;
use std::time::Duration;

/// A change must be in force everywhere within this.
const VISIBLE: Duration = Duration::from_secs(1);
/// The pauses of the calls whose site died.
const MEDIAN_GAP: Duration = Duration::from_millis(1_500);
const GAP: Duration = Duration::from_secs(3);
/// What a call hears that finds no channel.
const NO_CHANNEL: &str = "503";

/// What happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The calls of everyday that were asked for.
    pub calls: u64,
    /// What their partners heard.
    pub usual: Report,
    /// What those heard that called the small carrier all at once.
    pub burst: Report,
    /// Its channels.
    pub limit: u64,
    /// From the change at one node until it was in force at all.
    pub visible: Duration,
    /// Final records of all nodes by call.
    pub finals: BTreeMap<String, Vec<Final>>,
    /// The site that was killed.
    pub death: Death,
    /// From its start until it was one of the cluster again.
    pub back: Duration,
    /// Whether no trunk has a channel in use anywhere.
    pub idle: bool,
}

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

/// Every promise.
pub(super) fn of(facts: &Facts) -> Vec<Promise> {
    let mut promises = vec![visible(facts), as_meant(facts), limit(facts)];
    promises.extend(survival(facts));
    promises.extend(records(facts));
    promises.extend(audio(facts));
    promises.push(promise(facts.idle, "every channel was given back, at every site".to_owned()));
    promises
}

fn visible(facts: &Facts) -> Promise {
    let text = format!("a change made at one site was in force at all within 1 s: {} ms", facts.visible.as_millis());
    promise(facts.visible < VISIBLE, text)
}

fn as_meant(facts: &Facts) -> Promise {
    let Report { offered, failed, .. } = facts.usual;
    let text = format!("every call did what it was meant to, wherever it entered: {offered} placed, {failed} failed");
    promise(failed == 0 && offered == facts.calls, text)
}

/// Calls of the site that died went on elsewhere, soon.
fn survival(facts: &Facts) -> [Promise; 2] {
    let Death { node, calls, .. } = &facts.death;
    let (usual, burst) = (&facts.usual, &facts.burst);
    let (callers, callees) = (usual.moved + burst.moved, usual.callee.moved + burst.callee.moved);
    let gap = usual.audio.as_ref().map(|audio| audio.moved_gap_ms).unwrap_or_default();
    let (median, most) = (MEDIAN_GAP.as_millis(), GAP.as_millis());
    [
        promise(
            *calls > 0 && callers > 0 && callees > 0,
            format!("{node} was killed with {calls} calls; elsewhere {callers} callers and {callees} callees went on"),
        ),
        promise(
            u128::from(gap.p50) <= median && u128::from(gap.p99) <= most && gap.max > 0,
            format!("their silence: {} ms at the median (limit {median}), {} at p99 (limit {most})", gap.p50, gap.p99),
        ),
    ]
}

fn limit(facts: &Facts) -> Promise {
    let Report { offered, answered, .. } = facts.burst;
    let refused = facts.burst.failures.get(NO_CHANNEL).copied().unwrap_or(0);
    let held = answered == facts.limit && answered + refused == offered && offered > facts.limit;
    let text = format!(
        "the limit of {} channels held: of {offered} calls at once over all sites {answered} admitted, {refused} refused",
        facts.limit
    );
    promise(held, text)
}

fn records(facts: &Facts) -> [Promise; 2] {
    let offered = facts.usual.offered + facts.burst.offered;
    let heard = facts.usual.answered + facts.burst.answered;
    let once = facts.finals.values().filter(|rows| rows.len() == 1).count() as u64;
    let answered = facts.finals.values().flatten().filter(|last| last.answered).count() as u64;
    [
        promise(
            once == offered && facts.finals.len() as u64 == offered,
            format!("every call has exactly one final record in the cluster: {once} of {offered}"),
        ),
        promise(
            answered == heard,
            format!("the records know the answered calls: {answered} recorded, {heard} answered"),
        ),
    ]
}

fn audio(facts: &Facts) -> [Promise; 2] {
    let reports = [&facts.usual, &facts.burst].map(|report| report.audio.clone().unwrap_or_default());
    let sum = |figure: fn(&load::AudioReport) -> u64| reports.iter().map(figure).sum::<u64>();
    let heard = sum(|audio| audio.legs - audio.silent_legs);
    let answered = 2 * (facts.usual.answered + facts.burst.answered);
    let (received, lost, wrong) = (
        sum(|audio| audio.packets_received),
        sum(|audio| audio.packets_lost - audio.moved_lost),
        sum(|audio| audio.bad_samples),
    );
    [
        promise(
            heard >= answered && received > 0,
            format!("every leg of an answered call heard the other: {heard} of {answered}"),
        ),
        promise(
            wrong == 0 && lost == 0,
            format!(
                "the audio is the one sent: {received} packets, {lost} lost at living sites, {wrong} wrong samples"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use load::{AudioReport, CalleeReport, Quantiles};

    fn report(offered: u64, answered: u64) -> Report {
        let moved_gap_ms = Quantiles { p50: 900, p99: 1_900, max: 2_000, ..Quantiles::default() };
        let (legs, packets_received) = (answered * 2, 1_000);
        let audio = AudioReport { legs, packets_received, moved_gap_ms, ..AudioReport::default() };
        let callee = CalleeReport { moved: 3, ..CalleeReport::default() };
        Report { offered, answered, moved: 3, callee, audio: Some(audio), ..Report::default() }
    }

    fn facts() -> Facts {
        let names = ["fra-1", "lon-1", "ams-1"];
        let row = |call: usize| Final { node: names[call % 3].to_owned(), answered: call < 34 };
        Facts {
            calls: 30,
            usual: report(30, 24),
            burst: Report { failures: BTreeMap::from([("503".to_owned(), 50)]), ..report(60, 10) },
            limit: 10,
            visible: Duration::from_millis(40),
            finals: (0..90).map(|call| (format!("c{call}"), vec![row(call)])).collect(),
            death: Death { node: "lon-1".to_owned(), calls: 6, at: Duration::from_secs(9) },
            back: Duration::from_secs(2),
            idle: true,
        }
    }

    /// The words of the promises that did not hold.
    fn broken(change: impl FnOnce(&mut Facts)) -> Vec<String> {
        let mut facts = facts();
        change(&mut facts);
        of(&facts).into_iter().filter(|promise| !promise.held).map(|promise| promise.text).collect()
    }

    #[test]
    fn a_good_show_breaks_no_promise_and_each_is_a_line_of_a_hundred_columns() {
        assert_eq!(broken(|_| {}), Vec::<String>::new());
        for promise in of(&facts()) {
            assert!(promise.text.chars().count() <= 90, "{}", promise.text);
        }
    }

    #[test]
    fn each_fault_breaks_its_promise_and_no_other() {
        let first = |texts: Vec<String>| {
            assert_eq!(texts.len(), 1, "{texts:?}");
            texts[0].clone()
        };
        assert!(first(broken(|facts| facts.visible = Duration::from_millis(1_500))).contains("1500 ms"));
        assert!(first(broken(|facts| facts.usual.failed = 1)).contains("1 failed"));
        assert!(first(broken(|facts| facts.calls = 31)).contains("30 placed"));
        assert!(first(broken(|facts| facts.idle = false)).contains("given back"));
        let eleven = |facts: &mut Facts| facts.burst.failures = BTreeMap::from([("503".to_owned(), 49)]);
        assert!(first(broken(eleven)).contains("49 refused"));
        assert!(first(broken(|facts| facts.limit = 11)).contains("10 admitted"));
        assert!(first(broken(|facts| facts.death.calls = 0)).contains("with 0 calls"));
        let long = |facts: &mut Facts| facts.usual.audio.get_or_insert_default().moved_gap_ms.p99 = 3_001;
        assert!(first(broken(long)).contains("3001 at p99"));
        let silent = |facts: &mut Facts| facts.burst.audio.get_or_insert_default().silent_legs = 1;
        assert!(first(broken(silent)).contains("67 of 68"));
        let unheard = |facts: &mut Facts| {
            facts.usual.answered = 25;
            facts.usual.audio.get_or_insert_default().legs += 2;
        };
        assert!(first(broken(unheard)).contains("34 recorded, 35 answered"));
    }

    #[test]
    fn a_call_that_two_nodes_recorded_is_found() {
        let twice = |facts: &mut Facts| {
            let row = facts.finals["c0"][0].clone();
            facts.finals.entry("c0".to_owned()).or_default().push(Final { node: "ams-1".to_owned(), ..row });
        };
        let texts = broken(twice);
        assert!(
            texts.iter().any(|text| text.contains("exactly one final record in the cluster: 89 of 90")),
            "{texts:?}"
        );
    }
}
