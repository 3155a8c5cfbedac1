//! Each machine against its figure in RFC 3261 §17, in virtual time.

use super::*;
use crate::clock::Instant;
use crate::header::{CSeq, RAck};
use crate::message::Message;
use crate::method::Method;
use crate::name::Name;
use std::time::Duration;

const INVITE: &str = "INVITE sip:b@h;x=1 SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKone;rport, SIP/2.0/UDP z;branch=z9hG4bKtwo\r\n\
    Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nMax-Forwards: 9\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
    Call-ID: c@h\r\nCSeq: 314 INVITE\r\nRequire: x\r\nAuthorization: y\r\nContent-Length: 0\r\n\r\n";

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn response(code: u16) -> Message {
    let request = Message::parse(bytes(INVITE)).expect("valid");
    Message::parse(crate::Builder::response(&request, code, None, "theirs").finish()).expect("valid")
}

fn client(reliable: bool) -> ClientInvite {
    ClientInvite::new(at(0), bytes(INVITE), reliable, &Timers::default())
}

/// Fires every timeout of a machine and notes when what happened, in milliseconds.
macro_rules! run {
    ($machine:expr) => {{
        let machine = &mut $machine;
        let mut happened = Vec::new();
        while let Some(due) = machine.poll_timeout() {
            let action = machine.handle_timeout(due);
            assert_ne!(action, Action::Nothing, "an alarm for nothing at {due:?}");
            happened.push((due.as_micros() / 1_000, action));
            assert!(happened.len() < 100, "an alarm that never rests");
        }
        happened
    }};
}

fn sends(happened: &[(u64, Action)]) -> Vec<u64> {
    happened.iter().filter(|(_, action)| matches!(action, Action::Send(_))).map(|(ms, _)| *ms).collect()
}

#[test]
fn an_invite_without_answer_doubles_until_timer_b() {
    let mut machine = client(false);
    let happened = run!(machine);
    assert_eq!(sends(&happened), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(happened.last(), Some(&(32_000, Action::Timeout)));
    assert!(machine.is_over());
}

#[test]
fn over_a_stream_only_timer_b_runs() {
    assert_eq!(run!(client(true)), [(32_000, Action::Timeout)]);
}

#[test]
fn a_provisional_response_ends_retransmission() {
    let mut machine = client(false);
    assert_eq!(machine.handle_response(at(100), &response(100)), Action::Deliver);
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(machine.handle_response(at(40_000), &response(180)), Action::Deliver);
    assert!(machine.is_proceeding());
}

#[test]
fn a_failure_is_acknowledged_on_the_same_branch_and_again_until_timer_d() {
    let mut machine = client(false);
    let Action::SendAndDeliver(ack) = machine.handle_response(at(100), &response(486)) else { panic!("no ACK") };
    let message = Message::parse(ack.clone()).expect("valid");
    message.check().expect("a lawful ACK");
    assert_eq!((message.method(), message.uri()), (Method::Ack, "sip:b@h;x=1"));
    assert_eq!(message.values(Name::Via).collect::<Vec<_>>(), ["SIP/2.0/UDP a;branch=z9hG4bKone;rport"]);
    assert_eq!(message.values(Name::Route).collect::<Vec<_>>(), ["<sip:p1;lr>", "<sip:p2;lr>"]);
    assert_eq!((message.from_tag(), message.to_tag()), (Some("1"), Some("theirs")));
    assert_eq!(message.get(Name::CSeq), Some("314 ACK"));
    assert_eq!((message.get(Name::Require), message.get(Name::Authorization)), (None, Some("y")));
    assert_eq!(machine.handle_response(at(600), &response(486)), Action::Send(ack));
    assert_eq!(machine.handle_response(at(600), &response(200)), Action::Nothing);
    assert_eq!(run!(machine), [(32_100, Action::Over)]);
    let mut stream = client(true);
    assert!(matches!(stream.handle_response(at(1), &response(503)), Action::SendAndDeliver(_)));
    assert!(stream.is_over());
}

#[test]
fn every_2xx_is_delivered_until_timer_m() {
    for reliable in [false, true] {
        let mut machine = client(reliable);
        assert_eq!(machine.handle_response(at(100), &response(200)), Action::Deliver);
        assert_eq!(machine.handle_response(at(700), &response(200)), Action::Deliver);
        assert_eq!(machine.handle_response(at(800), &response(180)), Action::Nothing);
        assert_eq!(run!(machine), [(32_100, Action::Over)]);
    }
}

#[test]
fn cancel_waits_for_a_provisional_response_and_then_not_for_ever() {
    let mut machine = client(false);
    assert_eq!(machine.cancel(at(10), None), None);
    let _ = machine.handle_response(at(100), &response(180));
    let cancel = machine.cancel(at(200), Some("SIP;cause=200;text=\"Call completed elsewhere\"")).expect("a CANCEL");
    let message = Message::parse(cancel).expect("valid");
    message.check().expect("a lawful CANCEL");
    assert_eq!((message.method(), message.uri(), message.to_tag()), (Method::Cancel, "sip:b@h;x=1", None));
    assert_eq!(message.top_via().map(|via| via.branch()), Some("z9hG4bKone"));
    assert_eq!((message.get(Name::CSeq), message.values(Name::Route).count()), (Some("314 CANCEL"), 2));
    assert_eq!(message.get(Name::Authorization), None);
    assert_eq!(message.get(Name::Reason), Some("SIP;cause=200;text=\"Call completed elsewhere\""));
    assert_eq!(run!(machine), [(32_200, Action::Timeout)]);
}

#[test]
fn a_request_other_than_invite_is_repeated_up_to_t2_until_timer_f() {
    let mut machine = ClientNonInvite::new(at(0), bytes("x"), false, &Timers::default());
    let happened = run!(machine);
    assert_eq!(sends(&happened), [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(happened.last(), Some(&(32_000, Action::Timeout)));
    assert_eq!(run!(ClientNonInvite::new(at(0), bytes("x"), true, &Timers::default())), [(32_000, Action::Timeout)]);
}

#[test]
fn after_a_provisional_response_it_is_repeated_at_t2() {
    let mut machine = ClientNonInvite::new(at(0), bytes("x"), false, &Timers::default());
    assert_eq!(machine.handle_response(at(100), 100), Action::Deliver);
    assert_eq!(sends(&run!(machine)), [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500]);
}

#[test]
fn its_final_response_is_delivered_once_and_absorbed_until_timer_k() {
    let mut machine = ClientNonInvite::new(at(0), bytes("x"), false, &Timers::default());
    assert_eq!(machine.handle_response(at(100), 200), Action::Deliver);
    assert_eq!(machine.handle_response(at(200), 200), Action::Nothing);
    assert!(machine.is_answered() && !machine.is_over());
    assert_eq!(run!(machine), [(5_100, Action::Over)]);
    let mut stream = ClientNonInvite::new(at(0), bytes("x"), true, &Timers::default());
    assert_eq!(stream.handle_response(at(100), 404), Action::Deliver);
    assert!(stream.is_over());
}

#[test]
fn a_repeated_invite_gets_the_last_provisional_response() {
    let mut machine = ServerInvite::new(false, &Timers::default());
    assert_eq!(machine.handle_request(at(0), Method::Invite), Action::Nothing);
    assert_eq!(machine.respond(at(1), 100, bytes("100")), Action::Send(bytes("100")));
    assert_eq!(machine.respond(at(2), 180, bytes("180")), Action::Send(bytes("180")));
    assert_eq!(machine.handle_request(at(500), Method::Invite), Action::Send(bytes("180")));
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn a_failure_is_repeated_until_its_ack() {
    let mut machine = ServerInvite::new(false, &Timers::default());
    let _ = machine.respond(at(0), 486, bytes("486"));
    assert_eq!(machine.handle_request(at(100), Method::Invite), Action::Send(bytes("486")));
    assert_eq!(machine.respond(at(100), 200, bytes("200")), Action::Nothing);
    assert_eq!(machine.handle_timeout(at(500)), Action::Send(bytes("486")));
    assert_eq!(machine.handle_request(at(600), Method::Ack), Action::Nothing);
    assert_eq!(machine.handle_request(at(700), Method::Invite), Action::Nothing);
    assert_eq!(run!(machine), [(5_600, Action::Over)]);
    let mut stream = ServerInvite::new(true, &Timers::default());
    let _ = stream.respond(at(0), 486, bytes("486"));
    assert_eq!(stream.handle_request(at(10), Method::Ack), Action::Over);
}

#[test]
fn a_failure_without_ack_ends_with_timer_h() {
    let mut machine = ServerInvite::new(false, &Timers::default());
    let _ = machine.respond(at(0), 486, bytes("486"));
    let happened = run!(machine);
    assert_eq!(sends(&happened), [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    assert_eq!(happened.last(), Some(&(32_000, Action::Timeout)));
    let mut stream = ServerInvite::new(true, &Timers::default());
    let _ = stream.respond(at(0), 486, bytes("486"));
    assert_eq!(run!(stream), [(32_000, Action::Timeout)]);
}

#[test]
fn after_a_2xx_invites_are_absorbed_until_timer_l() {
    let mut machine = ServerInvite::new(false, &Timers::default());
    assert_eq!(machine.respond(at(0), 200, bytes("200")), Action::Send(bytes("200")));
    assert_eq!(machine.handle_request(at(400), Method::Invite), Action::Nothing);
    assert_eq!(machine.handle_request(at(500), Method::Ack), Action::Deliver);
    assert_eq!(machine.respond(at(600), 200, bytes("200")), Action::Send(bytes("200")));
    assert_eq!(machine.respond(at(600), 486, bytes("486")), Action::Nothing);
    assert!(!machine.is_proceeding());
    assert_eq!(run!(machine), [(32_000, Action::Over)]);
}

#[test]
fn a_repeated_request_gets_the_last_response_until_timer_j() {
    let mut machine = ServerNonInvite::new(false, &Timers::default());
    assert_eq!(machine.handle_request(), Action::Nothing);
    assert_eq!(machine.respond(at(0), 200, bytes("200")), Action::Send(bytes("200")));
    assert_eq!(machine.respond(at(1), 500, bytes("500")), Action::Nothing);
    assert_eq!(machine.handle_request(), Action::Send(bytes("200")));
    assert_eq!(run!(machine), [(32_000, Action::Over)]);
    assert_eq!(machine.handle_request(), Action::Nothing);
    let mut stream = ServerNonInvite::new(true, &Timers::default());
    let _ = stream.respond(at(0), 200, bytes("200"));
    assert!(stream.is_over());
}

#[test]
fn a_2xx_is_repeated_over_any_transport_until_its_ack() {
    let new = || AnswerRetransmit::new(at(0), bytes("200"), 7, &Timers::default());
    let happened = run!(new());
    assert_eq!(sends(&happened)[..4], [500, 1_500, 3_500, 7_500]);
    assert_eq!(sends(&happened)[4], 11_500);
    assert_eq!(happened.last(), Some(&(32_000, Action::Timeout)));
    let mut acked = new();
    assert!(!acked.acknowledge(6), "the ACK of an earlier INVITE");
    assert!(acked.acknowledge(7));
    assert!(!acked.acknowledge(7));
    assert_eq!((acked.is_over(), acked.poll_timeout()), (true, None));
}

#[test]
fn a_reliable_provisional_response_doubles_without_ceiling_until_its_prack() {
    let cseq = CSeq { number: 7, method: Method::Invite };
    let new = || ReliableProvisional::new(at(0), bytes("183"), 100, cseq, &Timers::default());
    let happened = run!(new());
    assert_eq!(sends(&happened), [500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(happened.last(), Some(&(32_000, Action::Timeout)));
    let mut machine = new();
    for wrong in ["101 7 INVITE", "100 8 INVITE", "100 7 BYE"] {
        assert!(!machine.acknowledge(&RAck::parse(wrong).expect("valid")), "{wrong}");
    }
    assert!(machine.acknowledge(&RAck::parse("100 7 INVITE").expect("valid")));
    assert!(machine.is_over());
}

#[test]
fn a_late_alarm_sends_once_and_keeps_the_limit() {
    let mut machine = client(false);
    assert!(matches!(machine.handle_timeout(at(10_000)), Action::Send(_)));
    assert_eq!(machine.handle_timeout(at(10_001)), Action::Nothing);
    assert_eq!(machine.handle_timeout(at(32_000)), Action::Timeout);
}

#[test]
fn all_intervals_can_be_changed() {
    let timers = Timers { t1_ms: 10, t2_ms: 20, t4_ms: 30, d_ms: 40 };
    let mut machine = ClientInvite::new(at(0), bytes(INVITE), false, &timers);
    let _ = machine.handle_response(at(1), &response(404));
    assert_eq!(run!(machine), [(41, Action::Over)]);
    assert_eq!(timers.give_up(), Duration::from_millis(640));
}

/// 20,000 held calls own two or three of these each.
#[test]
fn machines_are_small() {
    assert!(size_of::<ClientInvite>() <= 112, "{}", size_of::<ClientInvite>());
    assert!(size_of::<ServerInvite>() <= 112, "{}", size_of::<ServerInvite>());
    assert!(size_of::<ClientNonInvite>() <= 96, "{}", size_of::<ClientNonInvite>());
    assert!(size_of::<ServerNonInvite>() <= 64, "{}", size_of::<ServerNonInvite>());
}
