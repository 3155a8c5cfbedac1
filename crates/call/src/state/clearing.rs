//! The end of a call is known. Channels and ports go back at once, the final row follows the media figures, and the call
//! stays until nobody can be left waiting.

use super::{Connected, State};
use crate::attempt::Try;
use crate::core::{Core, Env, Request};
use crate::effect::{Direction, Effect, MediaSide, Point};
use crate::event::Event;
use crate::record::{EndedBy, Record, Row};
use crate::records::{self, Callee, Ending};
use crate::transactions::{Cancelling, Purpose};
use crate::{ingress, parting};
use sip::clock::Instant;
use sip::{Message, Method, Name};
use smallvec::SmallVec;
use std::time::Duration;
use trunk::Failure;

/// How long the end of an exchange is remembered, so that a retransmission is answered as before. T4 and one more T2: after
/// that nothing of it is on its way any more.
const LINGER: Duration = Duration::from_secs(9);

/// The longest that anything is waited for, whoever owes an answer: longer than any chain of transactions takes.
const PATIENCE: Duration = Duration::from_secs(150);

/// Waiting for the last things.
#[derive(Clone, Debug)]
pub(crate) struct Clearing {
    /// The final row, until the figures are here or `figures_until`.
    row: Option<Box<Row>>,
    figures_until: Instant,
    /// Until when retransmissions are answered; none: nothing had begun.
    linger_until: Instant,
    patience_until: Instant,
    /// The caller's BYE waits for the ACK of its 200 (RFC 3261 §15).
    bye_waits: Option<Box<str>>,
}

impl Clearing {
    /// Ends what never became a call for us: strangers and challenges leave no record.
    pub(super) fn silent(core: &mut Core, env: &Env<'_>) -> State {
        Self::enter(core, env, None, None)
    }

    /// We refuse the call before any attempt.
    pub(super) fn refused(core: &mut Core, env: &Env<'_>, code: u16, q850: u16, reason: &str) -> State {
        Self::refused_at(core, env, None, code, q850, reason)
    }

    /// We refuse the call at an attempt.
    pub(super) fn refused_at(
        core: &mut Core,
        env: &Env<'_>,
        attempt: Option<&Try>,
        code: u16,
        q850: u16,
        reason: &str,
    ) -> State {
        Self::ended_early_at(core, env, attempt, code, q850, EndedBy::Switch, reason)
    }

    pub(super) fn cancelled(core: &mut Core, env: &Env<'_>) -> State {
        Self::ended_early(core, env, 487, 16, EndedBy::Caller, "cancelled")
    }

    pub(super) fn cancelled_at(core: &mut Core, env: &Env<'_>, attempt: &Try) -> State {
        Self::ended_early_at(core, env, Some(attempt), 487, 16, EndedBy::Caller, "cancelled")
    }

    pub(super) fn ended_early(
        core: &mut Core,
        env: &Env<'_>,
        code: u16,
        q850: u16,
        by: EndedBy,
        reason: &str,
    ) -> State {
        Self::ended_early_at(core, env, None, code, q850, by, reason)
    }

    /// The call ends before its answer: the caller hears `code`.
    pub(super) fn ended_early_at(
        core: &mut Core,
        env: &Env<'_>,
        attempt: Option<&Try>,
        code: u16,
        q850: u16,
        by: EndedBy,
        reason: &str,
    ) -> State {
        let ending = Ending::new(code, q850, by, reason);
        if by == EndedBy::Caller {
            // The caller has left already: no other node may go on calling for it.
            conclude(core, env, attempt, &ending);
            ingress::refuse(core, env, code, q850);
        } else {
            ingress::refuse(core, env, code, q850);
            conclude(core, env, attempt, &ending);
        }
        Self::enter(core, env, None, None)
    }

    /// The last attempt failed.
    pub(super) fn failed(
        core: &mut Core,
        env: &Env<'_>,
        attempt: &Try,
        failure: Failure,
        message: Option<&Message>,
        ending: Ending,
    ) -> State {
        let reject = failure.reject();
        match message {
            Some(message) => ingress::pass_failure(core, env, message, reject.code, u16::from(reject.q850)),
            None => ingress::refuse(core, env, reject.code, u16::from(reject.q850)),
        }
        conclude(core, env, Some(attempt), &ending);
        Self::enter(core, env, None, None)
    }

    /// An answered call ends: BYE to whoever did not send one.
    pub(super) fn release(
        core: &mut Core,
        env: &Env<'_>,
        call: Connected,
        from: Option<MediaSide>,
        ending: Ending,
        reason: Option<&str>,
    ) -> State {
        let unacknowledged =
            core.tx.answers.iter().any(|answer| answer.side == MediaSide::A && !answer.machine.is_over());
        core.cancel_reinvites(env);
        core.rejoin = None;
        parting::end_now(core, env);
        let mut bye_waits = None;
        for side in [MediaSide::A, MediaSide::B].into_iter().filter(|side| Some(*side) != from) {
            if side == MediaSide::A && unacknowledged {
                bye_waits = Some(reason.unwrap_or("").into());
            } else {
                core.bye(env, side, reason);
            }
        }
        if from == Some(MediaSide::A) {
            // Its BYE says that the 200 came; no ACK will follow.
            core.tx.answers.clear();
        }
        for side in [MediaSide::A, MediaSide::B] {
            if let Some(leg) = core.paths.first().map(|path| path.leg(side).clone()) {
                core.count_end(&call.end_of(side, env), &leg, side, &call);
            }
        }
        // A row is that of a called leg: to each, the one on the other side called it.
        let by = |side| match from {
            Some(from) if from == side => EndedBy::Callee,
            Some(_) => EndedBy::Caller,
            None => ending.by,
        };
        if let Some(other) = &call.other {
            let side = call.side.other();
            core.close_row(&call.end_of(side, env), other, &Ending { by: by(side), ..ending.clone() });
        }
        let then = call.end_of(call.side, env);
        let ending = Ending { by: by(call.side), ..ending };
        let row = core.caller.as_ref().map(|caller| records::row(core, &then, caller, &call.callee, &ending, true));
        Self::enter(core, env, row.map(Box::new), bye_waits)
    }

    fn enter(core: &mut Core, env: &Env<'_>, row: Option<Box<Row>>, bye_waits: Option<Box<str>>) -> State {
        core.refuse_open(env);
        core.ledger.release_channels(&mut core.out);
        let freeing = core.ledger.free_media(&mut core.out);
        core.shed();
        let now = env.now.mono;
        let state = Self {
            row,
            figures_until: now + env.settings.max_figures,
            linger_until: now + LINGER,
            patience_until: now + PATIENCE,
            bye_waits,
        };
        let mut state = state;
        if !freeing {
            state.write_row(core);
        }
        state.settle(core, env)
    }

    pub(super) fn poll_timeout(&self, core: &Core) -> Option<Instant> {
        let figures = self.row.is_some().then_some(self.figures_until);
        // While something is needed its own machine wakes us.
        let linger = (!core.tx.is_needed() && !core.ledger.is_waiting()).then_some(self.linger_until);
        figures.into_iter().chain(linger).chain([self.patience_until]).min()
    }

    pub(super) fn on_event(mut self, core: &mut Core, env: &Env<'_>, event: Event) -> State {
        match event {
            Event::MediaFreed(stats) => {
                if let Some(row) = &mut self.row {
                    records::add_figures(row, &stats);
                    core.count_quality(row, &stats);
                }
                self.write_row(core);
            }
            Event::Acknowledged { side: MediaSide::A, late, .. } => {
                if let Some(client) = late {
                    crate::orphan::acknowledge(core, env, client, 0, "", b"");
                }
                self.send_waiting_bye(core, env);
            }
            Event::Unacknowledged { side: MediaSide::A } => self.send_waiting_bye(core, env),
            Event::Request { server, message, .. } => {
                let code = if message.method() == Method::Bye { 200 } else { 481 };
                core.refuse(env, server, code);
            }
            Event::Response { about, message } => core.meet_stray(env, about.client, &message),
            // What was asked for before the end comes late: it goes back at once.
            Event::Admitted(_) | Event::Seized { .. } => core.ledger.release_channels(&mut core.out),
            Event::Anchored(_) => {
                core.ledger.free_media(&mut core.out);
            }
            Event::Alarm if env.now.mono >= self.figures_until => self.write_row(core),
            Event::Alarm
            | Event::Acknowledged { .. }
            | Event::Unacknowledged { .. }
            | Event::Invite { .. }
            | Event::Lost { .. }
            | Event::Cancelled { .. }
            | Event::MediaSilent
            | Event::Hangup { .. } => {}
        }
        self.settle(core, env)
    }

    fn write_row(&mut self, core: &mut Core) {
        if let Some(row) = self.row.take() {
            write_final(core, row);
        }
    }

    fn send_waiting_bye(&mut self, core: &mut Core, env: &Env<'_>) {
        if let Some(reason) = self.bye_waits.take() {
            core.bye(env, MediaSide::A, Some(&*reason).filter(|reason| !reason.is_empty()));
        }
    }

    /// Whether something has to come yet: figures, an answer, an acknowledgement.
    pub(crate) fn waits(&self, core: &Core) -> bool {
        self.row.is_some() || self.bye_waits.is_some() || core.tx.is_needed() || core.ledger.is_waiting()
    }

    /// Over, if nothing is left to wait for.
    fn settle(self, core: &mut Core, env: &Env<'_>) -> State {
        let waits = self.waits(core);
        let lingers = !core.tx.is_empty() && env.now.mono < self.linger_until;
        if (waits || lingers) && env.now.mono < self.patience_until {
            return State::Clearing(Box::new(self));
        }
        debug_assert!(core.ledger.is_balanced(), "a call that is over holds nothing");
        core.out.push_back(Effect::Ended);
        State::Over
    }
}

/// The end and the final row of a call that was not answered, at once: nobody asks how it sounded.
fn conclude(core: &mut Core, env: &Env<'_>, attempt: Option<&Try>, ending: &Ending) {
    let callee = attempt.map(Callee::of).unwrap_or_default();
    if !callee.metric.is_empty() {
        core.count_failure(callee.metric.clone(), Direction::Egress, ending.code);
    }
    if let Some(caller) = &core.caller {
        let trunk = caller.source.metric();
        core.count_failure(trunk, Direction::Ingress, ending.code);
    }
    let row = core.caller.as_ref().map(|caller| records::row(core, env, caller, &callee, ending, true));
    if let Some(row) = row {
        write_final(core, Box::new(row));
    }
}

fn write_final(core: &mut Core, row: Box<Row>) {
    core.out.push_back(Effect::Checkpoint(Point::C6));
    core.out.push_back(Effect::Record(Record::Close(row)));
}

impl Core {
    /// Ends a leg.
    pub(crate) fn bye(&mut self, env: &Env<'_>, side: MediaSide, reason: Option<&str>) {
        if self.paths.first().is_some_and(|path| path.leg(side).gone) {
            return;
        }
        let request = Request {
            path: 0,
            method: Method::Bye.token(),
            purpose: Purpose::Farewell,
            max_forwards: env.settings.max_forwards,
            content_type: "",
            body: b"",
        };
        self.request(env, side, request, |builder| {
            if let Some(reason) = reason {
                builder.add(Name::Reason, reason);
            }
            Core::sign(env, builder, Name::UserAgent);
        });
    }

    /// Requests that still wait for the other leg hear that there is none (RFC 3261 §15.1.2).
    pub(crate) fn refuse_open(&mut self, env: &Env<'_>) {
        let setup = self.caller.as_ref().map_or(0, |caller| caller.server);
        let open = self.tx.servers.iter().filter(|server| server.is_open() && server.id != setup);
        let open: SmallVec<[(u32, Method); 4]> = open.map(|server| (server.id, server.method)).collect();
        for (server, method) in open {
            self.refuse(env, server, if method == Method::Invite { 487 } else { 481 });
        }
    }

    /// Nobody is left to hear what becomes of a re-INVITE, and one that its peer only thinks about would never end.
    pub(crate) fn cancel_reinvites(&mut self, env: &Env<'_>) {
        let pending = self
            .tx
            .clients
            .iter()
            .filter(|client| client.method == Method::Invite && client.purpose.is_within() && client.is_needed());
        let pending: SmallVec<[u32; 2]> = pending.map(|client| client.id).collect();
        for client in pending {
            crate::orphan::send_cancel(self, env, client, None);
        }
    }

    /// A 2xx to a re-INVITE that crossed the BYE wants its ACK all the same; a provisional response lets its CANCEL go.
    pub(super) fn meet_stray(&mut self, env: &Env<'_>, client: u32, message: &Message) {
        let code = message.code().unwrap_or(0);
        let is_answer = (200..300).contains(&code);
        let Some(entry) = self.tx.client(client) else { return };
        if code < 200 && entry.cancelling == Cancelling::Wanted {
            return crate::orphan::send_cancel(self, env, client, None);
        }
        if is_answer && entry.method == Method::Invite && entry.won.is_none() {
            entry.won = Some(message.to_tag().unwrap_or("").into());
            crate::orphan::acknowledge(self, env, client, 0, "", b"");
        }
    }
}
