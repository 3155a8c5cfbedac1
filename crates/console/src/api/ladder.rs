//! What explains a call: its messages, what was decided between them, its moves between nodes, its media.

use serde::{Deserialize, Serialize};

/// Which call, and how much of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallQuery {
    /// Its name in the cluster.
    #[serde(default)]
    pub id: String,
    /// With the text of each message.
    #[serde(default)]
    pub messages: bool,
}

/// One rung of a ladder: a message, or what was decided at that moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: String,
    /// The same in microseconds since 1970.
    #[serde(default)]
    pub unix_us: u64,
    /// The node that tells it.
    #[serde(default)]
    pub node: String,
    /// `a` towards the caller, `b1`, `b2` … towards each attempt, `?` where it cannot be known; empty for a note on the whole
    /// call.
    pub leg: String,
    /// `in`, `out`, `unsent` (it could not be handed to the network), or `note`: no message, but what was decided.
    pub way: String,
    /// The method, or the code and reason of a response; of a note its text.
    pub what: String,
    /// Of a note: `source`, `plan`, `attempt`, `gateway`, `failed`, `ended`, `media`, `moved` or `party`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Of a note: the trunk or line that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// The method of a message: for a response that of its request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// `udp`, `tcp` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// The node's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// The peer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Retransmissions of the message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeats: u32,
    /// The last of them, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_unix_us: Option<u64>,
    /// The message describes a session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sdp: bool,
    /// Bytes of the whole message.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub length: u32,
    /// What is kept of the message, with its secrets blanked, if it is text. Only where messages are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The same of one that is no text, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_base64: Option<String>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A call moved to another node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Move {
    /// When.
    pub at: String,
    /// The owner before.
    pub from: String,
    /// The owner after.
    pub to: String,
    /// `node_lost` or `drain`.
    pub why: String,
}

/// The audio of one side, as far as one node relayed it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct MediaSide {
    /// The node.
    pub node: String,
    /// `caller` or `callee`.
    pub side: String,
    /// Packets that came from it.
    pub packets: u64,
    /// Packets of it that never came.
    pub lost: u64,
    /// Jitter of them.
    pub jitter_ms: f64,
    /// Listening quality by the E-model; 0 if it is not known.
    pub mos: f64,
    /// The payload type that came last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_type: Option<u8>,
}
