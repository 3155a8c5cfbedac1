//! Call records: one row an attempt, exactly one row of a call with `is_final`.

use crate::id::CallId;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use sip::clock::Wall;
use std::fmt;
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
    #[serde(deserialize_with = "text")]
    pub ingress_trunk: Arc<str>,
    /// Trunk (or empty for a phone) it was sent to.
    #[serde(deserialize_with = "text")]
    pub egress_trunk: Arc<str>,
    /// Whose ingress trunk or phone.
    #[serde(deserialize_with = "text")]
    pub ingress_account: Arc<str>,
    /// Whose egress trunk or phone.
    #[serde(deserialize_with = "text")]
    pub egress_account: Arc<str>,
    /// As received.
    #[serde(deserialize_with = "text")]
    pub caller_in: Arc<str>,
    /// As received.
    #[serde(deserialize_with = "text")]
    pub called_in: Arc<str>,
    /// As sent.
    #[serde(deserialize_with = "text")]
    pub caller_out: Arc<str>,
    /// As sent.
    #[serde(deserialize_with = "text")]
    pub called_out: Arc<str>,
    /// Routing number of a ported one.
    #[serde(deserialize_with = "text")]
    pub lrn: Arc<str>,
    /// The prefix that routed.
    #[serde(deserialize_with = "text")]
    pub prefix: Arc<str>,
    /// From INVITE to the first 180 or 183.
    pub pdd_ms: Option<u64>,
    /// The final status of the attempt.
    pub sip_code: u16,
    /// Q.850 cause.
    pub q850: u16,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// Why, in a word.
    #[serde(deserialize_with = "text")]
    pub reason: Arc<str>,
    /// Encoding name of the audio, such as `PCMA`.
    #[serde(deserialize_with = "text")]
    pub codec: Arc<str>,
    /// Lower of both sides; 0 if unknown.
    pub mos: f32,
    /// Higher of both sides.
    pub jitter_ms: f32,
    /// Higher of both sides.
    pub loss_percent: f32,
    /// Times that another node took the call over.
    pub takeovers: u32,
    /// Call-ID of leg A.
    #[serde(deserialize_with = "text")]
    pub ingress_call_id: Arc<str>,
    /// Call-ID of leg B.
    #[serde(deserialize_with = "text")]
    pub egress_call_id: Arc<str>,
}

/// Reads a text with one allocation, or with none if it is empty: rows are read as often as they are written.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Arc<str>;

        fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
            to.write_str("a text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(if text.is_empty() { Arc::default() } else { text.into() })
        }
    }

    from.deserialize_str(Text)
}
