//! What an operator learns of a call: while it lives and when it has ended, as a drawing, as JSON, as a capture, at a collector.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tests::capture::{Collector, Hep, SIP, has_tshark, sngrep, tshark};
use tests::process::wait_until;
use tests::tables::{CALLER, GATEWAY, SECOND_GATEWAY, Tables};
use tests::{Lab, Node, Sipp};

/// How long something may take that takes no time.
const SOON: Duration = Duration::from_secs(10);
/// A call is kept when it is over, and it answers what comes again until nine seconds after its end.
const KEPT: Duration = Duration::from_secs(25);
/// The collector's host number.
const COLLECTOR: u8 = 60;
/// Where sngrep collects.
const SNGREP: u8 = 61;
/// The columns of an operator's terminal.
const TERMINAL: usize = 80;

/// The id of the only live call.
#[track_caller]
fn only(node: &Node<'_>) -> String {
    let calls = node.json(&["calls"]);
    let list = calls["calls"].as_array().unwrap_or_else(|| panic!("no list: {calls}"));
    assert_eq!(list.len(), 1, "{calls}");
    list[0]["id"].as_str().expect("an id").to_owned()
}

/// Way, leg and text of each rung that is a message.
fn messages(call: &Value) -> Vec<[String; 3]> {
    let rungs = call["ladder"].as_array().unwrap_or_else(|| panic!("no ladder: {call}")).iter();
    let text = |rung: &Value, name: &str| rung[name].as_str().unwrap_or("").to_owned();
    rungs.filter(|rung| rung["way"] != "note").map(|rung| ["way", "leg", "what"].map(|name| text(rung, name))).collect()
}

/// The texts of the decisions.
fn notes(call: &Value) -> Vec<&str> {
    let rungs = call["ladder"].as_array().unwrap_or_else(|| panic!("no ladder: {call}")).iter();
    rungs.filter(|rung| rung["way"] == "note").filter_map(|rung| rung["what"].as_str()).collect()
}

/// The drawing fits a terminal and holds these words.
#[track_caller]
fn drawn(node: &Node<'_>, id: &str, words: &[&str]) {
    let (status, output) = node.cli(&["calls", "show", id]);
    assert_eq!(status, Some(0), "{output}");
    assert!(output.lines().all(|line| line.chars().count() <= TERMINAL), "too wide:\n{output}");
    assert!(!output.contains('\u{1b}'), "colours without a terminal:\n{output}");
    for word in words {
        assert!(output.contains(word), "no `{word}` in\n{output}");
    }
}

/// Writes the capture of a call.
#[track_caller]
fn capture(lab: &Lab, node: &Node<'_>, id: &str) -> PathBuf {
    let file = lab.path("call.pcap");
    let (status, output) = node.cli(&["calls", "show", id, "--pcap", &file.to_string_lossy()]);
    assert_eq!(status, Some(0), "{output}");
    file
}

/// tshark reads every message of a capture as SIP, in its order, and finds nothing wrong with any packet.
#[track_caller]
fn reads_well(file: &std::path::Path, call: &Value) {
    if !has_tshark() {
        return;
    }
    let read = tshark(file, "sip", &["sip.Method", "sip.Status-Code"]);
    let read: Vec<String> = read.into_iter().map(|fields| fields.concat()).collect();
    let told = messages(call).into_iter().map(|[_, _, what]| what.split(' ').next().unwrap_or("").to_owned());
    assert_eq!(read, told.collect::<Vec<_>>());
    let wrong = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 || tcp.checksum.status == 0 || \
                 tcp.analysis.lost_segment || tcp.analysis.retransmission || tcp.analysis.ack_lost_segment";
    assert_eq!(tshark(file, wrong, &["frame.number", "_ws.expert.message"]), Vec::<Vec<String>>::new());
}

#[test]
fn a_call_is_explained_while_it_lives_and_when_it_has_ended() {
    let lab = Lab::shared();
    let collector = Collector::start(&lab, COLLECTOR);
    let more = format!("[hep]\ncollector = \"{}\"\nid = 2001\npassword = \"homer\"\n", collector.address());
    let node = Node::start_with(&lab, &Tables::usual(&lab), &more);
    let first = Sipp::new(&lab, GATEWAY, "callee_refuses").set("answer", "503 Service Unavailable").serve(1);
    let second = Sipp::new(&lab, SECOND_GATEWAY, "callee").set("ring", "50").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller_hung_up").call(&node.sip(), "441234");
    wait_until("the call is up", SOON, || !caller.logged().is_empty());
    let id = only(&node);
    let call = node.json(&["calls", "show", &id]);
    assert_eq!(call["state"], "connected");
    let said = notes(&call);
    for words in [
        "from trunk pbx, known by its address",
        "attempt 1: trunk alpha, default of plan retail",
        "attempt 1 ended with 503",
        "attempt 2: trunk beta",
    ] {
        assert!(said.iter().any(|text| text.starts_with(words)), "no `{words}` in {said:#?}");
    }
    let mut expected = [
        ["in", "a", "INVITE"],
        ["out", "a", "100 Trying"],
        ["out", "b1", "INVITE"],
        ["in", "b1", "503 Service Unavailable"],
        ["out", "b1", "ACK"],
        ["out", "b2", "INVITE"],
        ["in", "b2", "180 Ringing"],
        ["out", "a", "180 Ringing"],
        ["in", "b2", "200 OK"],
        ["out", "a", "200 OK"],
        ["in", "a", "ACK"],
        ["out", "b2", "ACK"],
    ]
    .map(|rung| rung.map(str::to_owned))
    .to_vec();
    let mut shown = messages(&call);
    shown.sort();
    expected.sort();
    assert_eq!(shown, expected);
    assert!(call["ladder"].as_array().is_some_and(|rungs| rungs.iter().all(|rung| rung["message"].is_null())));
    drawn(
        &node,
        &id,
        &["connected", "pbx", "alpha", "beta", "INVITE sdp", "✗ attempt 1 ended with 503", "▸ attempt 2"],
    );
    reads_well(&capture(&lab, &node, &id), &call);

    let (status, output) = node.cli(&["calls", "hangup", &id]);
    assert_eq!(status, Some(0), "{output}");
    caller.done();
    first.done();
    second.done();
    wait_until("the call is kept", KEPT, || node.metric("tandem_ladders_kept", "") == 1.0);
    let call = node.json(&["calls", "show", &id, "--messages"]);
    assert_eq!(
        (&call["state"], &call["reason"], &call["ended_by"]),
        (&"ended".into(), &"operator".into(), &"switch".into())
    );
    let shown = messages(&call);
    assert_eq!(shown.iter().filter(|[way, _, what]| way == "out" && what == "BYE").count(), 2, "{shown:#?}");
    drawn(&node, &id, &["ended at one (lab)", "by the switch, operator", "BYE"]);
    reads_well(&capture(&lab, &node, &id), &call);
    let heard = collected(&collector, &call);
    sngrep_agrees(&lab, &collector.packets(), &heard);
}

/// sngrep, which no one here wrote, takes the same messages out of HEP, between the same addresses.
#[track_caller]
fn sngrep_agrees(lab: &Lab, packets: &[Vec<u8>], heard: &[Hep]) {
    let Some(file) = sngrep(lab, SNGREP, packets).filter(|_| has_tshark()) else { return };
    let told = heard.iter().map(|hep| {
        let host = |host: Option<IpAddr>| host.map(|host| host.to_string()).unwrap_or_default();
        let [from, to] = hep.ports.map(|port| port.to_string());
        let start = hep.payload.lines().next().unwrap_or_default().to_owned();
        [host(hep.from), from, host(hep.to), to, hep.seconds.to_string(), start].to_vec()
    });
    let fields =
        ["ip.src", "udp.srcport", "ip.dst", "udp.dstport", "frame.time_epoch", "sip.Request-Line", "sip.Status-Line"];
    let read = tshark(&file, "sip", &fields).into_iter().map(|mut fields| {
        let start = fields.split_off(5).concat();
        let seconds = fields[4].find('.').unwrap_or(fields[4].len());
        fields[4].truncate(seconds);
        fields.push(start);
        fields
    });
    let (mut told, mut read): (Vec<Vec<String>>, Vec<Vec<String>>) = (told.collect(), read.collect());
    told.sort();
    read.sort();
    assert_eq!(read, told);
}

/// The collector has heard every message of the call, retransmissions too.
#[track_caller]
fn collected(collector: &Collector, call: &Value) -> Vec<Hep> {
    let rungs = call["ladder"].as_array().expect("a ladder").iter().filter(|rung| rung["way"] != "note");
    let mut told: Vec<String> = Vec::new();
    for rung in rungs {
        let times = 1 + rung["repeats"].as_u64().unwrap_or(0);
        let text = rung["message"].as_str().unwrap_or_else(|| panic!("no text: {rung}"));
        (0..times).for_each(|_| told.push(text.to_owned()));
    }
    told.sort();
    let mut heard = Vec::new();
    wait_until("the collector has heard all", SOON, || {
        heard = collector.heard();
        heard.len() >= told.len()
    });
    let id = call["id"].as_str().expect("an id");
    let right = |hep: &Hep| {
        hep.kind == SIP && hep.correlation == id && hep.agent == 2001 && hep.password == "homer" && hep.from.is_some()
    };
    assert!(heard.iter().all(right), "{heard:#?}");
    let mut payloads: Vec<String> = heard.iter().map(|hep| hep.payload.clone()).collect();
    payloads.sort();
    assert_eq!(payloads, told);
    heard
}

#[test]
fn a_caller_that_gives_up_and_a_call_over_tcp_are_explained() {
    let lab = Lab::shared();
    let tables = Tables::default()
        .account("acme", "retail")
        .ingress("pbx", lab.host(CALLER), "")
        .egress("alpha", lab.host(GATEWAY), "tcp")
        .plan("retail", &["alpha"]);
    let node = Node::start(&lab, &tables);
    let callee = Sipp::new(&lab, GATEWAY, "callee_cancelled").args(&["-t", "t1"]).serve(1);
    Sipp::new(&lab, CALLER, "caller_cancels").args(&["-t", "t1"]).call(&node.sip(), "441234").done();
    callee.done();
    let row = node.wait_cdrs(1).remove(0);
    let call = node.json(&["calls", "show", &row.call_id, "--messages"]);
    assert_eq!(
        (&call["state"], &call["sip_code"], &call["ended_by"]),
        (&"ended".into(), &487.into(), &"caller".into())
    );
    let shown = messages(&call);
    let holds = |rung: [&str; 3]| shown.iter().any(|one| *one == rung.map(str::to_owned));
    assert!(
        holds(["in", "a", "CANCEL"]) && holds(["out", "b1", "CANCEL"]) && holds(["in", "b1", "487 Request Terminated"]),
        "{shown:#?}"
    );
    assert!(
        call["ladder"]
            .as_array()
            .expect("a ladder")
            .iter()
            .all(|rung| rung["way"] == "note" || rung["transport"] == "tcp")
    );
    drawn(&node, &row.call_id, &["CANCEL", "487", "ended by the caller with 487: cancelled"]);
    reads_well(&capture(&lab, &node, &row.call_id), &call);
}

#[test]
fn what_proves_a_password_is_shown_nowhere() {
    let lab = Lab::shared();
    let collector = Collector::start(&lab, COLLECTOR);
    let tables = Tables::default()
        .account("acme", "retail")
        .ingress_by_digest("branch", "s3cret")
        .egress("alpha", lab.host(GATEWAY), "udp")
        .plan("retail", &["alpha"]);
    let node = Node::start_with(&lab, &tables, &format!("[hep]\ncollector = \"{}\"\n", collector.address()));
    let network =
        tests::shuffle::Shuffle::md5_only(&lab, 50, tests::tables::PORT, node.sip().parse().expect("an address"));
    let entry = format!("{}:{}", lab.host(50), tests::tables::PORT);
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "50").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller_digest").set("challenge", "401").set("user", "branch");
    caller.set("password", "s3cret").args(&["-auth_uri", &format!("441234@{entry}")]).call(&entry, "441234").done();
    callee.done();
    drop(network);
    let row = node.wait_cdrs(1).remove(0);
    let call = node.json(&["calls", "show", &row.call_id, "--messages"]);
    assert!(notes(&call).contains(&"from trunk branch, known by its digest"), "{:#?}", notes(&call));
    let file = std::fs::read(capture(&lab, &node, &row.call_id)).expect("it was written");
    wait_until("the collector has heard the end", SOON, || {
        collector.heard().iter().any(|hep| hep.payload.starts_with("BYE"))
    });
    let everywhere = [
        call.to_string().replace("\\\"", "\""),
        String::from_utf8_lossy(&file).into_owned(),
        collector.heard().into_iter().map(|hep| hep.payload).collect(),
    ];
    for text in everywhere {
        let responses: Vec<&str> =
            text.split("response=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(
            !responses.is_empty() && responses.iter().all(|one| one.len() == 32 && one.bytes().all(|b| b == b'x')),
            "{responses:?}"
        );
    }
}

#[test]
fn with_no_message_kept_a_call_is_shown_without_a_ladder_and_mistakes_are_told() {
    let lab = Lab::shared();
    let node = Node::start_with(&lab, &Tables::usual(&lab), "[ladder]\nmessages = 0\n");
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0").serve(1);
    let caller = Sipp::new(&lab, CALLER, "caller_hung_up").call(&node.sip(), "441234");
    wait_until("the call is up", SOON, || !caller.logged().is_empty());
    let id = only(&node);
    let call = node.json(&["calls", "show", &id]);
    assert!(call["state"] == "connected" && call["ladder"].is_null(), "{call}");
    drawn(&node, &id, &["no ladder is kept of it"]);
    let file = lab.path("none.pcap").to_string_lossy().into_owned();
    for (words, wrong) in [
        (vec!["calls", "show", &id, "--pcap", &file], "no message of"),
        (vec!["calls", "show", "1.2.3"], "there is no call `1.2.3`"),
        (vec!["calls", "show", "x/../y"], "there is no call"),
    ] {
        let (status, output) = node.cli(&words);
        assert!(status == Some(2) && output.contains(wrong) && output.lines().count() == 1, "{words:?}: {output}");
    }
    node.cli(&["calls", "hangup", &id]);
    caller.done();
    callee.done();
}
