//! The switch around a call: finds the call of a message, performs effects, answers what is asked, keeps the books.

mod failover;

use crate::net::Net;
use crate::wire::Wire;
use bytes::Bytes;
use call::effect::{Event, Moved, Outcome, Point, Steer};
use call::input::{Hop, Refused};
use call::record::{Record, Row};
use call::{Call, CallId, Checkpoint, Context, Effect, Input, Locals, Settings};
use routing::{Target, View};
use sip::clock::{Instant, Now, Wall};
use sip::{Flow, Message, Transport};
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What was taken and given back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Channels of the ingress trunk in use.
    pub admitted: i64,
    /// Channels at targets in use.
    pub seized: i64,
    /// Calls with ports.
    pub anchored: i64,
}

impl Books {
    /// Whether everything is given back. Whoever takes a call over does not tell its channels apart.
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        self.admitted + self.seized == 0 && self.anchored == 0
    }
}

/// What a node refuses.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The ingress trunk's answer.
    pub admit: Option<Refused>,
    /// Trunks that have no channel.
    pub full: Vec<&'static str>,
    /// No media port is free.
    pub no_ports: bool,
    /// Where lines and registered trunks are, best first.
    pub contacts: Vec<SocketAddr>,
    /// The node that holds their connections; 0 for this one.
    pub edge: u64,
    /// That node is gone.
    pub is_edge_down: bool,
    /// Addresses that cannot be reached.
    pub unreachable: Vec<SocketAddr>,
}

/// A BYE as it came.
#[derive(Clone, Copy, Debug)]
pub struct Bye {
    /// Who sent it.
    pub from: SocketAddr,
    /// When it came.
    pub at: Wall,
    /// The call was answered, and nobody had ended it before.
    pub is_first: bool,
}

/// A node with calls in the making.
pub struct Node {
    /// Its tables.
    pub view: View,
    /// Its settings.
    pub settings: Settings,
    /// Its listeners.
    pub locals: Locals,
    /// Its address.
    pub address: SocketAddr,
    /// What it refuses.
    pub policy: Policy,
    /// The live calls.
    pub calls: Vec<Call>,
    /// Initial INVITEs that made a call, by Call-ID, tag and number.
    known: Vec<(String, CallId)>,
    /// What is taken.
    pub books: Books,
    /// Final responses to each call's first INVITE: Call-ID and number of the INVITE, code, tag; each once.
    pub finals: BTreeSet<(String, u16, String)>,
    /// Rows as they came: whether opened or closed.
    pub opened: Vec<Row>,
    /// Checkpoints that were asked for.
    pub points: Vec<Point>,
    /// The last checkpoint of each call.
    kept: HashMap<CallId, Kept>,
    /// What came out, in the order in which it did: tests look at who comes before whom.
    pub done: Vec<String>,
    /// BYEs as they came, retransmissions included.
    pub byes: Vec<Bye>,
    /// Closed rows.
    pub rows: Vec<Row>,
    /// Steering as it came.
    pub steers: Vec<Steer>,
    /// What became of gateways.
    pub outcomes: Vec<(String, Outcome)>,
    /// Calls that were made.
    pub made: u64,
    /// Calls that said they ended.
    pub ended: u64,
    /// What parties said to takeovers.
    pub moved: Vec<(SocketAddr, Moved)>,
    /// Calls that nobody could take over, since nothing had been protected.
    pub lost: u64,
    /// What must hold of everything that is sent, and does not.
    pub wire: Wire,
    /// Messages that left by another node.
    pub through: u64,
    /// What it would keep elsewhere gets lost.
    pub unprotected: bool,
    /// That was so once: two nodes then took over from the same checkpoint.
    pub lapsed: bool,
    /// It is gone: it hears nothing, does nothing and says nothing until another node takes its place.
    pub is_dead: bool,
    /// It dies when it has done so many more things, perhaps in the midst of a turn.
    pub fuse: Option<u64>,
    /// After every turn a call is replaced by what its checkpoint restores, where it has one.
    pub restores: bool,
    /// How many were replaced.
    pub restored: u64,
    seed: u64,
}

/// The last checkpoint of a call, and when it was written.
#[derive(Debug)]
struct Kept {
    /// On its own node.
    own: (Now, Vec<u8>),
    /// As its backup has it.
    told: (Now, Vec<u8>),
    /// The call has asked for none since.
    is_newest: bool,
}

/// Bytes of a checkpoint before the caller: its version, whose it is, chance and numbers.
const HEAD: usize = 20;

impl Node {
    /// A node with these tables at this address.
    #[must_use]
    pub fn new(view: View, address: SocketAddr, seed: u64) -> Self {
        let local = call::Local { transport: Transport::Udp, bound: address, advertised: address.to_string().into() };
        Self {
            view,
            settings: Settings::default(),
            locals: Locals { sip: vec![local] },
            address,
            policy: Policy::default(),
            calls: Vec::new(),
            known: Vec::new(),
            books: Books::default(),
            finals: BTreeSet::new(),
            opened: Vec::new(),
            points: Vec::new(),
            kept: HashMap::new(),
            done: Vec::new(),
            moved: Vec::new(),
            lost: 0,
            wire: Wire::default(),
            through: 0,
            unprotected: false,
            lapsed: false,
            is_dead: false,
            fuse: None,
            byes: Vec::new(),
            rows: Vec::new(),
            steers: Vec::new(),
            outcomes: Vec::new(),
            made: 0,
            ended: 0,
            restores: false,
            restored: 0,
            seed,
        }
    }

    /// A datagram came.
    pub fn receive(&mut self, now: Now, net: &mut Net, from: SocketAddr, bytes: Bytes) {
        let Ok(message) = Message::parse(bytes) else { return };
        if self.is_dead || message.check().is_err() {
            return;
        }
        let Some(at) = self.call_of(now, &message) else { return };
        if message.method() == sip::Method::Bye && message.is_request() {
            let is_first = matches!(self.calls[at].summary(now).state, "answered" | "connected");
            self.byes.push(Bye { from, at: now.wall, is_first });
        }
        let flow = Flow::new(Transport::Udp, self.address, from);
        self.input(now, net, at, Input::Message { message, flow });
    }

    /// Something happens to a call.
    pub fn input(&mut self, now: Now, net: &mut Net, at: usize, input: Input) {
        let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
        self.calls[at].handle_input(&cx, now, input);
        self.perform(now, net, at);
    }

    fn call_of(&mut self, now: Now, message: &Message) -> Option<usize> {
        let ours = if message.is_request() {
            message.to_tag().and_then(|tag| CallId::in_tag(tag.as_bytes()))
        } else {
            message.top_via().and_then(|via| CallId::in_branch(via.branch().as_bytes()))
        };
        if let Some(id) = ours {
            return self.calls.iter().position(|call| call.id() == id);
        }
        if !message.is_request() {
            return None;
        }
        let key = setup_key(message);
        if let Some((_, id)) = self.known.iter().find(|(known, _)| *known == key) {
            let id = *id;
            return self.calls.iter().position(|call| call.id() == id);
        }
        if message.method() != sip::Method::Invite {
            return None;
        }
        self.made += 1;
        let id = CallId { shard: 1, epoch: 1, call: self.made };
        self.known.push((key, id));
        self.calls.push(Call::new(id, self.seed.wrapping_add(self.made), now));
        Some(self.calls.len() - 1)
    }

    /// When some call wants to look at the clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let live = self.calls.iter().filter(|_| !self.is_dead);
        live.filter_map(Call::poll_timeout).min()
    }

    /// Lets every call whose time has come look at the clock.
    pub fn handle_timeout(&mut self, now: Now, net: &mut Net) {
        if self.is_dead {
            return;
        }
        for at in (0..self.calls.len()).rev() {
            if self.calls[at].poll_timeout().is_some_and(|due| due <= now.mono) {
                let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
                self.calls[at].handle_timeout(&cx, now);
                self.perform(now, net, at);
            }
        }
    }

    fn perform(&mut self, now: Now, net: &mut Net, at: usize) {
        let mut ended = false;
        while let Some(effect) = self.calls[at].poll_effect() {
            if self.burns(&effect) {
                return;
            }
            if let Effect::Checkpoint(point) = effect {
                self.points.push(point);
                self.done.push(format!("{point:?}"));
                self.keep(now, at, point);
                continue;
            }
            let answer = self.perform_one(now, net, effect, &mut ended);
            if let Some(input) = answer {
                let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
                self.calls[at].handle_input(&cx, now, input);
            }
        }
        if ended {
            self.ended += 1;
            self.calls.remove(at);
        } else if self.restores {
            self.replace(now, at);
        }
    }

    /// A checkpoint is kept here and by a backup, which is not told all of one that adds nothing but an ACK.
    fn keep(&mut self, now: Now, at: usize, point: Point) {
        let id = self.calls[at].id();
        if self.unprotected {
            self.kept.entry(id).and_modify(|kept| kept.is_newest = false);
            return;
        }
        let own = (now, self.calls[at].checkpoint(now));
        let before = self.kept.remove(&id).filter(|kept| kept.is_newest && point == Point::C3);
        let told = before.map_or_else(
            || own.clone(),
            |Kept { told: (written, before), .. }| {
                let told = (written, Checkpoint::acknowledged(&before).expect("a checkpoint of our own"));
                let again = |(written, bytes): &(Now, Vec<u8>)| {
                    let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
                    let call = Call::restore(bytes, now.mono.since(written.mono), &cx, now);
                    let mut bytes = call.expect("a checkpoint of our own").checkpoint(now);
                    // Numbers have gone on; whoever takes over leaves room for that.
                    bytes.reverse();
                    bytes.truncate(bytes.len() - HEAD);
                    bytes
                };
                let since = self.done.iter().rev().skip(1).take_while(|what| *what != "C2");
                // What else passes counts numbers on, which nobody is told of each time.
                if since.into_iter().all(|what| matches!(what.as_str(), "200 INVITE" | "ACK again")) {
                    assert_eq!(again(&told), again(&own), "an ACK adds nothing else");
                }
                told
            },
        );
        self.kept.insert(id, Kept { own, told, is_newest: true });
    }

    /// Every call is lost, and comes back from the last checkpoint that it asked for.
    ///
    /// # Panics
    /// A checkpoint cannot be read.
    pub fn crash(&mut self, now: Now) {
        let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
        for call in &mut self.calls {
            let (written, bytes) = &self.kept[&call.id()].own;
            let age = now.mono.since(written.mono);
            *call = Call::restore(bytes, age, &cx, now).expect("a checkpoint of our own");
        }
    }

    fn replace(&mut self, now: Now, at: usize) {
        if !self.calls[at].is_held() {
            return;
        }
        let bytes = self.calls[at].checkpoint(now);
        let age = Duration::ZERO;
        let cx = Context { view: &self.view, settings: &self.settings, locals: &self.locals };
        self.calls[at] = Call::restore(&bytes, age, &cx, now).expect("a checkpoint of our own");
        self.restored += 1;
    }

    fn perform_one(&mut self, now: Now, net: &mut Net, effect: Effect, ended: &mut bool) -> Option<Input> {
        match effect {
            Effect::Send { bytes, to, mark } => {
                let is_cut = to.edge != 0 && self.policy.is_edge_down;
                if is_cut || self.policy.unreachable.contains(&to.remote) {
                    return Some(Input::Unreachable { mark });
                }
                self.note_final(&bytes);
                self.note(&bytes);
                self.through += u64::from(to.edge != 0);
                net.send(now.mono, self.address, to.remote, bytes);
                None
            }
            Effect::Admit { .. } => Some(Input::Admitted(match self.policy.admit {
                Some(refused) => Err(refused),
                None => {
                    self.books.admitted += 1;
                    Ok(())
                }
            })),
            Effect::Seize { attempt, target, .. } => {
                let result = self.seize(&target);
                self.books.seized += i64::from(result.is_ok() && is_counted(&target));
                Some(Input::Seized { attempt, result })
            }
            Effect::Leave { .. } => {
                self.books.admitted -= 1;
                None
            }
            Effect::Surrender { target } => {
                self.books.seized -= i64::from(is_counted(&target));
                None
            }
            Effect::Outcome { trunk, outcome, .. } => {
                self.outcomes.push((trunk.to_string(), outcome));
                None
            }
            Effect::Anchor { .. } if self.policy.no_ports => Some(Input::Anchored(None)),
            Effect::Anchor { streams } => {
                self.books.anchored += 1;
                let port = |n: usize| SocketAddr::new(self.address.ip(), u16::try_from(20_000 + 2 * n).unwrap_or(0));
                Some(Input::Anchored(Some((0..streams).map(|n| [port(2 * n), port(2 * n + 1)]).collect())))
            }
            Effect::Steer(steer) => {
                self.steers.push(steer);
                None
            }
            Effect::FreeMedia => {
                self.books.anchored -= 1;
                Some(Input::MediaFreed(Box::default()))
            }
            Effect::Record(Record::Open(row)) => {
                self.done.push("open".to_owned());
                self.opened.push(*row);
                None
            }
            Effect::Record(Record::Close(row)) => {
                self.done.push(if row.is_final { "final" } else { "close" }.to_owned());
                self.rows.push(*row);
                None
            }
            Effect::Event(Event::Moved { remote, outcome }) => {
                self.moved.push((remote, outcome));
                None
            }
            Effect::Checkpoint(_) | Effect::Event(_) | Effect::Note(_) => None,
            Effect::Ended => {
                *ended = true;
                None
            }
        }
    }

    /// Remembers what was sent: the method or the code, and to which party.
    fn note(&mut self, bytes: &Bytes) {
        let Ok(message) = Message::parse(bytes.clone()) else { return };
        self.wire.note(&message);
        let within = if message.is_request() && message.to_tag().is_some() { " again" } else { "" };
        let what = match message.code() {
            Some(code) => format!("{code} {}", message.method().token()),
            None => format!("{}{within}", message.method().token()),
        };
        self.done.push(what);
    }

    /// Remembers a final response to an INVITE of a caller of the test kit, whose numbers begin with 1 or 2.
    fn note_final(&mut self, bytes: &Bytes) {
        let Ok(message) = Message::parse(bytes.clone()) else { return };
        let (Some(code), Some(cseq)) = (message.code().filter(|code| *code >= 200), message.cseq()) else { return };
        let key = format!("{} {}", message.call_id(), cseq.number);
        if cseq.method == sip::Method::Invite && self.known.iter().any(|(known, _)| *known == setup_key(&message)) {
            self.finals.insert((key, code, message.to_tag().unwrap_or("").to_owned()));
        }
    }

    fn registered(&self) -> Result<SmallVec<[Hop; 1]>, Refused> {
        let hop = |remote: &SocketAddr| Hop {
            gateway: None,
            host: remote.to_string().into(),
            uri: Some(format!("sip:line@{remote};ob").into()),
            route: None,
            transport: Transport::Udp,
            remote: *remote,
            flow: Some(Flow { edge: self.policy.edge, ..Flow::new(Transport::Udp, self.address, *remote) }),
        };
        let hops: SmallVec<[Hop; 1]> = self.policy.contacts.iter().map(hop).collect();
        if hops.is_empty() { Err(Refused::NotRegistered) } else { Ok(hops) }
    }

    fn seize(&self, target: &Target) -> Result<SmallVec<[Hop; 1]>, Refused> {
        let trunk = match target {
            Target::Trunk(trunk) => trunk,
            Target::Registered(_) | Target::User(_) => return self.registered(),
        };
        if self.policy.full.iter().any(|name| **name == *trunk.name) {
            return Err(Refused::Channels);
        }
        let gateways = trunk.egress.as_ref().map_or(&[][..], |egress| &egress.gateways);
        let hops: SmallVec<[Hop; 1]> = gateways
            .iter()
            .filter_map(|gateway| {
                Some(Hop {
                    gateway: Some(gateway.address.clone()),
                    host: Arc::clone(&gateway.address),
                    uri: None,
                    route: None,
                    transport: Transport::Udp,
                    remote: gateway.address.parse().ok()?,
                    flow: None,
                })
            })
            .collect();
        if hops.is_empty() { Err(Refused::Unresolvable) } else { Ok(hops) }
    }
}

/// Lines have no channels.
const fn is_counted(target: &Target) -> bool {
    !matches!(target, Target::User(_))
}

/// What tells the INVITEs that make calls apart.
fn setup_key(message: &Message) -> String {
    let number = message.cseq().map_or(0, |cseq| cseq.number);
    format!("{} {} {number}", message.call_id(), message.from_tag().unwrap_or(""))
}
