//! The running counts of a run, and how they become its report.

use std::collections::BTreeMap;

use crate::histogram::Histogram;
use crate::report::{CalleeReport, TargetReport};
use crate::{Options, Report};

/// How a call ended.
pub(crate) enum End {
    /// Answered, held, and ended as planned.
    Completed,
    /// 486, as planned.
    Busy,
    /// CANCEL and 487, as planned.
    Cancelled,
    /// 480 after ringing, as planned.
    NotAnswered,
    /// Anything else.
    Failed(String),
}

#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) offered: u64,
    pub(crate) held_back: u64,
    /// The run was told to stop: calls may end before their time.
    pub(crate) stopping: bool,
    pub(crate) answered: u64,
    pub(crate) completed: u64,
    pub(crate) busy: u64,
    pub(crate) cancelled: u64,
    pub(crate) not_answered: u64,
    pub(crate) failed: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    pub(crate) sent_again: u64,
    pub(crate) seen_again: u64,
    /// Calls that went to another entrance, and those with which the switch went on from another address.
    pub(crate) failed_over: u64,
    pub(crate) rescued: u64,
    pub(crate) dismissed: u64,
    pub(crate) stale: u64,
    pub(crate) failed_ringing: u64,
    pub(crate) failed_answered: u64,
    pub(crate) failed_between: Option<(u64, u64)>,
    pub(crate) moved: u64,
    pub(crate) stray: u64,
    pub(crate) open_callers: u64,
    pub(crate) open_callees: u64,
    pub(crate) max_in_flight: u64,
    pub(crate) setup: Histogram,
    pub(crate) ringing: Histogram,
    pub(crate) callee: CalleeReport,
    targets: Vec<TargetReport>,
}

impl Tally {
    pub(crate) fn caller_ended(&mut self, end: End) {
        self.open_callers -= 1;
        match end {
            End::Completed => self.completed += 1,
            End::Busy => self.busy += 1,
            End::Cancelled => self.cancelled += 1,
            End::NotAnswered => self.not_answered += 1,
            End::Failed(reason) => {
                self.failed += 1;
                *self.failures.entry(reason).or_default() += 1;
            }
        }
    }

    pub(crate) fn callee_ended(&mut self, end: End) {
        self.open_callees -= 1;
        match end {
            End::Completed => self.callee.completed += 1,
            End::Busy | End::Cancelled | End::NotAnswered => {}
            End::Failed(reason) => *self.callee.failures.entry(reason).or_default() += 1,
        }
    }

    /// A caller's call has failed, which began at `started`.
    pub(crate) fn caller_failed(&mut self, started: u64, rang: bool, answered: bool) {
        if answered {
            self.failed_answered += 1;
        } else if rang {
            self.failed_ringing += 1;
        } else {
            let (first, last) = self.failed_between.unwrap_or((started, started));
            self.failed_between = Some((first.min(started), last.max(started)));
        }
    }

    /// The figures of the entrance at which call number `serial` is placed.
    pub(crate) fn target(&mut self, options: &Options, serial: u64) -> &mut TargetReport {
        let (index, _) = options.target_of(serial);
        while self.targets.len() <= options.more_targets.len() {
            let (_, target) = options.target_of(self.targets.len() as u64);
            self.targets.push(TargetReport { target, offered: 0, answered: 0, failed: 0 });
        }
        &mut self.targets[index]
    }

    pub(crate) fn refused(&self) -> u64 {
        self.busy + self.cancelled + self.not_answered
    }

    pub(crate) fn into_report(self, elapsed_us: u64) -> Report {
        Report {
            elapsed_seconds: elapsed_us as f64 / 1e6,
            offered: self.offered,
            held_back: self.held_back,
            answered: self.answered,
            completed: self.completed,
            busy: self.busy,
            cancelled: self.cancelled,
            not_answered: self.not_answered,
            failed: self.failed,
            failures: self.failures,
            still_open: self.open_callers + self.open_callees,
            retransmissions_sent: self.sent_again,
            retransmissions_seen: self.seen_again,
            failed_over: self.failed_over,
            moved: self.moved,
            rescued: self.rescued,
            dismissed: self.dismissed,
            stale: self.stale,
            failed_ringing: self.failed_ringing,
            failed_answered: self.failed_answered,
            failed_between_ms: self.failed_between.map(|(first, last)| (first / 1000, last / 1000)),
            stray: self.stray,
            max_in_flight: self.max_in_flight,
            setup_us: self.setup.quantiles(),
            post_dial_delay_us: self.ringing.quantiles(),
            callee: self.callee,
            targets: self.targets,
            audio: None,
        }
    }
}
