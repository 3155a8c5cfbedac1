//! What of a call outlives its node: enough to hold an answered call, or to end one that was not answered yet.
//!
//! Times are carried as durations, trunks by name: the node that takes over has its own clock and the same tables.

mod setup;

pub(crate) use setup::{AttemptPart, Setup, TryPart};

use crate::call::Call;
use crate::caller::Source;
use crate::chance::Chance;
use crate::core::Core;
use crate::effect::MediaSide;
use crate::error::Error;
use crate::id::CallId;
use crate::leg::Leg;
use crate::media::Media;
use crate::records::Callee;
use crate::state::{Connected, State};
use crate::subscription::Subscription;
use crate::transactions::Purpose;
use bytes::Bytes;
use postcard::ser_flavors::Flavor;
use routing::Target;
use serde::{Deserialize, Serialize};
use sip::Flow;
use sip::clock::{Now, Wall};
use sip::dialog::Dialog;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// Version of the format.
pub(crate) const VERSION: u16 = 3;

#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) version: u16,
    pub(crate) id: CallId,
    pub(crate) chance: Chance,
    pub(crate) last_number: u32,
    pub(crate) takeovers: u32,
    pub(crate) attempts: u32,
    pub(crate) caller: CallerPart,
    /// INVITEs that are out without a final response: that of the attempt under way, and those that were given up.
    pub(crate) invites: Vec<Out>,
    pub(crate) progress: Progress,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct CallerPart {
    pub(crate) is_user: bool,
    pub(crate) name: Arc<str>,
    pub(crate) flow: Flow,
    pub(crate) pinned: bool,
    pub(crate) started: Wall,
    pub(crate) caller_in: Arc<str>,
    pub(crate) called_in: Arc<str>,
    pub(crate) lrn: Arc<str>,
    pub(crate) call_id: Arc<str>,
    pub(crate) tag: Arc<str>,
    pub(crate) has_channel: bool,
    pub(crate) hidden: bool,
    pub(crate) emergency: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) enum Progress {
    /// Not answered: enough to refuse the caller and to take the callee's INVITE back, and to route the call again.
    Setup(Box<Setup>),
    /// Answered.
    Held(Box<Held>),
}

/// An INVITE that is out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Out {
    /// The number of its branch.
    pub(crate) branch: u32,
    /// Nobody waits for it any more.
    pub(crate) given_up: bool,
    pub(crate) bytes: Bytes,
    pub(crate) flow: Flow,
    pub(crate) side: MediaSide,
    pub(crate) attempt: u32,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) legs: [LegPart; 2],
    pub(crate) attempt: u32,
    pub(crate) media: Media,
    pub(crate) anchored: bool,
    pub(crate) callee: Callee,
    /// The side of its leg, and the row of the other one.
    pub(crate) side: MediaSide,
    pub(crate) other: Option<Box<Callee>>,
    /// Since the answers that the rows count from, and since the first one.
    pub(crate) talked: [Duration; 3],
    /// Until the duration limit.
    pub(crate) left: Duration,
    /// Channels that are taken, by attempt.
    pub(crate) targets: Vec<(u32, TargetPart)>,
    /// Who transferred the call and was not left yet.
    pub(crate) parting: Option<(MediaSide, LegPart)>,
    /// Who has to hear whom it was joined with.
    pub(crate) rejoin: Option<MediaSide>,
    pub(crate) transfer: Option<TransferPart>,
    /// The 2xx to the caller that was not acknowledged yet.
    pub(crate) answer: Option<AnswerPart>,
}

/// A 2xx that waits for its ACK.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AnswerPart {
    pub(crate) bytes: Bytes,
    /// The number of the callee's INVITE, which may not have been acknowledged either.
    pub(crate) invite: u32,
    /// The ACK has to bring the answer to the callee's offer.
    pub(crate) late: bool,
}

/// A transfer under way: enough to take it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TransferPart {
    pub(crate) subscription: Option<Subscription>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LegPart {
    pub(crate) dialog: Dialog,
    pub(crate) flow: Flow,
    pub(crate) pinned: bool,
    pub(crate) updates: bool,
    pub(crate) attempt: u32,
    pub(crate) gone: bool,
    /// Interval in seconds, whether we refresh, and how long it has run.
    pub(crate) timer: Option<(u32, bool, Duration)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum TargetPart {
    Trunk(Arc<str>),
    Registered(Arc<str>),
    User(Arc<str>),
}

/// The state of a call at one moment, not yet written down: most are replaced by a later one before anybody reads them.
pub struct Checkpoint(Snapshot);

impl Checkpoint {
    /// The state as bytes, for [`Call::restore`]. Empty if it cannot be written, which no state is known to be.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        ROOM.with_borrow_mut(|room| {
            room.clear();
            let written = postcard::serialize_with_flavor(&self.0, Writer(room));
            written.map_or_else(|_| Vec::new(), |()| room.as_slice().to_vec())
        })
    }

    /// The state of a call whose caller has acknowledged the answer since these bytes were written: what [`Point::C3`] stands for.
    ///
    /// # Errors
    /// As [`Call::restore`].
    ///
    /// [`Point::C3`]: crate::effect::Point::C3
    pub fn acknowledged(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let mut snapshot = Snapshot::read(bytes)?;
        if let Progress::Held(held) = &mut snapshot.progress {
            held.answer = None;
        }
        Ok(Self(snapshot).encode())
    }
}

impl Snapshot {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        // The version stands first: a later format need not be readable beyond it.
        let (version, _) = postcard::take_from_bytes::<u16>(bytes)?;
        if version != VERSION {
            return Err(Error::Version(version));
        }
        Ok(postcard::from_bytes(bytes)?)
    }
}

thread_local! {
    /// Where states are written before their size is known: it stays in the caches, and none has to be moved while it grows.
    static ROOM: RefCell<Vec<u8>> = RefCell::default();
}

/// Writes into room that is used again. A state has a hundred numbers of a byte or two.
struct Writer<'a>(&'a mut Vec<u8>);

impl Flavor for Writer<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        /// Up to here it costs less to copy than to ask the system's library to.
        const FEW: usize = 4;
        if bytes.len() <= FEW {
            bytes.iter().for_each(|byte| self.0.push(*byte));
        } else {
            self.0.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl Call {
    /// The call as bytes; empty before there is anything worth protecting, and once only the clearing is left.
    #[must_use]
    pub fn checkpoint(&self, now: Now) -> Vec<u8> {
        self.snapshot(now).map_or_else(Vec::new, |checkpoint| checkpoint.encode())
    }

    /// The same before it is written down; `None` where that would be empty.
    #[must_use]
    pub fn snapshot(&self, now: Now) -> Option<Checkpoint> {
        snapshot(&self.core, &self.state, now).map(Checkpoint)
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
            Progress::Setup(Box::new(setup::setup(core, state, now)?))
        }
        State::Answering(state) => {
            let held = held(core, &state.call, None, now)?;
            Progress::Held(Box::new(Held { answer: answer_out(core), ..held }))
        }
        State::Connected(state) => Progress::Held(Box::new(held(core, state, None, now)?)),
        State::Moving(state) => {
            let held = held(core, state.call(), None, now)?;
            let answer = answer_out(core).and_then(|answer| {
                let owed = state.owed()?;
                Some(AnswerPart { invite: owed.0, late: owed.1, ..answer })
            });
            let answer = answer.or_else(|| state.answer().cloned());
            Progress::Held(Box::new(Held { answer, ..held }))
        }
        State::Transferring(state) => {
            let transfer = TransferPart { subscription: state.transfer().subscription };
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
        emergency: caller.emergency,
    };
    Some(Snapshot {
        version: VERSION,
        id: core.id,
        chance: core.chance.clone(),
        last_number: core.last_number(),
        takeovers: core.takeovers,
        attempts: core.attempts,
        caller,
        invites: invites(core),
        progress,
    })
}

/// The INVITEs that are out.
fn invites(core: &Core) -> Vec<Out> {
    let out = core.tx.clients.iter().filter_map(|client| {
        let given_up = match client.purpose {
            Purpose::Setup => false,
            Purpose::Orphan => true,
            Purpose::Farewell
            | Purpose::Bridge { .. }
            | Purpose::Refresh(_)
            | Purpose::Notify
            | Purpose::Rejoin(_)
            | Purpose::Relocate(_) => return None,
        };
        let bytes = client.request.as_ref().filter(|_| client.is_needed())?.bytes().clone();
        let (branch, flow, side, attempt) = (client.branch, client.to, client.side, client.attempt);
        Some(Out { branch, given_up, bytes, flow, side, attempt })
    });
    out.collect()
}

/// The caller's 2xx, while it waits for its ACK.
fn answer_out(core: &Core) -> Option<AnswerPart> {
    let answer = core.tx.answers.iter().find(|answer| answer.side == MediaSide::A && !answer.machine.is_over())?;
    let callee = core.tx.clients.iter().find(|client| client.purpose == Purpose::Setup && client.won.is_some());
    let invite = callee.and_then(|client| Some(client.request.as_ref()?.number())).unwrap_or(1);
    Some(AnswerPart { bytes: answer.machine.response()?.clone(), invite, late: answer.late.is_some() })
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
        answer: None,
    })
}
