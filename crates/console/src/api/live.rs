//! What is alive: calls, trunks, registrations, nodes, numbers; and the records of what was.

use super::ladder::{MediaSide, Move, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A node that was asked and did not answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Missing {
    /// Its name.
    pub node: String,
    /// Its failure domain.
    pub site: String,
    /// In words, such as `down` or `silent for 1 s`.
    pub why: String,
}

/// Which calls.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallFilter {
    /// From or to this trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Only those that stand after this id: the last of the listing before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Live calls.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// By id: by shard, epoch and the rest, as numbers.
    pub calls: Vec<Call>,
    /// There are more than these.
    #[serde(default)]
    pub more: bool,
    /// Nodes that did not answer, so that what they have is not here.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// A call that lives, or, where one is asked for, has ended a while ago.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    /// Its name in the cluster.
    pub id: String,
    /// `setup`, `ringing`, `answered`, `connected`, `clearing` or `ended`; `moved` where only a node tells of it that has it no
    /// more.
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
    /// The site of that node.
    #[serde(default)]
    pub site: String,
    /// When it ended; absent while it lives. This and all that follows only when one call is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// The final SIP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sip_code: Option<u16>,
    /// The Q.850 cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q850: Option<u16>,
    /// `caller`, `callee` or `switch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Why it ended, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ladder of its messages and decisions, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Step>,
    /// Rungs that are not in the ladder because there were too many: between the first and the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u32>,
    /// How each side sounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<MediaSide>,
    /// The nodes that owned it before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// Nodes that had it before and tell nothing of it, so that their part of the ladder is not here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
}

/// All trunks.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Trunks {
    /// By name.
    pub trunks: Vec<Trunk>,
    /// Nodes that did not answer, so that what they have is not here.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// A trunk as it stands.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Trunk {
    /// Its name.
    pub name: String,
    /// Its account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Channels in use on all nodes that answer.
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
    /// Whether a node is registered with the carrier; absent if none is meant to be.
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
    /// Whether this node is registered with the carrier; absent if it is not meant to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<bool>,
    /// Calls that came from it to this node.
    #[serde(default)]
    pub ingress: Traffic,
    /// Attempts that this node sent to it.
    #[serde(default)]
    pub egress: Traffic,
}

/// What has gone over a trunk one way, on one node since that started. Who reads it twice knows the time between.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Answered calls that are up.
    pub active: i64,
    /// Calls or attempts.
    pub attempts: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that rang, or were answered at once.
    pub rang: u64,
    /// Milliseconds until they rang, all together.
    pub pdd_ms_sum: u64,
    /// Legs that were heard until their end.
    pub heard: u64,
    /// Their listening quality (MOS) in thousandths, all together.
    pub mos_milli_sum: u64,
}

/// A gateway of a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Gateway {
    /// As it is written in the tables.
    pub address: String,
    /// `up` if it is from any site, else `unknown` if it is from any, else `down`.
    pub state: String,
    /// As it is seen from each site that answers.
    #[serde(default)]
    pub sites: Vec<GatewaySite>,
}

/// A gateway as it is seen from one site.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GatewaySite {
    /// The site.
    pub site: String,
    /// `up`, `down` or `unknown`; of several nodes there, as for several sites.
    pub state: String,
}

/// Who is registered.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Registrations {
    /// One a contact, by name.
    pub registrations: Vec<Registration>,
    /// There are more than these.
    #[serde(default)]
    pub more: bool,
    /// Nodes that did not answer, so that what they have is not here.
    #[serde(default)]
    pub missing: Vec<Missing>,
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
    /// The site of that node.
    #[serde(default)]
    pub site: String,
}

/// The nodes of the cluster.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Nodes {
    /// By name.
    pub nodes: Vec<Node>,
    /// Nodes that did not answer; they are among `nodes` with what the cluster knows of them.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

/// One node. What only the node itself knows is absent while it does not answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Unique in the cluster.
    pub name: String,
    /// Its failure domain.
    pub site: String,
    /// `up`, `draining`, `down` (it does not answer), or `fenced` (its shards were given to others).
    pub state: String,
    /// Calls that it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Addresses of record of its own shards, not those of which it keeps a copy for another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrations: Option<u64>,
    /// Sessions on its relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay_sessions: Option<u64>,
    /// The revision of its tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Milliseconds until its lease runs out, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_remaining_ms: Option<u64>,
    /// Milliseconds to it and back; absent for the node that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// Since when it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// Of the software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// The numbers that we serve.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Numbers {
    /// In their order.
    pub numbers: Vec<Number>,
    /// There are more than these.
    #[serde(default)]
    pub more: bool,
    /// Nodes that did not answer, so that the state of what they serve is not known.
    #[serde(default)]
    pub missing: Vec<Missing>,
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
