//! The relay with audio that the tests themselves send, packet by packet, beside SIPp's signalling.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tests::capture::{Collector, Hep, RTCP, SIP};
use tests::datagram::{Datagrams, media_address, rtp};
use tests::process::wait_until;
use tests::sipp::Running;
use tests::tables::{CALLER, GATEWAY, Tables};
use tests::{Baresip, Lab, Node, Sipp};

/// The port that the scenarios name for audio; SIPp itself sends none.
const MEDIA_PORT: u16 = 6000;
/// Longer than a packet needs on loopback, even on a busy machine.
const WAIT: Duration = Duration::from_secs(5);
/// Within this a user agent has reported what it hears (RFC 3550 §6.2: every five seconds or so).
const REPORTS: Duration = Duration::from_secs(30);
/// How long silence has to last to be believed.
const SILENCE: Duration = Duration::from_millis(300);

/// One end of the audio: its socket, and where the node told it to send.
struct End {
    socket: Datagrams,
    relay: String,
    ssrc: u32,
}

impl End {
    fn new(lab: &Lab, host: u8, ssrc: u32) -> Self {
        Self { socket: Datagrams::bind(lab, host, MEDIA_PORT), relay: String::new(), ssrc }
    }

    fn send(&self, sequence: u16) -> Vec<u8> {
        let packet = rtp(sequence, self.ssrc, sequence.to_le_bytes()[0]);
        self.socket.send(&self.relay, &packet);
        packet
    }
}

/// Where the last message that holds SDP and passed `way` (SIPp's own heading) wants audio.
fn told(sipp: &Running, way: &str) -> Option<SocketAddr> {
    let messages = sipp.messages();
    let blocks = messages.split("-----------------------------------------------");
    blocks.filter(|block| block.contains(way)).filter_map(media_address).last()
}

/// A call that lives for at least `talk` ms, with both ends of its audio.
fn connect<'lab>(
    lab: &'lab Lab,
    node: &Node<'_>,
    caller: Sipp<'lab>,
    callee: Sipp<'lab>,
) -> (End, End, Running, Running) {
    let mut from_caller = End::new(lab, CALLER, 0x1111);
    let mut from_callee = End::new(lab, GATEWAY, 0x2222);
    let callee = callee.serve(1);
    let caller = caller.call(&node.sip(), "441234");
    wait_until("the call is up", Duration::from_secs(10), || caller.logged().iter().any(|l| l.starts_with("ANSWERED")));
    from_caller.relay = told(&caller, "message received").expect("the 200 holds SDP").to_string();
    from_callee.relay = told(&callee, "message received").expect("the INVITE holds SDP").to_string();
    (from_caller, from_callee, caller, callee)
}

/// What `from` sends has to arrive at `to` as it was, but for the SSRC, which may be the relay's own.
#[track_caller]
fn assert_hears(from: &End, to: &End, first: u16) {
    to.socket.clear();
    for sequence in first..first + 20 {
        let sent = from.send(sequence);
        let got = to.socket.receive(WAIT).unwrap_or_else(|| panic!("packet {sequence} did not arrive"));
        assert_eq!(got[12..], sent[12..], "the payload of packet {sequence}");
        assert_eq!(got[1], sent[1], "the payload type of packet {sequence}");
    }
}

#[track_caller]
fn assert_silent(from: &End, to: &End, first: u16) {
    to.socket.clear();
    for sequence in first..first + 10 {
        from.send(sequence);
    }
    assert_eq!(to.socket.receive(SILENCE), None, "audio came through");
}

#[test]
fn audio_passes_both_ways_unchanged() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0");
    let (a, b, caller, callee) = connect(&lab, &node, Sipp::new(&lab, CALLER, "caller").args(&["-d", "3000"]), callee);
    assert_hears(&a, &b, 100);
    assert_hears(&b, &a, 40_000);
    assert_hears(&a, &b, 120);
    caller.done();
    callee.done();
    node.wait_idle();
    assert!(node.metric("tandem_rtp_packets_total", "") >= 60.0, "60 packets were relayed and are not counted");
}

#[test]
fn audio_of_a_stranger_does_not_pass_and_takes_nothing() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0");
    let (a, b, caller, callee) = connect(&lab, &node, Sipp::new(&lab, CALLER, "caller").args(&["-d", "4000"]), callee);
    assert_hears(&a, &b, 100);
    assert_hears(&b, &a, 200);
    let stranger = End { socket: Datagrams::bind(&lab, 40, MEDIA_PORT), relay: a.relay.clone(), ssrc: 0x3333 };
    assert_silent(&stranger, &b, 300);
    assert_hears(&b, &a, 220);
    assert_eq!(stranger.socket.receive(SILENCE), None, "audio was bled to a stranger");
    assert_hears(&a, &b, 120);
    caller.done();
    callee.done();
}

#[test]
fn no_audio_reaches_a_leg_that_holds() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let caller = Sipp::new(&lab, CALLER, "caller_holds").set("pause", "2500");
    let (a, b, caller, callee) = connect(&lab, &node, caller, Sipp::new(&lab, GATEWAY, "callee_held"));
    assert_hears(&b, &a, 100);
    wait_until("the call is held", WAIT, || caller.messages().contains("CSeq: 2 ACK"));
    // The caller said sendonly: what the callee sends regardless must not reach it.
    assert_silent(&b, &a, 200);
    wait_until("the call is taken back", WAIT, || caller.messages().contains("CSeq: 3 ACK"));
    assert_hears(&b, &a, 300);
    assert_hears(&a, &b, 500);
    caller.done();
    callee.done();
}

#[test]
fn what_is_no_rtp_is_dropped_and_hurts_nobody() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0");
    let (a, b, caller, callee) = connect(&lab, &node, Sipp::new(&lab, CALLER, "caller").args(&["-d", "3000"]), callee);
    assert_hears(&a, &b, 100);
    b.socket.clear();
    for junk in [&b""[..], &b"\x80"[..], &b"\x00\x00\x00\x00"[..], &[0xff; 11], &[0x8f; 12], &[0xbf; 20], &[0; 1_500]] {
        a.socket.send(&a.relay, junk);
    }
    assert_eq!(b.socket.receive(SILENCE), None, "what is no RTP was relayed");
    assert_hears(&a, &b, 120);
    caller.done();
    callee.done();
}

#[test]
fn reports_pass_beside_the_audio() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0");
    let (a, b, caller, callee) = connect(&lab, &node, Sipp::new(&lab, CALLER, "caller").args(&["-d", "3000"]), callee);
    assert_hears(&a, &b, 100);
    assert_hears(&b, &a, 200);
    let (c, d) = (beside(&lab, &a, CALLER), beside(&lab, &b, GATEWAY));
    for (from, to) in [(&c, &d), (&d, &c)] {
        let report = sender_report(from.ssrc);
        // The first one may only teach the relay where this end is.
        let heard = (0..10).find_map(|_| {
            from.socket.send(&from.relay, &report);
            to.socket.receive(SILENCE)
        });
        let heard = heard.expect("a sender report passes");
        assert_eq!(heard[..4], report[..4], "it is still a sender report");
    }
    caller.done();
    callee.done();
}

/// The collector's host number.
const COLLECTOR: u8 = 60;

/// A node that copies so much of every hundred calls to a collector, with a call between both ends and their RTCP.
fn copied(lab: &Lab, percent: u8, check: impl FnOnce(&Node<'_>, &Collector, &str, [&End; 2], Box<dyn FnOnce() + '_>)) {
    let collector = Collector::start(lab, COLLECTOR);
    let more = format!("[hep]\ncollector = \"{}\"\npercent = {percent}\n", collector.address());
    let node = Node::start_with(lab, &Tables::usual(lab), &more);
    let callee = Sipp::new(lab, GATEWAY, "callee").set("ring", "0");
    let caller = Sipp::new(lab, CALLER, "caller").args(&["-d", "4000"]);
    let (a, b, caller, callee) = connect(lab, &node, caller, callee);
    assert_hears(&a, &b, 100);
    assert_hears(&b, &a, 200);
    let id = node.json(&["calls"])["calls"][0]["id"].as_str().expect("a live call").to_owned();
    let (c, d) = (beside(lab, &a, CALLER), beside(lab, &b, GATEWAY));
    let end = || {
        caller.done();
        callee.done();
        node.wait_idle();
    };
    check(&node, &collector, &id, [&c, &d], Box::new(end));
}

#[test]
fn reports_of_both_parties_go_to_the_collector_with_the_messages_of_their_call() {
    let lab = Lab::shared();
    copied(&lab, 100, |_, collector, id, [caller, callee], end| {
        // What is no RTCP, what is encrypted and what reports nothing stays here.
        let mut encrypted = sender_report(7);
        encrypted[8..].iter_mut().for_each(|byte| *byte ^= 0x5a);
        encrypted.extend_from_slice(&[0x80, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
        for junk in [&[0xff; 40][..], &[0x80, 201, 0, 9, 0, 0, 0, 7], &encrypted, &[0x81, 203, 0, 1, 0, 0, 0x11, 0x11]]
        {
            caller.socket.send(&caller.relay, junk);
        }
        assert!(callee.socket.receive(WAIT).is_some_and(|packet| packet[1] == 203), "nothing but the BYE passed");
        let sent = [
            [with_block(sender_report(caller.ssrc)), description(caller.ssrc)].concat(),
            with_block([&[0x80, 201, 0, 1][..], &callee.ssrc.to_be_bytes()].concat()),
        ];
        for ((from, to), packet) in [(caller, callee), (callee, caller)].into_iter().zip(&sent) {
            from.socket.send(&from.relay, packet);
            assert_eq!(to.socket.receive(WAIT).as_ref(), Some(packet), "it passes as it was");
        }
        let reports = || collector.heard().into_iter().filter(|hep| hep.kind == RTCP).collect::<Vec<_>>();
        wait_until("both reports are copied", WAIT, || reports().len() >= 2);
        end();
        let all = collector.heard();
        assert!(all.iter().any(|hep| hep.kind == SIP && hep.payload.starts_with("BYE")), "{all:#?}");
        assert!(all.iter().all(|hep| hep.correlation == id), "{id}: {all:#?}");
        let [of_caller, of_callee] = &reports()[..] else { panic!("neither junk nor audio is copied: {all:#?}") };
        for (hep, end, host) in [(of_caller, caller, CALLER), (of_callee, callee, GATEWAY)] {
            let relay: SocketAddr = end.relay.parse().expect("an address");
            assert_eq!((hep.from, hep.to), (Some(lab.host(host)), Some(relay.ip())));
            assert_eq!(hep.ports, [MEDIA_PORT + 1, relay.port()]);
            assert!(hep.seconds.abs_diff(all[0].seconds) < 60, "{hep:?}");
        }
        let block = json!([{ "source_ssrc": 9, "fraction_lost": 64, "packets_lost": 3, "highest_seq_no": 70_000,
            "ia_jitter": 12, "lsr": 0x8000_0000_u32, "dlsr": 65_536 }]);
        let read = |hep: &Hep| serde_json::from_str::<Value>(&hep.payload).expect("JSON");
        assert_eq!(
            read(of_caller),
            json!({ "ssrc": 0x1111, "type": 200, "report_count": 1, "report_blocks": block, "sender_information": {
                "ntp_timestamp_sec": 0xe000_0000_u32, "ntp_timestamp_usec": 0x8000_0000_u32, "rtp_timestamp": 16_000,
                "packets": 20, "octets": 3_200 } })
        );
        let of_receiver = json!({ "ssrc": 0x2222, "type": 201, "report_count": 1, "report_blocks": block });
        assert_eq!(read(of_callee), of_receiver);
    });
}

#[test]
fn what_user_agents_report_of_each_other_goes_to_the_collector() {
    let lab = Lab::shared();
    let collector = Collector::start(&lab, COLLECTOR);
    let more = format!("[hep]\ncollector = \"{}\"\n", collector.address());
    let node = Node::start_with(&lab, &Tables::usual(&lab), &more);
    let mut callee = Baresip::start(&lab, GATEWAY, "441234", 21);
    let mut caller = Baresip::start(&lab, CALLER, "442071230000", 11);
    caller.dial("441234", &node.sip());
    wait_until("the call is up", WAIT, || caller.is_talking() && callee.is_talking());
    let id = node.json(&["calls"])["calls"][0]["id"].as_str().expect("a live call").to_owned();
    // Both send and hear, so each reports in sender reports, every few seconds, on the other.
    let reports = || {
        let heard = collector.heard().into_iter().filter(|hep| hep.kind == RTCP && hep.correlation == id);
        let read = heard.map(|hep| (hep.ports[1], serde_json::from_str::<Value>(&hep.payload).expect("JSON")));
        read.filter(|(_, report)| report["type"] == 200 && report["report_count"] == 1).collect::<BTreeMap<_, _>>()
    };
    wait_until("both have reported", REPORTS, || reports().len() == 2);
    let reports: Vec<Value> = reports().into_values().collect();
    for (one, other) in [(0, 1), (1, 0)].map(|(one, other)| (&reports[one], &reports[other])) {
        assert_eq!(one["report_blocks"][0]["source_ssrc"], other["ssrc"], "{reports:#?}");
        assert!(one["sender_information"]["packets"].as_u64().is_some_and(|packets| packets > 0), "{reports:#?}");
    }
    caller.hang_up();
    node.wait_idle();
}

#[test]
fn of_a_call_that_is_not_chosen_no_report_goes_to_the_collector() {
    let lab = Lab::shared();
    copied(&lab, 1, |node, collector, id, [caller, callee], end| {
        for (from, to) in [(caller, callee), (callee, caller)] {
            let report = sender_report(from.ssrc);
            from.socket.send(&from.relay, &report);
            assert_eq!(to.socket.receive(WAIT), Some(report));
        }
        end();
        // Which calls are chosen follows from their names, which are random: this one is with a chance of one in a hundred.
        let number = id.rsplit('.').next().and_then(|part| u64::from_str_radix(part, 16).ok()).expect("three numbers");
        let reports = if number % 100 < 1 { 2 } else { 0 };
        let copied = || collector.heard().iter().filter(|hep| hep.kind == RTCP).count();
        wait_until("as many are copied as should be", WAIT, || copied() == reports);
        assert_eq!(node.metric("tandem_hep_packets_total", "") > 0.0, reports > 0, "nor is any message");
    });
}

/// The RTCP of an end, beside its audio.
fn beside(lab: &Lab, end: &End, host: u8) -> End {
    End { socket: Datagrams::bind(lab, host, MEDIA_PORT + 1), relay: next_port(&end.relay), ssrc: end.ssrc }
}

/// The report with a block on one source (RFC 3550 §6.4.1).
fn with_block(mut report: Vec<u8>) -> Vec<u8> {
    report[0] += 1;
    report[3] += 6;
    for word in [9, 0x4000_0003, 70_000, 12, 0x8000_0000_u32, 65_536] {
        report.extend_from_slice(&word.to_be_bytes());
    }
    report
}

/// The name of a party, as it stands behind each of its reports (RFC 3550 §6.5).
fn description(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 202, 0, 4];
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(b"\x01\x09alice@pbx\x00");
    packet
}

/// The port above: RTCP's, where the two are not multiplexed (RFC 3550 §11).
fn next_port(address: &str) -> String {
    let address: SocketAddr = address.parse().expect("an address");
    SocketAddr::new(address.ip(), address.port() + 1).to_string()
}

/// A sender report without report blocks (RFC 3550 §6.4.1).
fn sender_report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x80, 200, 0, 6];
    report.extend_from_slice(&ssrc.to_be_bytes());
    report.extend_from_slice(&[0xe0, 0, 0, 0, 0x80, 0, 0, 0]);
    report.extend_from_slice(&16_000_u32.to_be_bytes());
    report.extend_from_slice(&20_u32.to_be_bytes());
    report.extend_from_slice(&3_200_u32.to_be_bytes());
    report
}

#[test]
fn a_party_that_is_not_heard_after_the_answer_is_counted_at_its_trunk() {
    let lab = Lab::shared();
    let node = Node::start(&lab, &Tables::usual(&lab));
    let callee = Sipp::new(&lab, GATEWAY, "callee").set("ring", "0");
    let (a, b, caller, callee) = connect(&lab, &node, Sipp::new(&lab, CALLER, "caller").args(&["-d", "14000"]), callee);
    let at = |trunk: &str, direction: &str| format!("trunk=\"{trunk}\",direction=\"{direction}\"");
    let one_way = |labels: &str| node.metric("tandem_media_one_way_total", labels);
    let callees = at("alpha", "egress");
    assert!(node.has_metric("tandem_media_one_way_total", &callees), "there at 0, so that its first rise is seen");
    let mut sequence = 0;
    wait_until("the callee is missed", Duration::from_secs(13), || {
        sequence += 1;
        a.send(sequence);
        one_way(&callees) == 1.0
    });
    assert!(b.socket.receive(WAIT).is_some(), "the callee hears, and says nothing");
    assert_eq!((one_way(&at("pbx", "ingress")), node.metric("tandem_media_silent_total", "")), (0.0, 0.0));
    caller.done();
    callee.done();
    assert_eq!(one_way(""), 1.0, "once a call");
}
