//! One side's view of a dialog (RFC 3261 §12): enough to send the next request.

use std::net::SocketAddr;

use crate::compose::Request;
use crate::wire::{Message, entries, host, uri};

/// A dialog, or the INVITE that will make one.
pub(crate) struct Dialog {
    pub(crate) call_id: Box<str>,
    /// Our From, with its tag.
    pub(crate) local: Box<str>,
    /// Our To; with a tag once the far end gave one.
    pub(crate) remote: Box<str>,
    /// The Request-URI of the next request.
    pub(crate) target: Box<str>,
    pub(crate) routes: Vec<Box<str>>,
    pub(crate) next_hop: SocketAddr,
    pub(crate) cseq: u32,
    /// The start of every branch of this dialog; unique in the run.
    pub(crate) branch: Box<str>,
}

impl Dialog {
    /// Takes over the remote target and the route set of the message that makes the dialog.
    pub(crate) fn establish(&mut self, message: &Message<'_>, reverse_routes: bool) {
        if let Some(contact) = message.contact {
            self.target = uri(contact).into();
        }
        self.routes = entries(&message.record_routes).into_iter().map(Into::into).collect();
        if reverse_routes {
            self.routes.reverse();
        }
        let first = self.routes.first().map_or(&*self.target, |route| uri(route));
        self.next_hop = host(first).unwrap_or(self.next_hop);
    }

    /// A new target from a target refresh (RFC 3261 §12.2.2).
    pub(crate) fn refresh(&mut self, message: &Message<'_>) {
        if let Some(contact) = message.contact {
            self.target = uri(contact).into();
            if self.routes.is_empty() {
                self.next_hop = host(&self.target).unwrap_or(self.next_hop);
            }
        }
    }

    /// Writes the request `method` with sequence number `cseq`. `suffix` sets apart the branch of an ACK to a 2xx.
    pub(crate) fn write(&self, out: &mut Vec<u8>, own: SocketAddr, line: Line<'_>) {
        let branch = format!("{}.{}{}", self.branch, line.cseq, line.suffix);
        Request {
            method: line.method,
            uri: &self.target,
            own,
            branch: &branch,
            routes: &self.routes,
            from: &self.local,
            to: &self.remote,
            call_id: &self.call_id,
            cseq: line.cseq,
            extra: line.extra,
            body: line.body,
        }
        .write(out);
    }
}

/// What differs from one request of a dialog to the next.
pub(crate) struct Line<'a> {
    pub(crate) method: &'a str,
    pub(crate) cseq: u32,
    pub(crate) suffix: &'a str,
    pub(crate) extra: &'a str,
    pub(crate) body: &'a str,
}
