//! What a call sees of its node while it handles something: tables, settings and its own addresses. Read only.

use crate::settings::Settings;
use sip::Transport;
use std::net::SocketAddr;

/// One of our listeners.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// The transport that it speaks.
    pub transport: Transport,
    /// The address that it is bound to, as [`sip::Flow::local`] says it.
    pub bound: SocketAddr,
    /// Host and port that others reach it by: what our Via and Contact say. IPv6 in brackets.
    pub advertised: Box<str>,
}

/// Our listeners.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locals {
    /// In the order of preference.
    pub sip: Vec<Local>,
}

impl Locals {
    /// The listener from which `remote` is reached: the first of the transport and of the same address family.
    #[must_use]
    pub fn pick(&self, transport: Transport, remote: SocketAddr) -> Option<&Local> {
        self.sip.iter().find(|local| local.transport == transport && local.bound.is_ipv4() == remote.is_ipv4())
    }

    /// The listener that is bound to `bound`; failing that, one of the transport and family.
    #[must_use]
    pub fn at(&self, transport: Transport, bound: SocketAddr) -> Option<&Local> {
        let exact = self.sip.iter().find(|local| local.transport == transport && local.bound == bound);
        exact.or_else(|| self.pick(transport, bound))
    }
}

/// Beside every input.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The tables.
    pub view: &'a routing::View,
    /// The settings of this node.
    pub settings: &'a Settings,
    /// The listeners of this node.
    pub locals: &'a Locals,
}
