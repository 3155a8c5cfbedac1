//! What of a call outlives its node: enough to hold an answered call, or to end one that was not answered yet.
//!
//! Times are carried as durations, trunks by name: the node that takes over has its own clock and the same tables.

use crate::call::Call;
use crate::caller::{Caller, Source, codecs_of};
use crate::chance::Chance;
use crate::context::Context;
use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::error::Error;
use crate::id::CallId;
use crate::ledger::Ledger;
use crate::leg::{Leg, Path};
use crate::media::Media;
use crate::parting::Parting;
use crate::records::Callee;
use crate::rejoin::Rejoin;
use crate::state::{Admitting, Connected, State};
use crate::subscription::Subscription;
use crate::transactions::{Cancelling, Client, Purpose};
use bytes::Bytes;
use routing::Target;
use routing::model::{CallerPolicy, Ingress, Trunk};
use serde::{Deserialize, Serialize};
use sip::clock::{Instant, Now, Wall};
use sip::dialog::Dialog;
use sip::session_timer::SessionTimer;
use sip::{Flow, Message};
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::Duration;

/// Room for most checkpoints, so that writing one seldom has to move it.
const TYPICAL_SIZE: usize = 2_048;

/// Version of the format.
const VERSION: u16 = 2;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u16,
    id: CallId,
    chance: Chance,
    last_number: u32,
    takeovers: u32,
    attempts: u32,
    caller: CallerPart,
    progress: Progress,
}

#[derive(Serialize, Deserialize)]
struct CallerPart {
    is_user: bool,
    name: Arc<str>,
    flow: Flow,
    pinned: bool,
    started: Wall,
    caller_in: Box<str>,
    called_in: Box<str>,
    lrn: Box<str>,
    call_id: Box<str>,
    tag: Box<str>,
    has_channel: bool,
    hidden: bool,
}

#[derive(Serialize, Deserialize)]
enum Progress {
    /// Not answered: enough to refuse the caller and to take the callee's INVITE back.
    Setup(Box<Setup>),
    /// Answered.
    Held(Box<Held>),
}

#[derive(Serialize, Deserialize)]
struct Setup {
    invite: Bytes,
    anchored: bool,
    target: Option<(u32, TargetPart)>,
    egress: Option<Out>,
}

/// An INVITE that is out.
#[derive(Serialize, Deserialize)]
struct Out {
    /// The number of its branch.
    branch: u32,
    bytes: Bytes,
    flow: Flow,
    side: MediaSide,
    attempt: u32,
}

#[derive(Serialize, Deserialize)]
struct Held {
    legs: [LegPart; 2],
    attempt: u32,
    media: Media,
    anchored: bool,
    callee: Callee,
    /// The side of its leg, and the row of the other one.
    side: MediaSide,
    other: Option<Box<Callee>>,
    /// Since the answers that the rows count from, and since the first one.
    talked: [Duration; 3],
    /// Until the duration limit.
    left: Duration,
    /// Channels that are taken, by attempt.
    targets: Vec<(u32, TargetPart)>,
    /// Who transferred the call and was not left yet.
    parting: Option<(MediaSide, LegPart)>,
    /// Who has to hear whom it was joined with.
    rejoin: Option<MediaSide>,
    transfer: Option<TransferPart>,
}

/// A transfer under way: enough to take it back.
#[derive(Serialize, Deserialize)]
struct TransferPart {
    subscription: Option<Subscription>,
    egress: Option<Out>,
}

#[derive(Serialize, Deserialize)]
struct LegPart {
    dialog: Dialog,
    flow: Flow,
    pinned: bool,
    updates: bool,
    attempt: u32,
    gone: bool,
    /// Interval in seconds, whether we refresh, and how long it has run.
    timer: Option<(u32, bool, Duration)>,
}

#[derive(Serialize, Deserialize)]
enum TargetPart {
    Trunk(Arc<str>),
    Registered(Arc<str>),
    User(Arc<str>),
}

impl Call {
    /// The call as bytes; empty before there is anything worth protecting, and once only the clearing is left.
    #[must_use]
    pub fn checkpoint(&self, now: Now) -> Vec<u8> {
        snapshot(&self.core, &self.state, now)
            .and_then(|snapshot| postcard::to_extend(&snapshot, Vec::with_capacity(TYPICAL_SIZE)).ok())
            .map_or_else(Vec::new, |bytes| bytes.into_boxed_slice().into_vec())
    }

    /// The call that [`Self::checkpoint`] wrote. Transactions are not carried: what was under way is repeated by whoever
    /// waits for it. The flows are those of the old node; a takeover moves them by re-INVITE.
    ///
    /// # Errors
    /// The bytes are no checkpoint, or one of another version.
    pub fn restore(bytes: &[u8], cx: &Context<'_>, now: Now) -> Result<Self, Error> {
        let snapshot: Snapshot = postcard::from_bytes(bytes)?;
        if snapshot.version != VERSION {
            return Err(Error::Version(snapshot.version));
        }
        Ok(revive(snapshot, &Env::new(cx, now)))
    }

    /// Whether the call is answered and nothing is under way: its checkpoint then says everything.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Connected(_)) && self.core.tx.is_empty() && self.core.rejoin.is_none()
    }
}

fn snapshot(core: &Core, state: &State, now: Now) -> Option<Snapshot> {
    let caller = core.caller.as_deref()?;
    let progress = match state {
        State::Arriving | State::Clearing(_) | State::Over => return None,
        State::Admitting(_) | State::Seizing(_) | State::Anchoring(_) | State::Trying(_) => {
            Progress::Setup(Box::new(setup(core)?))
        }
        State::Answering(state) => Progress::Held(Box::new(held(core, &state.call, None, now)?)),
        State::Connected(state) => Progress::Held(Box::new(held(core, state, None, now)?)),
        State::Transferring(state) => {
            let transfer = TransferPart { subscription: state.transfer().subscription, egress: invite_out(core) };
            Progress::Held(Box::new(held(core, state.call(), Some(transfer), now)?))
        }
    };
    let (is_user, name) = match &caller.source {
        Source::Trunk(trunk) => (false, trunk.name.clone()),
        Source::User(user) => (true, user.name.clone()),
    };
    let caller = CallerPart {
        is_user,
        name,
        flow: caller.flow,
        pinned: caller.pinned,
        started: caller.started,
        caller_in: caller.caller_in.clone(),
        called_in: caller.called_in.clone(),
        lrn: caller.lrn.clone(),
        call_id: caller.call_id.clone(),
        tag: caller.tag.clone(),
        has_channel: core.ledger.admitted_trunk().is_some(),
        hidden: caller.hidden,
    };
    Some(Snapshot {
        version: VERSION,
        id: core.id,
        chance: core.chance.clone(),
        last_number: core.last_number(),
        takeovers: core.takeovers,
        attempts: core.attempts,
        caller,
        progress,
    })
}

fn setup(core: &Core) -> Option<Setup> {
    Some(Setup {
        invite: core.invite.as_ref()?.bytes().clone(),
        anchored: core.ledger.is_anchored(),
        target: core.ledger.last_seized().map(|(attempt, target)| (*attempt, target_part(target))),
        egress: invite_out(core),
    })
}

/// The INVITE of the attempt that is under way.
fn invite_out(core: &Core) -> Option<Out> {
    let out = core.tx.clients.iter().find(|client| client.purpose == Purpose::Setup && client.is_needed())?;
    let bytes = out.request.as_ref()?.bytes().clone();
    Some(Out { branch: out.branch, bytes, flow: out.to, side: out.side, attempt: out.attempt })
}

fn target_part(target: &Target) -> TargetPart {
    match target {
        Target::Trunk(trunk) => TargetPart::Trunk(trunk.name.clone()),
        Target::Registered(trunk) => TargetPart::Registered(trunk.name.clone()),
        Target::User(user) => TargetPart::User(user.name.clone()),
    }
}

fn leg_part(leg: &Leg, now: Now) -> LegPart {
    LegPart {
        dialog: leg.dialog.clone(),
        flow: leg.flow,
        pinned: leg.pinned,
        updates: leg.updates,
        attempt: leg.attempt,
        gone: leg.gone,
        timer: leg.timer.map(|timer| (timer.seconds(), timer.we_refresh(), now.mono.since(leg.timer_since))),
    }
}

fn held(core: &Core, call: &Connected, transfer: Option<TransferPart>, now: Now) -> Option<Held> {
    let path = core.paths.first()?;
    let talked = |callee: Option<&Callee>| callee.and_then(|callee| callee.duration(now.mono)).unwrap_or_default();
    let timeless = |callee: &Callee| Callee { answered_mono: None, ..callee.clone() };
    Some(Held {
        legs: [leg_part(path.leg(MediaSide::A), now), leg_part(path.leg(MediaSide::B), now)],
        attempt: path.attempt,
        media: core.media.clone(),
        anchored: core.ledger.is_anchored(),
        callee: timeless(&call.callee),
        side: call.side,
        other: call.other.as_deref().map(|other| Box::new(timeless(other))),
        talked: [talked(Some(&call.callee)), talked(call.other.as_deref()), now.mono.since(call.answered)],
        left: call.until.since(now.mono),
        targets: core.ledger.seized_targets().iter().map(|(number, to)| (*number, target_part(to))).collect(),
        parting: core.parting.as_ref().map(|parting| (parting.side, leg_part(&parting.leg, now))),
        rejoin: core.rejoin.map(|rejoin| rejoin.side),
        transfer,
    })
}

/// A point of this clock that lies `ago` in the past, as far as the clock reaches.
fn past(now: Instant, ago: Duration) -> Instant {
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    Instant::from_micros(now.as_micros().saturating_sub(micros))
}

fn revive(snapshot: Snapshot, env: &Env<'_>) -> Call {
    let mut core = Core::new(snapshot.id, 0);
    core.chance = snapshot.chance;
    core.continue_numbers(snapshot.last_number);
    core.takeovers = snapshot.takeovers;
    core.attempts = snapshot.attempts;
    let has_channel = snapshot.caller.has_channel;
    let mut caller = revive_caller(snapshot.caller, env);
    let admitted = caller.source.trunk().filter(|_| has_channel).cloned();
    let state = match snapshot.progress {
        Progress::Setup(setup) => {
            let seized = setup.target.map(|(attempt, target)| (attempt, revive_target(target, env)));
            core.ledger = Ledger::restored(admitted, seized.into_iter(), setup.anchored);
            if let Some(out) = setup.egress {
                recall(&mut core, env, out);
            }
            if let Ok(invite) = Message::parse(setup.invite) {
                let invite = Arc::new(invite);
                caller.server = core.serve(env, MediaSide::A, &caller.flow, &invite);
                core.invite = Some(invite);
            }
            State::Admitting(Admitting { until: env.now.mono + env.settings.max_wait })
        }
        Progress::Held(held) => State::Connected(Box::new(revive_held(&mut core, env, *held, admitted))),
    };
    core.caller = Some(Box::new(caller));
    Call { core, state }
}

fn revive_held(core: &mut Core, env: &Env<'_>, held: Held, admitted: Option<Arc<Trunk>>) -> Connected {
    let now = env.now.mono;
    let targets = held.targets.into_iter().map(|(attempt, target)| (attempt, revive_target(target, env)));
    core.ledger = Ledger::restored(admitted, targets, held.anchored);
    let legs = held.legs.map(|part| revive_leg(part, now));
    core.paths = SmallVec::from_iter([Box::new(Path { legs, early: None, attempt: held.attempt })]);
    core.media = held.media;
    core.parting = held.parting.map(|(side, part)| Box::new(Parting { side, leg: revive_leg(part, now) }));
    core.rejoin = held.rejoin.map(|side| Rejoin::new(side, now));
    let since = |callee: Callee, talked| Callee { answered_mono: Some(past(now, talked)), ..callee };
    let [of_callee, of_other, in_all] = held.talked;
    let mut call = Connected::new(since(held.callee, of_callee), past(now, in_all), now + held.left);
    call.side = held.side;
    call.other = held.other.map(|other| Box::new(since(*other, of_other)));
    if let Some(transfer) = held.transfer {
        take_back(core, env, transfer);
    }
    call
}

/// A transfer does not outlive its node: its INVITE is taken back, its sender hears that it failed.
fn take_back(core: &mut Core, env: &Env<'_>, transfer: TransferPart) {
    let recalled = transfer.egress.as_ref().map_or(0, |out| out.attempt);
    let legs = core.paths[0].legs.iter().map(|leg| leg.attempt);
    let kept: SmallVec<[u32; 3]> = legs.chain([recalled]).collect();
    let spare = core.ledger.seized_targets().iter().map(|(attempt, _)| *attempt);
    let spare: SmallVec<[u32; 1]> = spare.filter(|attempt| !kept.contains(attempt)).collect();
    for attempt in spare {
        core.ledger.surrender(&mut core.out, attempt);
    }
    if let Some(out) = transfer.egress {
        recall(core, env, out);
    }
    core.free_spare_ports();
    if let Some(subscription) = transfer.subscription {
        subscription.finish(core, env, 503);
    }
}

/// The callee's INVITE comes back as one that nobody waits for: sent again it brings the last response again, and then
/// CANCEL, or ACK and BYE, may go out.
fn recall(core: &mut Core, env: &Env<'_>, out: Out) {
    let mut client = Client::invite(env.now.mono, out.branch, out.side, out.flow, out.bytes, &env.settings.timers);
    client.purpose = Purpose::Orphan;
    client.attempt = out.attempt;
    client.cancelling = Cancelling::Wanted;
    core.tx.clients.push(Box::new(client));
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
        emergency: false,
        hidden: part.hidden,
    }
}

fn revive_leg(part: LegPart, now: Instant) -> Leg {
    let since = part.timer.map_or(now, |(_, _, ran)| past(now, ran));
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

fn revive_target(part: TargetPart, env: &Env<'_>) -> Target {
    match part {
        TargetPart::Trunk(name) => Target::Trunk(trunk_named(env, &name)),
        TargetPart::Registered(name) => Target::Registered(trunk_named(env, &name)),
        TargetPart::User(name) => match env.view.user(&name) {
            Some(user) => Target::User(user.clone()),
            None => Target::Registered(trunk_named(env, &name)),
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
