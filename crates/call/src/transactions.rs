//! The transactions of a call: which message belongs to which, and what each still has to do. It decides nothing about
//! the call: it answers what the state machine has to hear.

use crate::effect::MediaSide;
use bytes::Bytes;
use rustc_hash::FxHasher;
use sip::clock::Instant;
use sip::transaction::{
    Action, AnswerRetransmit, ClientInvite, ClientNonInvite, ServerInvite, ServerNonInvite, Timers,
};
use sip::{Flow, Message, Method, Sent};
use smallvec::SmallVec;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

/// A request that came to us.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Unique in the call.
    pub(crate) id: u32,
    key: u64,
    pub(crate) method: Method,
    /// Which leg it came on.
    pub(crate) side: MediaSide,
    /// Where responses go.
    pub(crate) to: Flow,
    /// Kept until the final response is written.
    pub(crate) request: Option<Arc<Message>>,
    machine: ServerMachine,
    /// A failure still waits for its ACK.
    unacknowledged: bool,
}

#[derive(Clone, Debug)]
enum ServerMachine {
    Invite(ServerInvite),
    Other(ServerNonInvite),
}

impl Server {
    /// For a request that is seen for the first time.
    pub(crate) fn new(id: u32, side: MediaSide, to: Flow, request: Arc<Message>, timers: &Timers) -> Self {
        let method = request.method();
        let reliable = to.transport.is_reliable();
        let machine = if method == Method::Invite {
            ServerMachine::Invite(ServerInvite::new(reliable, timers))
        } else {
            ServerMachine::Other(ServerNonInvite::new(reliable, timers))
        };
        let key = key_of(&request);
        Self { id, key, method, side, to, request: Some(request), machine, unacknowledged: false }
    }

    /// The same request again, or the ACK of its failure.
    pub(crate) fn handle_request(&mut self, now: Instant, method: Method) -> Action {
        match &mut self.machine {
            ServerMachine::Invite(machine) => {
                self.unacknowledged &= method != Method::Ack;
                machine.handle_request(now, method)
            }
            ServerMachine::Other(machine) => machine.handle_request(),
        }
    }

    /// Sends a response, if it still may.
    pub(crate) fn respond(&mut self, now: Instant, code: u16, bytes: Bytes) -> Action {
        if code >= 200 {
            self.request = None;
        }
        match &mut self.machine {
            ServerMachine::Invite(machine) => {
                let action = machine.respond(now, code, bytes);
                self.unacknowledged |= code >= 300 && matches!(action, Action::Send(_));
                action
            }
            ServerMachine::Other(machine) => machine.respond(now, code, bytes),
        }
    }

    /// Whether no final response was sent.
    pub(crate) fn is_open(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.is_proceeding(),
            ServerMachine::Other(machine) => machine.is_open(),
        }
    }

    /// Whether the other side may be left waiting if we forget it now.
    pub(crate) fn is_needed(&self) -> bool {
        self.is_open() || self.unacknowledged
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.poll_timeout(),
            ServerMachine::Other(machine) => machine.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Action {
        let action = match &mut self.machine {
            ServerMachine::Invite(machine) => machine.handle_timeout(now),
            ServerMachine::Other(machine) => machine.handle_timeout(now),
        };
        self.unacknowledged &= !matches!(action, Action::Timeout | Action::Over);
        action
    }

    fn is_over(&self) -> bool {
        match &self.machine {
            ServerMachine::Invite(machine) => machine.is_over(),
            ServerMachine::Other(machine) => machine.is_over(),
        }
    }
}

/// What a request of ours is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The INVITE of the attempt that is under way.
    Setup,
    /// An INVITE that nobody waits for any more; an answer is acknowledged and ended.
    Orphan,
    /// Its outcome changes nothing: CANCEL, BYE.
    Farewell,
    /// It stands for a request of the other leg: the server transaction that its answer goes to.
    Bridge {
        /// That transaction.
        server: u32,
    },
    /// Our own session refresh (RFC 4028) on this leg.
    Refresh(MediaSide),
    /// NOTIFY of a transfer's progress.
    Notify,
    /// The re-INVITE that tells this leg of the party that it was joined with.
    Rejoin(MediaSide),
    /// The re-INVITE that moves this leg to the node that has taken the call over.
    Relocate(MediaSide),
}

impl Purpose {
    /// Whether it belongs to an answered call's dialogs, so that nobody waits for it once the call ends.
    pub(crate) const fn is_within(self) -> bool {
        matches!(self, Self::Bridge { .. } | Self::Refresh(_) | Self::Rejoin(_) | Self::Relocate(_))
    }
}

/// How far the cancelling of an INVITE has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cancelling {
    /// Nobody asked for it.
    No,
    /// It waits for the first provisional response (RFC 3261 §9.1).
    Wanted,
    /// CANCEL is out.
    Sent,
}

/// The ACK of a 2xx, to be sent again with every retransmission.
#[derive(Clone, Debug)]
pub(crate) struct Acked {
    pub(crate) tag: Box<str>,
    pub(crate) ack: Bytes,
    pub(crate) to: Flow,
}

impl Acked {
    /// Without the roomy buffer that it was written into.
    pub(crate) fn new(tag: Box<str>, ack: &[u8], to: Flow) -> Self {
        Self { tag, ack: Bytes::copy_from_slice(ack), to }
    }
}

/// A request that we sent.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Unique in the call, and the mark of its sends.
    pub(crate) id: u32,
    /// The end of its branch: its own number, or of a CANCEL that of its INVITE.
    pub(crate) branch: u32,
    pub(crate) method: Method,
    pub(crate) purpose: Purpose,
    /// The leg that it went to.
    pub(crate) side: MediaSide,
    pub(crate) to: Flow,
    /// The attempt that it belongs to.
    pub(crate) attempt: u32,
    /// Of an INVITE: dialogs are formed from it.
    pub(crate) request: Option<Sent>,
    /// The To tag of the 2xx that counts.
    pub(crate) won: Option<Box<str>>,
    pub(crate) acked: SmallVec<[Acked; 1]>,
    pub(crate) cancelling: Cancelling,
    machine: ClientMachine,
    answered: bool,
}

#[derive(Clone, Debug)]
enum ClientMachine {
    Invite(ClientInvite),
    Other(ClientNonInvite),
}

impl Client {
    /// For an INVITE that is sent now.
    pub(crate) fn invite(now: Instant, id: u32, side: MediaSide, to: Flow, bytes: Bytes, timers: &Timers) -> Self {
        // It stays half a minute beyond the answer, so not in the roomy buffer that it was written into.
        let bytes = Bytes::copy_from_slice(&bytes);
        let request = Sent::of(bytes.clone());
        let machine = ClientMachine::Invite(ClientInvite::new(now, bytes, to.transport.is_reliable(), timers));
        Self { request, ..Self::with(id, Method::Invite, side, to, machine) }
    }

    /// For any other request that is sent now.
    pub(crate) fn other(
        now: Instant,
        id: u32,
        method: Method,
        side: MediaSide,
        to: Flow,
        bytes: Bytes,
        timers: &Timers,
    ) -> Self {
        let machine = ClientMachine::Other(ClientNonInvite::new(now, bytes, to.transport.is_reliable(), timers));
        Self::with(id, method, side, to, machine)
    }

    fn with(id: u32, method: Method, side: MediaSide, to: Flow, machine: ClientMachine) -> Self {
        Self {
            id,
            branch: id,
            method,
            purpose: Purpose::Farewell,
            side,
            to,
            attempt: 0,
            request: None,
            won: None,
            acked: SmallVec::new(),
            cancelling: Cancelling::No,
            machine,
            answered: false,
        }
    }

    pub(crate) fn handle_response(&mut self, now: Instant, response: &Message) -> Action {
        let code = response.code().unwrap_or(0);
        self.answered |= code >= 200;
        match &mut self.machine {
            ClientMachine::Invite(machine) => machine.handle_response(now, response),
            ClientMachine::Other(machine) => machine.handle_response(now, code),
        }
    }

    /// Builds the CANCEL if it may go out now.
    pub(crate) fn cancel(&mut self, now: Instant, reason: Option<&str>) -> Option<Bytes> {
        match &mut self.machine {
            ClientMachine::Invite(machine) => machine.cancel(now, reason),
            ClientMachine::Other(_) => None,
        }
    }

    /// Whether no response at all came.
    pub(crate) fn is_calling(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_calling(),
            ClientMachine::Other(machine) => !machine.is_answered(),
        }
    }

    /// The transport failed.
    pub(crate) fn abandon(&mut self) {
        self.answered = true;
        match &mut self.machine {
            ClientMachine::Invite(machine) => machine.abandon(),
            ClientMachine::Other(machine) => machine.abandon(),
        }
    }

    /// Whether its outcome is still open.
    pub(crate) fn is_needed(&self) -> bool {
        !self.answered && !self.is_over()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.poll_timeout(),
            ClientMachine::Other(machine) => machine.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Action {
        match &mut self.machine {
            ClientMachine::Invite(machine) => machine.handle_timeout(now),
            ClientMachine::Other(machine) => machine.handle_timeout(now),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        match &self.machine {
            ClientMachine::Invite(machine) => machine.is_over(),
            ClientMachine::Other(machine) => machine.is_over(),
        }
    }
}

/// A 2xx of ours to an INVITE, repeated until its ACK.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) side: MediaSide,
    pub(crate) to: Flow,
    pub(crate) machine: AnswerRetransmit,
    /// The INVITE towards the other leg whose ACK waits for this one, because it carries the answer to a late offer.
    pub(crate) late: Option<u32>,
}

/// What became due in a transaction.
#[derive(Debug)]
pub(crate) enum Due {
    /// Send this again.
    Send(Bytes, Flow, u32),
    /// A request of ours was never answered.
    Silence(u32),
    /// A 2xx of ours was never acknowledged by this leg.
    Unacknowledged(MediaSide),
}

/// All transactions of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transactions {
    pub(crate) servers: SmallVec<[Box<Server>; 2]>,
    pub(crate) clients: SmallVec<[Box<Client>; 2]>,
    pub(crate) answers: SmallVec<[Box<Answer>; 1]>,
}

impl Transactions {
    /// The server transaction that a request belongs to; an ACK belongs to its INVITE.
    pub(crate) fn server_of(&mut self, request: &Message) -> Option<&mut Server> {
        let key = key_of(request);
        let method = if request.method() == Method::Ack { Method::Invite } else { request.method() };
        self.servers.iter_mut().find(|server| server.key == key && server.method == method).map(|server| &mut **server)
    }

    /// The INVITE that a CANCEL means.
    pub(crate) fn cancelled_by(&mut self, cancel: &Message) -> Option<&mut Server> {
        let key = key_of(cancel);
        self.servers
            .iter_mut()
            .find(|server| server.key == key && server.method == Method::Invite)
            .map(|server| &mut **server)
    }

    pub(crate) fn server(&mut self, id: u32) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.id == id).map(|server| &mut **server)
    }

    pub(crate) fn client(&mut self, id: u32) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id).map(|client| &mut **client)
    }

    /// The request of ours that a response answers.
    pub(crate) fn client_of(&mut self, branch: u32, method: Method) -> Option<&mut Client> {
        let found = self.clients.iter_mut().find(|client| client.branch == branch && client.method == method);
        found.map(|client| &mut **client)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let servers = self.servers.iter().filter_map(|server| server.poll_timeout());
        let clients = self.clients.iter().filter_map(|client| client.poll_timeout());
        let answers = self.answers.iter().filter_map(|answer| answer.machine.poll_timeout());
        servers.chain(clients).chain(answers).min()
    }

    /// Lets every machine look at the clock and drops those that are over.
    pub(crate) fn handle_timeout(&mut self, now: Instant, mut due: impl FnMut(Due)) {
        for server in &mut self.servers {
            if let Action::Send(bytes) = server.handle_timeout(now) {
                due(Due::Send(bytes, server.to, 0));
            }
        }
        for client in &mut self.clients {
            match client.handle_timeout(now) {
                Action::Send(bytes) => due(Due::Send(bytes, client.to, client.id)),
                Action::Timeout => due(Due::Silence(client.id)),
                Action::Nothing | Action::Deliver | Action::SendAndDeliver(_) | Action::Over => {}
            }
        }
        for answer in &mut self.answers {
            match answer.machine.handle_timeout(now) {
                Action::Send(bytes) => due(Due::Send(bytes, answer.to, 0)),
                Action::Timeout => due(Due::Unacknowledged(answer.side)),
                Action::Nothing | Action::Deliver | Action::SendAndDeliver(_) | Action::Over => {}
            }
        }
    }

    /// Drops what is over.
    pub(crate) fn sweep(&mut self) {
        self.servers.retain(|server| !server.is_over());
        self.clients.retain(|client| !client.is_over());
        self.answers.retain(|answer| !answer.machine.is_over());
    }

    /// Gives back the room of those that are gone.
    pub(crate) fn shrink(&mut self) {
        self.servers.shrink_to_fit();
        self.clients.shrink_to_fit();
        self.answers.shrink_to_fit();
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.clients.is_empty() && self.answers.is_empty()
    }

    /// Whether some outcome is still open, ours or theirs.
    pub(crate) fn is_needed(&self) -> bool {
        self.servers.iter().any(|server| server.is_needed())
            || self.clients.iter().any(|client| client.is_needed())
            || self.answers.iter().any(|answer| !answer.machine.is_over())
    }
}

/// What tells server transactions apart (RFC 3261 §17.2.3): branch and sent-by, and for older peers the number.
///
/// A hash is enough: only messages of this very call are compared.
fn key_of(request: &Message) -> u64 {
    let mut hasher = FxHasher::default();
    if let Some(via) = request.top_via() {
        via.branch().hash(&mut hasher);
        via.host.hash(&mut hasher);
        via.port.hash(&mut hasher);
    }
    request.cseq().map(|cseq| cseq.number).hash(&mut hasher);
    hasher.finish()
}
