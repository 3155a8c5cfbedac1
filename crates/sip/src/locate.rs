//! Where a request for a URI goes: which names to look up in DNS, and in which order to try what comes back (RFC 3263 §4).
//!
//! [`Locate`] is pure: the shell takes [`Locate::next_query`], asks a resolver, hands the result to [`Locate::answer`],
//! and reads [`Locate::targets`] when no query is left. A name that does not resolve is an answer without records.

mod order;

use crate::flow::Transport;
use crate::uri::{Scheme, Uri, host_ip};
use order::{Shuffle, by_priority};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Most queries for one URI; what would need more ends with the targets found so far.
pub const MAX_QUERIES: usize = 24;
/// Most targets that are worth trying.
pub const MAX_TARGETS: usize = 16;

/// A question for the resolver. Names have no dot at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// NAPTR records of a domain.
    Naptr(String),
    /// SRV records of a name such as `_sip._udp.example.com`.
    Srv(String),
    /// A and AAAA records of a host, in the order in which they shall be tried.
    Host(String),
}

/// What the resolver found; nothing, or an error, is an empty list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// For [`Query::Naptr`].
    Naptr(Vec<Naptr>),
    /// For [`Query::Srv`].
    Srv(Vec<Srv>),
    /// For [`Query::Host`].
    Host(Vec<IpAddr>),
}

/// A NAPTR record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Naptr {
    /// Lower first.
    pub order: u16,
    /// Lower first among equal orders.
    pub preference: u16,
    /// `s` for a record that leads to SRV; others are not for SIP.
    pub flags: String,
    /// `SIP+D2U`, `SIPS+D2T`, …
    pub service: String,
    /// The name to look SRV records up for.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Srv {
    /// Lower first.
    pub priority: u16,
    /// The share among equal priorities.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; `.` or empty says that the service is decidedly not there.
    pub target: String,
}

/// One place to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// A look-up that still has to be made.
#[derive(Clone, Debug)]
enum Step {
    Naptr { domain: String },
    Srv { name: String, transport: Transport },
    Host { name: String, port: u16, transport: Transport },
}

/// The search for the targets of one URI.
#[derive(Clone, Debug)]
pub struct Locate {
    steps: VecDeque<Step>,
    /// What the look-ups under way were made for.
    asked: Option<Step>,
    /// The domain itself, tried when no SRV record was found for it (RFC 3263 §4.2).
    fallback: Option<(String, u16, Transport)>,
    secure: bool,
    supported: Vec<Transport>,
    targets: Vec<Target>,
    queries: usize,
    shuffle: Shuffle,
}

impl Locate {
    /// Begins the search for a SIP URI. `supported` lists our transports, most wanted first; `seed` spreads the load over
    /// SRV records of equal priority.
    ///
    /// Without targets and queries from the start if the URI's scheme or transport is none of ours.
    #[must_use]
    pub fn uri(uri: &Uri<'_>, supported: &[Transport], seed: u64) -> Self {
        let secure = uri.scheme == Scheme::Sips;
        let mut locate = Self::empty(secure, supported, seed);
        if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return locate;
        }
        // `maddr` names another place to send to (RFC 3261 §19.1.1).
        let host = uri.params.get("maddr").filter(|maddr| !maddr.is_empty()).unwrap_or(uri.host);
        match uri.params.get("transport") {
            None => locate.begin(host, uri.port, None),
            Some(text) => {
                if let Some(transport) = Transport::of(text) {
                    locate.begin(host, uri.port, Some(locate.secured(transport)));
                }
            }
        }
        locate
    }

    /// Begins the search for a configured host, such as a gateway's address: a name or an address, a port, a transport.
    #[must_use]
    pub fn host(
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
        supported: &[Transport],
        seed: u64,
    ) -> Self {
        let mut locate = Self::empty(transport == Some(Transport::Tls), supported, seed);
        locate.begin(host, port, transport);
        locate
    }

    fn empty(secure: bool, supported: &[Transport], seed: u64) -> Self {
        let supported = supported.iter().copied().filter(|one| !secure || is_secure(*one)).collect();
        Self {
            steps: VecDeque::new(),
            asked: None,
            fallback: None,
            secure,
            supported,
            targets: Vec::new(),
            queries: 0,
            shuffle: Shuffle::new(seed),
        }
    }

    /// `sips:` with `transport=tcp` means TLS (RFC 3261 §26.2.2), with `ws` WSS.
    fn secured(&self, transport: Transport) -> Transport {
        match transport {
            Transport::Tcp if self.secure => Transport::Tls,
            Transport::Ws if self.secure => Transport::Wss,
            Transport::Udp | Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => transport,
        }
    }

    /// RFC 3263 §4.1 and §4.2: the transport first, then the port.
    fn begin(&mut self, host: &str, port: Option<u16>, transport: Option<Transport>) {
        let default = if self.secure { Transport::Tls } else { Transport::Udp };
        let usual = if self.supported.contains(&default) { Some(default) } else { self.supported.first().copied() };
        let Some(usual) = transport.or(usual).filter(|one| self.supported.contains(one)) else { return };
        if let Some(ip) = host_ip(host) {
            self.add(SocketAddr::new(ip, port.unwrap_or(usual.default_port())), usual);
            return;
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if let Some(port) = port {
            self.steps.push_back(Step::Host { name, port, transport: usual });
            return;
        }
        self.fallback = Some((name.clone(), usual.default_port(), usual));
        self.steps.push_back(match transport {
            Some(transport) => Step::Srv { name: srv_name(transport, &name), transport },
            None => Step::Naptr { domain: name },
        });
    }

    /// The next question; `None` when the search is over, or while an answer is awaited.
    pub fn next_query(&mut self) -> Option<Query> {
        if self.asked.is_some() || self.queries >= MAX_QUERIES || self.targets.len() >= MAX_TARGETS {
            return None;
        }
        let step = self.steps.pop_front()?;
        self.queries += 1;
        let query = match &step {
            Step::Naptr { domain } => Query::Naptr(domain.clone()),
            Step::Srv { name, .. } => Query::Srv(name.clone()),
            Step::Host { name, .. } => Query::Host(name.clone()),
        };
        self.asked = Some(step);
        Some(query)
    }

    /// The answer to the last question. One of another kind counts as empty.
    pub fn answer(&mut self, answer: Answer) {
        match (self.asked.take(), answer) {
            (Some(Step::Naptr { domain }), Answer::Naptr(records)) => self.naptr(&domain, records),
            (Some(Step::Naptr { domain }), _) => self.naptr(&domain, Vec::new()),
            (Some(Step::Srv { transport, .. }), Answer::Srv(records)) => self.srv(transport, records),
            (Some(Step::Host { port, transport, .. }), Answer::Host(addresses)) => {
                for ip in addresses {
                    self.add(SocketAddr::new(ip, port), transport);
                }
            }
            (Some(Step::Srv { .. } | Step::Host { .. }) | None, _) => {}
        }
        if self.steps.is_empty() && self.targets.is_empty() {
            // Nothing led anywhere: the domain may still be a host itself.
            if let Some((name, port, transport)) = self.fallback.take() {
                self.steps.push_back(Step::Host { name, port, transport });
            }
        }
    }

    fn naptr(&mut self, domain: &str, mut records: Vec<Naptr>) {
        records.sort_by_key(|record| (record.order, record.preference));
        for record in records.iter().filter(|record| record.flags.eq_ignore_ascii_case("s")) {
            let Some(transport) = service(&record.service).filter(|one| self.supported.contains(one)) else { continue };
            let name = record.replacement.trim_end_matches('.').to_ascii_lowercase();
            self.steps.push_back(Step::Srv { name, transport });
        }
        if self.steps.is_empty() {
            // RFC 3263 §4.1: without NAPTR, an SRV query for each transport that we speak.
            for transport in self.supported.clone() {
                self.steps.push_back(Step::Srv { name: srv_name(transport, domain), transport });
            }
        }
    }

    fn srv(&mut self, transport: Transport, records: Vec<Srv>) {
        let records = by_priority(records, &mut self.shuffle);
        if !records.is_empty() {
            self.fallback = None;
        }
        let hosts = records.into_iter().filter_map(|record| {
            let name = record.target.trim_end_matches('.').to_ascii_lowercase();
            (!name.is_empty()).then_some(Step::Host { name, port: record.port, transport })
        });
        self.steps.extend(hosts);
    }

    fn add(&mut self, address: SocketAddr, transport: Transport) {
        let target = Target { transport, address };
        if self.targets.len() < MAX_TARGETS && !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }

    /// What was found so far, first choice first.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}

fn is_secure(transport: Transport) -> bool {
    matches!(transport, Transport::Tls | Transport::Wss)
}

fn srv_name(transport: Transport, domain: &str) -> String {
    let prefix = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    format!("{prefix}.{domain}")
}

/// The transport that a NAPTR service stands for (RFC 3263 §4.1, RFC 7118 §7).
fn service(text: &str) -> Option<Transport> {
    let services = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    services.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, transport)| transport)
}

#[cfg(test)]
mod tests;
