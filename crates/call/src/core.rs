//! What all states of a call share: its name, its transactions, its paths, its media, and the way out for effects.

use crate::attempt::Route;
use crate::caller::Caller;
use crate::chance::Chance;
use crate::context::{Context, Locals};
use crate::effect::{Effect, MediaSide, Point};
use crate::event::Event;
use crate::headers;
use crate::id::{CallId, hex};
use crate::ledger::Ledger;
use crate::leg::Path;
use crate::media::{Codecs, Media};
use crate::note::Note;
use crate::parting::Parting;
use crate::rejoin::Rejoin;
use crate::revival::Undone;
use crate::settings::Settings;
use crate::transactions::{Client, Purpose, Server, Transactions};
use bytes::Bytes;
use sip::clock::Now;
use sip::transaction::Action;
use sip::{Builder, Flow, Message, Method, Name, via::MAGIC_COOKIE};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Most numbers that the age of a checkpoint lays aside: numbers end at 2^31 (RFC 3261 §8.1.1.5).
const MOST_SPARE: u32 = 1_000_000;

/// How many numbers a node that takes over leaves to the former one.
const NUMBER_GAP: u32 = 1_000;

/// The context of one input, with its time.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) view: &'a routing::View,
    pub(crate) settings: &'a Settings,
    pub(crate) locals: &'a Locals,
    pub(crate) now: Now,
}

impl<'a> Env<'a> {
    pub(crate) const fn new(cx: &Context<'a>, now: Now) -> Self {
        Self { view: cx.view, settings: cx.settings, locals: cx.locals, now }
    }
}

/// What all states share.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) id: CallId,
    /// The same as text: it stands in everything that we send.
    name: Box<str>,
    pub(crate) chance: Chance,
    pub(crate) out: VecDeque<Effect>,
    /// What states still have to hear in this turn, beside the input itself.
    pub(crate) events: VecDeque<Event>,
    /// Numbers of branches and transactions.
    last_number: u32,
    pub(crate) tx: Transactions,
    pub(crate) ledger: Ledger,
    pub(crate) caller: Option<Box<Caller>>,
    /// The caller's INVITE, until its final response.
    pub(crate) invite: Option<Arc<Message>>,
    /// What is left of the plan, until the answer.
    pub(crate) route: Option<Box<Route>>,
    /// Attempts so far: they are numbered through, those of transfers too.
    pub(crate) attempts: u32,
    /// Early dialogs; after the answer just the one.
    pub(crate) paths: SmallVec<[Box<Path>; 1]>,
    pub(crate) media: Media,
    /// The codecs that may be offered to each side.
    pub(crate) codecs_to: [Codecs; 2],
    /// Times that another node took the call over.
    pub(crate) takeovers: u32,
    /// How old its checkpoint was when it was restored, in tenths of a second.
    staleness: u32,
    /// One who transferred the call, until its dialog is ended.
    pub(crate) parting: Option<Box<Parting>>,
    /// The leg that still has to hear whom it was joined with.
    pub(crate) rejoin: Option<Rejoin>,
    /// What a restored call still has to take back.
    pub(crate) undone: Option<Box<Undone>>,
}

impl Core {
    pub(crate) fn new(id: CallId, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let media = Media::new([chance.next(), chance.next()]);
        Self {
            id,
            name: id.to_string().into(),
            chance,
            out: VecDeque::new(),
            events: VecDeque::new(),
            last_number: 0,
            tx: Transactions::default(),
            ledger: Ledger::default(),
            caller: None,
            invite: None,
            route: None,
            attempts: 0,
            paths: SmallVec::new(),
            media,
            codecs_to: [None, None],
            takeovers: 0,
            staleness: 0,
            parting: None,
            rejoin: None,
            undone: None,
        }
    }

    /// The next branch, mark and transaction number; 0 is nobody's.
    pub(crate) fn number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1).max(1);
        self.last_number
    }

    /// After a restore: numbers go on behind those that were given.
    pub(crate) fn continue_numbers(&mut self, last: u32) {
        self.last_number = last;
    }

    /// Another node goes on: numbers and chance do not meet those that the former one may have used since its checkpoint.
    pub(crate) fn diverge(&mut self, env: &Env<'_>) {
        self.last_number = self.last_number.saturating_add(NUMBER_GAP).saturating_add(self.staleness);
        self.chance.diverge(env.now.wall.0.rotate_left(20) ^ env.now.mono.as_micros());
    }

    /// The call was restored from a checkpoint so old.
    pub(crate) fn note_age(&mut self, age: Duration) {
        self.staleness = u32::try_from(age.as_millis() / 100).unwrap_or(u32::MAX).min(MOST_SPARE);
    }

    /// How many numbers and versions a takeover leaves to one in between, of which this checkpoint does not know: the later
    /// one finds the checkpoint older by at least the time in which the earlier one was found dead.
    pub(crate) const fn spare(&self) -> u32 {
        self.staleness
    }

    pub(crate) const fn last_number(&self) -> u32 {
        self.last_number
    }

    /// A new tag of ours for a leg.
    pub(crate) fn tag(&mut self, side: MediaSide) -> Arc<str> {
        let leg = match side {
            MediaSide::A => "-a",
            MediaSide::B => "-b",
        };
        let mut tag = String::with_capacity(self.name.len() + 18);
        tag.push_str(&self.name);
        tag.push_str(leg);
        push_hex(&mut tag, self.chance.next());
        tag.into()
    }

    /// A Via value with the branch of this number.
    pub(crate) fn via(&self, env: &Env<'_>, flow: &Flow, number: u32) -> String {
        let token = flow.transport.via_token();
        let rport = if flow.transport.is_reliable() { "" } else { ";rport" };
        let here = advertised(env, flow);
        // Pieces, not a format: this is written for every request.
        let mut via = String::with_capacity(64 + here.len() + self.name.len());
        for piece in ["SIP/2.0/", token, " ", &here, ";branch=", MAGIC_COOKIE, &self.name, "-"] {
            via.push_str(piece);
        }
        push_hex(&mut via, number.into());
        via.push_str(rport);
        via
    }

    /// Our Contact on a leg.
    pub(crate) fn contact(&self, env: &Env<'_>, flow: &Flow) -> String {
        let here = advertised(env, flow);
        let mut contact = String::with_capacity(32 + here.len() + self.name.len());
        for piece in ["<sip:", &self.name, "@", &here] {
            contact.push_str(piece);
        }
        if flow.transport != sip::Transport::Udp {
            contact.push_str(";transport=");
            contact.push_str(flow.transport.param());
        }
        contact.push('>');
        contact
    }

    /// Gives back the room that only a busy moment needs: the queues at once, since transactions outlive the answer by half
    /// a minute and most calls are in just that; theirs once they are over.
    pub(crate) fn shrink(&mut self) {
        self.out = VecDeque::new();
        self.events = VecDeque::new();
        self.tx.shrink();
    }

    /// A call that ends needs neither its INVITE nor its descriptions any more.
    pub(crate) fn shed(&mut self) {
        self.invite = None;
        self.route = None;
        self.codecs_to = [None, None];
        self.media = Media::new([0, 0]);
    }

    /// Says what was decided, for whoever asks afterwards.
    pub(crate) fn note(&mut self, note: Note) {
        self.out.push_back(Effect::Note(note));
    }

    pub(crate) fn send(&mut self, bytes: Bytes, to: Flow, mark: u32) {
        self.out.push_back(Effect::Send { bytes, to, mark });
    }

    /// Performs what a transaction says about sending.
    pub(crate) fn perform(&mut self, action: Action, to: Flow, mark: u32) {
        match action {
            Action::Send(bytes) | Action::SendAndDeliver(bytes) => self.send(bytes, to, mark),
            Action::Nothing | Action::Deliver | Action::Timeout | Action::Over => {}
        }
    }

    /// Takes a request in for the first time; answers the number of its transaction.
    pub(crate) fn serve(&mut self, env: &Env<'_>, side: MediaSide, flow: &Flow, request: &Arc<Message>) -> u32 {
        let id = self.number();
        let to = response_flow(flow, request);
        self.tx.servers.push(Box::new(Server::new(id, side, to, request.clone(), &env.settings.timers)));
        id
    }

    /// Begins a response to a request; nothing once the final one has gone.
    pub(crate) fn reply(&mut self, server: u32, code: u16, tag: &str) -> Option<Builder> {
        self.reply_as(server, code, b"", tag)
    }

    /// Begins a response with a reason phrase of its own; an empty one is the usual one.
    pub(crate) fn reply_as(&mut self, server: u32, code: u16, phrase: &[u8], tag: &str) -> Option<Builder> {
        let request = self.tx.server(server)?.request.as_ref()?;
        let phrase = std::str::from_utf8(phrase).ok().filter(|phrase| !phrase.is_empty());
        Some(Builder::response(request, code, phrase, tag))
    }

    /// Sends a response that is written.
    pub(crate) fn respond(&mut self, env: &Env<'_>, server: u32, code: u16, bytes: Bytes) {
        let Some(server) = self.tx.server(server) else { return };
        let action = server.respond(env.now.mono, code, bytes);
        let to = server.to;
        self.perform(action, to, 0);
    }

    /// Sends a response without a body or anything special.
    pub(crate) fn refuse(&mut self, env: &Env<'_>, server: u32, code: u16) {
        let Some(reply) = self.reply(server, code, "") else { return };
        self.respond(env, server, code, reply.finish());
    }

    /// Writes a request within the dialog of a leg: `fill` adds what is special, `body` may be empty.
    pub(crate) fn request(
        &mut self,
        env: &Env<'_>,
        side: MediaSide,
        request: Request<'_>,
        fill: impl FnOnce(&mut Builder),
    ) -> Option<u32> {
        let number = self.number();
        let path = self.paths.get(request.path)?;
        let flow = path.leg(side).flow;
        let via = self.via(env, &flow, number);
        let targets = matches!(request.method, "INVITE" | "UPDATE" | "REFER" | "SUBSCRIBE" | "NOTIFY");
        let contact = targets.then(|| self.contact(env, &flow));
        let attempt = self.paths[request.path].attempt;
        let dialog = &mut self.paths[request.path].leg_mut(side).dialog;
        let reserved = dialog.ceiling();
        let mut builder = dialog.request_as(request.method, via, contact.as_deref(), request.max_forwards);
        fill(&mut builder);
        let bytes = builder.finish_with(request.content_type, request.body);
        let method = Method::of(request.method.as_bytes());
        let timers = &env.settings.timers;
        let mut client = if method == Method::Invite {
            Client::invite(env.now.mono, number, side, flow, bytes.clone(), timers)
        } else {
            Client::other(env.now.mono, number, method, side, flow, bytes.clone(), timers)
        };
        client.purpose = request.purpose;
        client.attempt = attempt;
        self.tx.clients.push(Box::new(client));
        // Whoever takes the call over must number its requests behind this one.
        if self.paths[request.path].leg(side).dialog.ceiling() != reserved && request.purpose != Purpose::Farewell {
            self.out.push_back(Effect::Checkpoint(Point::C4));
        }
        self.send(bytes, flow, number);
        Some(number)
    }

    /// `User-Agent` or `Server`.
    pub(crate) fn sign(env: &Env<'_>, builder: &mut Builder, name: Name) {
        if !env.settings.user_agent.is_empty() {
            builder.add(name, &env.settings.user_agent);
        }
    }

    /// Copies what goes from end to end.
    pub(crate) fn pass_headers(builder: &mut Builder, message: &Message) {
        for field in message.fields().iter().filter(|field| headers::passes(field.name)) {
            builder.field_ref(message, field);
        }
    }
}

/// A request of ours within a dialog.
pub(crate) struct Request<'a> {
    pub(crate) path: usize,
    pub(crate) method: &'a str,
    pub(crate) purpose: Purpose,
    pub(crate) max_forwards: u8,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a [u8],
}

/// Appends a number in hexadecimal, without leading zeros.
pub(crate) fn push_hex(out: &mut String, number: u64) {
    out.extend(hex(number).map(char::from));
}

/// Host and port of ours on a flow.
pub(crate) fn advertised<'a>(env: &Env<'a>, flow: &Flow) -> Cow<'a, str> {
    match env.locals.at(flow.transport, flow.local) {
        Some(local) => Cow::Borrowed(&*local.advertised),
        None => Cow::Owned(flow.local.to_string()),
    }
}

/// Where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4).
pub(crate) fn response_flow(flow: &Flow, request: &Message) -> Flow {
    let mut to = *flow;
    if !flow.transport.is_reliable()
        && let Some(via) = request.top_via()
        && !via.params.has("rport")
    {
        to.remote.set_port(via.port.unwrap_or(5060));
    }
    to
}
