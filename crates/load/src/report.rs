//! What a run found, as data and as text.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use crate::histogram::Quantiles;

/// The result of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Seconds from the first call to the last end.
    pub elapsed_seconds: f64,
    /// Calls started.
    pub offered: u64,
    /// Calls that the schedule wanted but the limit of open calls held back.
    pub held_back: u64,
    /// Calls answered.
    pub answered: u64,
    /// Answered calls that ended as planned.
    pub completed: u64,
    /// Refused with 486, as planned.
    pub busy: u64,
    /// Ended by CANCEL, as planned.
    pub cancelled: u64,
    /// Refused after ringing, as planned.
    pub not_answered: u64,
    /// Calls that ended otherwise than planned.
    pub failed: u64,
    /// Those by their reason: a SIP status code, or words for what has none.
    pub failures: BTreeMap<String, u64>,
    /// Calls still open when the run gave up waiting.
    pub still_open: u64,
    /// Requests and responses that we sent again (timers A, E, G of RFC 3261 §17 and 2xx of §13.3.1.4).
    pub retransmissions_sent: u64,
    /// Requests and responses that came in again.
    pub retransmissions_seen: u64,
    /// Calls that were placed at another entrance, because the first one said nothing.
    #[serde(default)]
    pub failed_over: u64,
    /// Answered calls with which the switch went on from another address.
    #[serde(default)]
    pub moved: u64,
    /// Calls that were answered from another address than they were placed at.
    #[serde(default)]
    pub rescued: u64,
    /// Further answers of a call, from an entrance that it had passed over or from another fork; each was ended at once.
    #[serde(default)]
    pub dismissed: u64,
    /// Requests within calls from an address that the switch had moved away from: its former owner is not silent.
    #[serde(default)]
    pub stale: u64,
    /// Of the failed calls, those that had rung, and those that had been answered.
    #[serde(default)]
    pub failed_ringing: u64,
    /// See [`Report::failed_ringing`].
    #[serde(default)]
    pub failed_answered: u64,
    /// When the first and the last call that failed before it rang were placed, in milliseconds since the start.
    #[serde(default)]
    pub failed_between_ms: Option<(u64, u64)>,
    /// Datagrams that were no SIP, or belonged to no call.
    pub stray: u64,
    /// The most calls open at once.
    pub max_in_flight: u64,
    /// From INVITE to 200, in microseconds, ringing included.
    pub setup_us: Quantiles,
    /// From INVITE to the first 18x, in microseconds.
    pub post_dial_delay_us: Quantiles,
    /// The calls by the entrance at which they were placed.
    #[serde(default)]
    pub targets: Vec<TargetReport>,
    /// The callees' side, where they ran here.
    pub callee: CalleeReport,
    /// The audio, where it was on.
    pub audio: Option<AudioReport>,
}

/// The calls that were placed at one entrance of the switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    /// The entrance.
    pub target: SocketAddr,
    /// Calls started.
    pub offered: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls that ended otherwise than planned.
    pub failed: u64,
}

/// What the callees saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CalleeReport {
    /// Initial INVITEs.
    pub offered: u64,
    /// Answered with 200 and acknowledged.
    pub answered: u64,
    /// Answered calls that ended with a BYE.
    pub completed: u64,
    /// Answered calls with which the switch went on from another address.
    #[serde(default)]
    pub moved: u64,
    /// What went wrong, by reason.
    pub failures: BTreeMap<String, u64>,
}

/// What the receivers of the tones found, over all legs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AudioReport {
    /// Legs that were told to send and listen.
    pub legs: u64,
    /// Of those, legs that never heard a packet.
    pub silent_legs: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets received and accepted as RTP.
    pub packets_received: u64,
    /// Gaps in the sequence numbers between the first and the last packet of a leg.
    pub packets_lost: u64,
    /// Packets that came twice.
    pub packets_repeated: u64,
    /// Packets that came behind a later one.
    pub packets_late: u64,
    /// Datagrams that were no RTP of the negotiated codec.
    pub packets_foreign: u64,
    /// Packets that came before the far end's description did: audio may overtake the 200.
    pub packets_early: u64,
    /// Packets with at least one wrong sample.
    pub bad_packets: u64,
    /// Samples that differ from what the far end sent.
    pub bad_samples: u64,
    /// Changes of SSRC in the middle of a leg.
    pub source_changes: u64,
    /// The longest pause of each leg, in milliseconds: quantiles over the legs.
    pub longest_gap_ms: Quantiles,
    /// The same, of the legs with which the switch went on from another address.
    #[serde(default)]
    pub moved_gap_ms: Quantiles,
    /// Of the lost packets, those of legs with which the switch went on from another address.
    #[serde(default)]
    pub moved_lost: u64,
    /// The longest time in which the generator's own thread did not get to its sockets, in milliseconds: pauses up to
    /// this long may be its own fault.
    pub own_pause_ms: u64,
    /// Packets that the system did not take.
    pub send_errors: u64,
}

impl AudioReport {
    /// Every leg heard its tone, and nothing but its tone.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.silent_legs + self.bad_samples + self.packets_foreign + self.packets_lost == 0
    }
}

impl Report {
    /// Every call did what it was planned to do, and no message had to be sent twice.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed + self.still_open + self.held_back == 0
            && self.retransmissions_sent + self.retransmissions_seen == 0
            && self.callee.failures.is_empty()
            && self.audio.as_ref().is_none_or(AudioReport::is_clean)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offered > 0 {
            self.callers(f)?;
        }
        let callee = &self.callee;
        if callee.offered > 0 {
            let (offered, answered, completed) = (callee.offered, callee.answered, callee.completed);
            writeln!(f, "callees     {offered} called, {answered} answered, {completed} completed")?;
        }
        reasons(f, "callees saw", &callee.failures)?;
        if self.held_back + self.still_open + self.stray > 0 {
            let (held, open, stray) = (self.held_back, self.still_open, self.stray);
            writeln!(f, "beside      {held} held back, {open} still open, {stray} stray datagrams")?;
        }
        if self.failed_over + self.moved + callee.moved > 0 {
            let (over, callers, callees) = (self.failed_over, self.moved, callee.moved);
            let late = self.dismissed;
            writeln!(
                f,
                "moved       {callers} callers and {callees} callees; {over} calls went to another entrance, \
                 {late} of them answered at both"
            )?;
        }
        writeln!(
            f,
            "again       {} sent, {} seen; at most {} calls at once",
            self.retransmissions_sent, self.retransmissions_seen, self.max_in_flight
        )?;
        self.audio.as_ref().map_or(Ok(()), |audio| audio.fmt(f))
    }
}

impl Report {
    fn callers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "calls       {} offered in {:.1} s ({:.0}/s), {} answered, {} completed, {} failed",
            self.offered,
            self.elapsed_seconds,
            self.offered as f64 / self.elapsed_seconds.max(0.001),
            self.answered,
            self.completed,
            self.failed
        )?;
        if self.busy + self.cancelled + self.not_answered > 0 {
            writeln!(
                f,
                "as planned  {} busy, {} cancelled, {} not answered",
                self.busy, self.cancelled, self.not_answered
            )?;
        }
        for TargetReport { target, offered, answered, failed } in self.targets.iter().filter(|_| self.targets.len() > 1)
        {
            writeln!(f, "placed at   {target}: {offered} offered, {answered} answered, {failed} failed")?;
        }
        reasons(f, "failed by", &self.failures)?;
        milliseconds(f, "answer in  ", &self.setup_us)?;
        milliseconds(f, "ringing in ", &self.post_dial_delay_us)
    }
}

impl fmt::Display for AudioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "audio       {} legs ({} silent), {} packets sent, {} received, {} lost, {} late, {} repeated, {} foreign",
            self.legs,
            self.silent_legs,
            self.packets_sent,
            self.packets_received,
            self.packets_lost,
            self.packets_late,
            self.packets_repeated,
            self.packets_foreign
        )?;
        if self.moved_gap_ms.max > 0 {
            let gap = &self.moved_gap_ms;
            writeln!(f, "pauses      of moved legs: p50 {} ms, p99 {} ms, at most {} ms", gap.p50, gap.p99, gap.max)?;
        }
        writeln!(
            f,
            "tones       {} wrong samples in {} packets; longest pause {} ms (median of legs {} ms, our own {} ms)",
            self.bad_samples, self.bad_packets, self.longest_gap_ms.max, self.longest_gap_ms.p50, self.own_pause_ms
        )
    }
}

fn reasons(f: &mut fmt::Formatter<'_>, title: &str, reasons: &BTreeMap<String, u64>) -> fmt::Result {
    if reasons.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
    writeln!(f, "{title:<11} {}", list.join(", "))
}

fn milliseconds(f: &mut fmt::Formatter<'_>, title: &str, q: &Quantiles) -> fmt::Result {
    let ms = |us: u64| us as f64 / 1000.0;
    writeln!(f, "{title} p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms", ms(q.p50), ms(q.p99), ms(q.max))
}
