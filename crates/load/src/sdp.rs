//! The session descriptions of test calls: one audio stream, PCMA or PCMU, telephone events named but never sent.

use std::net::{IpAddr, SocketAddr};

use crate::Codec;

/// What the far end's description says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Far {
    /// Where it wants its packets.
    pub(crate) rtp: SocketAddr,
    /// The first of its codecs that we speak.
    pub(crate) codec: Codec,
}

/// A description of our side; `codecs` in order of preference.
pub(crate) fn describe(rtp: SocketAddr, session: u64, codecs: &[Codec]) -> String {
    let family = if rtp.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (rtp.ip(), rtp.port());
    let types: String = codecs.iter().map(|codec| format!(" {}", codec.payload_type())).collect();
    let maps: String = codecs
        .iter()
        .map(|codec| match codec {
            Codec::Pcma => "a=rtpmap:8 PCMA/8000\r\n",
            Codec::Pcmu => "a=rtpmap:0 PCMU/8000\r\n",
        })
        .collect();
    format!(
        "v=0\r\no=load {session} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP{types} 101\r\n{maps}a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Reads the first audio stream of a description; `None` where it has none that we could use.
pub(crate) fn read(body: &str) -> Option<Far> {
    let (mut session_ip, mut media_ip, mut audio) = (None, None, None);
    for line in body.lines() {
        if let Some(address) = line.strip_prefix("c=IN IP") {
            let ip: IpAddr = address.split_once(' ')?.1.trim().parse().ok()?;
            if audio.is_none() { session_ip = Some(ip) } else { media_ip = media_ip.or(Some(ip)) }
        } else if let Some(rest) = line.strip_prefix("m=") {
            if audio.is_some() {
                break;
            }
            audio = rest.strip_prefix("audio ");
        }
    }
    let mut words = audio?.split_whitespace();
    let port: u16 = words.next()?.parse().ok()?;
    let codec = words.skip(1).find_map(|format| match format {
        "8" => Some(Codec::Pcma),
        "0" => Some(Codec::Pcmu),
        _ => None,
    })?;
    Some(Far { rtp: SocketAddr::new(media_ip.or(session_ip)?, port), codec })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_is_read_back() {
        let rtp = "127.0.9.1:16384".parse().expect("an address");
        let body = describe(rtp, 7, &[Codec::Pcmu, Codec::Pcma]);
        assert_eq!(read(&body), Some(Far { rtp, codec: Codec::Pcmu }));
        assert_eq!(read("v=0\r\nm=video 5 RTP/AVP 8\r\n"), None);
    }

    #[test]
    fn the_address_of_the_stream_wins_over_that_of_the_session() {
        let body = "c=IN IP4 10.0.0.1\r\nm=audio 4000 RTP/AVP 18 8\r\nc=IN IP4 10.0.0.2\r\n";
        let far = read(body).expect("a stream");
        assert_eq!((far.rtp.to_string().as_str(), far.codec), ("10.0.0.2:4000", Codec::Pcma));
    }
}
