//! One call at a glance, for lists of live calls. It is made on demand and never kept.

use crate::attempt::{Try, trunk_of};
use crate::call::Call;
use crate::id::CallId;
use crate::state::State;
use sip::clock::{Now, Wall};
use std::sync::Arc;

/// What `tandem calls` shows of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Its name.
    pub id: CallId,
    /// `setup`, `ringing`, `answered`, `connected` or `clearing`.
    pub state: &'static str,
    /// The caller as received.
    pub caller: Arc<str>,
    /// The called number as received.
    pub called: Arc<str>,
    /// The trunk that it came from; empty for a line.
    pub ingress_trunk: Arc<str>,
    /// The trunk that it went or goes to; empty for a line, or before an attempt.
    pub egress_trunk: Arc<str>,
    /// When the INVITE came.
    pub started: Option<Wall>,
    /// When it was answered.
    pub answered: Option<Wall>,
    /// Seconds since the answer.
    pub seconds: u64,
    /// Encoding name of the audio; empty if not known.
    pub codec: Arc<str>,
    /// Attempts so far.
    pub attempts: u32,
}

impl Call {
    /// The call at a glance.
    #[must_use]
    pub fn summary(&self, now: Now) -> Summary {
        let core = &self.core;
        let caller = core.caller.as_deref();
        let mut summary = Summary {
            id: core.id,
            state: "setup",
            caller: caller.map_or_else(Arc::default, |caller| caller.caller_in.clone()),
            called: caller.map_or_else(Arc::default, |caller| caller.called_in.clone()),
            ingress_trunk: caller.map_or_else(|| Arc::from(""), |caller| caller.source.trunk_name()),
            egress_trunk: Arc::from(""),
            started: caller.map(|caller| caller.started),
            answered: None,
            seconds: 0,
            codec: core.media.codec().clone(),
            attempts: core.attempts,
        };
        match &self.state {
            State::Arriving | State::Admitting(_) => {}
            State::Seizing(state) => summary.attempted(&state.attempt),
            State::Anchoring(state) => summary.attempted(&state.attempt),
            State::Trying(state) => summary.attempted(state.attempt()),
            State::Answering(state) => summary.established("answered", &state.call.callee, now),
            State::Connected(state) => summary.established("connected", &state.callee, now),
            State::Transferring(state) => summary.established("connected", &state.call().callee, now),
            State::Moving(state) => summary.established("connected", &state.call().callee, now),
            State::Clearing(_) | State::Over => summary.state = "clearing",
        }
        summary
    }
}

impl Summary {
    fn attempted(&mut self, attempt: &Try) {
        self.egress_trunk = trunk_of(&attempt.plan.target).map_or_else(|| Arc::from(""), |trunk| trunk.name.clone());
        if attempt.ringing.is_some() {
            self.state = "ringing";
        }
    }

    fn established(&mut self, state: &'static str, callee: &crate::records::Callee, now: Now) {
        self.state = state;
        self.egress_trunk = callee.trunk.clone();
        self.answered = callee.answered;
        self.attempts = callee.attempt;
        self.seconds = callee.duration(now.mono).unwrap_or_default().as_secs();
    }
}
