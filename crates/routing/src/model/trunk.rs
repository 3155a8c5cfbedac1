//! `[[trunk]]`: a partner's connection, with what it may send us and what we may send it.

use super::{Name, words};
use crate::digits::{E164, Prefix, serde_by_text};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sip::digest::Ha1;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

words! {
    /// Whether audio passes through us.
    Media {
        /// Through our relay.
        Relay = "relay",
        /// From end to end.
        Bypass = "bypass",
    }
}

words! {
    /// Whether audio is encrypted (RFC 3711).
    Srtp {
        /// Never.
        Off = "off",
        /// Where the other side offers it.
        Optional = "optional",
        /// Always.
        Required = "required",
    }
}

words! {
    /// What becomes of a 3xx answer (RFC 3261 §8.1.3.4).
    Redirect {
        /// We call the contacts that it names.
        Follow = "follow",
        /// It goes to the caller.
        Pass = "pass",
    }
}

words! {
    /// What becomes of a REFER within a call (RFC 3515).
    Referral {
        /// It goes to the other side.
        Pass = "pass",
        /// We place the call that it asks for.
        Follow = "follow",
        /// It is refused.
        Refuse = "refuse",
    }
}

words! {
    /// What a node does with new calls while the leader of the trunk's limits is out of reach.
    WithoutLeader {
        /// It spends what it has been granted, and refuses when that is used up.
        Spend = "spend",
        /// It refuses all.
        Refuse = "refuse",
    }
}

words! {
    /// What becomes of the number that a trunk shows as its own.
    CallerPolicy {
        /// It is believed.
        Pass = "pass",
        /// Only numbers of the account pass, any other is replaced with `default_caller`.
        Owned = "owned",
        /// It is always replaced with `default_caller`.
        Replace = "replace",
    }
}

words! {
    /// How messages travel to a gateway.
    Transport {
        /// UDP.
        Udp = "udp",
        /// TCP.
        Tcp = "tcp",
        /// TLS over TCP.
        Tls = "tls",
    }
}

/// A partner's connection. Calls come from it by [`Ingress`] and go to it by [`Egress`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trunk {
    /// Unique among trunks.
    pub name: Name,
    /// Whom its calls are charged to.
    pub account: Option<Name>,
    /// Concurrent calls in the whole cluster, both ways together; 0 is no limit.
    pub channels: u32,
    /// New calls a second in the whole cluster; 0 is no limit.
    pub cps: u32,
    /// What a node does while the leader of these limits is out of reach.
    #[serde(default)]
    pub without_leader: WithoutLeader,
    /// Longest call in seconds; 0 is no limit.
    pub max_call_seconds: u32,
    /// Whether audio passes through us.
    pub media: Media,
    /// Whether audio is encrypted.
    pub srtp: Srtp,
    /// Names of the codecs allowed, in order; empty lets all pass.
    pub codecs: Vec<String>,
    /// Session interval to ask for in seconds (RFC 4028), at least 90; 0 asks for none.
    pub session_expires: u32,
    /// What becomes of its 3xx answers.
    pub redirect: Redirect,
    /// What becomes of its REFERs.
    pub refer: Referral,
    /// How calls come from it; absent: none do.
    pub ingress: Option<Ingress>,
    /// How calls go to it; absent: they go only where it is registered.
    pub egress: Option<Egress>,
}

impl Trunk {
    /// The session interval where none is written, in seconds (RFC 4028 §4 recommends it).
    pub const SESSION_EXPIRES: u32 = 1800;

    /// A trunk of this name with nothing else written: no call comes from it or goes to it.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            account: None,
            channels: 0,
            cps: 0,
            without_leader: WithoutLeader::default(),
            max_call_seconds: 0,
            media: Media::default(),
            srtp: Srtp::default(),
            codecs: Vec::new(),
            session_expires: Self::SESSION_EXPIRES,
            redirect: Redirect::default(),
            refer: Referral::default(),
            ingress: None,
            egress: None,
        }
    }

    /// Whether the partner registers with us.
    #[must_use]
    pub fn registers(&self) -> bool {
        self.ingress.as_ref().is_some_and(|ingress| ingress.registers)
    }

    /// Whether any call can go to it.
    #[must_use]
    pub fn takes_calls(&self) -> bool {
        self.registers() || self.egress.as_ref().is_some_and(|egress| !egress.gateways.is_empty())
    }
}

/// How calls come from a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ingress {
    /// Known by these addresses.
    pub from: Vec<Cidr>,
    /// Known by this user name, with `ha1`.
    pub username: Option<Name>,
    /// Its secret, hashed with [`crate::REALM`].
    pub ha1: Option<Ha1>,
    /// Whether the partner registers here, so that calls to it go to its contact.
    pub registers: bool,
    /// Stripped from the numbers that it calls.
    pub tech_prefix: String,
    /// The plan of its calls; absent: only numbers that we serve can be called.
    pub plan: Option<Name>,
    /// What becomes of the number that it shows.
    pub caller_policy: CallerPolicy,
    /// The number that it shows when its own may not be shown.
    pub default_caller: Option<E164>,
    /// Destinations that it may call; empty is all.
    pub allow: Vec<Prefix>,
    /// Destinations that it may not call, whatever `allow` says.
    pub deny: Vec<Prefix>,
}

/// How calls go to a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Egress {
    /// Where to; empty only for one that registers with us.
    pub gateways: Vec<Gateway>,
    /// Added before the numbers that we call.
    pub tech_prefix: String,
    /// What it charges us.
    pub buy_deck: Option<Name>,
    /// Seconds without any provisional answer before the next attempt.
    pub timeout_seconds: u32,
    /// Final answers after which the next attempt is made.
    pub reroute: Vec<u16>,
    /// How we register with the carrier, if it asks for that.
    pub register: Option<Registration>,
}

impl Egress {
    /// Seconds without any provisional answer before the next attempt, where nothing else is written.
    pub const TIMEOUT_SECONDS: u32 = 4;
    /// Answers after which the next attempt is made, where nothing else is written.
    pub const REROUTE: [u16; 6] = [408, 480, 500, 502, 503, 504];
}

impl Default for Egress {
    fn default() -> Self {
        Self {
            gateways: Vec::new(),
            tech_prefix: String::new(),
            buy_deck: None,
            timeout_seconds: Self::TIMEOUT_SECONDS,
            reroute: Self::REROUTE.to_vec(),
            register: None,
        }
    }
}

/// A host of the partner that takes calls.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Gateway {
    /// Host name or address, IPv6 in brackets; a port only if written (RFC 3263 finds it otherwise).
    pub address: Name,
    /// How messages travel.
    pub transport: Transport,
    /// Lower first.
    pub priority: u16,
    /// The share among those of equal priority.
    pub weight: u16,
    /// Seconds between OPTIONS pings; 0 is no ping, and the gateway then counts as up.
    pub ping_seconds: u32,
}

impl Gateway {
    /// The priority where none is written.
    pub const PRIORITY: u16 = 1;
    /// The weight where none is written.
    pub const WEIGHT: u16 = 100;

    /// Host (IPv6 without its brackets) and port of `address`.
    #[must_use]
    pub fn host_port(&self) -> (&str, Option<u16>) {
        split_host_port(&self.address).unwrap_or((&self.address, None))
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; nothing if it is none of them.
#[must_use]
pub(crate) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(nonzero(port)?))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(nonzero(port)?)),
        None => (text, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(plain)).then_some((host, port))
}

fn nonzero(port: &str) -> Option<u16> {
    port.parse().ok().filter(|port| *port != 0)
}

/// How we register with a carrier (RFC 3261 §10).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Host of the registrar, a port if written.
    pub registrar: Name,
    /// Our user name there.
    pub username: Name,
    /// As the carrier gave it: its challenge names a realm that we do not know beforehand.
    pub password: Name,
    /// Seconds to ask for.
    pub expires: u32,
}

impl Registration {
    /// Seconds to ask for, where nothing else is written.
    pub const EXPIRES: u32 = 300;
}

/// Never shows the password.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({}@{})", self.username, self.registrar)
    }
}

/// A block of addresses: `192.0.2.0/24`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

/// Why some text is no block of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadCidr {
    /// No address, or a length that its family does not have.
    #[error("a block is an address and a length, for example 192.0.2.0/24")]
    Form,
    /// Bits are set past the length.
    #[error("the address has bits set past its length; the block is {0}")]
    Bits(Cidr),
}

impl Cidr {
    /// The block of `length` bits that holds `address`; nothing if the length is too large for its family.
    #[must_use]
    pub fn holding(address: IpAddr, length: u8) -> Option<Self> {
        let network = match address {
            IpAddr::V4(v4) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self { network, length })
    }

    /// Its lowest address.
    #[must_use]
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// How many leading bits are fixed.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.is_ipv4() && Self::holding(address, self.length) == Some(*self)
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| BadCidr::Form)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadCidr::Form)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let block = Self::holding(address, length.unwrap_or(whole)).ok_or(BadCidr::Form)?;
        if block.network == address { Ok(block) } else { Err(BadCidr::Bits(block)) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_by_text!(Cidr, "a block of addresses");
