//! The call is up: requests pass from leg to leg, session timers and limits run, until somebody ends it.

use super::{Clearing, State, Transferring};
use crate::core::{Core, Env};
use crate::effect::{Effect, MediaSide, Point};
use crate::event::Event;
use crate::record::EndedBy;
use crate::records::{Callee, Ending};
use crate::transactions::Purpose;
use crate::{forward, orphan, parting, refer, rejoin, timers};
use routing::model::Referral;
use sip::clock::{Instant, Now};
use sip::{Message, Method, Name};
use std::sync::Arc;

/// An answered call.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    /// The row that was opened last, which becomes the final one.
    pub(crate) callee: Callee,
    /// The side of its leg.
    pub(crate) side: MediaSide,
    /// The row of the other leg, where that one was called as well.
    pub(crate) other: Option<Box<Callee>>,
    /// The longest that it may last.
    pub(crate) until: Instant,
    /// When it was answered first.
    pub(crate) answered: Instant,
    /// Who left it to be transferred, and when.
    pub(crate) left: Option<(MediaSide, Now)>,
    /// Where it had ended before we heard of it: since when.
    pub(crate) over_since: Option<Box<Now>>,
}

impl Connected {
    pub(crate) const fn new(callee: Callee, answered: Instant, until: Instant) -> Self {
        Self { callee, side: MediaSide::B, other: None, until, answered, left: None, over_since: None }
    }

    /// The row of a side's leg, if we called it.
    pub(crate) fn callee_of(&self, side: MediaSide) -> Option<&Callee> {
        if side == self.side { Some(&self.callee) } else { self.other.as_deref() }
    }

    /// The rows of the legs that we called.
    pub(crate) fn into_callees(self) -> [Option<Box<Callee>>; 2] {
        let last = Some(Box::new(self.callee));
        match self.side {
            MediaSide::A => [last, self.other],
            MediaSide::B => [self.other, last],
        }
    }

    /// The moment at which the leg of a side ends that ends now, unless it left before.
    pub(crate) fn end_of<'a>(&self, side: MediaSide, env: &Env<'a>) -> Env<'a> {
        let left = self.left.filter(|(left, _)| *left == side).map(|(_, at)| at);
        Env { now: left.or(self.over_since.as_deref().copied()).unwrap_or(env.now), ..*env }
    }

    pub(super) fn poll_timeout(&self, core: &Core) -> Option<Instant> {
        let lost = self.is_lost(core).then_some(Instant::ORIGIN);
        timers::poll_timeout(core).into_iter().chain(lost).chain([self.until]).min()
    }

    /// Whether the call came back from a checkpoint without the transfer for which one party had left it.
    pub(super) fn is_lost(&self, core: &Core) -> bool {
        self.left.is_none() && core.paths.first().is_some_and(|path| path.legs.iter().any(|leg| leg.gone))
    }

    pub(super) fn on_event(self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::Request { server, side, path, message } => self.on_request(core, env, server, side, path, &message),
            Event::Response { about, message } => {
                match about.purpose {
                    Purpose::Bridge { server } => forward::response(core, env, about, server, &message),
                    Purpose::Refresh(side) => return self.on_refreshed(core, env, side, about.client, &message),
                    Purpose::Rejoin(side) => {
                        if let Err(reason) = rejoin::on_response(core, env, side, about.client, &message) {
                            return self.end(core, env, 88, reason);
                        }
                    }
                    Purpose::Notify => parting::end(core, env),
                    Purpose::Relocate(_) => core.meet_stray(env, about.client, &message),
                    Purpose::Setup | Purpose::Orphan | Purpose::Farewell => {}
                }
                State::Connected(Box::new(self))
            }
            Event::Lost { about, loss } => match about.purpose {
                Purpose::Bridge { server } => {
                    forward::lost(core, env, server, loss);
                    State::Connected(Box::new(self))
                }
                // RFC 4028 §10: a refresh without answer means that the other side is gone.
                Purpose::Refresh(side) => self.expired(core, env, side, "session refresh unanswered"),
                Purpose::Rejoin(side) => self.expired(core, env, side, "party does not answer"),
                Purpose::Notify => {
                    parting::end(core, env);
                    State::Connected(Box::new(self))
                }
                Purpose::Setup | Purpose::Orphan | Purpose::Farewell | Purpose::Relocate(_) => {
                    State::Connected(Box::new(self))
                }
            },
            Event::Acknowledged { side, late, message } => {
                if let Some(client) = late {
                    forward::late_answer(core, env, side, client, &message);
                    core.out.push_back(Effect::Checkpoint(Point::C4));
                }
                State::Connected(Box::new(self))
            }
            Event::Unacknowledged { side } => self.expired(core, env, side, "no ack"),
            Event::Cancelled { server, reason } => {
                forward::cancel(core, env, server, reason.as_deref());
                State::Connected(Box::new(self))
            }
            Event::MediaSilent => self.end(core, env, 102, "no media"),
            Event::Hangup { reason } => self.end(core, env, 16, reason),
            Event::Alarm => self.on_alarm(core, env),
            Event::Invite { .. }
            | Event::Admitted(_)
            | Event::Seized { .. }
            | Event::Anchored(_)
            | Event::MediaFreed(_) => State::Connected(Box::new(self)),
        }
    }

    fn on_request(
        self,
        core: &mut Core,
        env: &Env<'_>,
        server: u32,
        side: MediaSide,
        path: usize,
        message: &Arc<Message>,
    ) -> State {
        match message.method() {
            Method::Bye => return self.on_bye(core, env, server, side, message),
            Method::Refer if refer::policy(core, side) == Referral::Refuse => core.refuse(env, server, 603),
            Method::Refer if refer::policy(core, side) == Referral::Follow => {
                return Transferring::begin(self, core, env, server, side, message);
            }
            Method::Invite
            | Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Options
            | Method::Prack
            | Method::Update
            | Method::Info
            | Method::Message
            | Method::Refer
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Other => forward::request(core, env, server, side, path, message),
        }
        State::Connected(Box::new(self))
    }

    fn on_bye(self, core: &mut Core, env: &Env<'_>, server: u32, side: MediaSide, message: &Message) -> State {
        core.refuse(env, server, 200);
        let q850 = message.q850().unwrap_or(16);
        let reason = message.get(Name::Reason);
        // Who that was to each row, release finds out.
        let ending = Ending::new(200, q850, EndedBy::Switch, "bye");
        Clearing::release(core, env, self, Some(side), ending, reason)
    }

    /// Our refresh of a leg was answered.
    fn on_refreshed(self, core: &mut Core, env: &Env<'_>, side: MediaSide, client: u32, message: &Message) -> State {
        match message.code().unwrap_or(0) {
            0..200 => {}
            200..300 => {
                if core.tx.client(client).is_some_and(|client| client.method == Method::Invite) {
                    if let Some(client) = core.tx.client(client) {
                        client.won = Some(message.to_tag().unwrap_or("").into());
                    }
                    orphan::acknowledge(core, env, client, 0, "", b"");
                }
                timers::refreshed(core, env, side, message);
                core.out.push_back(Effect::Checkpoint(Point::C4));
            }
            408 | 481 => return self.expired(core, env, side, "dialog gone"),
            code => timers::refused(core, env, side, code),
        }
        State::Connected(Box::new(self))
    }

    fn on_alarm(self, core: &mut Core, env: &Env<'_>) -> State {
        if self.is_lost(core) {
            return self.end(core, env, 41, "transfer lost");
        }
        if env.now.mono >= self.until {
            return self.end(core, env, 16, "duration limit");
        }
        match timers::on_alarm(core, env) {
            Some(side) => self.expired(core, env, side, "session expired"),
            None => State::Connected(Box::new(self)),
        }
    }

    /// One side is gone: both legs are cleared, since the silent one may be there all the same.
    fn expired(self, core: &mut Core, env: &Env<'_>, _side: MediaSide, reason: &str) -> State {
        self.end(core, env, 102, reason)
    }

    /// We end it.
    pub(super) fn end(self, core: &mut Core, env: &Env<'_>, q850: u16, reason: &str) -> State {
        let header = format!("Q.850;cause={q850}");
        Clearing::release(core, env, self, None, Ending::new(200, q850, EndedBy::Switch, reason), Some(&header))
    }
}
