//! Whose message is it? Peek, look up, hand over. Nothing is parsed here that belongs to a call.
//!
//! Order matters: a message of a live call passes before the gate is asked, so that a flood of new requests never costs
//! an established call its BYE. A message whose call lives on another node goes there.

use crate::calls::actor::CallMessage;
use crate::calls::directory::Place;
use crate::calls::{Haste, NoCall};
use crate::clients::Clients;
use crate::clock;
use crate::cluster::Carried;
use crate::counters::Way;
use crate::gate::Gate;
use crate::registrations::Registrations;
use crate::shell::Shell;
use crate::transport::{Inbox, Sender};
use ::call::{CallId, Input};
use bytes::Bytes;
use routing::cluster::NodeId;
use sip::peek::Peek;
use sip::{Builder, Flow, Message, Method, Name};
use std::sync::Arc;

/// What we can do, for OPTIONS and 405.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY";
/// What we can do outside a dialog.
const ALLOW_ALONE: &str = "INVITE, ACK, CANCEL, OPTIONS, REGISTER";

/// How a message came.
#[derive(Clone, Copy)]
struct Arrival {
    flow: Flow,
    haste: Haste,
}

/// See the module.
pub(crate) struct Dispatcher {
    shell: Arc<Shell>,
    registrations: Registrations,
    gate: Gate,
}

impl Dispatcher {
    /// In front of everything that `shell` reaches.
    #[must_use]
    pub(crate) fn new(shell: Arc<Shell>, registrations: Registrations) -> Self {
        Self { shell, registrations, gate: Gate::default() }
    }

    /// A message that another node has passed on: its call was here when that node looked.
    pub(crate) fn carried(&self, carried: Carried) {
        let Carried { bytes, flow, tried } = carried;
        let Some(peek) = Peek::of(&bytes) else { return self.shell.reject("not_sip") };
        match peek.method {
            Some(method) => {
                self.in_dialog(method, peek.to_tag(), &bytes, Arrival { flow, haste: Haste::AtOnce }, &tried)
            }
            None => self.response(&peek, &bytes, Arrival { flow, haste: Haste::AtOnce }, &tried),
        }
    }

    fn response(&self, peek: &Peek<'_>, bytes: &[u8], arrival: Arrival, tried: &[NodeId]) {
        let branch = peek.branch();
        let id = CallId::in_branch(branch);
        if let Some(id) = id
            && let Some(call) = self.here(id)
        {
            return self.hand(id, &call, bytes, arrival);
        }
        if id.is_some_and(|id| self.pass_on(id, bytes, arrival.flow, tried)) {
            return;
        }
        let ours = Clients::is_ours(branch)
            && Message::parse(Bytes::copy_from_slice(bytes)).is_ok_and(|message| self.shell.clients.deliver(message));
        if !ours {
            self.shell.reject("stray_response");
        }
    }

    /// A call that is led here: of one that has left, this node carries no more than the media.
    fn here(&self, id: CallId) -> Option<Place> {
        self.shell.calls.directory.find(id).filter(|call| !call.cell().guard.has_left())
    }

    fn hand(&self, id: CallId, call: &Place, bytes: &[u8], Arrival { flow, haste }: Arrival) {
        haste.hand(&self.shell, id, call, CallMessage::Sip { bytes: Bytes::copy_from_slice(bytes), flow });
    }

    fn request(&self, method: Method, peek: &Peek<'_>, bytes: &[u8], arrival: Arrival) {
        let (directory, flow) = (&self.shell.calls.directory, arrival.flow);
        let tag = peek.to_tag();
        if !tag.is_empty() {
            return self.in_dialog(method, tag, bytes, arrival, &[]);
        }
        match method {
            Method::Invite => self.invite(peek, bytes, arrival),
            Method::Cancel => match directory.find_invite(directory.key(peek)) {
                Some((id, call)) => self.hand(id, &call, bytes, arrival),
                None => self.stray(method, bytes, flow),
            },
            // An ACK that acknowledges nothing of ours.
            Method::Ack => self.shell.reject("stray_ack"),
            Method::Register | Method::Options => self.alone(method, bytes, flow),
            Method::Bye
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Message
            | Method::Refer
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Other => self.alone(method, bytes, flow),
        }
    }

    /// A request within a dialog goes to its call, wherever that is.
    fn in_dialog(&self, method: Method, tag: &[u8], bytes: &[u8], arrival: Arrival, tried: &[NodeId]) {
        let flow = arrival.flow;
        let id = CallId::in_tag(tag);
        if let Some(id) = id
            && let Some(call) = self.here(id)
        {
            self.hand(id, &call, bytes, arrival);
        } else if !id.is_some_and(|id| self.pass_on(id, bytes, flow, tried)) {
            let shell = &self.shell;
            match id.is_some_and(|id| shell.protect.may_have(id) || shell.cluster.may_be_somewhere(id)) {
                true => self.early(method, bytes, flow),
                false => self.stray(method, bytes, flow),
            }
        }
    }

    /// Passes a message on to a node that may have its call; `false` if there is no such node.
    fn pass_on(&self, id: CallId, bytes: &[u8], flow: Flow, tried: &[NodeId]) -> bool {
        let cluster = &self.shell.cluster;
        let carried = cluster.next_holder(id, tried).is_some_and(|node| cluster.carry(node, bytes, flow, tried));
        if carried {
            metrics::counter!("tandem_sip_carried_total").increment(1);
        }
        carried
    }

    fn invite(&self, peek: &Peek<'_>, bytes: &[u8], arrival: Arrival) {
        let (calls, flow) = (&self.shell.calls, arrival.flow);
        let key = calls.directory.key(peek);
        if let Some((id, call)) = calls.directory.find_invite(key) {
            return self.hand(id, &call, bytes, arrival);
        }
        if !self.admit(flow) {
            return;
        }
        if let Err(why) = self.shell.takes_calls() {
            self.shell.reject(why);
            return self.busy(bytes, flow);
        }
        match calls.invite(&self.shell, key, Bytes::copy_from_slice(bytes), flow, arrival.haste) {
            Ok(_) => {}
            Err(NoCall::Full | NoCall::NoSupervisor | NoCall::NoShard) => {
                self.shell.reject("overload");
                self.busy(bytes, flow);
            }
        }
    }

    /// Not now, but soon: partners go to their next address (RFC 3261 §21.5.4).
    fn busy(&self, bytes: &[u8], flow: Flow) {
        self.answer(bytes, flow, |request| {
            Builder::response(request, 503, None, &self.tag()).header(Name::RetryAfter, 5).finish()
        });
    }

    /// A request of a call that may be elsewhere, or be handed over in a moment. 481 would end the call at its sender (RFC 5057 §5.1), so who
    /// sends again over UDP is answered then; who does not is told to.
    fn early(&self, method: Method, bytes: &[u8], flow: Flow) {
        self.shell.reject("not_back_yet");
        if flow.transport.is_reliable() && method != Method::Ack && self.admit(flow) {
            self.busy(bytes, flow);
        }
    }

    /// A request within a dialog that is not, or no longer, here.
    fn stray(&self, method: Method, bytes: &[u8], flow: Flow) {
        self.shell.reject("no_dialog");
        if method != Method::Ack && self.admit(flow) {
            self.answer(bytes, flow, |request| Builder::response(request, 481, None, &self.tag()).finish());
        }
    }

    /// A request that needs no call.
    fn alone(&self, method: Method, bytes: &[u8], flow: Flow) {
        if !self.admit(flow) {
            return;
        }
        match method {
            Method::Register => self.parsed(bytes, flow, |request| self.registrations.register(request, flow)),
            Method::Options => self.answer(bytes, flow, |request| {
                Builder::response(request, 200, None, &self.tag())
                    .header(Name::Allow, ALLOW)
                    .header(Name::Accept, "application/sdp")
                    .header(Name::Supported, "100rel, timer")
                    .finish()
            }),
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Refer => {
                self.answer(bytes, flow, |request| Builder::response(request, 481, None, &self.tag()).finish());
            }
            Method::Message | Method::Subscribe | Method::Notify | Method::Publish => {
                self.answer(bytes, flow, |request| {
                    Builder::response(request, 405, None, &self.tag()).header(Name::Allow, ALLOW_ALONE).finish()
                })
            }
            Method::Other | Method::Invite | Method::Ack | Method::Cancel => self.answer(bytes, flow, |request| {
                Builder::response(request, 501, None, &self.tag()).header(Name::Allow, ALLOW_ALONE).finish()
            }),
        }
    }

    /// Whether the source may have one more request served.
    fn admit(&self, flow: Flow) -> bool {
        let source = flow.remote.ip();
        let known = !self.shell.tables.view().trunks_from(source).is_empty();
        let admitted = self.gate.admit(clock::now().mono, source, known);
        if !admitted {
            self.shell.reject("source_rate");
        }
        admitted
    }

    /// Parses and checks a request, answers what is wrong with it, or hands it on.
    fn parsed(&self, bytes: &[u8], flow: Flow, then: impl FnOnce(Message)) {
        let Ok(request) = Message::parse(Bytes::copy_from_slice(bytes)) else {
            self.shell.reject("unparsable");
            return;
        };
        let request = request.from_source(flow.remote);
        match request.check() {
            Ok(()) => then(request),
            Err(refusal) => {
                self.shell.reject("malformed");
                let response = Builder::response(&request, refusal.code, Some(refusal.reason), &self.tag()).finish();
                self.shell.send_back(response, &request, &flow);
            }
        }
    }

    /// Answers a request without keeping any state of it (RFC 3261 §8.2.7).
    fn answer(&self, bytes: &[u8], flow: Flow, respond: impl FnOnce(&Message) -> Bytes) {
        self.parsed(bytes, flow, |request| {
            let unsupported = unsupported(&request);
            let response = match unsupported {
                Some(extensions) => {
                    Builder::response(&request, 420, None, &self.tag()).header(Name::Unsupported, extensions).finish()
                }
                None => respond(&request),
            };
            self.shell.send_back(response, &request, &flow);
        });
    }

    /// A tag of no dialog.
    fn tag(&self) -> String {
        format!("s{:x}", self.shell.seed())
    }
}

/// Extensions that the request requires and nobody here understands (RFC 3261 §8.2.2.3).
fn unsupported(request: &Message) -> Option<String> {
    let known = ["100rel", "timer"];
    let foreign: Vec<&str> =
        request.values(Name::Require).filter(|tag| !known.iter().any(|k| k.eq_ignore_ascii_case(tag))).collect();
    (!foreign.is_empty()).then(|| foreign.join(", "))
}

impl Inbox for Dispatcher {
    fn receive(&self, bytes: &[u8], flow: Flow, haste: Haste) {
        if !flow.transport.is_reliable() && self.shell.stall.is_deaf(clock::now().mono) {
            return self.shell.reject("stalled");
        }
        let Some(peek) = Peek::of(bytes) else {
            // Keep-alives are line ends or a few zero bytes (RFC 5626 §3.5.1); nobody's mistake.
            let keep_alive = bytes.len() <= 8 && bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0 | b' '));
            if !keep_alive {
                self.shell.reject("not_sip");
            }
            return;
        };
        match (peek.method, peek.code) {
            (Some(method), _) => {
                self.shell.messages.count(Way::In, method, None);
                self.request(method, &peek, bytes, Arrival { flow, haste });
            }
            (None, code) => {
                self.shell.messages.count(Way::In, peek.cseq_method().unwrap_or(Method::Other), code);
                self.response(&peek, bytes, Arrival { flow, haste }, &[]);
            }
        }
    }

    fn unreachable(&self, sender: Sender) {
        if let Sender::Call(id, mark) = sender
            && let Some(call) = self.shell.calls.directory.find(id)
        {
            call.tell(&self.shell, id, CallMessage::Input(Box::new(Input::Unreachable { mark })));
        }
    }
}
