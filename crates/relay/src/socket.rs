//! Opens the media sockets: non-blocking, marked with the DiffServ code point, bound to one pair of ports.

use crate::Error;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// Binds the RTP and the RTCP socket of a pair.
///
/// # Errors
///
/// [`Error::DescriptorsExhausted`], or [`Error::Io`] when a port is taken by somebody else.
pub(crate) fn open_pair(address: IpAddr, port: u16, dscp: u8) -> Result<[UdpSocket; 2], Error> {
    let rtp = open(SocketAddr::new(address, port), dscp)?;
    let rtcp = open(SocketAddr::new(address, port | 1), dscp)?;
    Ok([rtp, rtcp])
}

fn open(local: SocketAddr, dscp: u8) -> Result<UdpSocket, Error> {
    bind(local, dscp).map_err(|error| match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Error::DescriptorsExhausted,
        _ => Error::Io(error),
    })
}

fn bind(local: SocketAddr, dscp: u8) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    // The code point is the upper six bits of the old type-of-service byte (RFC 2474 §3).
    let tos = u32::from(dscp) << 2;
    if local.is_ipv4() {
        socket.set_tos_v4(tos)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(tos)?;
    }
    socket.bind(&local.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn sockets_carry_the_code_point() {
        let [rtp, rtcp] = open_pair(Ipv4Addr::new(127, 0, 0, 9).into(), 47_310, 46).expect("free ports");
        assert_eq!(rtcp.local_addr().expect("bound").port(), 47_311);
        assert_eq!(Socket::from(rtp).tos_v4().expect("IPv4"), 46 << 2);
        if let Ok([rtp, _]) = open_pair(Ipv6Addr::LOCALHOST.into(), 47_310, 46) {
            assert_eq!(Socket::from(rtp).tclass_v6().expect("IPv6"), 46 << 2);
        }
    }

    #[test]
    fn a_taken_port_is_an_error() {
        let _mine = open_pair(Ipv4Addr::new(127, 0, 0, 9).into(), 47_320, 46).expect("free ports");
        assert!(matches!(open_pair(Ipv4Addr::new(127, 0, 0, 9).into(), 47_320, 46), Err(Error::Io(_))));
    }
}
