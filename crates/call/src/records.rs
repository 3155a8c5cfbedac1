//! Records: what an attempt and the call come to, as rows.

use crate::attempt::{Try, account_of, trunk_of};
use crate::caller::Caller;
use crate::core::{Core, Env};
use crate::effect::{Direction, Effect, Event as Count};
use crate::input::MediaStats;
use crate::record::{EndedBy, Record, Row};
use serde::{Deserialize, Serialize};
use sip::clock::{Instant, Wall};
use std::sync::Arc;
use std::time::Duration;

/// How a call or an attempt ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) code: u16,
    pub(crate) q850: u16,
    pub(crate) by: EndedBy,
    pub(crate) reason: Arc<str>,
}

impl Ending {
    pub(crate) fn new(code: u16, q850: u16, by: EndedBy, reason: &str) -> Self {
        Self { code, q850, by, reason: reason.into() }
    }
}

/// Who asked for an attempt that the caller did not make: the one who transferred the call. Its account pays.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Payer {
    trunk: Arc<str>,
    account: Arc<str>,
    caller_in: Arc<str>,
    called_in: Arc<str>,
    lrn: Arc<str>,
    call_id: Arc<str>,
}

impl Payer {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self {
            trunk: caller.source.trunk_name(),
            account: caller.source.account(),
            caller_in: caller.caller_in.clone(),
            called_in: caller.called_in.clone(),
            lrn: caller.lrn.clone(),
            call_id: caller.call_id.clone(),
        }
    }
}

/// The callee's side of a row: what is left of an attempt when it is answered. It stays to the call's end.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Callee {
    pub(crate) attempt: u32,
    pub(crate) started: Wall,
    pub(crate) ringing: Option<Wall>,
    pub(crate) answered: Option<Wall>,
    /// By the monotonic clock.
    pub(crate) answered_mono: Option<Instant>,
    pub(crate) trunk: Arc<str>,
    pub(crate) account: Arc<str>,
    /// The name under which metrics count it; empty: nothing was sent.
    pub(crate) metric: Arc<str>,
    pub(crate) caller_out: Arc<str>,
    pub(crate) called_out: Arc<str>,
    pub(crate) prefix: Arc<str>,
    pub(crate) pdd_ms: Option<u64>,
    pub(crate) call_id: Arc<str>,
    /// Absent where the caller pays.
    pub(crate) payer: Option<Box<Payer>>,
}

impl Callee {
    /// Of an attempt.
    pub(crate) fn of(attempt: &Try) -> Self {
        Self::paid_by(attempt, None)
    }

    /// Of an attempt that was made for somebody else than the caller.
    pub(crate) fn paid_by(attempt: &Try, payer: Option<Payer>) -> Self {
        let pdd = attempt.ringing.map(|ringing| ringing.mono.since(attempt.started.mono));
        Self {
            attempt: attempt.number,
            started: attempt.started.wall,
            ringing: attempt.ringing.map(|ringing| ringing.wall),
            answered: None,
            answered_mono: None,
            trunk: trunk_of(&attempt.plan.target).map_or_else(|| Arc::from(""), |trunk| trunk.name.clone()),
            account: account_of(&attempt.plan.target),
            metric: attempt.metric(),
            caller_out: attempt.caller_out.clone(),
            called_out: attempt.called_out.clone(),
            prefix: attempt.plan.prefix.to_string().into(),
            pdd_ms: pdd.map(|pdd| u64::try_from(pdd.as_millis()).unwrap_or(u64::MAX)),
            call_id: attempt.call_id.clone(),
            payer: payer.map(Box::new),
        }
    }

    /// The answer came now. Where nothing rang before, the delay until then is what is counted.
    pub(crate) fn answer(&mut self, core: &mut Core, env: &Env<'_>, attempt: &Try) {
        self.answered = Some(env.now.wall);
        self.answered_mono = Some(env.now.mono);
        if self.pdd_ms.is_none() {
            let delay = env.now.mono.since(attempt.started.mono);
            self.pdd_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            core.out.push_back(Effect::Event(Count::Rang { trunk: attempt.metric(), delay }));
        }
    }

    /// From answer to `now`.
    pub(crate) fn duration(&self, now: Instant) -> Option<Duration> {
        self.answered_mono.map(|answered| now.since(answered))
    }
}

/// Writes a row.
pub(crate) fn row(
    core: &Core,
    env: &Env<'_>,
    caller: &Caller,
    callee: &Callee,
    ending: &Ending,
    is_final: bool,
) -> Row {
    let duration = callee.duration(env.now.mono).unwrap_or_default();
    let own = || Payer::of(caller);
    let payer = callee.payer.as_deref().cloned().unwrap_or_else(own);
    Row {
        call: core.id,
        attempt: callee.attempt.max(1),
        is_final,
        started: if callee.attempt <= 1 { caller.started } else { callee.started },
        ringing: callee.ringing,
        answered: callee.answered,
        ended: env.now.wall,
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        ingress_trunk: payer.trunk,
        egress_trunk: callee.trunk.clone(),
        ingress_account: payer.account,
        egress_account: callee.account.clone(),
        caller_in: payer.caller_in,
        called_in: payer.called_in,
        caller_out: callee.caller_out.clone(),
        called_out: callee.called_out.clone(),
        lrn: payer.lrn,
        prefix: callee.prefix.clone(),
        pdd_ms: callee.pdd_ms,
        sip_code: ending.code,
        q850: ending.q850,
        ended_by: ending.by,
        reason: ending.reason.clone(),
        codec: core.media.codec().clone(),
        mos: 0.0,
        jitter_ms: 0.0,
        loss_percent: 0.0,
        takeovers: core.takeovers,
        ingress_call_id: payer.call_id,
        egress_call_id: callee.call_id.clone(),
    }
}

/// Adds the media figures: the worse of both sides.
pub(crate) fn add_figures(row: &mut Row, stats: &MediaStats) {
    let sides = [&stats.a, &stats.b];
    let loss = |side: &crate::input::SideStats| {
        let sent = side.packets.saturating_add(side.lost);
        #[allow(clippy::cast_precision_loss, reason = "a percentage for reading")]
        if sent == 0 { 0.0 } else { side.lost as f32 * 100.0 / sent as f32 }
    };
    let known = sides.iter().map(|side| side.mos).filter(|mos| *mos > 0.0);
    row.mos = known.fold(0.0, |low: f32, mos| if low == 0.0 { mos } else { low.min(mos) });
    row.jitter_ms = sides.iter().map(|side| side.jitter_ms).fold(0.0, f32::max);
    row.loss_percent = sides.iter().map(|side| loss(side)).fold(0.0, f32::max);
}

impl Core {
    /// The row of an attempt that is followed by another one.
    pub(crate) fn close_attempt(&mut self, env: &Env<'_>, attempt: &Try, ending: &Ending) {
        self.close_row(env, &Callee::of(attempt), ending);
    }

    /// A row that is not the call's last one.
    pub(crate) fn close_row(&mut self, env: &Env<'_>, callee: &Callee, ending: &Ending) {
        let Some(caller) = &self.caller else { return };
        let row = row(self, env, caller, callee, ending, false);
        self.out.push_back(Effect::Record(Record::Close(Box::new(row))));
    }

    /// Counts how each side sounded: what came from the caller is its trunk's, what came from the callee the carrier's.
    pub(crate) fn count_quality(&mut self, row: &Row, stats: &MediaStats) {
        let sides = [
            (&row.ingress_trunk, Direction::Ingress, stats.a.mos),
            (&row.egress_trunk, Direction::Egress, stats.b.mos),
        ];
        for (trunk, direction, mos) in sides.into_iter().filter(|(_, _, mos)| *mos > 0.0) {
            self.out.push_back(Effect::Event(Count::Heard { trunk: (&**trunk).into(), direction, mos }));
        }
    }

    /// Counts a failed attempt.
    pub(crate) fn count_failure(&mut self, trunk: Arc<str>, direction: Direction, code: u16) {
        self.out.push_back(Effect::Event(Count::Failed { trunk, direction, code }));
    }
}
