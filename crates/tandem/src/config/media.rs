//! `[media]`

use serde::Deserialize;
use std::net::IpAddr;

/// The relay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Media {
    /// Local address, or a list of them: each has the whole range of ports.
    pub address: Addresses,
    /// The address that peers see, behind NAT.
    #[serde(default)]
    pub advertise: Option<IpAddr>,
    /// First and last UDP port.
    #[serde(default = "default_ports")]
    pub ports: [u16; 2],
    /// Packet threads; one a core if absent.
    #[serde(default)]
    pub workers: Option<usize>,
}

/// One address or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Addresses {
    /// `address = "127.0.1.1"`
    One(IpAddr),
    /// `address = ["127.0.1.1", "127.0.1.2"]`
    Many(Vec<IpAddr>),
}

const fn default_ports() -> [u16; 2] {
    [20_000, 29_999]
}

impl Media {
    /// The addresses.
    #[must_use]
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        match &self.address {
            Addresses::One(ip) => vec![*ip],
            Addresses::Many(ips) => ips.clone(),
        }
    }

    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let [first, last] = self.ports;
        if first < 1024 || last <= first || last - first < 3 {
            return Err(("media.ports", format!("[{first}, {last}] is no range of at least four ports from 1024 up")));
        }
        if self.addresses().is_empty() {
            return Err(("media.address", "name at least one address".to_owned()));
        }
        if self.advertise.is_none() && self.addresses().iter().any(IpAddr::is_unspecified) {
            return Err((
                "media.address",
                "is no address that a peer could send to; name one, or set advertise".to_owned(),
            ));
        }
        if self.workers == Some(0) {
            return Err(("media.workers", "must be at least 1; leave it out for one a core".to_owned()));
        }
        Ok(())
    }
}
