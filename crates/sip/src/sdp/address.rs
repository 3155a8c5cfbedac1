//! The address of a `c=` line or an `a=rtcp` attribute, read and written (RFC 8866 §5.7). It never resolves a name.

use std::io::Write as _;
use std::net::IpAddr;

/// Where media goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host<'a> {
    /// An address. A family that does not fit the `IP4` or `IP6` before it is forgiven.
    Ip(IpAddr),
    /// A name that the caller has to resolve before it can send.
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// From `IN IP4 192.0.2.1`, with or without a multicast TTL and count after a slash; `None` if malformed.
    pub(super) fn parse(value: &'a str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (net, kind, address) = (words.next()?, words.next()?, words.next()?);
        if !net.eq_ignore_ascii_case("IN") || !(kind.eq_ignore_ascii_case("IP4") || kind.eq_ignore_ascii_case("IP6")) {
            return None;
        }
        let address = address.split('/').next().filter(|address| !address.is_empty())?;
        Some(address.parse().map_or(Self::Name(address), Self::Ip))
    }

    /// The address, unless it is a name or the unspecified one.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) if !ip.is_unspecified() => Some(ip),
            Self::Ip(_) | Self::Name(_) => None,
        }
    }

    /// True for `0.0.0.0`, `::` and names under `.invalid`: the old way to say "send me nothing" (RFC 3264 §8.4).
    #[must_use]
    pub fn is_hold(self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_unspecified(),
            Self::Name(name) => name.to_ascii_lowercase().trim_end_matches('.').ends_with(".invalid"),
        }
    }
}

/// Appends `IN IP4 192.0.2.1` or its IPv6 form.
pub(super) fn write_ip(out: &mut Vec<u8>, ip: IpAddr) {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    // A write to a vector cannot fail.
    let _ = write!(out, "IN {family} {ip}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_every_kind_are_read() {
        assert_eq!(Host::parse("IN IP4 192.0.2.1"), Some(Host::Ip("192.0.2.1".parse().unwrap())));
        assert_eq!(Host::parse("IN IP4 224.2.1.1/127/3"), Some(Host::Ip("224.2.1.1".parse().unwrap())));
        assert_eq!(Host::parse("in ip6 2001:db8::1"), Some(Host::Ip("2001:db8::1".parse().unwrap())));
        assert_eq!(Host::parse("IN IP4 media.example.net"), Some(Host::Name("media.example.net")));
        for bad in ["", "IN", "IN IP4", "ATM NSAP 47", "IN IP5 192.0.2.1", "IN IP4 /127"] {
            assert_eq!(Host::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn old_hold_addresses_are_known() {
        for held in ["IN IP4 0.0.0.0", "IN IP6 ::", "IN IP4 x.INVALID", "IN IP4 x.invalid."] {
            assert!(Host::parse(held).is_some_and(Host::is_hold), "{held}");
        }
        assert!(!Host::parse("IN IP4 192.0.2.1").unwrap().is_hold());
    }
}
