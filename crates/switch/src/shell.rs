//! What performs the effects of calls, shared by all of them.

use crate::calls::Calls;
use crate::calls::actor::CallMessage;
use crate::calls::directory::{CallCell, CallRef};
use crate::clients::Clients;
use crate::clock;
use crate::cluster::Cluster;
use crate::counters::Messages;
use crate::ladder::Ladders;
use crate::protect::Protect;
use crate::registrations::{self, Contacts, trunk_aor, user_aor};
use crate::resolver::{Hops, Resolver};
use crate::stall::Stall;
use crate::transport::{Sender, Sent, Transports};
use crate::trunks::{Acquired, Purpose, Trunks};
use crate::{cdr, media};
use ::call::effect::{Direction, Event};
use ::call::input::Refused;
use ::call::record::Record;
use ::call::{Call, CallId, Context, Effect, Input, Locals, Settings};
use bytes::Bytes;
use parking_lot::Mutex;
use ractor::ActorRef;
use rand::{Rng, SeedableRng, rngs::StdRng};
use routing::Target;
use routing::model::Trunk;
use sip::clock::Now;
use sip::{Flow, Message};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Everything that a call's effects need.
pub struct Shell {
    /// The calls.
    pub calls: Calls,
    /// Sockets and connections.
    pub transports: Arc<Transports>,
    /// The tables.
    pub tables: tables::Handle,
    /// The other nodes.
    pub cluster: Cluster,
    /// Capacity and gateways of trunks.
    pub trunks: Trunks,
    /// Who is registered where.
    pub contacts: Contacts,
    /// The media relay.
    pub relay: relay::Handle,
    /// The backups of calls, here and elsewhere.
    pub protect: Protect,
    /// Call records.
    pub cdr: cdr::Handle,
    /// What explains calls afterwards.
    pub ladders: Ladders,
    /// Requests of our own that belong to no call.
    pub clients: Clients,
    /// Messages by method and code.
    pub messages: Messages,
    /// DNS.
    pub resolver: Resolver,
    /// What calls are told; known once the node takes part in its cluster.
    pub settings: OnceLock<Settings>,
    /// Our addresses.
    pub locals: Locals,
    /// Whether the process has just stood still.
    pub stall: Stall,
    /// The node ends, and takes no new calls.
    pub stopping: AtomicBool,
    /// The last record could not be stored; the next one that can clears it.
    pub records_fail: AtomicBool,
    /// For seeds of calls: tags and branches come from them, so nobody must be able to foretell one.
    pub random: Mutex<StdRng>,
}

/// What became of an effect.
#[allow(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one turn; boxing would cost an allocation an effect"
)]
pub enum Performed {
    /// It is done, or its answer comes later.
    Done,
    /// It is answered.
    Answer(Input),
}

impl Shell {
    /// A source of seeds.
    #[must_use]
    pub fn random() -> Mutex<StdRng> {
        Mutex::new(StdRng::from_os_rng())
    }

    /// A seed of a call.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.random.lock().random()
    }

    /// Whether new calls are taken.
    ///
    /// # Errors
    /// Why not, in a word for `tandem_sip_rejected_total{reason}`. A call that could leave no record is not begun.
    pub fn takes_calls(&self) -> Result<(), &'static str> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err("stopping");
        }
        if !self.cluster.has_shards() {
            return Err("no_shard");
        }
        if self.records_fail.load(Ordering::Relaxed) {
            self.cdr.probe().map_err(|_| "no_records")?;
            self.records_fail.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn record(&self, record: &Record) {
        if let Err(error) = self.cdr.put(record) {
            self.records_fail.store(true, Ordering::Relaxed);
            tracing::error!(%error, "a call record could not be stored; no new call is taken until one can be");
            metrics::counter!("tandem_cdr_failed_total").increment(1);
        }
    }

    /// Runs `with` on the tables as they are now.
    pub fn with_context<R>(&self, with: impl FnOnce(&Context<'_>) -> R) -> R {
        let view = self.tables.view();
        with(&Context { view: &view, settings: self.settings(), locals: &self.locals })
    }

    /// The settings of calls.
    ///
    /// # Panics
    /// Before the node takes part in its cluster; nothing that reads them is started before.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.settings.get().expect("set before anything that reads it is started")
    }

    /// A call from its checkpoint, which is so old.
    ///
    /// # Errors
    /// The checkpoint is not one of this version.
    pub fn restore(&self, checkpoint: &[u8], age: Duration, now: Now) -> Result<Call, ::call::Error> {
        self.with_context(|cx| Call::restore(checkpoint, age, cx, now))
    }

    /// Counts a message that was thrown away.
    pub fn reject(&self, reason: &'static str) {
        metrics::counter!("tandem_sip_rejected_total", "reason" => reason).increment(1);
    }

    /// Sends a message that belongs to no call.
    pub fn send(&self, bytes: Bytes, to: &Flow) -> Sent {
        self.hand(bytes, to, Sender::Nobody)
    }

    /// Hands a message to the socket that its flow names: one of ours, or another node's.
    fn hand(&self, bytes: Bytes, to: &Flow, sender: Sender) -> Sent {
        if self.cluster.is_elsewhere(to) {
            // The node that sends it counts it.
            return if self.cluster.send_through(bytes, *to) { Sent::Handed } else { Sent::Unreachable };
        }
        self.messages.count_sent(&bytes);
        self.transports.send(bytes, to, sender)
    }

    /// Sends a response of no call back the way of its request (RFC 3261 §18.2.2, RFC 3581 §4).
    pub fn send_back(&self, bytes: Bytes, request: &Message, flow: &Flow) {
        self.send(bytes, &reply_flow(request, flow));
    }

    /// Performs one effect of a call.
    ///
    /// A call without an actor is over and holds nothing; should it ask for something all the same, it does not get it.
    pub(crate) fn perform(
        self: &Arc<Self>,
        id: CallId,
        cell: &Arc<CallCell>,
        actor: Option<&ActorRef<CallMessage>>,
        now: Now,
        effect: Effect,
    ) -> Performed {
        match effect {
            Effect::Send { bytes, to, mark } => self.send_of(id, cell, now, bytes, &to, mark),
            Effect::Admit { trunk } => match me(cell, actor) {
                Some(me) => self.admit(&me, &trunk, now),
                None => Performed::Answer(Input::Admitted(Err(Refused::Gone))),
            },
            Effect::Seize { attempt, target, seed } => match me(cell, actor) {
                Some(me) => self.seize(&me, now, attempt, target, seed),
                None => Performed::Answer(Input::Seized { attempt, result: Err(Refused::Gone) }),
            },
            Effect::Leave { trunk } => self.done(|| self.release(cell, &trunk.name)),
            Effect::Surrender { target } => {
                self.done(|| target.trunk().into_iter().for_each(|trunk| self.release(cell, &trunk.name)))
            }
            Effect::Outcome { trunk, gateway, outcome } => {
                self.ladders.learnt(&cell.ladder, now, (&trunk, &gateway), outcome);
                self.done(|| self.trunks.outcome(&trunk, &gateway, outcome, now.mono))
            }
            Effect::Anchor { streams } => {
                Performed::Answer(Input::Anchored(me(cell, actor).and_then(|me| self.anchor(id, &me, streams))))
            }
            Effect::Steer(steer) => self.done(|| self.steer(cell, &steer)),
            Effect::FreeMedia => self.free_media(cell),
            Effect::Record(record) => {
                self.ladders.recorded(&cell.ladder, now, &record);
                self.done(|| self.record(&record))
            }
            Effect::Event(Event::Moved { remote, outcome }) => {
                self.ladders.followed(&cell.ladder, now, remote, outcome);
                self.done(|| self.protect.moved(cell, now.mono, remote, outcome))
            }
            Effect::Note(note) => self.done(|| self.ladders.decided(&cell.ladder, now, note)),
            Effect::Event(event) => self.done(|| self.count(cell, &event)),
            // The actor keeps these two to itself.
            Effect::Checkpoint(_) | Effect::Ended => Performed::Done,
        }
    }

    fn send_of(&self, id: CallId, cell: &CallCell, now: Now, bytes: Bytes, to: &Flow, mark: u32) -> Performed {
        let copy = self.ladders.listens().then(|| bytes.clone());
        let sent = self.hand(bytes, to, Sender::Call(id, mark));
        if let Some(bytes) = copy {
            self.ladders.sent(id, &cell.ladder, now, &bytes, to, sent == Sent::Handed);
        }
        match sent {
            Sent::Handed => Performed::Done,
            Sent::Unreachable => Performed::Answer(Input::Unreachable { mark }),
        }
    }

    fn admit(self: &Arc<Self>, me: &CallRef, trunk: &Arc<Trunk>, now: Now) -> Performed {
        match self.acquire(me, trunk, now, Purpose::Admit) {
            Acquired::Now(_) => Performed::Answer(Input::Admitted(Ok(()))),
            Acquired::Refused(refused) => Performed::Answer(Input::Admitted(Err(refused))),
            Acquired::Later => Performed::Done,
        }
    }

    /// Takes a channel for a call, and notes it where it outlives the call's actor.
    fn acquire(self: &Arc<Self>, me: &CallRef, trunk: &Arc<Trunk>, now: Now, purpose: Purpose) -> Acquired {
        let acquired = self.trunks.acquire(self, trunk, now.mono, me, purpose);
        if let Acquired::Now(_) = acquired {
            me.cell.took(&trunk.name);
        }
        acquired
    }

    /// Gives a channel back, once.
    pub(crate) fn release(self: &Arc<Self>, cell: &CallCell, trunk: &str) {
        if cell.gave(trunk) {
            self.trunks.release(self, trunk);
        }
    }

    /// Forgets a call, and gives back whatever it still holds: nothing, unless it failed.
    pub fn forget(self: &Arc<Self>, id: CallId, cell: &CallCell) {
        self.calls.directory.remove(id);
        self.protect.release(self, id, cell);
        self.give_back(cell);
        self.ladders.over(id, &cell.ladder, clock::now().mono);
    }

    /// Gives back the channels and the media that are noted in a cell.
    pub(crate) fn give_back(self: &Arc<Self>, cell: &CallCell) {
        for trunk in cell.gave_all() {
            self.trunks.release(self, &trunk);
        }
        if let Some(session) = cell.media.lock().take() {
            self.relay.release(session);
        }
    }

    /// Counts what happened to a call. From its answer on the relay looks whether both parties are heard.
    fn count(&self, cell: &CallCell, event: &Event) {
        if let Event::Answered { direction: Direction::Ingress, .. } = event
            && let Some(session) = *cell.media.lock()
        {
            self.relay.watch(session);
        }
        self.trunks.count(event);
    }

    fn done(&self, act: impl FnOnce()) -> Performed {
        act();
        Performed::Done
    }

    /// Takes a channel, and finds out where the attempt can be sent: at once where this node knows, or after it has asked.
    fn seize(self: &Arc<Self>, me: &CallRef, now: Now, attempt: u32, target: Target, seed: u64) -> Performed {
        let trunk = match &target {
            Target::User(user) => return self.at_contacts(me, attempt, None, user_aor(user)),
            Target::Trunk(trunk) | Target::Registered(trunk) => Arc::clone(trunk),
        };
        let purpose = Purpose::Seize { attempt, target, seed };
        match self.acquire(me, &trunk, now, purpose) {
            Acquired::Now(purpose) => self.seized(me, now, &trunk, purpose),
            Acquired::Refused(refused) => Performed::Answer(Input::Seized { attempt, result: Err(refused) }),
            Acquired::Later => Performed::Done,
        }
    }

    /// The channel of an attempt is there; now its place.
    pub(crate) fn seized(self: &Arc<Self>, me: &CallRef, now: Now, trunk: &Arc<Trunk>, purpose: Purpose) -> Performed {
        let Purpose::Seize { attempt, target, seed } = purpose else {
            return Performed::Answer(Input::Admitted(Ok(())));
        };
        if let Target::Registered(_) = target {
            return self.at_contacts(me, attempt, Some(Arc::clone(trunk)), trunk_aor(trunk));
        }
        let gateways = self.trunks.candidates(trunk, now.mono, seed);
        if let Some(hops) = crate::resolver::literal(&gateways) {
            let result = self.or_release(&me.cell, Some(trunk), hops, Refused::Unresolvable);
            return Performed::Answer(Input::Seized { attempt, result });
        }
        let (shell, me, trunk) = (Arc::clone(self), me.clone(), Arc::clone(trunk));
        tokio::spawn(async move {
            let hops = shell.resolver.hops(&gateways, seed).await;
            let result = shell.or_release(&me.cell, Some(&trunk), hops, Refused::Unresolvable);
            me.tell(CallMessage::Input(Box::new(Input::Seized { attempt, result })));
        });
        Performed::Done
    }

    /// Sends an attempt to whoever is registered. A channel that is held is given back where nobody is.
    fn at_contacts(self: &Arc<Self>, me: &CallRef, attempt: u32, trunk: Option<Arc<Trunk>>, aor: String) -> Performed {
        if let Some(hops) = registrations::known(self, &aor) {
            let result = self.or_release(&me.cell, trunk.as_deref(), hops, Refused::NotRegistered);
            return Performed::Answer(Input::Seized { attempt, result });
        }
        let (shell, me) = (Arc::clone(self), me.clone());
        tokio::spawn(async move {
            let hops = registrations::find(&shell, &aor).await;
            let result = shell.or_release(&me.cell, trunk.as_deref(), hops, Refused::NotRegistered);
            me.tell(CallMessage::Input(Box::new(Input::Seized { attempt, result })));
        });
        Performed::Done
    }

    /// A channel is held only by an attempt that has somewhere to go.
    fn or_release(
        self: &Arc<Self>,
        cell: &CallCell,
        trunk: Option<&Trunk>,
        hops: Hops,
        why: Refused,
    ) -> Result<Hops, Refused> {
        if hops.is_empty() {
            if let Some(trunk) = trunk {
                self.release(cell, &trunk.name);
            }
            return Err(why);
        }
        Ok(hops)
    }

    fn anchor(&self, id: CallId, me: &CallRef, streams: usize) -> Option<SmallVec<[[std::net::SocketAddr; 2]; 1]>> {
        let tap = self.ladders.hep().and_then(|hep| hep.tap(id));
        match self.relay.allocate_tapped(streams, media::events(me.clone()), tap) {
            Ok(allocation) => {
                *me.cell.media.lock() = Some(allocation.id);
                Some(allocation.local)
            }
            Err(error) => {
                tracing::warn!(%error, "no media for a call");
                metrics::counter!("tandem_relay_refused_total").increment(1);
                None
            }
        }
    }

    fn steer(&self, cell: &CallCell, steer: &::call::effect::Steer) {
        let session = *cell.media.lock();
        if let Some(session) = session
            && self.relay.update(session, media::update(steer)).is_err()
        {
            metrics::counter!("tandem_queue_full_total", "queue" => "relay").increment(1);
        }
    }

    /// Answered when the worker has closed the session; at once if there never was one.
    fn free_media(&self, cell: &CallCell) -> Performed {
        match cell.media.lock().take() {
            Some(session) => self.done(|| self.relay.release(session)),
            None => Performed::Answer(Input::MediaFreed(Box::default())),
        }
    }
}

/// The way back to a call that has an actor.
fn me(cell: &Arc<CallCell>, actor: Option<&ActorRef<CallMessage>>) -> Option<CallRef> {
    Some(CallRef { actor: actor?.clone(), cell: Arc::clone(cell) })
}

/// The way back of a response: the connection that the request came over, or for UDP the address that its Via asks for.
#[must_use]
pub fn reply_flow(request: &Message, flow: &Flow) -> Flow {
    if flow.transport.is_reliable() {
        return *flow;
    }
    let Some(via) = request.top_via() else { return *flow };
    if via.params.has("rport") {
        return *flow;
    }
    // Without rport the port is the sent-by's (RFC 3261 §18.2.2), the address is always the one that we saw.
    let mut remote = flow.remote;
    remote.set_port(via.port.unwrap_or(flow.transport.default_port()));
    Flow { remote, ..*flow }
}
