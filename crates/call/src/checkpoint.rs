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
use crate::records::Callee;
use crate::state::{Admitting, Connected, State};
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
const VERSION: u16 = 1;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u16,
    id: CallId,
    chance: Chance,
    last_number: u32,
    takeovers: u32,
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
    /// The INVITE that is out: the number of its branch, its bytes and its way.
    egress: Option<(u32, Bytes, Flow)>,
}

#[derive(Serialize, Deserialize)]
struct Held {
    legs: [LegPart; 2],
    attempt: u32,
    media: Media,
    anchored: bool,
    callee: Callee,
    /// Since the answer.
    talked: Duration,
    /// Until the duration limit.
    left: Duration,
    target: Option<TargetPart>,
}

#[derive(Serialize, Deserialize)]
struct LegPart {
    dialog: Dialog,
    flow: Flow,
    pinned: bool,
    updates: bool,
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
        matches!(self.state, State::Connected(_)) && self.core.tx.is_empty()
    }
}

fn snapshot(core: &Core, state: &State, now: Now) -> Option<Snapshot> {
    let caller = core.caller.as_deref()?;
    let progress = match state {
        State::Arriving | State::Clearing(_) | State::Over => return None,
        State::Admitting(_) | State::Seizing(_) | State::Anchoring(_) | State::Trying(_) => {
            Progress::Setup(Box::new(setup(core)?))
        }
        State::Answering(state) => Progress::Held(Box::new(held(core, &state.call, now)?)),
        State::Connected(state) => Progress::Held(Box::new(held(core, state, now)?)),
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
    };
    Some(Snapshot {
        version: VERSION,
        id: core.id,
        chance: core.chance.clone(),
        last_number: core.last_number(),
        takeovers: core.takeovers,
        caller,
        progress,
    })
}

fn setup(core: &Core) -> Option<Setup> {
    let out = core.tx.clients.iter().find(|client| client.purpose == Purpose::Setup && client.is_needed());
    Some(Setup {
        invite: core.invite.as_ref()?.bytes().clone(),
        anchored: core.ledger.is_anchored(),
        target: core.ledger.last_seized().map(|(attempt, target)| (*attempt, target_part(target))),
        egress: out.and_then(|out| Some((out.branch, out.request.as_ref()?.bytes().clone(), out.to))),
    })
}

fn target_part(target: &Target) -> TargetPart {
    match target {
        Target::Trunk(trunk) => TargetPart::Trunk(trunk.name.clone()),
        Target::Registered(trunk) => TargetPart::Registered(trunk.name.clone()),
        Target::User(user) => TargetPart::User(user.name.clone()),
    }
}

fn held(core: &Core, call: &Connected, now: Now) -> Option<Held> {
    let path = core.paths.first()?;
    let part = |side: MediaSide| {
        let leg = path.leg(side);
        LegPart {
            dialog: leg.dialog.clone(),
            flow: leg.flow,
            pinned: leg.pinned,
            updates: leg.updates,
            timer: leg.timer.map(|timer| (timer.seconds(), timer.we_refresh(), now.mono.since(leg.timer_since))),
        }
    };
    let target = core.ledger.seized_target(path.attempt).map(target_part);
    Some(Held {
        legs: [part(MediaSide::A), part(MediaSide::B)],
        attempt: path.attempt,
        media: core.media.clone(),
        anchored: core.ledger.is_anchored(),
        callee: Callee { answered_mono: None, ..call.callee.clone() },
        talked: call.callee.duration(now.mono).unwrap_or_default(),
        left: call.until.since(now.mono),
        target,
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
    let has_channel = snapshot.caller.has_channel;
    let mut caller = revive_caller(snapshot.caller, env);
    let admitted = caller.source.trunk().filter(|_| has_channel).cloned();
    let state = match snapshot.progress {
        Progress::Setup(setup) => {
            let seized = setup.target.map(|(attempt, target)| (attempt, revive_target(target, env)));
            core.ledger = Ledger::restored(admitted, seized, setup.anchored);
            if let Some((branch, bytes, flow)) = setup.egress {
                recall(&mut core, env, branch, bytes, flow);
            }
            if let Ok(invite) = Message::parse(setup.invite) {
                let invite = Arc::new(invite);
                caller.server = core.serve(env, MediaSide::A, &caller.flow, &invite);
                core.invite = Some(invite);
            }
            State::Admitting(Admitting { until: env.now.mono + env.settings.max_wait })
        }
        Progress::Held(held) => {
            let target = held.target.map(|target| revive_target(target, env));
            core.ledger = Ledger::restored(admitted, target.map(|target| (held.attempt, target)), held.anchored);
            let legs = held.legs.map(|part| revive_leg(part, env.now.mono));
            core.paths = SmallVec::from_iter([Box::new(Path { legs, early: None, attempt: held.attempt })]);
            core.media = held.media;
            let mut callee = held.callee;
            callee.answered_mono = Some(past(env.now.mono, held.talked));
            State::Connected(Box::new(Connected::new(callee, env.now.mono + held.left)))
        }
    };
    core.caller = Some(Box::new(caller));
    Call { core, state }
}

/// The callee's INVITE comes back as one that nobody waits for: sent again it brings the last response again, and then
/// CANCEL, or ACK and BYE, may go out.
fn recall(core: &mut Core, env: &Env<'_>, branch: u32, bytes: Bytes, flow: Flow) {
    let mut client = Client::invite(env.now.mono, branch, MediaSide::B, flow, bytes, &env.settings.timers);
    client.purpose = Purpose::Orphan;
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
    }
}

fn revive_leg(part: LegPart, now: Instant) -> Leg {
    let since = part.timer.map_or(now, |(_, _, ran)| past(now, ran));
    let timer = part.timer.map(|(seconds, we_refresh, _)| SessionTimer::new(since, seconds, we_refresh));
    Leg { dialog: part.dialog, flow: part.flow, pinned: part.pinned, timer, timer_since: since, updates: part.updates }
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
