//! From the gateways of the tables to addresses that a request can be sent to (RFC 3263). The only user of DNS.

use crate::error::Error;
use ::call::input::Hop;
use hickory_resolver::TokioResolver;
use routing::model;
use sip::Transport;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where an attempt can be sent, best first.
pub type Hops = SmallVec<[Hop; 1]>;

/// Addresses of one gateway that a call tries at the most.
const ADDRESSES: usize = 4;

/// See the module.
pub struct Resolver(TokioResolver);

impl Resolver {
    /// With the system's name servers.
    ///
    /// # Errors
    /// [`Error::Resolver`] if the system's configuration cannot be read.
    pub fn system() -> Result<Self, Error> {
        let builder = TokioResolver::builder_tokio().map_err(|error| Error::Resolver(error.to_string()))?;
        let resolver = builder.build().map_err(|error| Error::Resolver(error.to_string()))?;
        Ok(Self(resolver))
    }

    /// The addresses of all gateways, in their order.
    pub async fn hops(&self, gateways: &[model::Gateway], seed: u64) -> Hops {
        let mut hops = Hops::new();
        for gateway in gateways {
            match literal_hop(gateway) {
                Some(hop) => hops.push(hop),
                None => hops.extend(self.look_up(gateway, seed).await),
            }
        }
        hops
    }

    async fn look_up(&self, gateway: &model::Gateway, _seed: u64) -> Vec<Hop> {
        let (host, port) = gateway.host_port();
        let transport = transport_of(gateway);
        let port = port.unwrap_or(transport.default_port());
        let Ok(found) = self.0.lookup_ip(host).await else { return Vec::new() };
        found.iter().take(ADDRESSES).map(|ip| hop(gateway, SocketAddr::new(ip, port))).collect()
    }
}

/// The hops, if no gateway needs DNS: then nobody waits.
#[must_use]
pub fn literal(gateways: &[model::Gateway]) -> Option<Hops> {
    gateways.iter().map(literal_hop).collect()
}

fn literal_hop(gateway: &model::Gateway) -> Option<Hop> {
    let (host, port) = gateway.host_port();
    let ip = host.parse().ok()?;
    let port = port.unwrap_or(transport_of(gateway).default_port());
    Some(hop(gateway, SocketAddr::new(ip, port)))
}

fn hop(gateway: &model::Gateway, remote: SocketAddr) -> Hop {
    Hop {
        gateway: Some(Arc::clone(&gateway.address)),
        host: Arc::clone(&gateway.address),
        uri: None,
        route: None,
        transport: transport_of(gateway),
        remote,
        flow: None,
    }
}

/// The transport of a gateway's row.
#[must_use]
pub fn transport_of(gateway: &model::Gateway) -> Transport {
    match gateway.transport {
        model::Transport::Udp => Transport::Udp,
        model::Transport::Tcp => Transport::Tcp,
        model::Transport::Tls => Transport::Tls,
    }
}
