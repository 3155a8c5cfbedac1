//! A bare UDP socket, for what no decent user agent sends: malformed messages, floods, RTP at the wrong moment.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::Lab;

/// A socket at one of the test's hosts.
pub struct Datagrams {
    socket: UdpSocket,
}

impl Datagrams {
    /// Binds `port` at host number `host`.
    pub fn bind(lab: &Lab, host: u8, port: u16) -> Self {
        let socket = UdpSocket::bind((lab.host(host), port)).expect("the lab's addresses are free");
        Self { socket }
    }

    /// Sends one datagram.
    pub fn send(&self, to: &str, bytes: &[u8]) {
        // A full socket buffer loses the datagram, as a network would.
        let _ = self.socket.send_to(bytes, to);
    }

    /// The next datagram, if one comes within `limit`.
    pub fn receive(&self, limit: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(limit.max(Duration::from_millis(1)))).expect("a time-out can be set");
        let mut buffer = vec![0; 65_536];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        buffer.truncate(length);
        Some(buffer)
    }

    /// The first datagram that starts with `start`, if one comes within `limit`.
    pub fn receive_start(&self, start: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let text = String::from_utf8_lossy(&self.receive(left)?).into_owned();
            if text.starts_with(start) {
                return Some(text);
            }
        }
    }

    /// Throws away what has come so far.
    pub fn clear(&self) {
        while self.receive(Duration::from_millis(1)).is_some() {}
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }
}

/// A well-formed request without a body, as a starting point for all that is not.
pub fn request(method: &str, target: &str, from: SocketAddr, call_id: &str) -> String {
    let cseq = method;
    format!(
        "{method} sip:441234@{target} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK{call_id};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:+442071230000@{from}>;tag=f{call_id}\r\n\
         To: <sip:441234@{target}>\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 {cseq}\r\n\
         Contact: <sip:{from}>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// An RTP packet of PCMU with 160 bytes of payload.
pub fn rtp(sequence: u16, ssrc: u32, fill: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.resize(12 + 160, fill);
    packet
}

/// Where the first audio stream of a message's SDP wants its RTP.
pub fn media_address(message: &str) -> Option<SocketAddr> {
    let address: IpAddr = message.lines().find_map(|line| line.strip_prefix("c=IN IP4 "))?.trim().parse().ok()?;
    let port = message.lines().find_map(|line| line.strip_prefix("m=audio "))?.split(' ').next()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}
