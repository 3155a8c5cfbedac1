//! What a collector of OpenTelemetry learns of calls.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tests::process::wait_until;
use tests::tables::{CALLER, GATEWAY, SECOND_GATEWAY, Tables};
use tests::traces::{Span, Tracer, section};
use tests::{Lab, Node, Sipp};

/// Spans leave a second after they are there, and this much later at the latest.
const SOON: Duration = Duration::from_secs(20);
/// How long a node may try until it gives a batch up: a collector that is away is asked four times, one that is silent is waited for.
const GIVEN_UP: Duration = Duration::from_secs(40);
/// The collector's host number.
const COLLECTOR: u8 = 60;
/// Called, and with digits enough to be known wherever they stand.
const CALLED: &str = "447700900981";

/// The trace of a call.
fn trace_id(call: &str) -> String {
    let parts: Vec<u64> =
        call.split('.').map(|part| u64::from_str_radix(part, 16).expect("a part of a call's name")).collect();
    format!("7464{:04x}{:08x}{:016x}", parts[0], parts[1], parts[2])
}

/// The only span of that name and attempt.
#[track_caller]
fn only<'s>(spans: &'s [Span], name: &str, attempt: &str) -> &'s Span {
    let found: Vec<&Span> = spans
        .iter()
        .filter(|span| span.name == name && (attempt.is_empty() || span.get("attempt") == attempt))
        .collect();
    assert_eq!(found.len(), 1, "{name} {attempt}: {spans:#?}");
    found[0]
}

#[test]
fn a_call_is_one_trace_of_its_phases_and_holds_no_number() {
    let lab = Lab::shared();
    let tracer = Tracer::start(lab.host(COLLECTOR));
    let node = Node::start_with(&lab, &Tables::usual(&lab), &tracer.section(100));
    let first = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "503 Service Unavailable").serve(1);
    let second = Sipp::new(&lab, SECOND_GATEWAY, "callee").set("ring", "50").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "200"]).call(&node.sip(), CALLED).done();
    first.done();
    second.done();
    let last = node.wait_cdrs(1).into_iter().find(|row| row.last).expect("a final row");
    let mut spans = Vec::new();
    wait_until("the whole call has come", SOON, || {
        spans = tracer.spans();
        spans.iter().any(|span| span.name == "call")
    });
    let root = only(&spans, "call", "");
    assert!(root.parent.is_empty() && spans.iter().all(|span| span.trace == trace_id(&last.call_id)), "{spans:#?}");
    assert!(spans.iter().all(|span| span.get("call.id") == last.call_id), "{spans:#?}");
    assert!(spans.iter().all(|span| span.name == "call" || span.parent == root.id), "{spans:#?}");
    assert!(spans.iter().all(|span| (span.node.as_str(), span.site.as_str()) == ("one", "lab")), "{spans:#?}");
    assert_eq!(spans.iter().map(|span| &span.id).collect::<BTreeSet<_>>().len(), spans.len(), "{spans:#?}");
    // Rows count in milliseconds.
    let within =
        |span: &Span| root.began <= span.began && span.began <= span.ended && span.ended <= root.ended + 50_000_000;
    assert!(spans.iter().all(within), "{spans:#?}");

    for (key, value) in [
        ("trunk.ingress", "pbx"),
        ("trunk.egress", "beta"),
        ("sip.code", "200"),
        ("q850.cause", "16"),
        ("call.ended_by", "caller"),
        ("call.takeovers", "0"),
        ("media.codec", &last.codec),
    ] {
        assert_eq!(root.get(key), value, "{key}: {root:#?}");
    }
    let lasted: u64 = root.get("call.duration_ms").parse().expect("milliseconds");
    assert_eq!(Some(lasted), last.duration_ms);
    let routing = only(&spans, "routing", "");
    assert!(routing.tells("recognised", "trunk", "pbx") && routing.tells("planned", "attempts", "2"), "{routing:#?}");
    assert!(routing.tells("message", "sip.method", "INVITE"), "{routing:#?}");
    let [refused, answered] = ["1", "2"].map(|attempt| only(&spans, "attempt", attempt));
    assert!(refused.is_error && refused.get("trunk") == "alpha" && refused.get("sip.code") == "503", "{refused:#?}");
    assert!(refused.tells("gateway", "fault", "unavailable"), "{refused:#?}");
    assert!(
        !answered.is_error && answered.get("trunk") == "beta" && answered.get("sip.code") == "200",
        "{answered:#?}"
    );
    assert!(answered.tells("message", "sip.code", "180"), "{answered:#?}");
    let conversation = only(&spans, "conversation", "2");
    assert!(conversation.ended - conversation.began >= 190_000_000, "{conversation:#?}");
    let carried = only(&spans, "carried", "");
    assert!(carried.get("call.ended") == "true" && carried.tells("message", "sip.method", "BYE"), "{carried:#?}");
    assert_eq!(spans.len(), 6, "{spans:#?}");

    let bytes = tracer.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let hosts = [CALLER, GATEWAY, SECOND_GATEWAY].map(|host| lab.host(host).to_string());
    for never in [CALLED, &CALLED[2..], &last.called_out, &last.ingress_call_id, &last.egress_call_id] {
        assert!(!text.contains(never), "{never} in {spans:#?}");
    }
    assert!(hosts.iter().all(|host| !text.contains(host.as_str())), "{hosts:?} in {spans:#?}");
    node.wait_metric("tandem_otlp_spans_total", "result=\"sent\"", |count| count == 6.0);
}

#[test]
fn a_call_that_nobody_may_make_is_told_only_where_it_has_a_record() {
    let lab = Lab::shared();
    let tracer = Tracer::start(lab.host(COLLECTOR));
    let node = Node::start_with(&lab, &Tables::usual(&lab), &tracer.section(100));
    Sipp::new(&lab, 40, "caller_refused").set("code", "403").call(&node.sip(), CALLED).done();
    let callee = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "486 Busy Here").serve(1);
    Sipp::new(&lab, CALLER, "caller_refused").set("code", "486").call(&node.sip(), CALLED).done();
    callee.done();
    let row = node.wait_cdrs(1).remove(0);
    wait_until("the whole call has come", SOON, || tracer.spans().iter().any(|span| span.name == "call"));
    // The stranger's call has lingered for as long as any.
    node.wait_idle();
    let spans = tracer.spans();
    assert!(spans.iter().all(|span| span.get("call.id") == row.call_id), "{spans:#?}");
    let root = only(&spans, "call", "");
    assert!(!root.is_error && root.get("sip.code") == "486" && root.get("call.duration_ms").is_empty(), "{root:#?}");
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["attempt", "call", "carried", "routing"]);
}

#[test]
fn of_a_hundred_calls_so_many_are_told() {
    const CALLS: usize = 60;
    let lab = Lab::shared();
    let tracer = Tracer::start(lab.host(COLLECTOR));
    let node = Node::start_with(&lab, &Tables::usual(&lab), &tracer.section(50));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(CALLS);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "50"]).load(CALLS, 30).call(&node.sip(), CALLED).done();
    callee.done();
    let rows = node.wait_cdrs(CALLS);
    let random = |call: &str| u64::from_str_radix(call.rsplit('.').next().expect("a part"), 16).expect("a number");
    let chosen: BTreeSet<String> =
        rows.iter().filter(|row| random(&row.call_id) % 100 < 50).map(|row| row.call_id.clone()).collect();
    assert!((1..CALLS).contains(&chosen.len()), "chance is not at work");
    wait_until("every call that was chosen has come", SOON, || {
        tracer.spans().iter().filter(|span| span.name == "call").count() >= chosen.len()
    });
    node.wait_idle();
    let told: BTreeSet<String> = tracer.spans().iter().map(|span| span.get("call.id").to_owned()).collect();
    assert_eq!(told, chosen);
}

#[test]
fn a_node_that_ends_sends_what_waits() {
    let lab = Lab::shared();
    let tracer = Tracer::start(lab.host(COLLECTOR));
    let node = Node::start_with(&lab, &Tables::usual(&lab), &tracer.section(100));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    Sipp::new(&lab, CALLER, "caller").args(&["-d", "50"]).call(&node.sip(), CALLED).done();
    node.stop();
    callee.done();
    only(&tracer.spans(), "call", "");
}

#[test]
fn a_collector_that_is_away_or_silent_costs_spans_and_no_call() {
    let lab = Lab::shared();
    let address = {
        let tracer = Tracer::start(lab.host(COLLECTOR));
        tracer.section(100).split("http://").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let address: SocketAddr = address.and_then(|address| address.parse().ok()).expect("an address");
    let node = Node::start_with(&lab, &Tables::usual(&lab), &section(address, 100));
    let mut made = 0;
    let mut call = || {
        made += 1;
        let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
        Sipp::new(&lab, CALLER, "caller").args(&["-d", "50"]).call(&node.sip(), CALLED).done();
        callee.done();
        node.wait_cdrs(made);
    };
    let failed = || node.metric("tandem_otlp_spans_total", "result=\"failed\"");
    call();
    wait_until("the spans of the first call are given up", GIVEN_UP, || failed() >= 5.0);
    assert_eq!(node.metric("tandem_otlp_spans_total", "result=\"sent\""), 0.0);
    let lines = || node.log().lines().filter(|line| line.contains("the OTLP collector takes")).count();
    assert_eq!(lines(), 1, "it is said once: {}", node.log());

    let tracer = Tracer::start_at(address);
    call();
    wait_until("the next call is told", SOON, || tracer.spans().iter().any(|span| span.name == "call"));
    wait_until("it is said that it is back", SOON, || lines() == 2);
    let (before, told) = (failed(), tracer.spans().len());
    tracer.set_silent(true);
    (0..3).for_each(|_| call());
    wait_until("what it does not answer is given up", GIVEN_UP, || failed() >= before + 5.0);
    assert_eq!(tracer.spans().len(), told);
    node.wait_idle();
    assert_eq!(node.metric("tandem_queue_full_total", "queue=\"otlp\""), 0.0, "there was room all the time");
}
