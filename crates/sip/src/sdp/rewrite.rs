//! Makes of one leg's description the one for the other leg, with the media relay in between.
//!
//! Changed are `o=`, the addresses and ports in `c=`, `m=` and `a=rtcp`, what the codec policy removes, and what cannot
//! work through a relay: ICE and BUNDLE. Every other line keeps its bytes and its place. It never reorders lines.

use super::Error;
use super::address::{Host, write_ip};
use super::description::Origin;
use super::direction::Direction;
use super::line::Line;
use super::media::Media;
use super::policy::{self, Formats};
use super::session::Session;
use bytes::Bytes;
use smallvec::SmallVec;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where the relay receives one media stream for the side that reads the new description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaAddress {
    /// For RTP, or whatever the stream is.
    pub rtp: SocketAddr,
    /// For RTCP; `None` for the port after RTP's.
    pub rtcp: Option<SocketAddr>,
}

/// What becomes of one media description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The relay stands between.
    Relay(MediaAddress),
    /// It goes from end to end, all its lines as they came.
    Pass,
    /// It is refused with port 0.
    Reject,
}

/// How to rewrite a description.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rewrite<'a> {
    /// What becomes of each media description, by its index. A missing one is refused; one that its sender has
    /// refused stays so.
    pub media: &'a [Target],
    /// The codecs that may pass, in order of preference; `None` lets all pass.
    pub codecs: Option<&'a [Arc<str>]>,
    /// Says this direction for every live stream, in place of what the description says: hold and resume of our own.
    pub direction: Option<Direction>,
}

/// Writes the new description. The same input always gives the same bytes.
///
/// # Errors
/// [`Error::NoCommonCodec`] if the codec policy leaves no media alive that was so before.
pub fn rewrite(session: &Session, origin: &Origin, plan: &Rewrite<'_>) -> Result<Bytes, Error> {
    let fates: SmallVec<[Fate<'_>; 4]> =
        session.medias().enumerate().map(|(index, media)| Fate::of(&media, index, plan)).collect();
    let silenced = fates.iter().any(|fate| fate.no_codec);
    if silenced && fates.iter().all(|fate| fate.target == Target::Reject) {
        return Err(Error::NoCommonCodec);
    }
    let mut writer = Writer { session, origin, plan, out: Vec::with_capacity(session.body().len() + 128) };
    writer.session_part();
    for (media, fate) in session.medias().zip(&fates) {
        match fate.target {
            Target::Pass => writer.passed(&media),
            Target::Relay(address) => writer.media_part(&media, fate, Some(address)),
            Target::Reject => writer.media_part(&media, fate, None),
        }
    }
    Ok(writer.out.into())
}

/// What was decided for one media description.
struct Fate<'a> {
    target: Target,
    /// The formats that stay, if a policy had a say.
    formats: Option<Formats<'a>>,
    /// Refused because the policy left no codec.
    no_codec: bool,
}

impl<'a> Fate<'a> {
    fn of(media: &Media<'a>, index: usize, plan: &Rewrite<'_>) -> Self {
        let target = plan.media.get(index).copied().unwrap_or(Target::Reject);
        if media.is_rejected() || target == Target::Reject {
            return Self { target: Target::Reject, formats: None, no_codec: false };
        }
        let allowed = plan.codecs.filter(|_| media.is_rtp());
        match allowed.map(|allowed| policy::apply(media, allowed)) {
            Some(formats) if formats.is_empty() => Self { target: Target::Reject, formats: None, no_codec: true },
            formats => Self { target, formats, no_codec: false },
        }
    }
}

struct Writer<'a, 'p> {
    session: &'a Session,
    origin: &'p Origin,
    plan: &'p Rewrite<'p>,
    out: Vec<u8>,
}

impl<'a> Writer<'a, '_> {
    /// The lines before the first `m=`, with the mandatory ones that some user agents forget.
    fn session_part(&mut self) {
        let body = self.session.body();
        let lines = self.session.session_lines();
        let has = |letter| lines.iter().any(|line| line.letter == letter);
        let mut timed = has(b't');
        for line in lines {
            match line.letter {
                b'v' => {
                    self.line(*line);
                    self.origin.write(&mut self.out);
                    if !has(b's') {
                        self.out.extend_from_slice(b"s=-\r\n");
                    }
                }
                b'o' => {}
                b'c' => self.connection(self.origin.address),
                b'a' => {
                    if !std::mem::replace(&mut timed, true) {
                        self.out.extend_from_slice(b"t=0 0\r\n");
                    }
                    if line.attribute(body).is_none_or(|(name, value)| self.keeps_for_session(name, value)) {
                        self.line(*line);
                    }
                }
                _ => self.line(*line),
            }
        }
        if !timed {
            self.out.extend_from_slice(b"t=0 0\r\n");
        }
    }

    /// A media description that goes from end to end; the session's address is no longer the one that it meant.
    fn passed(&mut self, media: &Media<'a>) {
        let body = self.session.body();
        let inherited = self.session.session_lines().iter().find(|line| line.letter == b'c');
        let mut missing = inherited.filter(|_| media.own_connection().is_none());
        for line in media.lines() {
            if !matches!(line.letter, b'm' | b'i')
                && let Some(connection) = missing.take()
            {
                self.line(*connection);
            }
            self.out.extend_from_slice(line.whole(body));
            self.out.extend_from_slice(b"\r\n");
        }
        if let Some(connection) = missing {
            self.line(*connection);
        }
    }

    /// A media description that goes through the relay, or with `address` absent one that is refused.
    fn media_part(&mut self, media: &Media<'a>, fate: &Fate<'a>, address: Option<MediaAddress>) {
        let ip = address.map_or(self.origin.address, |address| address.rtp.ip());
        let mut connection = self.connection_to_add(media, ip);
        let mut direction = self.direction_to_say(media, address.is_some());
        let replaces_direction = direction.is_some();
        let mut rtcp = address.and_then(|address| rtcp_to_say(media, address));
        for line in media.lines() {
            if !matches!(line.letter, b'm' | b'i')
                && let Some(ip) = connection.take()
            {
                self.connection(ip);
            }
            match (line.letter, line.attribute(self.session.body())) {
                (b'm', _) => self.media_line(media, fate, address),
                (b'c', _) => self.connection(ip),
                (_, Some(("rtcp", _))) => self.rtcp(ip, rtcp.take()),
                (_, Some((name, _))) if replaces_direction && Direction::from_attribute(name).is_some() => {
                    self.direction(direction.take());
                }
                (_, Some((name, value))) if !keeps(name, value, fate) => {}
                _ => self.line(*line),
            }
        }
        if let Some(ip) = connection {
            self.connection(ip);
        }
        self.rtcp(ip, rtcp);
        self.direction(direction);
    }

    /// The address that the media needs in a `c=` of its own and has none.
    fn connection_to_add(&self, media: &Media<'a>, ip: IpAddr) -> Option<IpAddr> {
        let inherits = self.session.connection().is_some() && ip == self.origin.address;
        (media.own_connection().is_none() && !inherits).then_some(ip)
    }

    /// The direction to write in place of what is there: one that the plan asks for, or the hold that only an
    /// address of 0.0.0.0 expressed, which would be lost with that address.
    fn direction_to_say(&self, media: &Media<'a>, live: bool) -> Option<Direction> {
        if !live {
            return None;
        }
        let held = media.connection().is_some_and(Host::is_hold);
        self.plan.direction.or_else(|| held.then(|| media.direction()))
    }

    fn keeps_for_session(&self, name: &str, value: &str) -> bool {
        let replaced = self.plan.direction.is_some() && Direction::from_attribute(name).is_some();
        let bundle = name == "group" && value.trim_start().starts_with("BUNDLE");
        !(replaced || bundle || is_ice(name))
    }

    fn media_line(&mut self, media: &Media<'a>, fate: &Fate<'a>, address: Option<MediaAddress>) {
        let port = address.map_or(0, |address| address.rtp.port());
        let _ = write!(self.out, "m={} {port} {}", media.kind(), media.proto());
        let mut push = |format: &str| {
            self.out.push(b' ');
            self.out.extend_from_slice(format.as_bytes());
        };
        match &fate.formats {
            Some(formats) => formats.iter().copied().for_each(&mut push),
            None => media.formats().for_each(&mut push),
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn connection(&mut self, ip: IpAddr) {
        self.out.extend_from_slice(b"c=");
        write_ip(&mut self.out, ip);
        self.out.extend_from_slice(b"\r\n");
    }

    /// `a=rtcp` (RFC 3605), with the address only where it is not that of RTP.
    fn rtcp(&mut self, rtp_ip: IpAddr, rtcp: Option<SocketAddr>) {
        let Some(rtcp) = rtcp else { return };
        let _ = write!(self.out, "a=rtcp:{}", rtcp.port());
        if rtcp.ip() != rtp_ip {
            self.out.push(b' ');
            write_ip(&mut self.out, rtcp.ip());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn direction(&mut self, direction: Option<Direction>) {
        if let Some(direction) = direction {
            let _ = write!(self.out, "a={}\r\n", direction.attribute());
        }
    }

    /// A line of the session as it came.
    fn line(&mut self, line: Line) {
        self.out.extend_from_slice(line.whole(self.session.body()));
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The RTCP address to write: where the sender wrote one and does not multiplex, and where it is not the next port.
fn rtcp_to_say(media: &Media<'_>, address: MediaAddress) -> Option<SocketAddr> {
    if !media.is_rtp() {
        return None;
    }
    let next = SocketAddr::new(address.rtp.ip(), address.rtp.port().saturating_add(1));
    let rtcp = address.rtcp.unwrap_or(next);
    let said = media.attribute("rtcp").is_some() && !media.rtcp_mux();
    (said || (rtcp != next && rtcp != address.rtp)).then_some(rtcp)
}

/// True if a media attribute stays.
fn keeps(name: &str, value: &str, fate: &Fate<'_>) -> bool {
    let of_removed = match &fate.formats {
        Some(kept) => policy::format_of(name, value).is_some_and(|format| !kept.contains(&format)),
        None => false,
    };
    !of_removed && !is_ice(name) && name != "bundle-only"
}

/// Attributes that name addresses of the other leg's user agent, or checks that a relay does not answer: ICE (RFC 8839)
/// and its forerunners.
fn is_ice(name: &str) -> bool {
    name.starts_with("ice-") || matches!(name, "candidate" | "remote-candidates" | "end-of-candidates" | "alt" | "altc")
}

#[cfg(test)]
mod tests;
