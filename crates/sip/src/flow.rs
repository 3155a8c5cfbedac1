//! Where a message came from and where it goes: a transport, two addresses and, for streams, the connection.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// The transports of SIP (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the RFCs' own")]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Transport {
    /// Whether the transport retransmits by itself, so that SIP does not (RFC 3261 §17).
    #[must_use]
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The token in a Via, upper case.
    #[must_use]
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The value of a `transport` URI parameter.
    #[must_use]
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Reads either token, in any case.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|transport| transport.param().eq_ignore_ascii_case(text))
    }

    /// The port that a URI without one means (RFC 3261 §19.1.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

/// One way between us and a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// Our address: the listener that the message came to, or that sends.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// For streams: which connection, unique in this process; 0 where there is none yet.
    pub connection: u64,
    /// The node of the cluster whose socket it is; 0 where that is the node that reads this.
    pub edge: u64,
}

impl Flow {
    /// A way from a listener of this node, without a connection.
    #[must_use]
    pub const fn new(transport: Transport, local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport, local, remote, connection: 0, edge: 0 }
    }
}

/// Shows no address: flows end up in log lines.
impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({}#{})", self.transport.param(), self.connection)
    }
}
