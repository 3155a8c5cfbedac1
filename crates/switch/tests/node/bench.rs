//! A node in a folder of its own, and a peer on UDP.

use bytes::Bytes;
use routing::Document;
use sip::{Builder, Message, Method, Name};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use switch::{Node, Options, transport};
use tables::Apply;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A running node and its folder.
pub(crate) struct Bench {
    /// The node.
    pub node: Node,
    /// Where its listeners are: UDP and TCP.
    pub address: SocketAddr,
    /// Removed when the node is.
    _folder: TempDir,
}

impl Bench {
    /// A node with these tables. `host` is the last part of its address 127.0.70.x; each test has its own.
    pub(crate) async fn start(host: u8, ports: u16, name_servers: Vec<SocketAddr>, tables: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ip = [127, 0, 70, host].into();
        let at = SocketAddr::new(ip, 0);
        let mut media = relay::Options::new(vec![ip], ports..=ports + 15);
        media.workers = 1;
        let options = Options {
            name: "test-1".to_owned(),
            site: "test".to_owned(),
            data_dir: folder.path().to_owned(),
            sip: transport::Options { udp: vec![at], tcp: vec![at], advertise: None, workers: 1 },
            media,
            name_servers,
            mesh: None,
            ladder: switch::ladder::Options::default(),
            hep: None,
            otlp: None,
            surroundings: switch::Surroundings::default(),
        };
        let node = Node::start(options).await.expect("starts");
        let local = node.shell().transports.locals().into_iter().find(|local| local.0 == sip::Transport::Udp);
        let bench = Self { address: local.expect("listens").1, node, _folder: folder };
        bench.apply(tables).await;
        bench
    }

    /// Puts rows.
    pub(crate) async fn apply(&self, text: &str) {
        self.declare(text, false).await;
    }

    /// Puts rows; with `prune`, others of the same tables go.
    pub(crate) async fn declare(&self, text: &str, prune: bool) {
        let files = [(PathBuf::from("test.toml"), text.to_owned())];
        let document = Document::parse(&files).expect("valid");
        let apply = Apply { prune, ..Apply::default() };
        self.node.shell().tables.apply(document, apply).await.expect("applied");
    }

    /// Ends the node in order.
    pub(crate) async fn stop(self) {
        self.node.stop(Duration::from_millis(200)).await;
    }
}

/// Waits until `what` holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A phone, a gateway or a registrar.
pub(crate) struct Peer {
    socket: UdpSocket,
    /// Its address.
    pub address: SocketAddr,
    cseq: AtomicU32,
}

impl Peer {
    /// On a free port of 127.0.71.x.
    pub(crate) async fn bind(host: u8) -> Self {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 71, host), 0)).await.expect("a port");
        Self { address: socket.local_addr().expect("bound"), socket, cseq: AtomicU32::new(0) }
    }

    /// Sends bytes.
    pub(crate) async fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.socket.send_to(bytes, to).await.expect("sends");
    }

    /// The next message within `patience`.
    pub(crate) async fn next(&self, patience: Duration) -> Option<(Message, SocketAddr)> {
        let mut buffer = [0; 65_536];
        let (length, from) = timeout(patience, self.socket.recv_from(&mut buffer)).await.ok()?.ok()?;
        Some((Message::parse(Bytes::copy_from_slice(&buffer[..length])).expect("SIP"), from))
    }

    /// The next message.
    pub(crate) async fn expect(&self) -> (Message, SocketAddr) {
        self.next(PATIENCE).await.expect("a message")
    }

    /// The next request of a method; others are left aside.
    pub(crate) async fn request(&self, method: Method) -> (Message, SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (message, from) = self.expect().await;
            if message.is_request() && message.method() == method {
                return (message, from);
            }
            assert!(Instant::now() < deadline, "no {method:?}");
        }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, request: &Message, from: SocketAddr, code: u16, headers: &[(Name, String)]) {
        let mut builder = Builder::response(request, code, None, "peer");
        for (name, value) in headers {
            builder.add(*name, value);
        }
        self.send(&builder.finish(), from).await;
    }

    /// A request of ours outside a dialog, with a branch of its own.
    pub(crate) fn request_to(&self, method: Method, uri: &str, user: &str) -> Builder {
        let (us, number) = (self.address, self.cseq.fetch_add(1, Ordering::Relaxed) + 1);
        Builder::request(method, uri)
            .header(Name::Via, format_args!("SIP/2.0/UDP {us};branch=z9hG4bK{}x{number};rport", us.port()))
            .header(Name::MaxForwards, 70)
            .header(Name::From, format_args!("<sip:{user}@test>;tag=t{number}"))
            .header(Name::To, format_args!("<sip:{user}@test>"))
            .header(Name::CallId, format_args!("call-{}", us.port()))
            .header(Name::CSeq, format_args!("{number} {}", method.token()))
    }
}
