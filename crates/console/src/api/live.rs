//! What is alive: calls, trunks, registrations, nodes, numbers; and the records of what was.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which calls.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallFilter {
    /// From or to this trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Live calls.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// In no order.
    pub calls: Vec<Call>,
}

/// A live call.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    /// Its name in the cluster.
    pub id: String,
    /// `setup`, `ringing`, `answered`, `connected` or `clearing`.
    pub state: String,
    /// The trunk that it came from; empty for a line.
    pub ingress_trunk: String,
    /// The trunk that it goes to; empty for a line, or before an attempt.
    pub egress_trunk: String,
    /// The caller as received.
    pub caller: String,
    /// The called number as received.
    pub called: String,
    /// When its INVITE came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
    /// Seconds since the answer.
    pub seconds: u64,
    /// Encoding name of the audio; empty if not known.
    pub codec: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The node that owns it.
    pub node: String,
    /// The ladder of its messages. Only when one call is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Step>,
    /// The nodes that owned it before. Only when one call is asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
}

/// One message of a call.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: String,
    /// `a` towards the caller, `b1`, `b2` … towards each attempt.
    pub leg: String,
    /// `in` or `out`.
    pub way: String,
    /// The method, or the code and reason of a response.
    pub what: String,
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

/// All trunks.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Trunks {
    /// By name.
    pub trunks: Vec<Trunk>,
}

/// A trunk as it stands.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Channels in use in the whole cluster.
    pub channels_used: u32,
    /// The limit of channels; absent is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_limit: Option<u32>,
    /// The limit of calls a second; absent is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cps_limit: Option<u32>,
    /// Who uses them: each node that answers.
    pub nodes: Vec<Share>,
    /// Where calls to it go.
    pub gateways: Vec<Gateway>,
    /// Whether we are registered with the carrier; absent if we are not meant to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
}

/// What one node uses of a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Share {
    /// The node.
    pub node: String,
    /// Channels in use there.
    pub channels_used: u32,
    /// Channels that it may use without asking the trunk's leader; absent where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_leased: Option<u32>,
}

/// A gateway of a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Gateway {
    /// As it is written in the tables.
    pub address: String,
    /// `up`, `down` or `unknown`.
    pub state: String,
}

/// Who is registered.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Registrations {
    /// One a contact.
    pub registrations: Vec<Registration>,
}

/// One binding of a contact.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Registration {
    /// The line or trunk.
    pub name: String,
    /// Its contact.
    pub contact: String,
    /// Seconds that are left.
    pub expires_seconds: u32,
    /// The transport that it came over.
    pub transport: String,
    /// What it calls itself.
    pub user_agent: String,
    /// The node that holds it.
    pub node: String,
}

/// The nodes of the cluster.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Nodes {
    /// By name.
    pub nodes: Vec<Node>,
}

/// One node.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the cluster.
    pub name: String,
    /// Its failure domain.
    pub site: String,
    /// `up`, `draining` or `down`.
    pub state: String,
    /// Calls that it owns.
    pub calls: u64,
    /// Registrations that it holds.
    pub registrations: u64,
    /// Sessions on its relay.
    pub relay_sessions: u64,
    /// The revision of its tables.
    pub revision: u64,
    /// Since when it runs.
    pub started: String,
    /// Of the software.
    pub version: String,
}

/// The numbers that we serve.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Numbers {
    /// In their order.
    pub numbers: Vec<Number>,
}

/// A number that we serve.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Number {
    /// With its `+`.
    pub number: String,
    /// Its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Where calls to it go.
    pub to: String,
    /// Where they go when that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    /// Of what it leads to: `registered`, `not registered`, `up`, `down`, `unknown`; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// Which call records.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CdrFilter {
    /// Ended at or after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Of this ingress or egress trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// At most so many, the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Call records.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Cdrs {
    /// The oldest first.
    pub cdrs: Vec<Cdr>,
}

/// One row: column to text, by the names of the CSV files.
pub type Cdr = BTreeMap<String, String>;
