//! Via values (RFC 3261 §20.42, RFC 3581).

use crate::param::{Params, decimal, trim, trim_start};
use crate::uri::{host_ip, split_host_port};
use memchr::memchr;
use std::net::{IpAddr, SocketAddr};

/// What every branch since RFC 3261 begins with.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One hop of a message's way, over borrowed text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, … as written.
    pub transport: &'a str,
    /// The sent-by host, IPv6 in brackets.
    pub host: &'a str,
    /// The sent-by port, if written.
    pub port: Option<u16>,
    /// `;branch=…` and the rest.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value (not a comma-joined list). White space around the slashes and the colon is allowed.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (head, params) = text.split_at(memchr(b';', text.as_bytes()).unwrap_or(text.len()));
        let rest = match head.strip_prefix("SIP/2.0/") {
            Some(rest) => rest,
            None => after_protocol(head)?,
        };
        let rest = trim_start(rest);
        let (transport, sent_by) = rest.split_at(rest.bytes().position(|byte| matches!(byte, b' ' | b'\t'))?);
        if transport.is_empty() {
            return None;
        }
        // What the transport ends with is one blank.
        let sent_by = trim(&sent_by[1..]);
        let (host, port) = split_sent_by(sent_by)?;
        Some(Self { transport, host, port, params: Params::new(params) })
    }

    /// The transaction's branch; empty if there is none.
    #[must_use]
    pub fn branch(&self) -> &'a str {
        self.params.get("branch").unwrap_or("")
    }

    /// Where a response over UDP goes (RFC 3261 §18.2.2, RFC 3581 §4): `received` and `rport` before the sent-by.
    ///
    /// `None` if only a host name is there.
    #[must_use]
    pub fn response_address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.params.get("received").and_then(host_ip).or_else(|| host_ip(self.host))?;
        let rport = self.params.get("rport").and_then(decimal);
        Some(SocketAddr::new(ip, rport.or(self.port).unwrap_or(5060)))
    }
}

/// What follows `SIP / 2.0 /` in any case and with white space around the slashes.
fn after_protocol(head: &str) -> Option<&str> {
    let (protocol, rest) = head.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    (protocol.trim().eq_ignore_ascii_case("SIP") && version.trim() == "2.0").then_some(rest)
}

/// `host : port` with the white space that RFC 3261 allows around the colon.
fn split_sent_by(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(ok) = split_host_port(text) {
        return Some(ok);
    }
    let (host, port) = text.rsplit_once(':')?;
    let (host, _) = split_host_port(host.trim_end())?;
    decimal(port.trim_start()).filter(|port| *port != 0).map(|port| (host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_ports_and_parameters() {
        let via = Via::parse("SIP  / 2.0\t/ UDP  192.0.2.2 : 5061 ; branch=z9hG4bK1;rport=7;received=192.0.2.9")
            .expect("valid");
        assert_eq!((via.transport, via.host, via.port), ("UDP", "192.0.2.2", Some(5061)));
        assert_eq!(via.branch(), "z9hG4bK1");
        assert_eq!(via.response_address(), Some("192.0.2.9:7".parse().expect("address")));
    }

    #[test]
    fn ipv6_with_and_without_brackets_in_received() {
        for received in ["[2001:db8::9]", "2001:db8::9"] {
            let text = format!("SIP/2.0/UDP [2001:db8::1];branch=z9hG4bK1;received={received}");
            let via = Via::parse(&text).expect("valid");
            assert_eq!(via.response_address(), Some("[2001:db8::9]:5060".parse().expect("address")));
        }
    }
}
