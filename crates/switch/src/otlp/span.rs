//! Phases as spans of OTLP. Every id follows from the name of the call, so the parts that several nodes tell are one trace, and
//! all have the same parent, whichever node sends that.

use super::part::{Event, Happened, Leg, Phase, What, Whole};
use crate::ladder::{Fault, Said, Way, Why};
use ::call::CallId;
use ::call::effect::MediaSide;
use ::call::input::{MediaStats, SideStats};
use ::call::note::By;
use ::call::record::EndedBy;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use routing::cluster::NodeId;

/// The trace is sampled (W3C Trace Context).
const SAMPLED: u32 = 1;
/// The first status that is our failure rather than an answer of the callee.
const SERVER_ERROR: u16 = 500;

/// Which span of a call: the upper half says what it is, the lower one counts.
const ROOT: u64 = 0;
const ROUTING: u64 = 1 << 32;
const ATTEMPT: u64 = 2 << 32;
const CONVERSATION: u64 = 3 << 32;
const CARRIED: u64 = 4 << 32;

/// The node that tells.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) node: String,
    pub(super) site: String,
    /// Its number in the cluster.
    pub(super) number: NodeId,
}

/// All phases of a batch, as the collector takes them. `name_of` knows the names of nodes.
pub(super) fn batch(teller: &Teller, phases: &[Phase], name_of: &dyn Fn(NodeId) -> String) -> ResourceSpans {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![
        text("service.name", "tandem"),
        text("service.version", version),
        text("service.instance.id", &teller.node),
        text("tandem.node", &teller.node),
        text("tandem.site", &teller.site),
    ];
    let scope = InstrumentationScope { name: "tandem".to_owned(), version: version.to_owned(), ..Default::default() };
    let spans = phases.iter().map(|phase| span(teller, phase, name_of)).collect();
    ResourceSpans {
        resource: Some(Resource { attributes, ..Default::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
        ..Default::default()
    }
}

fn span(teller: &Teller, phase: &Phase, name_of: &dyn Fn(NodeId) -> String) -> Span {
    let Phase { id, began_us, ended_us, what, events, dropped } = phase;
    let (name, which, kind) = match what {
        What::Call(_) => ("call", ROOT, SpanKind::Server),
        What::Routing => ("routing", ROUTING, SpanKind::Internal),
        What::Attempt(leg) => ("attempt", ATTEMPT | u64::from(leg.attempt), SpanKind::Client),
        What::Conversation(leg) => ("conversation", CONVERSATION | u64::from(leg.attempt), SpanKind::Internal),
        // A node may have the same call more than once.
        What::Carried { .. } => ("carried", CARRIED ^ mix(teller.number) ^ began_us, SpanKind::Internal),
    };
    let parent = if which == ROOT { Vec::new() } else { span_id(*id, ROOT).to_vec() };
    let mut attributes = vec![text("call.id", &id.to_string())];
    let code = describe(what, &mut attributes);
    let is_error = match what {
        What::Attempt(_) => !(200..300).contains(&code),
        What::Call(_) => code >= SERVER_ERROR,
        What::Routing | What::Conversation(_) | What::Carried { .. } => false,
    };
    let status = is_error.then(|| Status { code: StatusCode::Error.into(), ..Status::default() });
    Span {
        trace_id: trace_id(*id).to_vec(),
        span_id: span_id(*id, which).to_vec(),
        parent_span_id: parent,
        flags: SAMPLED,
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: began_us.saturating_mul(1_000),
        end_time_unix_nano: ended_us.saturating_mul(1_000),
        attributes,
        events: events.iter().map(|event| told(event, name_of)).collect(),
        dropped_events_count: *dropped,
        status,
        ..Span::default()
    }
}

/// The attributes of a phase; answers its final status, 0 where it has none.
fn describe(what: &What, attributes: &mut Vec<KeyValue>) -> u16 {
    match what {
        What::Routing => 0,
        What::Attempt(leg) | What::Conversation(leg) => {
            let Leg { attempt, trunk, code } = leg;
            attributes.extend([count("attempt", (*attempt).into()), text("trunk", trunk)]);
            attributes.extend((*code > 0).then(|| count("sip.code", (*code).into())));
            *code
        }
        What::Carried { over, figures } => {
            attributes.push(flag("call.ended", *over));
            attributes.extend(figures.iter().flat_map(|figures| sides(figures)));
            0
        }
        What::Call(whole) => {
            describe_whole(whole, attributes);
            whole.code
        }
    }
}

fn describe_whole(whole: &Whole, attributes: &mut Vec<KeyValue>) {
    attributes.extend([
        text("trunk.ingress", &whole.ingress),
        text("trunk.egress", &whole.egress),
        count("attempt", whole.attempt.into()),
        count("sip.code", whole.code.into()),
        count("q850.cause", whole.q850.into()),
        text("call.ended_by", ended_by(whole.ended_by)),
        text("call.reason", &whole.reason),
        count("call.takeovers", whole.takeovers.into()),
    ]);
    attributes.extend(whole.pdd_ms.map(|pdd| count("call.pdd_ms", pdd)));
    let Some(duration) = whole.duration_ms else { return };
    attributes.extend([
        count("call.duration_ms", duration),
        text("media.codec", &whole.codec),
        figure("media.mos", whole.mos),
        figure("media.jitter_ms", whole.jitter_ms),
        figure("media.loss_percent", whole.loss_percent),
    ]);
}

fn sides(stats: &MediaStats) -> impl Iterator<Item = KeyValue> {
    let side = |name: &str, side: &SideStats| {
        [
            count(&format!("media.{name}.packets"), side.packets),
            count(&format!("media.{name}.lost"), side.lost),
            figure(&format!("media.{name}.jitter_ms"), side.jitter_ms),
            figure(&format!("media.{name}.mos"), side.mos),
        ]
    };
    side("a", &stats.a).into_iter().chain(side("b", &stats.b))
}

fn told(event: &Event, name_of: &dyn Fn(NodeId) -> String) -> span::Event {
    let node = |key: &str, node: NodeId| text(key, &name_of(node));
    let (name, attributes) = match &event.happened {
        Happened::Message { way, method, code } => {
            let mut attributes = vec![text("way", way_of(*way)), text("sip.method", method.token())];
            attributes.extend(code.map(|code| count("sip.code", code.into())));
            ("message", attributes)
        }
        Happened::Recognised { trunk, by } => ("recognised", vec![text("trunk", trunk), text("by", by_of(*by))]),
        Happened::TurnedAway { code } => ("turned away", vec![count("sip.code", (*code).into())]),
        Happened::Planned { attempts, emergency } => {
            ("planned", vec![count("attempts", (*attempts).into()), flag("emergency", *emergency)])
        }
        Happened::Calling { attempt } => ("calling", vec![count("attempt", (*attempt).into())]),
        Happened::Gateway { trunk, fault } => ("gateway", vec![text("trunk", trunk), text("fault", fault_of(*fault))]),
        Happened::Heard(side) => ("heard", vec![text("side", side_of(*side))]),
        Happened::Came { from, why } => ("taken over", vec![node("from", *from), text("why", why_of(*why))]),
        Happened::Went { to } => ("gone", to.iter().map(|to| node("to", *to)).collect()),
        Happened::Followed(said) => ("asked to follow", vec![text("said", said_of(*said))]),
    };
    let time_unix_nano = event.at_us.saturating_mul(1_000);
    span::Event { time_unix_nano, name: name.to_owned(), attributes, ..span::Event::default() }
}

/// The trace of a call. What is random of its name stands last, where samplers look for it (W3C Trace Context, level 2).
pub(super) fn trace_id(id: CallId) -> [u8; 16] {
    let [s0, s1] = id.shard.to_be_bytes();
    let [e0, e1, e2, e3] = id.epoch.to_be_bytes();
    let [c0, c1, c2, c3, c4, c5, c6, c7] = id.call.to_be_bytes();
    [b't', b'd', s0, s1, e0, e1, e2, e3, c0, c1, c2, c3, c4, c5, c6, c7]
}

/// One span of a call. It is never nothing, which would be no id.
fn span_id(id: CallId, which: u64) -> [u8; 8] {
    mix(id.call ^ mix(which)).max(1).to_be_bytes()
}

/// Spreads what differs little (SplitMix64).
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn count(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn figure(key: &str, value: f32) -> KeyValue {
    attribute(key, Value::DoubleValue(value.into()))
}

fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

const fn way_of(way: Way) -> &'static str {
    match way {
        Way::In => "in",
        Way::Out => "out",
        Way::Unsent => "unsent",
    }
}

const fn by_of(by: By) -> &'static str {
    match by {
        By::Address => "address",
        By::TechPrefix => "tech_prefix",
        By::Digest => "digest",
    }
}

const fn ended_by(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Caller => "caller",
        EndedBy::Callee => "callee",
        EndedBy::Switch => "switch",
    }
}

const fn fault_of(fault: Fault) -> &'static str {
    match fault {
        Fault::Unavailable(_) => "unavailable",
        Fault::Silent => "silent",
        Fault::Unreachable => "unreachable",
    }
}

const fn side_of(side: MediaSide) -> &'static str {
    match side {
        MediaSide::A => "a",
        MediaSide::B => "b",
    }
}

const fn why_of(why: Why) -> &'static str {
    match why {
        Why::NodeLost => "node_lost",
        Why::Drain => "drain",
    }
}

const fn said_of(said: Said) -> &'static str {
    match said {
        Said::Yes => "yes",
        Said::NotNow => "not_now",
        Said::Nothing => "nothing",
        Said::No => "no",
    }
}
