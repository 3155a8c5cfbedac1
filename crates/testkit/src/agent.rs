//! A user agent of one call, caller or callee, that follows a script. It speaks SIP by the same machines as the switch
//! (transactions, dialogs), but shares none of the call's logic.

mod dialogue;
mod script;

pub use script::{Answer, Ring, Script};

use bytes::Bytes;
use sip::clock::{Instant, Now};
use sip::dialog::Dialog;
use sip::transaction::{
    AnswerRetransmit, ClientInvite, ClientNonInvite, ReliableProvisional, ServerInvite, ServerNonInvite, Timers,
};
use sip::uri::Uri;
use sip::{Message, Method};
use std::net::SocketAddr;

/// What an agent has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Provisional responses to its INVITE, retransmissions included.
    pub provisionals: Vec<u16>,
    /// Final responses to its INVITE, each once.
    pub finals: Vec<u16>,
    /// 401s that it answered.
    pub challenges: u32,
    /// Final responses to the INVITE that made the call.
    pub setup_finals: u32,
    /// Final responses to its other requests.
    pub replies: Vec<(Method, u16)>,
    /// Requests within the dialog, and initial INVITEs, each once.
    pub requests: Vec<Method>,
    /// The requests within its dialogs.
    pub within: Vec<Message>,
    /// The last session description.
    pub sdp: Option<Bytes>,
    /// The last message of all.
    pub last: Option<Message>,
    /// The last initial INVITE.
    pub invite: Option<Message>,
    /// The last final response to an INVITE of its own.
    pub answer: Option<Message>,
    /// To tags of provisional responses, each once.
    pub tags: Vec<String>,
    /// ACKs to a 2xx, retransmissions included.
    pub acks: u32,
    /// What NOTIFYs told of a transfer: the code, and whether nothing more follows.
    pub notified: Vec<(u16, bool)>,
    /// It was told, or told the other side, that the call is over.
    pub ended: bool,
    /// Its 2xx was never acknowledged, or its request never answered.
    pub timeouts: u32,
}

enum Client {
    Invite(ClientInvite),
    Other(ClientNonInvite),
}

struct ClientEntry {
    branch: String,
    method: Method,
    machine: Client,
    request: Message,
    ack: Option<Bytes>,
    /// The 2xx that was taken.
    tag: Option<String>,
}

enum Server {
    Invite(ServerInvite),
    Other(ServerNonInvite),
}

struct ServerEntry {
    /// Who sent it first.
    from: SocketAddr,
    branch: String,
    method: Method,
    machine: Server,
    request: Message,
}

/// Something to do later.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    Ring(Ring),
    Answer(Answer),
    Hangup,
    Cancel,
    Brood,
}

/// A user agent.
pub struct Agent {
    /// Where it lives.
    pub address: SocketAddr,
    /// Stands in its Call-ID and branches; agents that share an address need one each.
    pub name: String,
    /// What it does.
    pub script: Script,
    /// What it saw.
    pub seen: Seen,
    /// The switch that it knows.
    pub(crate) peer: SocketAddr,
    timers: Timers,
    pub(crate) dialogs: Vec<Dialog>,
    clients: Vec<ClientEntry>,
    servers: Vec<ServerEntry>,
    answers: Vec<AnswerRetransmit>,
    reliable: Vec<ReliableProvisional>,
    plans: Vec<(Instant, Plan)>,
    out: Vec<Bytes>,
    counter: u32,
    version: u32,
    cancelled: bool,
}

impl Agent {
    /// An agent that talks to the switch at `peer`.
    #[must_use]
    pub fn new(address: SocketAddr, peer: SocketAddr, script: Script) -> Self {
        Self {
            address,
            name: address.ip().to_string(),
            script,
            seen: Seen::default(),
            peer,
            timers: Timers::default(),
            dialogs: Vec::new(),
            clients: Vec::new(),
            servers: Vec::new(),
            answers: Vec::new(),
            reliable: Vec::new(),
            plans: Vec::new(),
            out: Vec::new(),
            counter: 0,
            version: 0,
            cancelled: false,
        }
    }

    /// What goes out, and to where; to be fetched after each call.
    pub fn drain(&mut self) -> Vec<(SocketAddr, Bytes)> {
        let out = std::mem::take(&mut self.out);
        out.into_iter().map(|bytes| (self.destination(&bytes), bytes)).collect()
    }

    /// A response goes where its request came from (RFC 3581), a request within a dialog to the dialog's target, and what opens one to
    /// the switch that the agent knows.
    fn destination(&self, bytes: &Bytes) -> SocketAddr {
        let Ok(message) = Message::parse(bytes.clone()) else { return self.peer };
        if !message.is_request() {
            let branch = message.top_via().map_or("", |via| via.branch());
            let method = message.method();
            let server = self.servers.iter().find(|server| server.branch == branch && server.method == method);
            return server.map_or(self.peer, |server| server.from);
        }
        let named = if message.to_tag().is_some() {
            Uri::parse(message.uri()).and_then(|uri| Some((uri.ip()?, uri.port)))
        } else {
            None
        };
        named.map_or(self.peer, |(ip, port)| SocketAddr::new(ip, port.unwrap_or(5060)))
    }

    /// Whether a confirmed dialog stands.
    #[must_use]
    pub fn is_talking(&self) -> bool {
        self.dialogs.iter().any(|dialog| !dialog.is_early()) && !self.seen.ended
    }

    /// It loses its call without a word: from now on it knows no dialog.
    pub fn forget(&mut self) {
        self.dialogs.clear();
        self.plans.clear();
        self.seen.ended = true;
    }

    fn later(&mut self, now: Now, plan: Plan, after: std::time::Duration) {
        self.plans.push((now.mono + after, plan));
    }

    pub(crate) fn branch(&mut self) -> String {
        self.counter += 1;
        format!("z9hG4bK-agent-{}-{}", self.name, self.counter)
    }

    pub(crate) fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/UDP {};branch={branch};rport", self.address)
    }

    pub(crate) fn contact(&self) -> String {
        format!("<sip:agent@{}>", self.address)
    }
}
