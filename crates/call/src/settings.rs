//! What an operator can set about every call of a node. Nothing here belongs to one trunk: that is in the tables.

use sip::digest::Challenger;
use sip::transaction::Timers;
use std::time::Duration;

/// How an INVITE from nobody that the tables know is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownSource {
    /// With 403.
    #[default]
    Forbidden,
    /// Not at all: a scanner learns nothing.
    Silent,
}

/// Settings of all calls of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// T1 and its kin (RFC 3261 §17).
    pub timers: Timers,
    /// Longest time from the INVITE of an attempt to its answer.
    pub max_ring: Duration,
    /// Longest call, where its trunks allow longer ones or set no limit.
    pub max_call: Duration,
    /// Longest wait for a trunk's channel, an address or ports before the attempt counts as failed.
    pub max_wait: Duration,
    /// Longest wait for the last media figures before the record is written without them.
    pub max_figures: Duration,
    /// Smallest session interval that we accept, in seconds (RFC 4028 §5).
    pub min_se: u32,
    /// Session interval asked for where a trunk sets none, in seconds; 0 asks for none.
    pub session_expires: u32,
    /// `User-Agent` and `Server`; empty writes neither.
    pub user_agent: Box<str>,
    /// Asks callers for their digest. The default has a secret that everybody knows: a node sets its own.
    pub challenger: Challenger,
    /// What strangers get.
    pub unknown_source: UnknownSource,
    /// Max-Forwards of what we send on our own account, and of what came without one.
    pub max_forwards: u8,
    /// Most attempts of one call, followed redirections included.
    pub max_attempts: u32,
    /// Most redirections followed by one call.
    pub max_redirects: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            max_ring: Duration::from_secs(180),
            max_call: Duration::from_secs(4 * 3600),
            max_wait: Duration::from_secs(8),
            max_figures: Duration::from_secs(2),
            min_se: 90,
            session_expires: 1800,
            user_agent: "Tandem".into(),
            challenger: Challenger::new([0; 32], routing::REALM, Duration::from_secs(300)),
            unknown_source: UnknownSource::Forbidden,
            max_forwards: 70,
            max_attempts: 12,
            max_redirects: 5,
        }
    }
}
