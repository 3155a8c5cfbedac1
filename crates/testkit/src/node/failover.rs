//! The death of a node, and the one that takes its place.

use super::{Books, Node};
use crate::net::Net;
use call::{Call, CallId, Context, Effect};
use sip::Transport;
use sip::clock::Now;
use std::net::SocketAddr;
use std::time::Duration;

impl Node {
    /// This node is gone. Another one at `address` takes over every call that is protected, with the books of what they
    /// hold; `silent_for` is what it believes of their media.
    ///
    /// # Panics
    /// A checkpoint cannot be read.
    pub fn fail_over(&mut self, now: Now, net: &mut Net, address: SocketAddr, silent_for: Duration, unprotected: bool) {
        self.address = address;
        (self.is_dead, self.fuse, self.unprotected) = (false, None, unprotected);
        self.lapsed |= unprotected;
        let transport = Transport::Udp;
        self.locals.sip = vec![call::Local { transport, bound: address, advertised: address.to_string().into() }];
        self.books = Books::default();
        for call in std::mem::take(&mut self.calls) {
            let kept = self.kept.get(&call.id()).map(|kept| &kept.told).filter(|(_, bytes)| !bytes.is_empty());
            let Some((written, bytes)) = kept else {
                self.forget(call.id());
                continue;
            };
            let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
            let age = now.mono.since(written.mono);
            let mut call = Call::restore(bytes, age, &cx, now).expect("a checkpoint of our own");
            self.books.seized += i64::try_from(call.channels().count()).unwrap_or(0);
            call.take_over(&cx, now, silent_for);
            self.calls.push(call);
        }
        for at in (0..self.calls.len()).rev() {
            self.perform(now, net, at);
        }
    }

    /// A call that ended with its node, or that was lost with it.
    fn forget(&mut self, id: CallId) {
        if self.rows.iter().any(|row| row.call == id && row.is_final) {
            self.ended += 1;
        } else {
            self.lost += 1;
            // Its INVITE, sent again, is a new one to the new node.
            self.known.retain(|(_, known)| *known != id);
        }
    }

    /// Whether the node dies before it does this. The end of a call and its record are one: whoever keeps the checkpoint keeps
    /// the record.
    pub(super) fn burns(&mut self, effect: &Effect) -> bool {
        let is_record = matches!(effect, Effect::Record(_));
        if let Some(left) = self.fuse.as_mut().filter(|_| !is_record) {
            self.is_dead |= *left == 0;
            *left = left.saturating_sub(1);
        }
        self.is_dead
    }
}
