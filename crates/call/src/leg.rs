//! One leg's dialog with its way through the network, and the pair of dialogs that makes a path through us.

use crate::context::Locals;
use crate::effect::MediaSide;
use bytes::Bytes;
use sip::clock::Instant;
use sip::dialog::Dialog;
use sip::session_timer::SessionTimer;
use sip::uri::Uri;
use sip::{Flow, Message, Method, Name};
use std::net::SocketAddr;

impl MediaSide {
    /// The other side of the call.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// 0 for the caller's side, 1 for the callee's.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }
}

/// One leg.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) dialog: Dialog,
    /// Where its requests go.
    pub(crate) flow: Flow,
    /// Whether that stays so whatever Contact says: the peer is behind NAT, or on a connection.
    pub(crate) pinned: bool,
    pub(crate) timer: Option<SessionTimer>,
    /// When that began to count.
    pub(crate) timer_since: Instant,
    /// Whether it allows UPDATE (RFC 3311).
    pub(crate) updates: bool,
    /// The attempt that called it; 0 is the caller, who called us.
    pub(crate) attempt: u32,
    /// It has said BYE while the call goes on: its transfer is under way.
    pub(crate) gone: bool,
}

impl Leg {
    pub(crate) fn new(dialog: Dialog, flow: Flow, pinned: bool, message: &Message, locals: &Locals) -> Self {
        let updates = message.lists(Name::Allow, Method::Update.token());
        let timer_since = Instant::ORIGIN;
        let mut leg = Self { dialog, flow, pinned, timer: None, timer_since, updates, attempt: 0, gone: false };
        leg.aim(locals);
        leg
    }

    /// Called by this attempt.
    pub(crate) const fn of_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Starts a session timer, or none.
    pub(crate) fn start_timer(&mut self, now: Instant, timer: Option<SessionTimer>) {
        self.timer = timer;
        self.timer_since = now;
    }

    /// Takes the remote target of a message, and what it allows.
    pub(crate) fn refresh(&mut self, message: &Message, locals: &Locals) {
        if message.get(Name::Allow).is_some() {
            self.updates = message.lists(Name::Allow, Method::Update.token());
        }
        if self.dialog.refresh_target(message) {
            self.aim(locals);
        }
    }

    /// Another node has taken the call over: numbers go on behind those of the old owner, and requests leave from here. A
    /// connection that a third node holds outlives the owner, so it stays the way.
    pub(crate) fn take_over(&mut self, locals: &Locals, spare: u32) {
        self.dialog.take_over(spare);
        if self.flow.edge == 0 {
            self.detach(locals);
        }
    }

    /// Its requests leave from a listener of this node, by no connection that exists yet.
    pub(crate) fn detach(&mut self, locals: &Locals) {
        let remote = self.reachable_at();
        let transport = self.flow.transport;
        let local = locals.pick(transport, remote).map_or(self.flow.local, |local| local.bound);
        self.flow = Flow::new(transport, local, remote);
        self.aim(locals);
    }

    /// Where the party is met from another node: a datagram finds its old way, a new connection goes to the dialog's next
    /// hop, as far as that is an address.
    pub(crate) fn reachable_at(&self) -> SocketAddr {
        let transport = self.flow.transport;
        if !transport.is_reliable() || self.flow.edge != 0 {
            return self.flow.remote;
        }
        let hop = Uri::parse(self.dialog.next_hop());
        let address = hop.and_then(|uri| {
            let meant = uri.transport().unwrap_or(transport);
            let ip = uri.ip().filter(|_| meant == transport)?;
            Some(SocketAddr::new(ip, uri.port.unwrap_or(transport.default_port())))
        });
        address.unwrap_or(self.flow.remote)
    }

    /// Turns the flow to the next hop of the dialog. A name is not resolved here: the flow then stays as it is.
    pub(crate) fn aim(&mut self, locals: &Locals) {
        if self.pinned || self.flow.transport.is_reliable() {
            return;
        }
        let Some(uri) = Uri::parse(self.dialog.next_hop()) else { return };
        let Some(ip) = uri.ip() else { return };
        let transport = uri.transport().unwrap_or(self.flow.transport);
        let remote = SocketAddr::new(ip, uri.port.unwrap_or(transport.default_port()));
        if transport == self.flow.transport && remote.is_ipv4() == self.flow.local.is_ipv4() {
            self.flow.remote = remote;
        } else if let Some(local) = locals.pick(transport, remote) {
            self.flow = Flow::new(transport, local.bound, remote);
        }
    }
}

/// Whether the peer that sent `message` sits behind NAT: its Via names another address than the one it came from.
pub(crate) fn is_natted(message: &Message, flow: &Flow) -> bool {
    let host = message.top_via().and_then(|via| sip::uri::host_ip(via.host));
    host.is_none_or(|ip| ip != flow.remote.ip())
}

/// A dialog with the callee, and the dialog with the caller that stands for it.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) legs: [Leg; 2],
    /// What its callee said of the media before it answered.
    pub(crate) early: Option<Bytes>,
    /// The attempt that it came of.
    pub(crate) attempt: u32,
}

impl Path {
    pub(crate) fn leg(&self, side: MediaSide) -> &Leg {
        &self.legs[side.index()]
    }

    pub(crate) fn leg_mut(&mut self, side: MediaSide) -> &mut Leg {
        &mut self.legs[side.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Local;
    use sip::Transport;

    fn local(transport: Transport, address: &str) -> Local {
        Local { transport, bound: address.parse().expect("an address"), advertised: address.into() }
    }

    fn here() -> Locals {
        Locals {
            sip: vec![
                local(Transport::Udp, "203.0.113.2:5060"),
                local(Transport::Tcp, "203.0.113.2:5062"),
                local(Transport::Udp, "[2001:db8::2]:5060"),
            ],
        }
    }

    /// A caller that came from `remote` and wants its requests at `contact`.
    fn leg(transport: Transport, remote: &str, contact: &str, edge: u64, pinned: bool) -> Leg {
        let invite = format!(
            "INVITE sip:b@us SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
             To: <sip:b@us>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <{contact}>\r\n\r\n"
        );
        let invite = Message::parse(Bytes::from(invite)).expect("valid");
        let local = "198.51.100.1:5060".parse().expect("an address");
        let flow = Flow { edge, connection: 7, ..Flow::new(transport, local, remote.parse().expect("an address")) };
        let dialog = Dialog::uas(&invite, "near").expect("a dialog");
        Leg::new(dialog, flow, pinned, &invite, &Locals::default())
    }

    fn moved(mut leg: Leg) -> (String, String, u64, u64) {
        let promised = leg.reachable_at();
        leg.take_over(&here(), 0);
        assert_eq!(promised, leg.flow.remote, "what the pace goes by is where it goes");
        (leg.flow.local.to_string(), leg.flow.remote.to_string(), leg.flow.connection, leg.flow.edge)
    }

    #[test]
    fn datagrams_find_their_old_way_from_a_listener_of_this_node() {
        let pinned = leg(Transport::Udp, "192.0.2.9:1024", "sip:a@10.0.0.1", 0, true);
        assert_eq!(moved(pinned), ("203.0.113.2:5060".into(), "192.0.2.9:1024".into(), 0, 0));
        let wide = leg(Transport::Udp, "[2001:db8::9]:5060", "sip:a@[2001:db8::9]", 0, false);
        assert_eq!(moved(wide), ("[2001:db8::2]:5060".into(), "[2001:db8::9]:5060".into(), 0, 0));
    }

    #[test]
    fn a_connection_of_the_former_node_is_replaced_by_one_to_the_next_hop() {
        let leg_of = |contact| leg(Transport::Tcp, "192.0.2.1:40000", contact, 0, true);
        let next = leg_of("sip:a@192.0.2.1:5070;transport=tcp");
        assert_eq!(moved(next), ("203.0.113.2:5062".into(), "192.0.2.1:5070".into(), 0, 0));
        // A name is not resolved here, and a hop of another transport is another hop.
        for contact in ["sip:a@carrier.example", "sip:a@192.0.2.1;transport=udp"] {
            assert_eq!(moved(leg_of(contact)).1, "192.0.2.1:40000", "{contact}");
        }
    }

    #[test]
    fn a_connection_of_a_third_node_stays_the_way() {
        let held = leg(Transport::Tcp, "192.0.2.1:40000", "sip:a@10.0.0.1;transport=tcp", 9, true);
        assert_eq!(moved(held), ("198.51.100.1:5060".into(), "192.0.2.1:40000".into(), 7, 9));
    }
}
