//! `sip:`, `sips:`, `tel:`, `urn:` and any other URI, read in place (RFC 3261 §19.1, RFC 3966, RFC 5031).

use crate::flow::Transport;
use crate::param::{Params, decimal};
use memchr::memchr;
use std::net::{IpAddr, Ipv6Addr};

/// What stands before the first colon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the RFCs' own")]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Urn,
    Other,
}

/// A URI over borrowed text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme,
    /// The user part of a SIP URI, escapes untouched; the number of a `tel:` URI; what follows `urn:` or another scheme.
    pub user: Option<&'a str>,
    /// The host of a SIP URI, IPv6 in brackets; empty for the others.
    pub host: &'a str,
    /// The port, if written.
    pub port: Option<u16>,
    /// `;…` after the host or the number.
    pub params: Params<'a>,
    /// What follows `?`, without it.
    pub headers: &'a str,
}

/// Control characters, blanks, brackets and quotes: what no URI holds.
const FORBIDDEN: u8 = 1;
/// What a host name or an IPv4 address is made of.
const HOST: u8 = 2;
/// The signs that part a URI, each a bit, so that one pass over it says which need not be looked for.
const AT: u8 = 4;
const SEMICOLON: u8 = 8;
const QUESTION: u8 = 16;

/// What each byte is to a URI.
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            0..=b' ' | b'<' | b'>' | b'"' | 0x7f => FORBIDDEN,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => HOST,
            b'@' => AT,
            b';' => SEMICOLON,
            b'?' => QUESTION,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Cuts before the first `byte`; the second part is empty if there is none.
fn cut(text: &str, byte: u8) -> (&str, &str) {
    text.split_at(memchr(byte, text.as_bytes()).unwrap_or(text.len()))
}

impl<'a> Uri<'a> {
    /// Reads a URI that stands alone, without `<>`.
    ///
    /// `None` if it has no scheme, an empty host, a bad port, white space or `<>` inside.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let seen = text.bytes().fold(0, |seen, byte| seen | CLASSES[usize::from(byte)]);
        if seen & FORBIDDEN != 0 {
            return None;
        }
        if text.as_bytes().get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"sip:")) {
            return Self::parse_sip(Scheme::Sip, &text[4..], seen);
        }
        let (scheme, rest) = text.split_once(':')?;
        let valid_scheme = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !valid_scheme || rest.is_empty() {
            return None;
        }
        match () {
            () if scheme.eq_ignore_ascii_case("sips") => Self::parse_sip(Scheme::Sips, rest, seen),
            () if scheme.eq_ignore_ascii_case("tel") => {
                let (number, params) = cut(rest, b';');
                (!number.is_empty()).then_some(Self::opaque(Scheme::Tel, number, params))
            }
            () if scheme.eq_ignore_ascii_case("urn") => Some(Self::opaque(Scheme::Urn, rest, "")),
            () => Some(Self::opaque(Scheme::Other, rest, "")),
        }
    }

    fn opaque(scheme: Scheme, user: &'a str, params: &'a str) -> Self {
        Self { scheme, user: Some(user), host: "", port: None, params: Params::new(params), headers: "" }
    }

    /// `seen` are the classes of the whole URI's bytes.
    fn parse_sip(scheme: Scheme, rest: &'a str, seen: u8) -> Option<Self> {
        let (mut user, mut tail) = (None, rest);
        // The user part may hold `;` and `?` (RFC 3261 §25.1 user-unreserved), so the `@` is looked for first.
        // A second one is a URI that two readers would read in two ways.
        if seen & AT != 0 {
            let (info, host) = cut(rest, b'@');
            tail = host.get(1..)?;
            let end = info.bytes().position(|byte| byte == b':').unwrap_or(info.len());
            user = Some(&info[..end]);
            if end == 0 || memchr(b'@', tail.as_bytes()).is_some() {
                return None;
            }
        }
        let mut headers = "";
        if seen & QUESTION != 0 {
            (tail, headers) = cut(tail, b'?');
            headers = headers.get(1..).unwrap_or("");
        }
        let (hostport, params) = if seen & SEMICOLON == 0 { (tail, "") } else { cut(tail, b';') };
        let (host, port) = split_host_port(hostport)?;
        Some(Self { scheme, user, host, port, params: Params::new(params), headers })
    }

    /// The host as an address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        host_ip(self.host)
    }

    /// The `transport` parameter, if there is one that we know.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        self.params.get("transport").and_then(Transport::of)
    }

    /// Whether `;user=phone`, or a `tel:` URI: the user part is a number.
    #[must_use]
    pub fn is_phone(&self) -> bool {
        self.scheme == Scheme::Tel || self.params.get("user").is_some_and(|v| v.eq_ignore_ascii_case("phone"))
    }

    /// Whether this asks for an emergency service (RFC 5031).
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        self.scheme == Scheme::Urn
            && self.user.is_some_and(|s| {
                let sos = s.get(..11).unwrap_or("");
                sos.eq_ignore_ascii_case("service:sos") && matches!(s.as_bytes().get(11), None | Some(b'.'))
            })
    }

    /// The user part with `%xx` undone and parameters of the user part (`;npdi…`) cut off.
    ///
    /// `None` if there is no user or it does not decode to UTF-8.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        let user = self.user?;
        let user = user.split_once(';').map_or(user, |(number, _)| number);
        unescape(user)
    }
}

/// Undoes `%xx`, `%00` included; `None` for a broken escape or what is not UTF-8 afterwards.
#[must_use]
pub fn unescape(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// Splits `host`, `host:port`, `[v6]` and `[v6]:port`; the host must be plausible (RFC 3261 §25.1).
#[must_use]
pub fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = if text.starts_with('[') {
        let (host, rest) = text.split_at(text.find(']')? + 1);
        host_ip(host)?;
        (host, rest)
    } else {
        let end = text.bytes().position(|byte| CLASSES[usize::from(byte)] != HOST).unwrap_or(text.len());
        // A byte of a longer character ends the host as well, and is no colon.
        (text.get(..end).filter(|host| !host.is_empty())?, &text[end..])
    };
    if rest.is_empty() {
        return Some((host, None));
    }
    decimal(rest.strip_prefix(':')?).filter(|port| *port != 0).map(|port| (host, Some(port)))
}

/// An address literal, IPv6 with or without brackets.
#[must_use]
pub fn host_ip(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => inner.parse().ok().or_else(|| three_colons(inner)).map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// The grammar of RFC 3261 wrongly wrote a third colon before an embedded IPv4 address, which RFC 5118 §4.10 tolerates.
fn three_colons(inner: &str) -> Option<Ipv6Addr> {
    let (front, v4) = inner.split_once(":::")?;
    v4.parse::<std::net::Ipv4Addr>().ok()?;
    format!("{front}::{v4}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_sip_uri() {
        let uri = Uri::parse("sip:alice;x=1:pw@[2001:db8::1]:5070;transport=tcp;lr?a=b").expect("valid");
        assert_eq!(uri.user, Some("alice;x=1"));
        assert_eq!(uri.number().as_deref(), Some("alice"));
        assert_eq!(uri.host, "[2001:db8::1]");
        assert_eq!(uri.port, Some(5070));
        assert_eq!(uri.transport(), Some(Transport::Tcp));
        assert!(uri.params.has("lr"));
        assert_eq!(uri.headers, "a=b");
    }

    #[test]
    fn tel_and_emergency_uris() {
        let uri = Uri::parse("tel:+44-20;phone-context=x").expect("valid");
        assert_eq!(uri.user, Some("+44-20"));
        assert!(uri.is_phone());
        assert!(Uri::parse("urn:service:sos.fire").expect("valid").is_emergency());
        assert!(!Uri::parse("urn:service:sosx").expect("valid").is_emergency());
    }

    #[test]
    fn what_is_not_a_uri() {
        for bad in [
            "",
            "sip:",
            "alice",
            "sip:@host",
            "sip:a@",
            "sip:a@h:0",
            "sip:a@h:99999",
            "sip:a b@h",
            "<sip:a@h>",
            "sip:a@[::x]",
            "sip:a@b@h",
            "sip:a@h;x=b@c",
            "sip:a@[1:::2]",
        ] {
            assert_eq!(Uri::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a%41%c3%a9").as_deref(), Some("aAé"));
        assert_eq!(unescape("%4"), None);
        assert_eq!(unescape("%ff"), None);
    }
}
