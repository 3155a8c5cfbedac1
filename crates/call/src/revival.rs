//! A call from its checkpoint: on the node that wrote it, after its actor was lost, or on the one that takes it over.

use crate::call::Call;
use crate::caller::{Caller, Source, codecs_of};
use crate::checkpoint::{
    AnswerPart, CallerPart, Held, LegPart, Out, Progress, Setup, Snapshot, TargetPart, TransferPart,
};
use crate::context::{Context, Locals};
use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::leg::{Leg, Path};
use crate::media::{Codecs, Media};
use crate::parting::Parting;
use crate::records::Callee;
use crate::rejoin::Rejoin;
use crate::state::{Admitting, Connected, State};
use crate::transactions::{Cancelling, Client, Purpose};
use crate::{egress, orphan, refer};
use routing::Target;
use routing::model::{CallerPolicy, Ingress, Trunk};
use sip::clock::{Instant, Now};
use sip::session_timer::SessionTimer;
use sip::{Builder, Flow, Message};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// What was under way when the checkpoint was written.
#[derive(Clone, Debug)]
pub(crate) struct Undone {
    pub(crate) invites: Vec<Out>,
    /// A transfer.
    transfer: Option<TransferPart>,
    /// The setup.
    pub(crate) setup: Option<Box<Setup>>,
    /// A 2xx to the caller that waits for its ACK.
    pub(crate) answer: Option<AnswerPart>,
}

impl Undone {
    fn is_empty(&self) -> bool {
        self.invites.is_empty() && self.transfer.is_none() && self.setup.is_none() && self.answer.is_none()
    }
}

/// Where a restored call goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// On the node that wrote the checkpoint.
    Here,
    /// On another one: what is sent to the old one's address is lost.
    Elsewhere,
}

impl Call {
    /// The call that [`Self::checkpoint`] wrote. Transactions are not carried: what was under way is repeated by whoever
    /// waits for it. The flows are those of the old node until [`Self::take_over`].
    ///
    /// `age` is how old the checkpoint is: every duration in it (talk time, session timers, the duration limit) has run on
    /// for so long.
    ///
    /// # Errors
    /// The bytes are no checkpoint, or one of another version.
    pub fn restore(bytes: &[u8], age: Duration, cx: &Context<'_>, now: Now) -> Result<Self, Error> {
        Ok(revive(Snapshot::read(bytes)?, age, &Env::new(cx, now)))
    }
}

impl Core {
    /// Takes back what was under way when the checkpoint was written; on the node that wrote it, or on another one.
    pub(crate) fn undo(&mut self, env: &Env<'_>, place: Place) {
        let Some(undone) = self.undone.take() else { return };
        surrender_spare(self, &undone.invites, undone.setup.as_deref().and_then(Setup::attempt));
        for out in undone.invites {
            recall(self, env, out, place);
        }
        // A transfer does not outlive its node: its INVITE is taken back, its sender hears that it failed.
        if let Some(transfer) = undone.transfer {
            self.free_spare_ports();
            if let Some(subscription) = transfer.subscription {
                subscription.finish(self, env, 503);
            }
        }
    }
}

/// A point of this clock that lies `ago` in the past, as far as the clock reaches.
pub(crate) fn past(now: Instant, ago: Duration) -> Instant {
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    Instant::from_micros(now.as_micros().saturating_sub(micros))
}

fn revive(snapshot: Snapshot, age: Duration, env: &Env<'_>) -> Call {
    let mut core = Core::new(snapshot.id, 0);
    core.chance = snapshot.chance;
    core.continue_numbers(snapshot.last_number);
    core.takeovers = snapshot.takeovers;
    core.note_age(age);
    core.attempts = snapshot.attempts;
    let has_channel = snapshot.caller.has_channel;
    let mut caller = revive_caller(snapshot.caller, env);
    let admitted = caller.source.trunk().filter(|_| has_channel).cloned();
    let mut undone = Undone { invites: snapshot.invites, transfer: None, setup: None, answer: None };
    let state = match snapshot.progress {
        Progress::Setup(mut setup) => {
            setup.grow_older(age);
            let targets = setup.targets.iter().map(|(attempt, target)| (*attempt, revive_target(target, env)));
            core.ledger = Ledger::restored(admitted, targets, setup.anchored);
            core.media = Media::new([core.chance.next(), core.chance.next()]);
            if let Ok(invite) = Message::parse(setup.invite.clone()) {
                let invite = Arc::new(invite.from_source(caller.flow.remote));
                caller.server = core.serve(env, MediaSide::A, &caller.flow, &invite);
                core.invite = Some(invite);
            }
            undone.setup = Some(setup);
            State::Admitting(Admitting { until: env.now.mono + env.settings.max_wait })
        }
        Progress::Held(mut held) => {
            undone.transfer = held.transfer.take();
            undone.answer = held.answer.take();
            State::Connected(Box::new(revive_held(&mut core, env, *held, age, admitted)))
        }
    };
    core.undone = Some(Box::new(undone)).filter(|undone| !undone.is_empty());
    core.caller = Some(Box::new(caller));
    core.codecs_to = codecs_between(&core);
    Call { core, state }
}

fn revive_held(core: &mut Core, env: &Env<'_>, held: Held, age: Duration, admitted: Option<Arc<Trunk>>) -> Connected {
    let now = env.now.mono;
    let targets = held.targets.into_iter().map(|(attempt, target)| (attempt, revive_target(&target, env)));
    core.ledger = Ledger::restored(admitted, targets, held.anchored);
    let legs = held.legs.map(|part| revive_leg(part, age, now));
    core.paths = SmallVec::from_iter([Box::new(Path { legs, early: None, attempt: held.attempt })]);
    core.media = held.media;
    core.parting = held.parting.map(|(side, part)| Box::new(Parting { side, leg: revive_leg(part, age, now) }));
    core.rejoin = held.rejoin.map(|side| Rejoin::new(side, now));
    let since = |callee: Callee, talked| Callee { answered_mono: Some(past(now, talked)), ..callee };
    let [of_callee, of_other, in_all] = held.talked.map(|talked| talked + age);
    let until = now + held.left.saturating_sub(age);
    let mut call = Connected::new(since(held.callee, of_callee), past(now, in_all), until);
    call.side = held.side;
    call.other = held.other.map(|other| Box::new(since(*other, of_other)));
    call
}

/// The codecs that the trunks of both legs of an answered call allow.
fn codecs_between(core: &Core) -> [Codecs; 2] {
    let [a, b] = [MediaSide::A, MediaSide::B].map(|side| {
        let party = refer::party(core, side);
        codecs_of(party.as_ref().and_then(Source::trunk).map(|trunk| &**trunk))
    });
    [egress::common(&a, &b), egress::common(&b, &a)]
}

/// Gives channels back that neither a leg nor an INVITE nor the attempt under way needs.
pub(crate) fn surrender_spare(core: &mut Core, invites: &[Out], attempt: Option<u32>) {
    let legs = core.paths.iter().flat_map(|path| &path.legs).map(|leg| leg.attempt);
    let kept: SmallVec<[u32; 3]> = legs.chain(invites.iter().map(|out| out.attempt)).chain(attempt).collect();
    let spare = core.ledger.seized_targets().iter().map(|(attempt, _)| *attempt);
    let spare: SmallVec<[u32; 1]> = spare.filter(|attempt| !kept.contains(attempt)).collect();
    for attempt in spare {
        core.ledger.surrender(&mut core.out, attempt);
    }
}

/// The callee's INVITE comes back as one that nobody waits for: sent again it brings the last response again, and then
/// CANCEL, or ACK and BYE, may go out. On another node the response would go to the old one, so CANCEL goes at once.
pub(crate) fn recall(core: &mut Core, env: &Env<'_>, out: Out, place: Place) {
    let flow = match place {
        Place::Here => out.flow,
        Place::Elsewhere => moved(out.flow, env.locals),
    };
    let mut client = Client::invite(env.now.mono, out.branch, out.side, flow, out.bytes, &env.settings.timers);
    client.purpose = Purpose::Orphan;
    client.attempt = out.attempt;
    client.cancelling = Cancelling::Wanted;
    let request = client.request.as_ref().and_then(sip::Sent::message);
    if let Some(heard) = request.filter(|_| place == Place::Elsewhere).and_then(|request| {
        // As if it had been heard: it is not sent again, and may be cancelled.
        Message::parse(Builder::response(&request, 100, None, "").finish()).ok()
    }) {
        let _ = client.handle_response(env.now.mono, &heard);
    }
    let id = client.id;
    core.tx.clients.push(Box::new(client));
    if place == Place::Elsewhere {
        orphan::send_cancel(core, env, id, None);
    }
}

/// The same way from a listener of this node, unless a third node holds its connection.
pub(crate) fn moved(flow: Flow, locals: &Locals) -> Flow {
    if flow.edge != 0 {
        return flow;
    }
    let local = locals.pick(flow.transport, flow.remote).map_or(flow.local, |local| local.bound);
    Flow::new(flow.transport, local, flow.remote)
}

fn revive_caller(part: CallerPart, env: &Env<'_>) -> Caller {
    let source = match env.view.user(&part.name).filter(|_| part.is_user) {
        Some(user) => Source::User(user.clone()),
        None => Source::Trunk(trunk_named(env, &part.name)),
    };
    Caller {
        codecs: codecs_of(source.trunk().map(|trunk| &**trunk)),
        source,
        server: 0,
        flow: part.flow,
        pinned: part.pinned,
        started: part.started,
        caller_in: part.caller_in,
        called_in: part.called_in,
        called: Box::default(),
        identity: trunk::Identity::default(),
        lrn: part.lrn,
        call_id: part.call_id,
        tag: part.tag,
        options: SmallVec::new(),
        required: SmallVec::new(),
        session: None,
        emergency: part.emergency,
        hidden: part.hidden,
        told: Box::default(),
    }
}

pub(crate) fn revive_leg(part: LegPart, age: Duration, now: Instant) -> Leg {
    let since = part.timer.map_or(now, |(_, _, ran)| past(now, ran + age));
    let timer = part.timer.map(|(seconds, we_refresh, _)| SessionTimer::new(since, seconds, we_refresh));
    Leg {
        dialog: part.dialog,
        flow: part.flow,
        pinned: part.pinned,
        timer,
        timer_since: since,
        updates: part.updates,
        attempt: part.attempt,
        gone: part.gone,
    }
}

pub(crate) fn revive_target(part: &TargetPart, env: &Env<'_>) -> Target {
    match part {
        TargetPart::Trunk(name) => Target::Trunk(trunk_named(env, name)),
        TargetPart::Registered(name) => Target::Registered(trunk_named(env, name)),
        TargetPart::User(name) => match env.view.user(name) {
            Some(user) => Target::User(user.clone()),
            None => Target::Registered(trunk_named(env, name)),
        },
    }
}

/// The trunk of this name, or where the tables have dropped it since, one that has only the name: the record needs it.
fn trunk_named(env: &Env<'_>, name: &Arc<str>) -> Arc<Trunk> {
    env.view.trunk(name).cloned().unwrap_or_else(|| {
        Arc::new(Trunk {
            session_expires: 0,
            redirect: routing::model::Redirect::Pass,
            refer: routing::model::Referral::Pass,
            ingress: Some(Ingress { caller_policy: CallerPolicy::Pass, ..Ingress::default() }),
            ..Trunk::named(name)
        })
    })
}
