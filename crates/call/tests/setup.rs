//! The life of a call from INVITE to BYE.

use call::record::EndedBy;
use sip::{Method, Name};
use std::time::Duration;
use testkit::{Faults, Script, World};

const MINUTE: Duration = Duration::from_secs(60);

fn world(caller: Script, callee: Script) -> World {
    World::new(1, Faults::default(), caller, vec![callee])
}

#[test]
fn a_call_is_set_up_and_ended_by_the_caller() {
    let mut world = world(Script::hanging_up(5_000), Script::default());
    world.call("442071230000");
    world.run_for(MINUTE);
    let trace = world.trace();
    let caller = &world.agents[0].seen;
    assert_eq!(caller.provisionals, [100, 180], "{trace}");
    assert_eq!(caller.finals, [200], "{trace}");
    let callee = &world.agents[1].seen;
    assert_eq!(callee.requests, [Method::Invite, Method::Bye], "{trace}");
    assert_eq!(callee.acks, 1, "{trace}");
    world.assert_settled();
    let row = &world.node.rows[0];
    assert_eq!((row.sip_code, row.q850, row.ended_by), (200, 16, EndedBy::Caller));
    assert_eq!((&*row.ingress_trunk, &*row.egress_trunk), ("ingress", "egress"));
    assert_eq!((&*row.called_in, &*row.called_out), ("442071230000", "99442071230000"));
    assert_eq!(&*row.codec, "PCMA");
    assert!((4_900..5_200).contains(&row.duration_ms), "{}", row.duration_ms);
    assert!(row.pdd_ms.is_some_and(|pdd| (100..200).contains(&pdd)));
    assert_eq!(world.node.opened.len(), 1);
}

#[test]
fn a_call_is_ended_by_the_callee() {
    let mut world = world(Script::default(), Script::hanging_up(3_000));
    world.call("442071230000");
    world.run_for(MINUTE);
    assert_eq!(world.agents[0].seen.requests, [Method::Bye], "{}", world.trace());
    world.assert_settled();
    assert_eq!(world.node.rows[0].ended_by, EndedBy::Callee);
}

#[test]
fn the_callee_learns_nothing_of_the_callers_network() {
    let mut caller = Script::hanging_up(1_000);
    caller.headers = vec![
        ("Route", "<sip:192.0.2.100;lr>".into()),
        ("Record-Route", "<sip:192.0.2.1:5060;lr>".into()),
        ("X-Account", "a  b;c=\"d\"".into()),
    ];
    let mut world = world(caller, Script::default());
    world.call("442071230000");
    world.run_for(MINUTE);
    let invite = world.agents[1].seen.invite.clone().expect("an INVITE");
    let text = String::from_utf8_lossy(invite.bytes()).into_owned();
    assert!(!text.contains("192.0.2.1:") && !text.contains("192.0.2.1>") && !text.contains("192.0.2.1\r"), "{text}");
    assert!(text.contains("X-Account: a  b;c=\"d\"\r\n"), "{text}");
    assert_eq!(invite.max_forwards(), Some(69));
    assert_eq!((invite.get(Name::Route), invite.get(Name::RecordRoute)), (None, None));
    let answer = world.agents[0].seen.answer.clone().expect("a 200");
    let text = String::from_utf8_lossy(answer.bytes()).into_owned();
    assert!(!text.contains("192.0.2.2"), "{text}");
    assert_eq!(answer.get(Name::RecordRoute), Some("<sip:192.0.2.1:5060;lr>"));
    world.assert_settled();
}

#[test]
fn every_stream_has_ports_of_its_own_and_one_too_many_is_refused() {
    let video = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n";
    let caller = Script { more_sdp: video, ..Script::hanging_up(2_000) };
    let callee = Script { more_sdp: video, ..Script::default() };
    let mut world = world(caller, callee);
    world.call("442071230000");
    world.run_for(Duration::from_secs(1));
    let offer = world.agents[1].seen.sdp.clone().expect("an offer");
    let offer = String::from_utf8_lossy(&offer).into_owned();
    assert!(offer.contains("m=audio 20002 ") && offer.contains("m=video 20006 RTP/AVP 96"), "{offer}");
    assert_eq!(world.node.steers.len(), 4);
    // A third stream in a re-INVITE has no ports: it is refused, the others stay.
    world.act(0, |agent, now| {
        let mut body = agent.describe("sendrecv").to_vec();
        body.extend_from_slice(b"m=audio 4004 RTP/AVP 0\r\n");
        agent.request(now, "INVITE", "application/sdp", &body);
    });
    world.run_for(Duration::from_secs(1));
    let offer = world.agents[1].seen.sdp.clone().expect("an offer");
    assert!(String::from_utf8_lossy(&offer).contains("m=audio 0 RTP/AVP 0"), "{offer:?}");
    world.run_for(MINUTE);
    world.assert_settled();
}

#[test]
fn a_description_among_other_parts_goes_through_the_relay_and_they_pass() {
    let caller = Script { multipart: true, ..Script::hanging_up(500) };
    let mut world = world(caller, Script::default());
    world.call("442071230000");
    world.run_for(MINUTE);
    world.assert_settled();
    let invite = world.agents[1].seen.invite.clone().expect("an INVITE");
    assert_eq!(invite.get(Name::ContentType), Some("multipart/mixed;boundary=b1"));
    let body = String::from_utf8_lossy(&invite.body()).into_owned();
    assert!(
        body.contains("<presence/>") && body.contains("c=IN IP4 192.0.2.100") && !body.contains("192.0.2.1\r"),
        "{body}"
    );
}

#[test]
fn a_busy_callee_is_passed_on_and_recorded() {
    let mut world = world(Script::default(), Script::refuses(486));
    world.call("442071230000");
    world.run_for(MINUTE);
    assert_eq!(world.agents[0].seen.finals, [486], "{}", world.trace());
    world.assert_settled();
    let row = &world.node.rows[0];
    assert_eq!((row.sip_code, row.q850, row.ended_by), (486, 17, EndedBy::Callee));
    assert_eq!(world.node.opened.len(), 0);
}

#[test]
fn a_cancel_while_it_rings_ends_both_legs() {
    let caller = Script { cancel: Some(Duration::from_millis(200)), ..Script::default() };
    let mut world = world(caller, Script::default());
    world.call("442071230000");
    world.run_for(MINUTE);
    assert_eq!(world.agents[0].seen.finals, [487], "{}", world.trace());
    assert_eq!(world.agents[1].seen.requests, [Method::Invite, Method::Cancel], "{}", world.trace());
    world.assert_settled();
    let row = &world.node.rows[0];
    assert_eq!((row.sip_code, row.ended_by), (487, EndedBy::Caller));
}
