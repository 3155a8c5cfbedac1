//! `[cluster]`: how nodes find each other.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// gRPC between nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cluster {
    /// Where other nodes reach this one.
    pub listen: Option<SocketAddr>,
    /// Any members; empty starts a new cluster.
    pub join: Vec<SocketAddr>,
    /// Mutual TLS; required unless `listen` is loopback.
    pub tls: Option<Tls>,
}

/// `[cluster.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Whom we trust, PEM.
    pub ca: PathBuf,
    /// Our certificate, PEM.
    pub cert: PathBuf,
    /// Our key, PEM.
    pub key: PathBuf,
}
