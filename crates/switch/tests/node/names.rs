//! A name server of the test's own.

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, NAPTR, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use tokio::net::UdpSocket;

/// The carrier's domain in every zone here.
pub(crate) const DOMAIN: &str = "carrier.test";

/// Serves [`DOMAIN`]: NAPTR leads to UDP, SRV to `servers` in their order, and each of them is a host.
pub(crate) async fn serve(servers: &[SocketAddr]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.72.1:0").await.expect("a port");
    let address = socket.local_addr().expect("bound");
    let servers = servers.to_vec();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
            let Some(query) = question.queries.first() else { continue };
            let mut reply = Message::response(question.metadata.id, OpCode::Query);
            reply.metadata.recursion_available = true;
            reply.queries.push(query.clone());
            let asked = query.name.to_utf8().trim_end_matches('.').to_ascii_lowercase();
            for data in answers(&asked, query.query_type, &servers) {
                reply.add_answer(Record::from_rdata(query.name.clone(), 60, data));
            }
            if reply.answers.is_empty() {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            let _ = socket.send_to(&reply.to_vec().expect("encodes"), from).await;
        }
    });
    address
}

fn answers(asked: &str, kind: RecordType, servers: &[SocketAddr]) -> Vec<RData> {
    let name = |text: String| Name::from_ascii(text).expect("a name");
    let bytes = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
    let udp = format!("_sip._udp.{DOMAIN}");
    if kind == RecordType::NAPTR && asked == DOMAIN {
        return vec![RData::NAPTR(NAPTR::new(1, 1, bytes("s"), bytes("SIP+D2U"), bytes(""), name(format!("{udp}."))))];
    }
    let servers = servers.iter().zip(0_u16..);
    if kind == RecordType::SRV && asked == udp {
        let srv = |(at, n): (&SocketAddr, u16)| RData::SRV(SRV::new(n, 1, at.port(), name(format!("s{n}.{DOMAIN}."))));
        return servers.map(srv).collect();
    }
    let host = servers.into_iter().find(|(_, n)| asked == format!("s{n}.{DOMAIN}"));
    match host.map(|(at, _)| at.ip()) {
        Some(IpAddr::V4(ip)) if kind == RecordType::A => vec![RData::A(A(ip))],
        Some(IpAddr::V4(_) | IpAddr::V6(_)) | None => Vec::new(),
    }
}
