//! One media description: the `m=` line and what follows it. It never outlives its [`Session`].

use super::address::Host;
use super::direction::Direction;
use super::line::Line;
use super::payload::Payload;
use super::session::Session;
use super::{Error, MAX_FORMATS};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

/// A view of one media description (RFC 8866 §5.14).
#[derive(Clone, Copy, Debug)]
pub struct Media<'a> {
    session: &'a Session,
    lines: &'a [Line],
}

/// An `a=crypto` line (RFC 4568 §9.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Crypto<'a> {
    /// The tag that the answer repeats.
    pub tag: u32,
    /// The suite, such as `AES_CM_128_HMAC_SHA1_80`.
    pub suite: &'a str,
    /// Key parameters, such as `inline:…`: a secret, never to be logged.
    pub key: &'a str,
}

/// An `a=fingerprint` line (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint<'a> {
    /// The hash function, such as `sha-256`.
    pub hash: &'a str,
    /// The fingerprint as hexadecimal pairs with colons.
    pub value: &'a str,
}

impl fmt::Debug for Crypto<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto").field("tag", &self.tag).field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Refuses an `m=` line that cannot be read: `audio 4000[/2] RTP/AVP 0 8`.
pub(super) fn check(value: &str, line: u16) -> Result<(), Error> {
    let mut words = value.split_ascii_whitespace();
    let good = words.next().is_some() && words.next().is_some_and(|port| read_port(port).is_some());
    if !good || words.next().is_none() {
        return Err(Error::Media { line });
    }
    if words.count() > MAX_FORMATS { Err(Error::TooManyFormats { line }) } else { Ok(()) }
}

/// Reads `4000` or `4000/2`.
fn read_port(word: &str) -> Option<(u16, u16)> {
    let (port, count) = word.split_once('/').unwrap_or((word, "1"));
    Some((port.parse().ok()?, count.parse().ok()?))
}

impl<'a> Media<'a> {
    pub(super) fn new(session: &'a Session, lines: Range<u16>) -> Self {
        Self { session, lines: session.lines(lines) }
    }

    /// The kind of media: `audio`, `video`, `image`, `message`, `application`.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        self.word(0)
    }

    /// The port; 0 means rejected, or not yet chosen where BUNDLE says so.
    #[must_use]
    pub fn port(&self) -> u16 {
        read_port(self.word(1)).map_or(0, |(port, _)| port)
    }

    /// How many port pairs the description names, nearly always 1.
    #[must_use]
    pub fn port_count(&self) -> u16 {
        read_port(self.word(1)).map_or(1, |(_, count)| count)
    }

    /// The transport, such as `RTP/AVP` or `udptl`.
    #[must_use]
    pub fn proto(&self) -> &'a str {
        self.word(2)
    }

    /// The formats in order of preference.
    pub fn formats(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.lines[0].text(self.session.body()).split_ascii_whitespace().skip(3)
    }

    /// True if the formats are RTP payload types.
    #[must_use]
    pub fn is_rtp(&self) -> bool {
        self.proto().split('/').any(|part| part.eq_ignore_ascii_case("RTP"))
    }

    /// True if the media runs over UDP, so that a relay can stand between: RTP, T.38 over UDPTL, plain UDP.
    #[must_use]
    pub fn is_relayable(&self) -> bool {
        let first = self.proto().split('/').next().unwrap_or_default();
        ["RTP", "UDP", "UDPTL", "SRTP", "DTLS"].iter().any(|name| name.eq_ignore_ascii_case(first))
    }

    /// True if the port is 0: refused in an answer, ended or not wanted in an offer (RFC 3264 §6 and §8.2).
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.port() == 0
    }

    /// The address for this media: its own `c=`, else the session's.
    #[must_use]
    pub fn connection(&self) -> Option<Host<'a>> {
        self.own_connection().or_else(|| self.session.connection())
    }

    /// What the sender of the description does, an old-style hold address counted as "does not receive".
    #[must_use]
    pub fn direction(&self) -> Direction {
        let said = self.said_direction().unwrap_or_else(|| self.session.direction());
        let held = self.connection().is_some_and(Host::is_hold);
        Direction::of(said.sends(), said.receives() && !held)
    }

    /// Where to send RTP. `None` if the media is rejected, on an old-style hold, or named and not yet resolved.
    #[must_use]
    pub fn rtp_address(&self) -> Option<SocketAddr> {
        let port = Some(self.port()).filter(|port| *port != 0)?;
        Some(SocketAddr::new(self.connection()?.ip()?, port))
    }

    /// Where to send RTCP: with `mux` negotiated by both sides (RFC 5761) to the RTP port, else where `a=rtcp` says
    /// (RFC 3605), else to the port after RTP.
    #[must_use]
    pub fn rtcp_address(&self, mux: bool) -> Option<SocketAddr> {
        let rtp = self.rtp_address()?;
        if mux {
            return Some(rtp);
        }
        let Some(value) = self.attribute("rtcp") else {
            return Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?));
        };
        let (port, host) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        let ip = Host::parse(host).map_or(Some(rtp.ip()), Host::ip)?;
        Some(SocketAddr::new(ip, port.parse().ok().filter(|port| *port != 0)?))
    }

    /// True if the sender offers or accepts RTCP on the RTP port (RFC 5761 §5.1.1, RFC 8858).
    #[must_use]
    pub fn rtcp_mux(&self) -> bool {
        self.attribute("rtcp-mux").is_some() || self.attribute("rtcp-mux-only").is_some()
    }

    /// The RTP payload types that are static or mapped, in order of preference.
    pub fn payloads(&self) -> impl Iterator<Item = Payload<'a>> + use<'a> {
        let media = *self;
        self.formats().filter_map(move |format| Payload::of(&media, format))
    }

    /// The payload type of DTMF events at this clock rate (RFC 4733); the usual rate is 8000.
    #[must_use]
    pub fn telephone_event(&self, clock: u32) -> Option<u8> {
        let mut events = self.payloads().filter(|payload| payload.name.eq_ignore_ascii_case("telephone-event"));
        events.find(|payload| payload.clock == clock).map(|payload| payload.number)
    }

    /// Packet length in milliseconds, if given.
    #[must_use]
    pub fn ptime(&self) -> Option<u16> {
        self.attribute("ptime")?.trim().parse().ok()
    }

    /// Longest packet in milliseconds, if given.
    #[must_use]
    pub fn maxptime(&self) -> Option<u16> {
        self.attribute("maxptime")?.trim().parse().ok()
    }

    /// `b=` lines: kind and figure, kbit/s for `AS`, bit/s for `TIAS`.
    pub fn bandwidths(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let body = self.session.body();
        self.lines.iter().filter(|line| line.letter == b'b').filter_map(move |line| line.text(body).split_once(':'))
    }

    /// SDES keys that are offered or accepted.
    pub fn cryptos(&self) -> impl Iterator<Item = Crypto<'a>> + use<'a> {
        self.values("crypto").filter_map(|value| {
            let mut words = value.split_ascii_whitespace();
            Some(Crypto { tag: words.next()?.parse().ok()?, suite: words.next()?, key: words.next()? })
        })
    }

    /// ICE candidates as written.
    pub fn candidates(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.values("candidate")
    }

    /// The DTLS role (RFC 4145 §4), of the media or else of the session.
    #[must_use]
    pub fn setup(&self) -> Option<&'a str> {
        self.attribute("setup").or_else(|| self.session.attribute("setup")).map(str::trim)
    }

    /// The DTLS certificate's fingerprint, of the media or else of the session.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint<'a>> {
        let value = self.attribute("fingerprint").or_else(|| self.session.attribute("fingerprint"))?;
        value.trim().split_once(' ').map(|(hash, value)| Fingerprint { hash, value })
    }

    /// Attributes of this media, in order: name and value, the value empty where there is none.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let body = self.session.body();
        self.lines.iter().filter_map(move |line| line.attribute(body))
    }

    /// The value of the first attribute of this name; empty if the attribute has none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.named(self.session.body(), name))
    }

    /// The values of all attributes of this name, in order.
    pub(super) fn values(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        let body = self.session.body();
        self.lines.iter().filter_map(move |line| line.named(body, name))
    }

    /// The `c=` line of the media itself.
    pub(super) fn own_connection(&self) -> Option<Host<'a>> {
        let line = self.lines.iter().find(|line| line.letter == b'c')?;
        Host::parse(line.text(self.session.body()))
    }

    /// The direction attribute of the media itself.
    pub(super) fn said_direction(&self) -> Option<Direction> {
        self.lines.iter().find_map(|line| line.direction(self.session.body()))
    }

    /// All lines, the `m=` line first.
    pub(super) fn lines(&self) -> &'a [Line] {
        self.lines
    }

    fn word(&self, index: usize) -> &'a str {
        self.lines[0].text(self.session.body()).split_ascii_whitespace().nth(index).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{ALL, BARESIP, IPV6, LINPHONE, MIXED, PJSIP, T38, WEBRTC};
    use super::*;

    fn session(body: &str) -> Session {
        Session::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn every_sample_is_read() {
        for body in ALL {
            let session = session(body);
            assert!(session.media_count() > 0 && session.origin().is_some() && session.name().is_some());
            assert_eq!(session.time(), Some("0 0"));
        }
    }

    #[test]
    fn addresses_follow_the_rules_of_rtcp() {
        let pjsip = session(PJSIP);
        let audio = pjsip.media(0).unwrap();
        assert_eq!(audio.rtp_address(), "192.0.2.10:4000".parse().ok());
        assert_eq!(audio.rtcp_address(false), "192.0.2.10:4001".parse().ok());
        let elsewhere = session(&PJSIP.replace("rtcp:4001 IN IP4 192.0.2.10", "rtcp:53020 IN IP4 198.51.100.9"));
        assert_eq!(elsewhere.media(0).unwrap().rtcp_address(false), "198.51.100.9:53020".parse().ok());
        assert_eq!(elsewhere.media(0).unwrap().rtcp_address(true), "192.0.2.10:4000".parse().ok());
        let v6 = session(IPV6);
        assert_eq!(v6.media(0).unwrap().rtcp_address(false), "[2001:db8::60]:6001".parse().ok());
        assert!(session(WEBRTC).media(0).unwrap().rtcp_mux());
    }

    #[test]
    fn a_name_is_left_to_the_caller() {
        let mixed = session(MIXED);
        assert_eq!(mixed.media(0).unwrap().rtp_address(), None);
        assert_eq!(mixed.media(0).unwrap().connection(), Some(Host::Name("media.example.net")));
    }

    #[test]
    fn payloads_are_static_or_mapped() {
        let pjsip = session(PJSIP);
        let audio = pjsip.media(0).unwrap();
        let names: Vec<_> = audio.payloads().map(|payload| (payload.number, payload.name, payload.clock)).collect();
        assert_eq!(
            names,
            [
                (96, "opus", 48000),
                (9, "G722", 8000),
                (8, "PCMA", 8000),
                (0, "PCMU", 8000),
                (18, "G729", 8000),
                (101, "telephone-event", 8000)
            ]
        );
        assert_eq!(audio.payloads().next().and_then(|payload| payload.fmtp), Some("useinbandfec=1"));
        let bare = session("v=0\r\nm=audio 4 RTP/AVP 8 99 18 200\r\n");
        let bare: Vec<_> = bare.media(0).unwrap().payloads().map(|payload| payload.name.to_owned()).collect();
        assert_eq!(bare, ["PCMA", "G729"], "an unmapped dynamic number means nothing");
    }

    #[test]
    fn events_are_found_by_clock() {
        let webrtc = session(WEBRTC);
        let audio = webrtc.media(0).unwrap();
        assert_eq!((audio.telephone_event(48000), audio.telephone_event(8000)), (Some(110), Some(126)));
        assert_eq!(session(T38).media(0).unwrap().telephone_event(8000), None);
    }

    #[test]
    fn directions_come_from_media_session_or_address() {
        let of = |body: &str| session(body).media(0).unwrap().direction();
        assert_eq!(of(BARESIP), Direction::SendRecv);
        assert_eq!(of(IPV6), Direction::RecvOnly);
        assert_eq!(of("v=0\r\na=sendonly\r\nm=audio 4 RTP/AVP 0\r\n"), Direction::SendOnly);
        assert_eq!(of("v=0\r\na=sendonly\r\nm=audio 4 RTP/AVP 0\r\na=inactive\r\n"), Direction::Inactive);
        assert_eq!(of("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 0\r\n"), Direction::SendOnly);
        assert_eq!(of("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 0\r\na=recvonly\r\n"), Direction::Inactive);
    }

    #[test]
    fn the_rest_of_a_media_description_is_read() {
        let (v6, linphone, webrtc, t38) = (session(IPV6), session(LINPHONE), session(WEBRTC), session(T38));
        let key = v6.media(0).unwrap().cryptos().next().unwrap();
        assert_eq!((key.tag, key.suite), (1, "AES_CM_128_HMAC_SHA1_80"));
        assert!(!format!("{key:?} {v6:?}").contains("inline"), "a key must not reach a log");
        assert_eq!(linphone.media(0).unwrap().candidates().count(), 2);
        let web = webrtc.media(0).unwrap();
        assert_eq!((web.setup(), web.fingerprint().map(|print| print.hash)), (Some("actpass"), Some("sha-256")));
        assert!(t38.media(0).unwrap().is_rejected());
        let fax = t38.media(1).unwrap();
        assert!((fax.kind(), fax.is_rtp(), fax.is_relayable()) == ("image", false, true));
        assert_eq!(fax.formats().collect::<Vec<_>>(), ["t38"]);
        let pjsip = session(PJSIP);
        assert_eq!(pjsip.media(0).unwrap().bandwidths().collect::<Vec<_>>(), [("TIAS", "64000")]);
        assert_eq!(session(BARESIP).media(0).unwrap().ptime(), Some(20));
    }
}
