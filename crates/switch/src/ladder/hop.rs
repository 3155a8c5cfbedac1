//! How the addresses of a message lie in the spool: as they are in memory, without a look at each byte of them. Every message has two.

use super::entry::Hop;
use sip::Transport;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address as IPv6, its port, its scope, and whether it is IPv4.
const ADDRESS: usize = 16 + 2 + 4 + 1;
/// Bytes of it.
pub(super) const LENGTH: usize = 1 + 2 * ADDRESS;
const TRANSPORTS: [Transport; 5] = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// Writes it.
pub(super) fn write(hop: &Hop) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] =
        TRANSPORTS.iter().position(|one| *one == hop.transport).and_then(|at| u8::try_from(at).ok()).unwrap_or(0);
    let (local, remote) = bytes[1..].split_at_mut(ADDRESS);
    write_address(local, &hop.local);
    write_address(remote, &hop.remote);
    bytes
}

/// Reads it; nothing if these are no addresses.
pub(super) fn read(bytes: &[u8; LENGTH]) -> Option<Hop> {
    let (transport, rest) = bytes.split_first()?;
    let (local, remote) = rest.split_at_checked(ADDRESS)?;
    let transport = *TRANSPORTS.get(usize::from(*transport))?;
    Some(Hop { transport, local: address(local)?, remote: address(remote)? })
}

fn write_address(room: &mut [u8], address: &SocketAddr) {
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

    #[test]
    fn addresses_come_back_as_they_were() {
        let addresses =
            ["192.0.2.1:5060", "[2001:db8::1]:65535", "[::ffff:192.0.2.1]:1", "[fe80::1%7]:5060", "0.0.0.0:0"];
        for (one, other) in addresses.iter().zip(addresses.iter().rev()) {
            for transport in TRANSPORTS {
                let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
                let hop = Hop { transport, local: parse(one), remote: parse(other) };
                assert_eq!(read(&write(&hop)), Some(hop));
            }
        }
    }
}
