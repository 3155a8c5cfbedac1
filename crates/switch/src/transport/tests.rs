//! Real sockets on the loopback, and an inbox that remembers.

use super::*;
use crate::supervise::{Never, Supervisor};
use ractor::ActorRef;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

struct Memory {
    received: mpsc::UnboundedSender<(Bytes, Flow)>,
    unreachable: mpsc::UnboundedSender<Sender>,
}

impl Inbox for Memory {
    fn receive(&self, bytes: &[u8], flow: Flow, _: Haste) {
        let _ = self.received.send((Bytes::copy_from_slice(bytes), flow));
    }

    fn unreachable(&self, sender: Sender) {
        let _ = self.unreachable.send(sender);
    }
}

/// Running transports and what their inbox was told.
struct Bench {
    transports: Arc<Transports>,
    received: mpsc::UnboundedReceiver<(Bytes, Flow)>,
    unreachable: mpsc::UnboundedReceiver<Sender>,
    root: ActorRef<Never>,
}

impl Bench {
    async fn start(limits: Limits, patience: Patience) -> Self {
        let at = "127.0.61.1:0".parse().expect("an address");
        let options = Options { udp: vec![at], tcp: vec![at], advertise: None, workers: 1 };
        let udp = vec![udp::Listener::bind(&net::System, at, 1).expect("a port")];
        let tcp = vec![stream::Listener::bind(at).expect("a port")];
        let transports = Arc::new(Transports { limits, patience, ..Transports::new(udp, tcp, options) });
        let (received, unreachable) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let inbox: Arc<dyn Inbox> = Arc::new(Memory { received: received.0, unreachable: unreachable.0 });
        let (root, _) = Actor::spawn(None, Supervisor, plan(&transports, &inbox)).await.expect("starts");
        Self { transports, received: received.1, unreachable: unreachable.1, root }
    }

    async fn usual() -> Self {
        Self::start(Limits::default(), Patience::default()).await
    }

    fn local(&self, transport: Transport) -> SocketAddr {
        let locals = self.transports.locals();
        locals.iter().find(|local| local.0 == transport).expect("listens").1
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.local(Transport::Tcp)).await.expect("connects")
    }

    async fn next(&mut self) -> (Bytes, Flow) {
        timeout(PATIENCE, self.received.recv()).await.expect("in time").expect("open")
    }

    fn outbound(&self, remote: SocketAddr) -> Flow {
        Flow::new(Transport::Tcp, self.local(Transport::Tcp), remote)
    }

    async fn stop(self) {
        self.root.stop_and_wait(None, None).await.expect("stops");
    }
}

fn message(body: &str) -> Vec<u8> {
    let head = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP b;branch=z9hG4bK1\r\nContent-Length: ";
    format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()
}

const fn call(mark: u32) -> Sender {
    Sender::Call(CallId { shard: 1, epoch: 1, call: 9 }, mark)
}

async fn closes(peer: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(PATIENCE, peer.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn messages_are_framed_however_they_are_cut() {
    let mut bench = Bench::usual().await;
    let mut peer = bench.connect().await;
    peer.set_nodelay(true).expect("a socket");
    let (first, second) = (message("hello"), message(""));
    let both = [first.clone(), second.clone()].concat();
    for piece in both.chunks(7) {
        peer.write_all(piece).await.expect("writes");
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.next().await.0, first);
    let (bytes, flow) = bench.next().await;
    assert_eq!(bytes, second);
    assert_eq!((flow.transport, flow.remote), (Transport::Tcp, peer.local_addr().expect("bound")));
    // In one piece as well.
    peer.write_all(&both).await.expect("writes");
    assert_eq!((bench.next().await.0, bench.next().await.0), (first.into(), second.into()));
    bench.stop().await;
}

#[tokio::test]
async fn a_response_goes_back_over_the_connection_of_its_request() {
    let mut bench = Bench::usual().await;
    let mut peer = bench.connect().await;
    peer.write_all(&message("")).await.expect("writes");
    let (_, flow) = bench.next().await;
    assert_eq!(bench.transports.send(Bytes::from_static(b"answer"), &flow, call(1)), Sent::Handed);
    let mut got = [0; 6];
    timeout(PATIENCE, peer.read_exact(&mut got)).await.expect("in time").expect("reads");
    assert_eq!(&got, b"answer");
    assert_eq!(bench.transports.connections.count(flow.remote.ip()).0, 1, "no second connection");
    bench.stop().await;
}

#[tokio::test]
async fn we_connect_from_the_address_that_we_listen_on_and_once_only() {
    let mut bench = Bench::usual().await;
    let listener = TcpListener::bind("127.0.61.2:0").await.expect("a port");
    let flow = bench.outbound(listener.local_addr().expect("bound"));
    for text in ["one,", "two,", "three"] {
        assert_eq!(bench.transports.send(Bytes::from_static(text.as_bytes()), &flow, call(1)), Sent::Handed);
    }
    let (mut peer, from) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("accepts");
    assert_eq!(from.ip(), bench.local(Transport::Tcp).ip());
    let mut got = [0; 13];
    timeout(PATIENCE, peer.read_exact(&mut got)).await.expect("in time").expect("reads");
    assert_eq!(&got, b"one,two,three", "in their order");
    // What the peer sends over it is ours to read.
    peer.write_all(&message("")).await.expect("writes");
    assert_eq!(bench.next().await.1.remote, flow.remote);
    assert_eq!(bench.transports.connections.count(flow.remote.ip()).0, 1);
    bench.stop().await;
}

#[tokio::test]
async fn what_cannot_be_delivered_is_told_to_its_sender() {
    let mut bench = Bench::usual().await;
    let listener = TcpListener::bind("127.0.61.2:0").await.expect("a port");
    let flow = bench.outbound(listener.local_addr().expect("bound"));
    drop(listener);
    assert_eq!(bench.transports.send(Bytes::from_static(b"x"), &flow, call(7)), Sent::Handed);
    let told = timeout(PATIENCE, bench.unreachable.recv()).await.expect("in time");
    assert_eq!(told, Some(call(7)));
    // A transport that we do not speak is refused at once.
    let tls = Flow { transport: Transport::Tls, ..flow };
    assert_eq!(bench.transports.send(Bytes::from_static(b"x"), &tls, call(8)), Sent::Unreachable);
    bench.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_up_no_other() {
    let mut bench = Bench::usual().await;
    let mut slow = bench.connect().await;
    slow.write_all(&message("slow")).await.expect("writes");
    let (_, to_slow) = bench.next().await;
    // More than the kernel's buffers and the queue of the connection take.
    let big = Bytes::from(vec![b'x'; 64 * 1024]);
    let refused =
        (0..2 * WRITES).filter(|_| bench.transports.send(big.clone(), &to_slow, call(1)) != Sent::Handed).count();
    assert!(refused > 0, "the queue of one connection is bounded");
    let mut quick = bench.connect().await;
    quick.write_all(&message("quick")).await.expect("writes");
    let (_, to_quick) = bench.next().await;
    assert_eq!(bench.transports.send(Bytes::from_static(b"answer"), &to_quick, call(2)), Sent::Handed);
    let mut got = [0; 6];
    timeout(Duration::from_secs(3), quick.read_exact(&mut got)).await.expect("in time").expect("reads");
    bench.stop().await;
}

#[tokio::test]
async fn one_source_cannot_take_every_connection() {
    let mut bench = Bench::start(Limits { connections: 3, of_source: 2 }, Patience::default()).await;
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut peer = bench.connect().await;
        peer.write_all(&message("")).await.expect("writes");
        bench.next().await;
        kept.push(peer);
    }
    let mut third = bench.connect().await;
    assert!(closes(&mut third).await, "too many from one address");
    let from = |ip: [u8; 4]| {
        let to = bench.local(Transport::Tcp);
        async move {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind((ip, 0).into()).expect("binds");
            socket.connect(to).await.expect("connects")
        }
    };
    let mut other = from([127, 0, 61, 7]).await;
    let mut full = from([127, 0, 61, 8]).await;
    other.write_all(&message("")).await.expect("writes");
    assert_eq!(bench.next().await.1.remote.ip(), IpAddr::from([127, 0, 61, 7]));
    assert!(closes(&mut full).await, "too many in all");
    // A place is free again when a peer leaves.
    kept.clear();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while bench.transports.connections.count([127, 0, 0, 1].into()).0 > 1 {
        assert!(tokio::time::Instant::now() < deadline, "connections are never forgotten");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut again = bench.connect().await;
    again.write_all(&message("")).await.expect("writes");
    bench.next().await;
    bench.stop().await;
}

#[tokio::test]
async fn a_double_line_end_is_answered_with_one() {
    let bench = Bench::usual().await;
    let mut peer = bench.connect().await;
    peer.write_all(b"\r\n\r\n").await.expect("writes");
    let mut got = [0; 2];
    timeout(PATIENCE, peer.read_exact(&mut got)).await.expect("in time").expect("reads");
    assert_eq!(&got, b"\r\n");
    bench.stop().await;
}

#[tokio::test]
async fn half_a_message_is_waited_for_a_while_only_and_a_quiet_connection_for_long() {
    let patience = Patience { message: Duration::from_millis(300), idle: Duration::from_secs(3600) };
    let mut bench = Bench::start(Limits::default(), patience).await;
    let (mut quiet, mut half, mut trickle) = (bench.connect().await, bench.connect().await, bench.connect().await);
    let whole = message("0123456789");
    quiet.write_all(&whole).await.expect("writes");
    bench.next().await;
    half.write_all(&whole[..20]).await.expect("writes");
    assert!(closes(&mut half).await);
    // A byte now and then buys no time.
    let begun = tokio::time::Instant::now();
    for byte in whole.chunks(1) {
        if trickle.write_all(byte).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() < Duration::from_millis(20) * u32::try_from(whole.len()).expect("short"));
    quiet.write_all(&whole).await.expect("still open");
    assert_eq!(bench.next().await.0, whole);
    bench.stop().await;
}

#[tokio::test]
async fn a_stream_without_lengths_is_closed() {
    let bench = Bench::usual().await;
    let mut peer = bench.connect().await;
    peer.write_all(b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n").await.expect("writes");
    assert!(closes(&mut peer).await);
    bench.stop().await;
}

#[tokio::test]
async fn datagrams_come_in_and_go_out_by_the_listener_s_own_port() {
    let mut bench = Bench::usual().await;
    let peer = UdpSocket::bind("127.0.61.3:0").await.expect("a port");
    let to = bench.local(Transport::Udp);
    peer.send_to(b"question", to).await.expect("sends");
    let (bytes, flow) = bench.next().await;
    assert_eq!((&*bytes, flow.remote), (&b"question"[..], peer.local_addr().expect("bound")));
    assert_eq!(bench.transports.send(Bytes::from_static(b"answer"), &flow, Sender::Nobody), Sent::Handed);
    let mut got = [0; 16];
    let (length, from) = timeout(PATIENCE, peer.recv_from(&mut got)).await.expect("in time").expect("reads");
    assert_eq!((&got[..length], from), (&b"answer"[..], to));
    bench.stop().await;
}

/// Rounds that follow closely rest between them; whatever comes before, during and after a rest is read all the same.
#[tokio::test]
async fn no_datagram_waits_for_the_next_one_however_close_they_follow() {
    let mut bench = Bench::usual().await;
    let peer = std::net::UdpSocket::bind("127.0.61.4:0").expect("a port");
    let to = bench.local(Transport::Udp);
    let mut sent = 0_u32;
    for burst in [1, 1, 2, 200, 1, 3, 1] {
        for gap in [0, 150, 300, 500, 900, 2_000].map(Duration::from_micros) {
            for _ in 0..burst {
                peer.send_to(&sent.to_be_bytes(), to).expect("sends");
                sent += 1;
            }
            tokio::task::spawn_blocking(move || std::thread::sleep(gap)).await.expect("waits");
        }
        // Then silence: the last one may not wait for a successor.
        while sent > 0 {
            bench.next().await;
            sent -= 1;
        }
    }
    bench.stop().await;
}
