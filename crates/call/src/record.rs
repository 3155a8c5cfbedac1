//! Call records: one row an attempt, exactly one row of a call with `is_final`.

use crate::id::CallId;
use serde::{Deserialize, Serialize};
use sip::clock::Wall;
use std::sync::Arc;

/// What happens to the records of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Record {
    /// The call was answered, or transferred: if nobody closes this row, it is closed as it is with `ended_by = switch`. With
    /// `is_final` it takes the place of the one that was opened before; without, it is a further leg of that call, beside it.
    Open(Box<Row>),
    /// One finished row: of a failed attempt, or, with `is_final`, of the call; the latter closes the open row.
    Close(Box<Row>),
}

/// Who ended a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the field's own words")]
pub enum EndedBy {
    Caller,
    Callee,
    Switch,
}

/// One row; the columns of the CSV in their order. Empty text where nothing is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The call.
    pub call: CallId,
    /// From 1; the row's `id` is `call-attempt`.
    pub attempt: u32,
    /// Whether this row closes the call.
    pub is_final: bool,
    /// INVITE received (of a later attempt: sent).
    pub started: Wall,
    /// First 180 or 183.
    pub ringing: Option<Wall>,
    /// 2xx.
    pub answered: Option<Wall>,
    /// BYE, CANCEL or final response.
    pub ended: Wall,
    /// From answer to end, by the monotonic clock, in milliseconds.
    pub duration_ms: u64,
    /// Trunk (or empty for a phone) it came from.
    pub ingress_trunk: Arc<str>,
    /// Trunk (or empty for a phone) it was sent to.
    pub egress_trunk: Arc<str>,
    /// Whose ingress trunk or phone.
    pub ingress_account: Arc<str>,
    /// Whose egress trunk or phone.
    pub egress_account: Arc<str>,
    /// As received.
    pub caller_in: Box<str>,
    /// As received.
    pub called_in: Box<str>,
    /// As sent.
    pub caller_out: Box<str>,
    /// As sent.
    pub called_out: Box<str>,
    /// Routing number of a ported one.
    pub lrn: Box<str>,
    /// The prefix that routed.
    pub prefix: Box<str>,
    /// From INVITE to the first 180 or 183.
    pub pdd_ms: Option<u64>,
    /// The final status of the attempt.
    pub sip_code: u16,
    /// Q.850 cause.
    pub q850: u16,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why, in a word.
    pub reason: Box<str>,
    /// Encoding name of the audio, such as `PCMA`.
    pub codec: Box<str>,
    /// Lower of both sides; 0 if unknown.
    pub mos: f32,
    /// Higher of both sides.
    pub jitter_ms: f32,
    /// Higher of both sides.
    pub loss_percent: f32,
    /// Times that another node took the call over.
    pub takeovers: u32,
    /// Call-ID of leg A.
    pub ingress_call_id: Box<str>,
    /// Call-ID of leg B.
    pub egress_call_id: Box<str>,
}
