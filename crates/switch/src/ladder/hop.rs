//! How the addresses of a message lie in the spool: as they are in memory, without a look at each byte of them. Every message has two.

use super::entry::Hop;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use sip::Transport;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address as IPv6, its port, its scope, and whether it is IPv4.
const ADDRESS: usize = 16 + 2 + 4 + 1;
const LENGTH: usize = 1 + 2 * ADDRESS;
const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// For serde.
pub(super) fn serialize<S: Serializer>(hop: &Hop, to: S) -> Result<S::Ok, S::Error> {
    let mut bytes = [0; LENGTH];
    bytes[0] =
        TRANSPORTS.iter().position(|one| *one == hop.transport).and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
    let (local, remote) = bytes[1..].split_at_mut(ADDRESS);
    write(local, &hop.local);
    write(remote, &hop.remote);
    to.serialize_bytes(&bytes)
}

/// For serde.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Hop, D::Error> {
    let bytes = <&[u8]>::deserialize(from)?;
    let read = || {
        let (transport, rest) = bytes.split_first()?;
        let (local, remote) = rest.split_at_checked(ADDRESS)?;
        let transport = *TRANSPORTS.get(usize::from(*transport))?;
        Some(Hop { transport, local: address(local)?, remote: address(remote)? })
    };
    read().ok_or_else(|| D::Error::custom("not the addresses of a message"))
}

fn write(room: &mut [u8], address: &SocketAddr) {
    let (ip, scope) = match address {
        SocketAddr::V4(address) => (address.ip().to_ipv6_mapped(), 0),
        SocketAddr::V6(address) => (*address.ip(), address.scope_id()),
    };
    room[..16].copy_from_slice(&ip.octets());
    room[16..18].copy_from_slice(&address.port().to_le_bytes());
    room[18..22].copy_from_slice(&scope.to_le_bytes());
    room[22] = u8::from(address.is_ipv4());
}

fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?);
    let port = u16::from_le_bytes(bytes.get(16..18)?.try_into().ok()?);
    let scope = u32::from_le_bytes(bytes.get(18..22)?.try_into().ok()?);
    match bytes.get(22)? {
        1 => Some(SocketAddr::new(IpAddr::V4(ip.to_ipv4_mapped()?), port)),
        _ => Some(SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, Deserialize)]
    struct Written(#[serde(with = "super")] Hop);

    #[test]
    fn addresses_come_back_as_they_were() {
        let addresses =
            ["192.0.2.1:5060", "[2001:db8::1]:65535", "[::ffff:192.0.2.1]:1", "[fe80::1%7]:5060", "0.0.0.0:0"];
        for (one, other) in addresses.iter().zip(addresses.iter().rev()) {
            for transport in TRANSPORTS {
                let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
                let hop = Hop { transport, local: parse(one), remote: parse(other) };
                let written = postcard::to_allocvec(&Written(hop)).expect("written");
                let Written(read) = postcard::from_bytes(&written).expect("reads");
                assert_eq!(read, hop);
            }
        }
    }
}
