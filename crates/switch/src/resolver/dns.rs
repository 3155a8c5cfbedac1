//! One question to DNS, in the words of [`sip::locate`]. Whatever goes wrong is an answer without records.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use sip::locate::{Answer, Naptr, Query, Srv};
use std::net::SocketAddr;
use std::time::Duration;

/// How long one server may take before it is asked again.
const SERVER: Duration = Duration::from_millis(600);
/// How long NAPTR and SRV records may take: servers that swallow types they do not know must leave time for the address.
const SERVICE: Duration = Duration::from_millis(700);
/// A name that does not exist is asked for again after this, and within that, whatever its zone says.
const NEGATIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// A resolver with the limits of a call that waits for it. Without `servers`, the system's.
pub(super) fn open(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let config = ResolverConfig::from_name_servers(servers.iter().copied().map(server).collect());
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = SERVER;
    options.attempts = 2;
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.try_tcp_on_error = true;
    options.negative_min_ttl = Some(NEGATIVE.0);
    options.negative_max_ttl = Some(NEGATIVE.1);
    builder.build()
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut config.connections {
        connection.port = address.port();
    }
    config
}

/// Asks. Names are taken as fully qualified: a search list would turn a typing error into a call to somebody else.
pub(super) async fn ask(dns: &TokioResolver, query: &Query) -> Answer {
    match query {
        Query::Naptr(domain) => Answer::Naptr(
            records(dns.lookup(rooted(domain), RecordType::NAPTR)).await.iter().filter_map(naptr).collect(),
        ),
        Query::Srv(name) => Answer::Srv(records(dns.srv_lookup(rooted(name))).await.iter().filter_map(srv).collect()),
        Query::Host(name) => {
            let found = dns.lookup_ip(rooted(name)).await;
            Answer::Host(found.map_or_else(|_| Vec::new(), |addresses| addresses.iter().collect()))
        }
    }
}

fn rooted(name: &str) -> String {
    format!("{name}.")
}

async fn records(asking: impl Future<Output = Result<Lookup, NetError>>) -> Vec<RData> {
    match tokio::time::timeout(SERVICE, asking).await {
        Ok(Ok(found)) => found.answers().iter().map(|record| record.data.clone()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other type of record is none that was asked for")]
fn naptr(data: &RData) -> Option<Naptr> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match data {
        RData::NAPTR(record) => Some(Naptr {
            order: record.order,
            preference: record.preference,
            flags: text(&record.flags),
            service: text(&record.services),
            replacement: plain(&record.replacement),
        }),
        _ => None,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other type of record is none that was asked for")]
fn srv(data: &RData) -> Option<Srv> {
    match data {
        RData::SRV(record) => Some(Srv {
            priority: record.priority,
            weight: record.weight,
            port: record.port,
            target: plain(&record.target),
        }),
        _ => None,
    }
}

/// As text, without escapes for the underscores of SRV names.
fn plain(name: &Name) -> String {
    name.to_utf8()
}
