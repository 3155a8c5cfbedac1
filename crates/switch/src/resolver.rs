//! From the gateways of the tables to addresses that a request can be sent to (RFC 3263). The only user of DNS.
//!
//! Which names are asked and in which order targets are tried is [`sip::locate`]'s business; this module asks, within
//! limits of time, and turns targets into hops. A literal address never asks anyone.

mod dns;
#[cfg(test)]
mod tests;

use crate::error::Error;
use ::call::Locals;
use ::call::input::Hop;
use hickory_resolver::TokioResolver;
use routing::model;
use sip::Transport;
use sip::locate::{Locate, Target};
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where an attempt can be sent, best first.
pub(crate) type Hops = SmallVec<[Hop; 1]>;

/// Targets of one name that a call tries at the most.
const TARGETS: usize = 8;
/// How long the search for the targets of one name may take. What was found until then is used.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Clone)]
pub struct Resolver {
    dns: TokioResolver,
    /// What we listen on: only such targets can be reached.
    reachable: Arc<[Reach]>,
}

/// A transport, and the address family (true for IPv4) on which we speak it.
type Reach = (Transport, bool);

impl Resolver {
    /// With these name servers, or the system's if there are none. Targets are of the transports and address families of
    /// `locals`.
    ///
    /// # Errors
    /// [`Error::Resolver`] if the system's configuration cannot be read.
    pub fn open(name_servers: &[SocketAddr], locals: &Locals) -> Result<Self, Error> {
        let dns = dns::open(name_servers).map_err(|error| Error::Resolver(error.to_string()))?;
        Ok(Self::new(dns, locals))
    }

    fn new(dns: TokioResolver, locals: &Locals) -> Self {
        Self { dns, reachable: locals.sip.iter().map(|local| (local.transport, local.bound.is_ipv4())).collect() }
    }

    /// The addresses of all gateways, in their order. The row of a gateway says its transport, so that NAPTR is not asked
    /// (RFC 3263 §4.1); `seed` spreads the load over SRV records of equal priority.
    pub async fn hops(&self, gateways: &[model::Gateway], seed: u64) -> Hops {
        let search = |gateway: &model::Gateway| match literal_hop(gateway) {
            Some(hop) => Search::Known(hop),
            None => {
                let (resolver, gateway) = (self.clone(), gateway.clone());
                // At the same time, so that one dead name server costs the call its patience once.
                Search::Asked(tokio::spawn(async move { resolver.look_up(&gateway, seed).await }))
            }
        };
        let searches: Vec<Search> = gateways.iter().map(search).collect();
        let mut hops = Hops::new();
        for search in searches {
            match search {
                Search::Known(hop) => hops.push(hop),
                Search::Asked(found) => hops.extend(found.await.unwrap_or_default()),
            }
        }
        hops
    }

    async fn look_up(&self, gateway: &model::Gateway, seed: u64) -> Vec<Hop> {
        let (host, port) = gateway.host_port();
        let targets = self.targets(host, port, Some(transport_of(gateway)), seed).await;
        targets.into_iter().map(|target| hop(gateway, target)).collect()
    }

    /// The targets of `host` (IPv6 without its brackets), best first. Without `transport`, NAPTR and SRV choose among those
    /// that we speak; without `port`, SRV names it.
    pub(crate) async fn targets(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
        seed: u64,
    ) -> Vec<Target> {
        let mut locate = Locate::host(host, port, transport, &self.transports(), seed);
        let search = async {
            while let Some(query) = locate.next_query() {
                let answer = dns::ask(&self.dns, &query).await;
                locate.answer(answer);
            }
        };
        if tokio::time::timeout(PATIENCE, search).await.is_err() {
            metrics::counter!("tandem_dns_timeouts_total").increment(1);
        }
        let reachable = |target: &&Target| self.reachable.contains(&(target.transport, target.address.is_ipv4()));
        locate.targets().iter().filter(reachable).take(TARGETS).copied().collect()
    }

    /// Our transports in the order of preference, each once.
    fn transports(&self) -> Vec<Transport> {
        let mut transports: Vec<Transport> = Vec::new();
        for (transport, _) in self.reachable.iter() {
            if !transports.contains(transport) {
                transports.push(*transport);
            }
        }
        transports
    }
}

enum Search {
    Known(Hop),
    Asked(tokio::task::JoinHandle<Vec<Hop>>),
}

/// The hops, if no gateway needs DNS: then nobody waits.
#[must_use]
pub(crate) fn literal(gateways: &[model::Gateway]) -> Option<Hops> {
    gateways.iter().map(literal_hop).collect()
}

fn literal_hop(gateway: &model::Gateway) -> Option<Hop> {
    let (host, port) = gateway.host_port();
    let (ip, transport) = (host.parse().ok()?, transport_of(gateway));
    let address = SocketAddr::new(ip, port.unwrap_or(transport.default_port()));
    Some(hop(gateway, Target { transport, address }))
}

fn hop(gateway: &model::Gateway, target: Target) -> Hop {
    Hop {
        gateway: Some(Arc::clone(&gateway.address)),
        host: Arc::clone(&gateway.address),
        uri: None,
        route: None,
        transport: target.transport,
        remote: target.address,
        flow: None,
    }
}

/// The transport of a gateway's row.
#[must_use]
pub(crate) fn transport_of(gateway: &model::Gateway) -> Transport {
    match gateway.transport {
        model::Transport::Udp => Transport::Udp,
        model::Transport::Tcp => Transport::Tcp,
        model::Transport::Tls => Transport::Tls,
    }
}
