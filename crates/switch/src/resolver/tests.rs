//! The resolver against a name server of the test's own.

use super::*;
use ::call::Local;
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use tokio::net::UdpSocket;

type Zone = HashMap<(String, RecordType), Vec<RData>>;

/// A name server on a free port; it notes what it is asked.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.53.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("bound");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Some(question) = Message::from_vec(&buffer[..length]).ok() else { continue };
                let Some(query) = question.queries.first() else { continue };
                noted.lock().push(format!("{} {}", query.query_type, name_of(query)));
                let Some(reply) = reply(&zone, question.metadata.id, query) else { continue };
                let _ = socket.send_to(&reply.to_vec().expect("encodes"), from).await;
            }
        });
        Self { address, asked }
    }

    fn asked(&self, kind: &str) -> usize {
        self.asked.lock().iter().filter(|line| line.starts_with(kind)).count()
    }

    fn resolver(&self, transports: &[Transport]) -> Resolver {
        let local = |transport: &Transport| {
            let bound = SocketAddr::from(([127, 0, 53, 2], 5060));
            Local { transport: *transport, bound, advertised: bound.to_string().into() }
        };
        let locals = Locals { sip: transports.iter().map(local).collect() };
        Resolver::open(&[self.address], &locals).expect("opens")
    }
}

fn name_of(query: &Query) -> String {
    query.name.to_utf8().trim_end_matches('.').to_ascii_lowercase()
}

/// Nothing for a name whose zone is silent.
fn reply(zone: &Zone, id: u16, query: &Query) -> Option<Message> {
    let name = name_of(query);
    if name.starts_with("silent.") {
        return None;
    }
    let mut reply = Message::response(id, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.queries.push(query.clone());
    match zone.get(&(name, query.query_type)) {
        Some(found) => {
            for data in found {
                reply.add_answer(Record::from_rdata(query.name.clone(), 300, data.clone()));
            }
        }
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(reply)
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn naptr(order: u16, service: &str, to: &str) -> RData {
    let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    RData::NAPTR(NAPTR::new(order, 10, bytes("s"), bytes(service), bytes(""), name(to)))
}

fn srv(priority: u16, weight: u16, port: u16, to: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, name(to)))
}

fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(127, 0, 54, last)))
}

fn zone() -> Zone {
    let rows = [
        (
            "carrier.test",
            RecordType::NAPTR,
            vec![naptr(20, "SIP+D2U", "_sip._udp.carrier.test."), naptr(10, "SIP+D2T", "_sip._tcp.carrier.test.")],
        ),
        (
            "_sip._tcp.carrier.test",
            RecordType::SRV,
            vec![srv(20, 1, 5082, "b.carrier.test."), srv(10, 1, 5081, "a.carrier.test.")],
        ),
        ("_sip._udp.carrier.test", RecordType::SRV, vec![srv(10, 1, 5083, "a.carrier.test.")]),
        ("a.carrier.test", RecordType::A, vec![a(1)]),
        ("b.carrier.test", RecordType::A, vec![a(2)]),
        (
            "_sip._udp.shared.test",
            RecordType::SRV,
            vec![srv(1, 90, 5060, "a.carrier.test."), srv(1, 10, 5060, "b.carrier.test.")],
        ),
        ("_sip._udp.wide.test", RecordType::SRV, (0..12).map(|n| srv(n, 1, 6000 + n, "a.carrier.test.")).collect()),
    ];
    rows.into_iter().map(|(name, kind, data)| ((name.to_owned(), kind), data)).collect()
}

fn gateway(address: &str) -> model::Gateway {
    model::Gateway {
        address: Arc::from(address),
        transport: model::Transport::Udp,
        priority: 1,
        weight: 1,
        ping_seconds: 0,
    }
}

fn shown(targets: &[Target]) -> Vec<String> {
    targets.iter().map(|target| format!("{} {}", target.transport.param(), target.address)).collect()
}

#[tokio::test]
async fn naptr_leads_to_srv_and_srv_to_addresses() {
    let server = Server::start(zone()).await;
    let resolver = server.resolver(&[Transport::Udp, Transport::Tcp]);
    let targets = resolver.targets("carrier.test", None, None, 1).await;
    let expected = ["tcp 127.0.54.1:5081", "tcp 127.0.54.2:5082", "udp 127.0.54.1:5083"];
    assert_eq!(shown(&targets), expected);
    let first = server.asked.lock().first().cloned();
    assert_eq!(first.as_deref(), Some("NAPTR carrier.test"));
    // Only what is listened for: the same domain, for a node without TCP.
    let targets = server.resolver(&[Transport::Udp]).targets("carrier.test", None, None, 1).await;
    assert_eq!(shown(&targets), ["udp 127.0.54.1:5083"]);
}

#[tokio::test]
async fn a_gateway_s_row_chooses_the_transport_and_its_port_the_host() {
    let server = Server::start(zone()).await;
    let resolver = server.resolver(&[Transport::Udp, Transport::Tcp]);
    let hops = resolver.hops(&[gateway("carrier.test"), gateway("b.carrier.test:5090")], 1).await;
    let remotes: Vec<String> = hops.iter().map(|hop| format!("{} {}", hop.host, hop.remote)).collect();
    assert_eq!(remotes, ["carrier.test 127.0.54.1:5083", "b.carrier.test:5090 127.0.54.2:5090"]);
    assert_eq!(server.asked("NAPTR"), 0);
}

#[tokio::test]
async fn weights_share_the_load() {
    let server = Server::start(zone()).await;
    let resolver = server.resolver(&[Transport::Udp]);
    let mut light = 0;
    for seed in 0..400 {
        let hops = resolver.hops(&[gateway("shared.test")], seed).await;
        assert_eq!(hops.len(), 2, "the other one is there to fail over to");
        light += u32::from(hops[0].remote.ip() == IpAddr::from([127, 0, 54, 2]));
    }
    assert!((10..100).contains(&light), "{light}");
    assert_eq!(server.asked("SRV"), 1, "the rest came from the cache");
}

#[tokio::test]
async fn a_literal_address_asks_nobody() {
    let server = Server::start(zone()).await;
    let resolver = server.resolver(&[Transport::Udp]);
    let gateways = [gateway("127.0.54.9:5070"), gateway("[::1]"), gateway("127.0.54.8")];
    let hops = resolver.hops(&gateways, 1).await;
    let remotes: Vec<String> = hops.iter().map(|hop| hop.remote.to_string()).collect();
    assert_eq!(remotes, ["127.0.54.9:5070", "[::1]:5060", "127.0.54.8:5060"]);
    assert_eq!(literal(&gateways).map(|hops| hops.len()), Some(3));
    assert_eq!(resolver.targets("127.0.54.7", None, None, 1).await.len(), 1);
    assert_eq!(server.asked.lock().len(), 0);
    assert_eq!(literal(&[gateway("carrier.test")]), None);
}

#[tokio::test]
async fn what_does_not_exist_is_asked_once_and_gives_no_hop() {
    let server = Server::start(zone()).await;
    let resolver = server.resolver(&[Transport::Udp]);
    assert!(resolver.hops(&[gateway("nowhere.test")], 1).await.is_empty());
    let asked = server.asked.lock().len();
    assert!(resolver.hops(&[gateway("nowhere.test")], 2).await.is_empty());
    assert_eq!(server.asked.lock().len(), asked, "negative answers are kept");
    // The dead name stands before a living one and takes nothing from it.
    let hops = resolver.hops(&[gateway("nowhere.test"), gateway("a.carrier.test:5060")], 3).await;
    assert_eq!(hops.len(), 1);
}

#[tokio::test]
async fn a_silent_zone_costs_seconds_and_never_more() {
    let server = Server::start(zone()).await;
    let resolver = server.resolver(&[Transport::Udp]);
    let begun = tokio::time::Instant::now();
    let hops =
        resolver.hops(&[gateway("silent.test"), gateway("silent.test:1"), gateway("b.carrier.test:5060")], 1).await;
    assert_eq!(hops.len(), 1);
    assert!(begun.elapsed() < PATIENCE + Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn targets_are_bounded() {
    let server = Server::start(zone()).await;
    let hops = server.resolver(&[Transport::Udp]).hops(&[gateway("wide.test")], 1).await;
    assert_eq!(hops.len(), TARGETS);
    assert_eq!(hops[0].remote.port(), 6000);
}
