//! What a node brings to the mesh: `[node]` and `[cluster]` of node.toml, and its surroundings.

use crate::Error;
use crate::net::{Boxed, Net, Tcp};
use crate::times::Waits;
use crate::tls;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use routing::cluster::{Liveness, Member};
use sip::clock::Instant;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A monotonic clock; the lease is counted on it.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Sends an OPTIONS to a SIP address: a node whose SIP edge answers is not dead, only out of reach of the mesh.
pub trait Knock: Send + Sync + 'static {
    /// Whether anything came back from this host and port, within half a second.
    fn knock<'a>(&'a self, address: &'a str) -> Boxed<'a, bool>;
}

/// For a mesh without SIP: no address answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Knock for Nobody {
    fn knock<'a>(&'a self, _: &'a str) -> Boxed<'a, bool> {
        Box::pin(std::future::ready(false))
    }
}

/// See the fields.
#[derive(Clone)]
pub struct Options {
    /// Where to listen for other nodes.
    pub listen: SocketAddr,
    /// Members to ask for entry; empty founds a cluster. Not looked at once the data folder has an identity.
    pub join: Vec<String>,
    /// `[cluster.tls]`.
    pub tls: Option<tls::Files>,
    /// `[node] name`.
    pub name: String,
    /// `[node] site`.
    pub site: String,
    /// `[node] witness`.
    pub witness: bool,
    /// Host and port by which others reach `listen`.
    pub mesh: String,
    /// Host and port of HTTP.
    pub http: String,
    /// Host and port of each SIP address on UDP.
    pub sip: Vec<String>,
    /// Sockets.
    pub net: Arc<dyn Net>,
    /// Must be the one that callers of [`crate::Handle::holds_lease`] read.
    pub clock: Clock,
    /// Asks a silent node's SIP address whether anybody is there.
    pub knock: Arc<dyn Knock>,
    /// For back-off and requests' names.
    pub seed: u64,
    /// The default, but for a simulation.
    pub waits: Waits,
}

impl Options {
    /// A node on TCP without TLS, on the clock of the runtime, with chance from the system.
    #[must_use]
    pub fn new(name: &str, site: &str, listen: SocketAddr) -> Self {
        Self {
            listen,
            join: Vec::new(),
            tls: None,
            name: name.to_owned(),
            site: site.to_owned(),
            witness: false,
            mesh: listen.to_string(),
            http: String::new(),
            sip: Vec::new(),
            net: Arc::new(Tcp::of(listen)),
            clock: runtime_clock(),
            knock: Arc::new(Nobody),
            seed: StdRng::from_os_rng().random(),
            waits: Waits::default(),
        }
    }

    /// This node as a member; the cluster fills in the number and the incarnation.
    pub(crate) fn member(&self) -> Member {
        Member {
            id: 0,
            name: self.name.as_str().into(),
            site: self.site.as_str().into(),
            mesh: self.mesh.as_str().into(),
            http: self.http.as_str().into(),
            sip: self.sip.iter().map(|address| address.as_str().into()).collect(),
            witness: self.witness,
            incarnation: 0,
            liveness: Liveness::Up,
            protocol: crate::proto::PROTOCOL,
        }
    }

    /// Without TLS everything must be loopback.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.tls.is_some() {
            return Ok(());
        }
        let listen = self.listen.to_string();
        let mut all = self.join.iter().chain([&listen, &self.mesh]);
        all.find(|address| !is_loopback(address)).map_or(Ok(()), |address| Err(Error::Bare(address.clone())))
    }
}

/// Whether a host and port is on this machine by its looks: no name but `localhost` is looked up.
pub(crate) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The clock of tokio, which tests pause and simulations drive. It begins one second after its origin, so that "a moment
/// before now" can always be said.
pub fn runtime_clock() -> Clock {
    let origin = tokio::time::Instant::now();
    Arc::new(move || {
        let elapsed = u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX / 2);
        Instant::from_micros(1_000_000 + elapsed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tls_everything_is_loopback() {
        for (address, expected) in [
            ("127.0.3.1:7060", true),
            ("[::1]:7060", true),
            ("localhost:7060", true),
            ("10.0.0.1:7060", false),
            ("fra-1.example:7060", false),
            ("[2001:db8::1]:7060", false),
        ] {
            assert_eq!(is_loopback(address), expected, "{address}");
        }
    }
}
