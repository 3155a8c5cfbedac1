//! Behaviour of a session, packet by packet, without a socket.

use super::rtcp::tests::{block, report};
use super::{Session, Verdict};
use crate::{Component, Event, Payload, PayloadKind, Reason, Side, SideStats, Update};
use proptest::prelude::*;
use sip::clock::Instant;
use std::net::SocketAddr;
use std::time::Duration;

const A: &str = "192.0.2.1:4000";
const B: &str = "198.51.100.1:6000";
const STRANGER: &str = "203.0.113.66:4000";
const SILENCE: Duration = Duration::from_secs(60);

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn update(side: Side) -> Update {
    let remote = if side == Side::A { A } else { B };
    let mut update = Update::new(0, side, Some(address(remote)));
    update.payloads.push(Payload { number: 8, kind: PayloadKind::Audio, clock_hz: 8000 });
    update.payloads.push(Payload { number: 101, kind: PayloadKind::TelephoneEvent, clock_hz: 8000 });
    update
}

/// Both sides have sent their SDP.
fn session() -> Session {
    let mut session = Session::new(at(0), 1, SILENCE);
    session.handle_update(at(0), update(Side::A));
    session.handle_update(at(0), update(Side::B));
    session
}

fn rtp(payload_type: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(&[0x55; 160]);
    packet
}

/// Delivers to the RTP port of side A.
fn to_a(session: &mut Session, ms: u64, source: &str, packet: &[u8]) -> Verdict {
    session.handle_packet(at(ms), Side::A, 0, Component::Rtp, address(source), packet)
}

fn to_b(session: &mut Session, ms: u64, source: &str, packet: &[u8]) -> Verdict {
    session.handle_packet(at(ms), Side::B, 0, Component::Rtp, address(source), packet)
}

const fn forward(component: Component, to: SocketAddr) -> Verdict {
    Verdict::Forward { component, to, is_rtcp: false }
}

const fn forward_rtcp(component: Component, to: SocketAddr) -> Verdict {
    Verdict::Forward { component, to, is_rtcp: true }
}

fn side(session: &Session, side: Side) -> SideStats {
    session.stats().side(side).expect("one stream").clone()
}

#[test]
fn audio_goes_from_each_side_to_the_other() {
    let mut session = session();
    assert_eq!(to_a(&mut session, 1, A, &rtp(8, 1, 7)), forward(Component::Rtp, address(B)));
    assert_eq!(session.poll_event(), Some(Event::FirstPacket { side: Side::A, stream: 0 }));
    assert_eq!(to_b(&mut session, 2, B, &rtp(8, 1, 8)), forward(Component::Rtp, address(A)));
    assert_eq!(session.poll_event(), Some(Event::FirstPacket { side: Side::B, stream: 0 }));
    assert_eq!(to_a(&mut session, 21, A, &rtp(8, 2, 7)), forward(Component::Rtp, address(B)));
    assert_eq!(session.poll_event(), None);
    let a = side(&session, Side::A);
    assert_eq!((a.packets, a.bytes, a.lost, a.payload), (2, 344, 0, Some(8)));
    assert_eq!(session.stats().last_media(), Some(at(21)));
    assert!(a.mos > 4.0);
}

#[test]
fn a_party_behind_a_nat_is_answered_where_it_was_heard() {
    let mut session = session();
    let outside = "203.0.113.9:31000";
    assert_eq!(to_a(&mut session, 4_980, outside, &rtp(8, 0, 7)), Verdict::Drop(Reason::Source), "not proven yet");
    assert_eq!(to_a(&mut session, 5_000, outside, &rtp(8, 1, 7)), forward(Component::Rtp, address(B)));
    assert_eq!(to_b(&mut session, 5_001, B, &rtp(8, 1, 8)), forward(Component::Rtp, address(outside)));
}

#[test]
fn rtcp_behind_a_nat_comes_from_the_host_of_the_rtp() {
    let mut session = session();
    to_a(&mut session, 0, "203.0.113.9:31000", &rtp(8, 1, 7));
    to_a(&mut session, 20, "203.0.113.9:31000", &rtp(8, 2, 7));
    let (rtcp, outside) = (report(201, 0, &[]), address("203.0.113.9:31055"));
    let verdict = session.handle_packet(at(30), Side::A, 0, Component::Rtcp, outside, &rtcp);
    assert_eq!(verdict, forward_rtcp(Component::Rtcp, address("198.51.100.1:6001")));
    let verdict = session.handle_packet(at(40), Side::B, 0, Component::Rtcp, address("198.51.100.1:6001"), &rtcp);
    assert_eq!(verdict, forward_rtcp(Component::Rtcp, outside));
}

#[test]
fn a_stranger_can_neither_inject_nor_draw_audio() {
    let mut session = session();
    assert!(matches!(to_a(&mut session, 1, A, &rtp(8, 1, 7)), Verdict::Forward { .. }));
    for n in 2..50 {
        assert_eq!(to_a(&mut session, u64::from(n) * 20, STRANGER, &rtp(8, n, 7)), Verdict::Drop(Reason::Source));
    }
    assert_eq!(to_b(&mut session, 2_000, B, &rtp(8, 1, 8)), forward(Component::Rtp, address(A)));
    assert_eq!(side(&session, Side::A).dropped.of(Reason::Source), 48);
    assert_eq!(side(&session, Side::A).packets, 1);
}

#[test]
fn what_was_not_negotiated_passes_not_and_teaches_nothing() {
    let mut session = session();
    assert_eq!(to_a(&mut session, 1, STRANGER, &rtp(0, 1, 7)), Verdict::Drop(Reason::Payload));
    assert_eq!(to_a(&mut session, 1, STRANGER, &[0x80; 5]), Verdict::Drop(Reason::Malformed));
    assert_eq!(
        to_a(&mut session, 1, STRANGER, b"\x00\x01\x00\x00\x21\x12\xa4\x42stun"),
        Verdict::Drop(Reason::Malformed)
    );
    assert_eq!(to_b(&mut session, 2, B, &rtp(8, 1, 8)), forward(Component::Rtp, address(A)));
    assert_eq!(session.poll_event(), Some(Event::FirstPacket { side: Side::B, stream: 0 }));
    assert_eq!(session.poll_event(), None);
    let a = side(&session, Side::A);
    assert_eq!((a.packets, a.dropped.total(), a.dropped.of(Reason::Malformed)), (0, 3, 2));
}

#[test]
fn nothing_is_taken_before_the_sdp() {
    let mut session = Session::new(at(0), 1, SILENCE);
    assert_eq!(to_a(&mut session, 1, A, &rtp(8, 1, 7)), Verdict::Drop(Reason::Early));
    session.handle_update(at(2), update(Side::A));
    assert_eq!(to_a(&mut session, 3, A, &rtp(8, 2, 7)), Verdict::Drop(Reason::Held), "B cannot receive yet");
    let mut unknown = update(Side::B);
    unknown.remote = None;
    session.handle_update(at(4), unknown);
    assert_eq!(to_a(&mut session, 5, A, &rtp(8, 3, 7)), Verdict::Drop(Reason::NoRemote));
}

#[test]
fn on_hold_no_audio_passes_but_rtcp_does() {
    let mut session = session();
    let mut hold = update(Side::B);
    hold.receives = false;
    session.handle_update(at(1), hold.clone());
    assert_eq!(to_a(&mut session, 2, A, &rtp(8, 1, 7)), Verdict::Drop(Reason::Held));
    assert!(matches!(to_b(&mut session, 2, B, &rtp(8, 1, 8)), Verdict::Forward { .. }), "sendonly");
    hold.sends = false;
    session.handle_update(at(3), hold);
    assert_eq!(to_b(&mut session, 4, B, &rtp(8, 2, 8)), Verdict::Drop(Reason::Held));
    let rtcp = report(201, 0, &[]);
    let verdict = session.handle_packet(at(5), Side::A, 0, Component::Rtcp, address("192.0.2.1:4001"), &rtcp);
    assert_eq!(verdict, forward_rtcp(Component::Rtcp, address("198.51.100.1:6001")));
    session.handle_update(at(6), update(Side::B));
    assert!(matches!(to_a(&mut session, 7, A, &rtp(8, 2, 7)), Verdict::Forward { .. }), "resumed");
    assert_eq!(side(&session, Side::A).packets, 2, "what came on hold is counted");
}

#[test]
fn a_reinvite_to_another_address_opens_learning_again() {
    let mut session = session();
    assert!(matches!(to_a(&mut session, 1, A, &rtp(8, 1, 7)), Verdict::Forward { .. }));
    let mut moved = update(Side::A);
    moved.remote = Some(address(STRANGER));
    session.handle_update(at(9_000), moved);
    assert!(matches!(to_a(&mut session, 9_001, STRANGER, &rtp(8, 1, 9)), Verdict::Forward { .. }));
    assert_eq!(to_a(&mut session, 9_002, A, &rtp(8, 2, 7)), Verdict::Drop(Reason::Source));
    assert_eq!(side(&session, Side::A).ssrc_changes, 1);
}

#[test]
fn a_new_ssrc_is_counted_and_is_no_loss() {
    let mut session = session();
    for n in 1..=10 {
        to_a(&mut session, u64::from(n) * 20, A, &rtp(8, n, 7));
    }
    for n in 5_001..=5_010 {
        to_a(&mut session, u64::from(n) * 20, A, &rtp(8, n, 70));
    }
    let a = side(&session, Side::A);
    assert_eq!((a.packets, a.lost, a.ssrc_changes), (20, 0, 1));
}

#[test]
fn digits_are_counted_and_keep_out_of_the_codec() {
    let mut session = session();
    to_a(&mut session, 0, A, &rtp(8, 1, 7));
    let mut digit = rtp(101, 2, 7)[..12].to_vec();
    digit.extend_from_slice(&[5, 0x80, 0, 160]);
    for _ in 0..3 {
        assert!(matches!(to_a(&mut session, 20, A, &digit), Verdict::Forward { .. }));
    }
    let a = side(&session, Side::A);
    assert_eq!((a.digits, a.payload), (1, Some(8)));
}

#[test]
fn round_trip_and_reported_loss_come_from_rtcp() {
    let mut session = session();
    let sender = report(200, 0xaabb_ccdd, &[]);
    let verdict = session.handle_packet(at(0), Side::B, 0, Component::Rtcp, address("198.51.100.1:6001"), &sender);
    assert_eq!(verdict, forward_rtcp(Component::Rtcp, address("192.0.2.1:4001")));
    let answer = report(201, 0, &[block(26, 0xaabb_ccdd, 65_536)]);
    session.handle_packet(at(1_120), Side::A, 0, Component::Rtcp, address("192.0.2.1:4001"), &answer);
    let a = side(&session, Side::A);
    assert!((a.round_trip_ms.expect("measured") - 120.0).abs() < 0.1);
    assert!((a.reported_loss_percent.expect("reported") - 10.16).abs() < 0.1);
}

#[test]
fn multiplexed_rtcp_goes_to_the_port_that_each_side_wants() {
    let mut session = session();
    let mut muxed = update(Side::A);
    muxed.rtcp_mux = true;
    session.handle_update(at(0), muxed);
    let rtcp = report(201, 0, &[]);
    assert_eq!(to_a(&mut session, 1, A, &rtcp), forward_rtcp(Component::Rtcp, address("198.51.100.1:6001")));
    let verdict = session.handle_packet(at(2), Side::B, 0, Component::Rtcp, address("198.51.100.1:6001"), &rtcp);
    assert_eq!(verdict, forward_rtcp(Component::Rtp, address(A)));
    assert_eq!(to_a(&mut session, 3, STRANGER, &rtcp), Verdict::Drop(Reason::Source));
    let rtcp = report(201, 0, &[block(0, 0, 0)]);
    assert_eq!(to_b(&mut session, 3, B, &rtcp), Verdict::Drop(Reason::Payload), "B did not negotiate it");
}

#[test]
fn what_is_encrypted_or_no_rtcp_is_not_taken_for_it() {
    let mut session = session();
    let mut from_a =
        |packet: &[u8]| session.handle_packet(at(1), Side::A, 0, Component::Rtcp, address("192.0.2.1:4001"), packet);
    let clear = report(200, 7, &[block(0, 0, 0)]);
    assert_eq!(from_a(&clear), forward_rtcp(Component::Rtcp, address("198.51.100.1:6001")));
    // SRTCP (RFC 3711 §3.4): only the first eight bytes are clear; E and an index stand behind the packet, then a tag.
    let mut encrypted = clear;
    encrypted[8..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    encrypted.extend_from_slice(&[0x80, 0, 0, 1]);
    encrypted.extend_from_slice(&[0xa5; 10]);
    assert_eq!(from_a(&encrypted), Verdict::Drop(Reason::Malformed));
    assert_eq!(from_a(&rtp(8, 1, 7)), Verdict::Drop(Reason::Malformed));
    assert_eq!(from_a(&[0xff; 40]), Verdict::Drop(Reason::Malformed));
}

#[test]
fn rtcp_from_another_host_is_refused() {
    let mut session = session();
    let rtcp = report(201, 0, &[]);
    let verdict = session.handle_packet(at(2), Side::A, 0, Component::Rtcp, address(STRANGER), &rtcp);
    assert_eq!(verdict, Verdict::Drop(Reason::Source));
}

#[test]
fn silence_is_told_once_a_period_and_only_when_somebody_should_send() {
    let mut session = Session::new(at(0), 1, SILENCE);
    assert_eq!((session.poll_timeout(), session.handle_timeout(at(500_000))), (None, None), "no SDP yet");
    session.handle_update(at(500_000), update(Side::A));
    session.handle_update(at(500_000), update(Side::B));
    to_a(&mut session, 510_000, A, &rtp(8, 1, 7));
    assert_eq!(session.handle_timeout(at(569_999)), None);
    assert_eq!(session.handle_timeout(at(570_000)), Some(Event::Silence));
    assert_eq!(session.handle_timeout(at(571_000)), None);
    assert_eq!(session.handle_timeout(at(630_000)), Some(Event::Silence));
    for side in Side::BOTH {
        let mut hold = update(side);
        (hold.sends, hold.receives) = (false, false);
        session.handle_update(at(640_000), hold);
    }
    assert_eq!(session.handle_timeout(at(900_000)), None, "both on hold");
    session.handle_update(at(950_000), update(Side::A));
    session.handle_update(at(950_000), update(Side::B));
    assert_eq!(session.handle_timeout(at(1_009_999)), None, "counted from the resume");
}

proptest! {
    #[test]
    fn no_packet_panics_and_each_is_counted_once(
        packets in proptest::collection::vec((any::<[bool; 3]>(), proptest::collection::vec(any::<u8>(), 0..80)), 1..60),
    ) {
        let mut session = session();
        let mut dropped = 0;
        for (ms, ([is_a, is_rtp, is_known], mut packet)) in (0_u64..).zip(packets) {
            if let Some(first) = packet.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            let side = if is_a { Side::A } else { Side::B };
            let component = if is_rtp { Component::Rtp } else { Component::Rtcp };
            let source = address(if !is_known { STRANGER } else if is_a { A } else { B });
            match session.handle_packet(at(ms), side, 0, component, source, &packet) {
                Verdict::Drop(_) => dropped += 1,
                Verdict::Forward { to, .. } => prop_assert_ne!(to, source),
            }
        }
        let total: u64 = Side::BOTH.iter().map(|&s| side_total(&session, s)).sum();
        prop_assert_eq!(total, dropped);
    }
}

proptest! {
    /// Once a party was heard from where its SDP says, no others can move the audio that it gets or add to what it says.
    #[test]
    fn nobody_moves_the_audio_of_a_party_that_is_where_it_said(
        strangers in proptest::collection::vec((0_u64..9_000, 1_u8..4, any::<u16>(), 0_u32..3, any::<bool>()), 0..60),
    ) {
        let mut session = session();
        prop_assert_eq!(to_a(&mut session, 1, A, &rtp(8, 1, 7)), forward(Component::Rtp, address(B)));
        let rtcp = report(201, 0, &[block(0, 0, 0)]);
        let mut ms = 1;
        for (pause_ms, host, port, ssrc, is_rtp) in strangers {
            ms += pause_ms;
            let source = SocketAddr::from(([192, 0, 2, host], port));
            if source == address(A) {
                continue;
            }
            let packet = if is_rtp { rtp(8, 2, ssrc) } else { rtcp.clone() };
            let verdict = session.handle_packet(at(ms), Side::A, 0, Component::Rtp, source, &packet);
            prop_assert!(matches!(verdict, Verdict::Drop(_)));
            prop_assert_eq!(to_b(&mut session, ms, B, &rtp(8, 1, 8)), forward(Component::Rtp, address(A)));
        }
        prop_assert_eq!(side(&session, Side::A).packets, 1);
    }
}

fn side_total(session: &Session, of: Side) -> u64 {
    side(session, of).dropped.total()
}

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn who_is_not_heard_after_the_answer_is_told_once() {
    let mut session = session();
    let unheard = |heard| Some(Event::Unheard { heard });
    assert_eq!(session.poll_unheard(at(60_000), PATIENCE), None, "nobody answered");
    // Early media is not speech: what came before the answer does not count.
    to_b(&mut session, 500, B, &rtp(8, 1, 8));
    session.watch(at(1_000));
    to_a(&mut session, 1_020, A, &rtp(8, 1, 7));
    assert_eq!(session.poll_unheard(at(10_999), PATIENCE), None);
    assert_eq!(session.poll_unheard(at(11_000), PATIENCE), unheard(Some(Side::A)));
    assert_eq!(session.poll_unheard(at(60_000), PATIENCE), None, "once");
    session.watch(at(60_000));
    assert_eq!(session.poll_unheard(at(70_000), PATIENCE), unheard(None));
    session.watch(at(80_000));
    to_a(&mut session, 80_020, A, &rtp(8, 2, 7));
    to_b(&mut session, 80_020, B, &rtp(8, 2, 8));
    assert_eq!(session.poll_unheard(at(90_000), PATIENCE), None);
}

#[test]
fn nobody_is_missed_who_is_on_hold() {
    let mut session = session();
    session.watch(at(0));
    to_a(&mut session, 20, A, &rtp(8, 1, 7));
    let mut held = update(Side::B);
    held.sends = false;
    session.handle_update(at(2_000), held);
    assert_eq!(session.poll_unheard(at(10_000), PATIENCE), None);
    // From the end of the hold both have their ten seconds again.
    session.handle_update(at(15_000), update(Side::B));
    assert_eq!(session.poll_unheard(at(24_999), PATIENCE), None);
    to_b(&mut session, 24_999, B, &rtp(8, 1, 8));
    assert_eq!(session.poll_unheard(at(25_000), PATIENCE), Some(Event::Unheard { heard: Some(Side::B) }));
}
