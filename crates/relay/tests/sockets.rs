//! The relay on real sockets: audio passes, ports come back, silence is noticed, a stranger is not heard.

use relay::{Error, Event, Options, Reason, Relay, Rtcp, Side, Tap, Update};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);

/// Each test has an address of its own, so that none takes another's ports.
fn options(last: u8, ports: std::ops::RangeInclusive<u16>) -> Options {
    let mut options = Options::new(vec![Ipv4Addr::new(127, 0, 7, last).into()], ports);
    options.workers = 2;
    options
}

fn party() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn rtp(sequence: u16, text: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 7]);
    packet.extend_from_slice(text);
    packet
}

struct Call {
    id: relay::SessionId,
    local: [SocketAddr; 2],
    parties: [UdpSocket; 2],
    events: Receiver<Event>,
}

fn call(relay: &Relay) -> Call {
    tapped(relay, None)
}

fn tapped(relay: &Relay, tap: Option<Tap>) -> Call {
    let (sender, events) = channel();
    let sink = move |event| sender.send(event).expect("the test listens");
    let allocation = relay.handle().allocate_tapped(1, Box::new(sink), tap).expect("ports");
    let parties = [party(), party()];
    for side in Side::BOTH {
        let remote = parties[side.index()].local_addr().expect("bound");
        relay.handle().update(allocation.id, Update::new(0, side, Some(remote))).expect("queued");
    }
    Call { id: allocation.id, local: allocation.local[0], parties, events }
}

impl Call {
    /// Sends from one party and returns what the other hears, and from where.
    fn say(&self, from: Side, packet: &[u8]) -> (Vec<u8>, SocketAddr) {
        self.parties[from.index()].send_to(packet, self.local[from.index()]).expect("sent");
        let mut buffer = [0; 2048];
        let (length, source) = self.parties[from.other().index()].recv_from(&mut buffer).expect("relayed");
        (buffer[..length].to_vec(), source)
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn two_parties_hear_each_other_from_the_ports_that_they_were_given() {
    let relay = Relay::start(options(1, 30000..=30099)).expect("started");
    let call = call(&relay);
    assert!(call.local.iter().all(|local| local.port() % 2 == 0));
    for n in 0..50 {
        let (heard, source) = call.say(Side::A, &rtp(n, b"from a"));
        assert_eq!((heard, source), (rtp(n, b"from a"), call.local[1]));
        let (heard, source) = call.say(Side::B, &rtp(n, b"from b"));
        assert_eq!((heard, source), (rtp(n, b"from b"), call.local[0]));
    }
    assert_eq!(call.event(), Event::FirstPacket { side: Side::A, stream: 0 });
    assert_eq!(call.event(), Event::FirstPacket { side: Side::B, stream: 0 });
    relay.handle().release(call.id);
    let Event::Released(stats) = call.event() else { panic!("released") };
    let a = stats.side(Side::A).expect("one stream");
    assert_eq!((a.packets, a.lost, stats.failed), (50, 0, false));
    until("the counters are published", || relay.handle().gauges().packets == 100);
}

#[test]
fn a_stranger_is_not_heard_and_is_counted() {
    let relay = Relay::start(options(2, 30000..=30099)).expect("started");
    let call = call(&relay);
    call.say(Side::A, &rtp(1, b"mine"));
    party().send_to(&rtp(2, b"injected"), call.local[0]).expect("sent");
    until("the stranger is counted", || relay.handle().gauges().dropped(Reason::Source) == 1);
    assert_eq!(call.say(Side::A, &rtp(2, b"mine")).0, rtp(2, b"mine"));
}

#[test]
fn what_is_longer_than_a_packet_can_be_is_not_passed_on_cut_off() {
    let relay = Relay::start(options(10, 30000..=30099)).expect("started");
    let call = call(&relay);
    call.parties[0].send_to(&rtp(1, &[0x55; 3000]), call.local[0]).expect("sent");
    assert_eq!(call.say(Side::A, &rtp(2, b"next")).0, rtp(2, b"next"));
    until("it is counted", || relay.handle().gauges().dropped(Reason::Malformed) == 1);
}

#[test]
fn rtcp_is_copied_to_whoever_taps_a_session_and_nothing_else_is() {
    let relay = Relay::start(options(11, 30000..=30099)).expect("started");
    let (sender, copies) = channel();
    let tap = move |rtcp: Rtcp<'_>| {
        sender.send((rtcp.from, rtcp.to, rtcp.packet.to_vec())).expect("the test listens");
    };
    let call = tapped(&relay, Some(Box::new(tap)));
    // Side A puts both on one port.
    let mut muxed = Update::new(0, Side::A, Some(call.parties[0].local_addr().expect("bound")));
    muxed.rtcp_mux = true;
    relay.handle().update(call.id, muxed).expect("queued");
    call.say(Side::A, &rtp(1, b"audio"));
    call.say(Side::B, &rtp(1, b"audio"));
    let report = |ssrc: u8| [0x80, 201, 0, 1, 0, 0, 0, ssrc];
    let beside = |address: SocketAddr| SocketAddr::new(address.ip(), address.port() + 1);
    call.parties[0].send_to(&[0x80, 201, 0, 9, 0, 0, 0, 7], call.local[0]).expect("sent");
    call.parties[0].send_to(&report(7), call.local[0]).expect("sent");
    let copy = copies.recv_timeout(PATIENCE).expect("the report of A");
    assert_eq!(copy, (call.parties[0].local_addr().expect("bound"), call.local[0], report(7).to_vec()));
    call.parties[1].send_to(&[0xff; 40], beside(call.local[1])).expect("sent");
    call.parties[1].send_to(&report(8), beside(call.local[1])).expect("sent");
    let copy = copies.recv_timeout(PATIENCE).expect("the report of B");
    assert_eq!(copy, (call.parties[1].local_addr().expect("bound"), beside(call.local[1]), report(8).to_vec()));
    until("both pieces of junk are counted", || relay.handle().gauges().dropped(Reason::Malformed) == 2);
    relay.handle().release(call.id);
    while !matches!(call.event(), Event::Released(_)) {}
    assert!(copies.recv_timeout(PATIENCE).is_err(), "no audio and no junk, and the tap goes with its session");
}

#[test]
fn a_burst_passes_whole() {
    let relay = Relay::start(options(3, 30000..=30099)).expect("started");
    let call = call(&relay);
    for n in 0..100 {
        call.parties[0].send_to(&rtp(n, b"burst"), call.local[0]).expect("sent");
    }
    let mut buffer = [0; 2048];
    for n in 0..100 {
        let length = call.parties[1].recv(&mut buffer).expect("relayed");
        assert_eq!(buffer[..length], rtp(n, b"burst"), "in order");
    }
}

#[test]
fn ports_come_back_after_many_rounds() {
    let relay = Relay::start(options(4, 30000..=30039)).expect("started");
    let handle = relay.handle();
    let start = handle.gauges();
    assert_eq!((start.free_pairs, start.sessions), (20, 0));
    let mut last = None;
    for _ in 0..500 {
        let call = call(&relay);
        assert_ne!(Some(call.local), last, "a pair rests before it is used again");
        last = Some(call.local);
        handle.release(call.id);
        assert!(matches!(call.event(), Event::Released(_)));
    }
    let end = handle.gauges();
    assert_eq!((end.free_pairs, end.sessions, end.exhausted), (20, 0, 0));
}

#[test]
fn exhaustion_is_an_error_and_leaves_nothing_reserved() {
    let relay = Relay::start(options(5, 30000..=30011)).expect("started");
    let handle = relay.handle();
    let calls: Vec<_> = (0..3).map(|_| call(&relay)).collect();
    assert!(matches!(handle.allocate(1, Box::new(|_| {})), Err(Error::PortsExhausted)));
    assert!(matches!(handle.allocate(0, Box::new(|_| {})), Err(Error::Streams(0))));
    assert_eq!(handle.gauges().exhausted, 1);
    for call in &calls {
        handle.release(call.id);
        assert!(matches!(call.event(), Event::Released(_)));
    }
    assert!(matches!(handle.allocate(4, Box::new(|_| {})), Err(Error::PortsExhausted)));
    assert_eq!(handle.gauges().free_pairs, 6);
    assert_eq!(handle.allocate(3, Box::new(|_| {})).expect("all ports").local.len(), 3);
}

#[test]
fn a_port_that_somebody_else_holds_is_passed_over() {
    let _taken = UdpSocket::bind((Ipv4Addr::new(127, 0, 7, 6), 30001)).expect("free");
    let relay = Relay::start(options(6, 30000..=30007)).expect("started");
    let allocation = relay.handle().allocate(1, Box::new(|_| {})).expect("others are free");
    assert_eq!(allocation.local[0].map(|local| local.port()), [30002, 30004]);
    assert_eq!(relay.handle().gauges().free_pairs, 2);
}

#[test]
fn the_media_timeout_fires() {
    let mut options = options(7, 30000..=30099);
    options.silence = Duration::from_millis(500);
    let relay = Relay::start(options).expect("started");
    let call = call(&relay);
    call.say(Side::A, &rtp(1, b"the last"));
    let began = Instant::now();
    assert!(matches!(call.event(), Event::FirstPacket { .. }));
    assert_eq!(call.event(), Event::Silence);
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_stop_releases_every_session() {
    let relay = Relay::start(options(8, 30000..=30099)).expect("started");
    let (handle, calls) = (relay.handle(), [call(&relay), call(&relay), call(&relay)]);
    until("the workers have them", || handle.gauges().sessions == 3);
    relay.stop();
    assert!(calls.iter().all(|call| matches!(call.event(), Event::Released(_))));
    assert_eq!(handle.gauges().free_pairs, 25 * 2);
}

#[test]
fn the_advertised_address_is_the_one_of_its_family() {
    let mut options = options(9, 30000..=30099);
    options.advertise = Some("203.0.113.1".parse().expect("an address"));
    let relay = Relay::start(options).expect("started");
    let allocation = relay.handle().allocate(1, Box::new(|_| {})).expect("ports");
    assert!(allocation.local[0].iter().all(|local| local.ip().to_string() == "203.0.113.1"));
}
