//! `[sip]`

use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Where SIP is listened for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sip {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// TLS addresses.
    pub tls: ListOf,
    /// WebSocket addresses.
    pub ws: Vec<SocketAddr>,
    /// Secure WebSocket addresses.
    pub wss: Vec<SocketAddr>,
    /// The address that peers see, behind NAT.
    pub advertise: Option<IpAddr>,
}

/// `tls` is a list of addresses, or the table `[sip.tls]` with certificate and key; TOML cannot hold both under one name,
/// so the table may carry `listen` as well.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ListOf {
    /// `tls = ["127.0.1.1:5061"]`
    Addresses(Vec<SocketAddr>),
    /// `[sip.tls]`
    Table(Tls),
}

/// `[sip.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the keys are known and checked; nothing listens on TLS before the edge is built")]
pub(crate) struct Tls {
    /// Addresses.
    #[serde(default)]
    pub listen: Vec<SocketAddr>,
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Whom we accept certificates of, PEM.
    pub client_ca: Option<PathBuf>,
}

impl Default for ListOf {
    fn default() -> Self {
        Self::Addresses(Vec::new())
    }
}

impl ListOf {
    /// How many addresses it names.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Addresses(addresses) => addresses.len(),
            Self::Table(tls) => tls.listen.len(),
        }
    }
}

impl Sip {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.udp.is_empty() && self.tcp.is_empty() {
            return Err(("sip.udp", "name at least one UDP or TCP address to listen on".to_owned()));
        }
        for (key, addresses) in [("sip.udp", &self.udp), ("sip.tcp", &self.tcp)] {
            let distinct: BTreeSet<_> = addresses.iter().collect();
            if distinct.len() != addresses.len() {
                return Err((key, "an address is there twice; remove one".to_owned()));
            }
            if let Some(any) = addresses.iter().find(|at| at.ip().is_unspecified() && self.advertise.is_none()) {
                let text = format!("{any} is no address that a peer could answer to; name one, or set advertise");
                return Err((key, text));
            }
        }
        Ok(())
    }
}
