//! What the partners heard and the nodes recorded, as a row of the table.

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::{Fault, Met};
use crate::partners::Size;
use load::Report;
use tests::Cluster;
use tests::cluster::Member;
use tests::process::report;

/// The pauses that are allowed, at the median and at p99, in milliseconds.
const GAPS: (u64, u64) = (1_500, 3_000);
/// New calls may fail for so long, in milliseconds.
const DARK: u64 = 3_000;
/// Of the calls that rang, so many in a hundred get their answer.
const RESCUED: u64 = 95;

/// See the module.
pub(crate) struct Verdict {
    name: &'static str,
    met: Met,
    heard: Report,
    /// The callers' Call-IDs that have a final record. One that heard 503 somewhere has one of each node that it tried.
    callers: BTreeSet<String>,
    /// Final records by call, as text.
    finals: BTreeMap<String, Vec<String>>,
    answered: usize,
    /// Final records of calls that were refused, as text.
    refused: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(name: &'static str, met: Met, heard: Report) -> Self {
        let (callers, finals, answered, refused) = Default::default();
        Self { name, met, heard, callers, finals, answered, refused }
    }

    /// Reads the records of all nodes.
    pub(crate) fn count(&mut self, cluster: &Cluster<'_>) {
        (self.callers, self.finals, self.answered, self.refused) = Default::default();
        for row in cluster.members().iter().flat_map(|member| member.cdrs()).filter(|row| row.last) {
            self.answered += usize::from(row.is_answered());
            if row.sip_code.is_some_and(|code| code >= 500) {
                let (call, code, why) = (&row.call_id, row.sip_code.unwrap_or(0), &row.reason);
                self.refused.push(format!("{call} {code} `{why}` {} to {}", row.started, row.ended));
            }
            self.finals.entry(row.call_id.clone()).or_default().push(format!("{row:?}"));
            self.callers.insert(row.ingress_call_id);
        }
    }

    /// Calls that have a record to expect: all but those that no node has ever heard of.
    fn expected(&self) -> u64 {
        let unheard = self.heard.failures.get("no response to INVITE").copied().unwrap_or(0);
        self.heard.offered - unheard
    }

    pub(crate) fn has_all_records(&self) -> bool {
        self.callers.len() as u64 >= self.expected()
            && self.answered as u64 >= self.heard.answered + self.heard.dismissed
    }

    fn doubled(&self) -> usize {
        self.finals.values().filter(|rows| rows.len() > 1).count()
    }

    /// The records of calls that have more than one.
    fn twins(&self) -> String {
        let twins = self.finals.values().filter(|rows| rows.len() > 1).flatten();
        twins.map(|row| format!("{row}\n")).collect()
    }

    fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.callers.len() as u64)
    }

    /// For how long new calls failed.
    fn dark_ms(&self) -> u64 {
        self.heard.failed_between_ms.map_or(0, |(first, last)| last - first)
    }

    pub(crate) fn print(&self) {
        let heard = &self.heard;
        let gap = heard.audio.as_ref().map(|audio| audio.moved_gap_ms).unwrap_or_default();
        let setups = heard.failed - heard.failed_answered - heard.failed_ringing;
        report(&format!(
            "{:<27} {} calls offered, {} answered; the node carried {}; {} callers and {} callees moved, {} answered elsewhere",
            self.name, heard.offered, heard.answered, self.met.carried, heard.moved, heard.callee.moved, heard.rescued
        ));
        report(&format!(
            "{:<27} lost: {} established, {} ringing, {setups} setups (within {} ms); pause p50 {} ms, p99 {} ms, at most {} ms",
            "",
            heard.failed_answered,
            heard.failed_ringing,
            self.dark_ms(),
            gap.p50,
            gap.p99,
            gap.max
        ));
        report(&format!(
            "{:<27} {} requests of a former owner; {} went to another entrance; records: {} lost, {} doubled",
            "",
            heard.stale,
            heard.failed_over,
            self.lost(),
            self.doubled()
        ));
    }

    /// What is promised.
    #[track_caller]
    pub(crate) fn hold(&self, size: Size, fault: Fault, cluster: &Cluster<'_>) {
        let heard = &self.heard;
        let why = || {
            let (failures, callees, refused) = (&heard.failures, &heard.callee.failures, self.refused.join("\n"));
            let twins = self.twins();
            format!("{}: {failures:?}, {callees:?}\n{heard}\n{refused}\n{twins}{}", self.name, cluster.logs())
        };
        let doomed = self.met.doomed;
        assert!(heard.answered > 0 && heard.still_open <= doomed, "{}", why());
        assert!(heard.failed_answered <= doomed, "an established call was lost: {}", why());
        assert_eq!(heard.stale, 0, "a former owner was heard: {}", why());
        // A call that rang and of which both copies are gone is known to nobody.
        let unknown = if doomed > 0 { heard.failed_ringing } else { 0 };
        assert!(self.lost() <= unknown && self.doubled() == 0, "records: {}", why());
        // A call that was placed at two entrances is two calls to the switch, and may be answered twice.
        let answers = heard.answered + heard.dismissed;
        assert_eq!(self.answered as u64, answers, "answered calls in the records: {}", why());
        let bad = heard.audio.as_ref().map_or(0, |audio| audio.bad_samples);
        assert_eq!(bad, 0, "somebody heard something else than was said: {}", why());
        match fault {
            Fault::KillHeir | Fault::Storm => {}
            Fault::Cut | Fault::Rolling | Fault::Ending => assert_eq!(heard.failed, 0, "{}", why()),
            Fault::KillFollower | Fault::KillLeader | Fault::KillTwo | Fault::KillBoth | Fault::Pause => {
                let ringing = self.met.carried * size.ring_ms / (size.hold_s * 1_000 + size.ring_ms);
                let allowed = if size.exact { ringing * (100 - RESCUED) / 100 } else { ringing / 5 + 1 };
                assert!(heard.failed_ringing <= allowed, "{ringing} rang: {}", why());
                assert!(self.met.carried == 0 || heard.moved > 0, "nothing moved: {}", why());
                let led = |member: &Member| member.metric("tandem_takeover_calls_total", "result=\"ringing\"");
                let led: f64 = cluster.members().iter().map(led).sum();
                // The second of two nodes that die takes its count along.
                let known = matches!(fault, Fault::KillFollower | Fault::KillLeader);
                assert!(!known || led >= heard.rescued as f64, "{led} of {} were counted: {}", heard.rescued, why());
            }
        }
        if size.exact {
            assert!(self.dark_ms() <= DARK, "new calls failed for {} ms: {}", self.dark_ms(), why());
            let gap = heard.audio.as_ref().map(|audio| audio.moved_gap_ms).unwrap_or_default();
            let waits = matches!(fault, Fault::KillFollower | Fault::KillTwo);
            assert!(!waits || (gap.p50 <= GAPS.0 && gap.p99 <= GAPS.1), "{gap:?}: {}", why());
        }
    }
}
