//! A transfer that the switch carries out: on whose account, what the new leg is offered, and how it takes the place of
//! the one who asked for it.
//!
//! The new party is offered what the one that stays has said last, not an INVITE without a description: every user agent
//! takes an offer, and not a few gateways refuse to make one. The one that stays then hears by re-INVITE what was answered.

use crate::admission;
use crate::attempt::{Try, trunk_of};
use crate::caller::{Caller, Source, codecs_of};
use crate::core::{Core, Env};
use crate::effect::{Direction, Effect, Event as Count, MediaSide, Point};
use crate::egress::{self, Content};
use crate::leg::Leg;
use crate::media::{Codecs, Handover};
use crate::orphan;
use crate::parting::Parting;
use crate::record::{EndedBy, Record};
use crate::records::{self, Callee, Ending, Payer};
use crate::refer::{self, Asked};
use crate::rejoin::{self, Rejoin};
use crate::state::Connected;
use crate::subscription::Subscription;
use crate::transactions::Purpose;
use sip::dialog::Dialog;
use sip::session_timer::SessionTimer;
use sip::{Message, Method, Name};
use smallvec::SmallVec;
use std::sync::Arc;
use trunk::Failure;
use trunk::caller::Presented;

/// A transfer under way.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// The side that asked for it, and whose place is taken.
    pub(crate) by: MediaSide,
    /// The one who asked, as the caller of the new leg: its plan, its identity, its account.
    payer: Box<Caller>,
    pub(crate) subscription: Option<Subscription>,
    referred_by: Option<Box<str>>,
    pub(crate) handover: Handover,
    /// What may be offered to each side once it is done.
    codecs: [Codecs; 2],
}

impl Transfer {
    /// For a REFER whose wish can be met; the codes that it is refused with otherwise.
    pub(crate) fn new(
        core: &mut Core,
        env: &Env<'_>,
        by: MediaSide,
        asked: &Asked,
        message: &Message,
    ) -> Result<Self, u16> {
        let seed = core.chance.next();
        let handover = core.media.hand_over(by, seed).ok_or(488_u16)?;
        let payer = payer(core, env, by, asked, message).ok_or(403_u16)?;
        let id = message.cseq().map_or(0, |cseq| cseq.number);
        let subscription = asked.subscribes.then(|| Subscription::new(by, id));
        Ok(Self {
            by,
            payer: Box::new(payer),
            subscription,
            referred_by: asked.referred_by.clone(),
            handover,
            codecs: [None, None],
        })
    }

    /// Who may be called on whose account.
    pub(crate) const fn payer(&mut self) -> &mut Caller {
        &mut self.payer
    }

    /// Prepares an attempt whose places are known; whether it needs ports of the relay that the call does not have.
    pub(crate) fn prepare(&mut self, core: &mut Core, env: &Env<'_>, attempt: &mut Try) -> bool {
        self.codecs = egress::prepare_for(core, env, &self.payer, self.by, attempt);
        let seed = core.chance.next();
        if let Some(handover) = core.media.hand_over(self.by, seed) {
            self.handover.renew(handover);
        }
        let stays = refer::party(core, self.by.other());
        let relays = egress::is_relayed(stays.as_ref().and_then(Source::trunk), attempt);
        relays && !core.ledger.is_anchored()
    }

    /// Sends the INVITE of an attempt.
    pub(crate) fn invite(&mut self, core: &mut Core, env: &Env<'_>, attempt: &mut Try) -> Result<(), Failure> {
        let codecs = &self.codecs[self.by.index()];
        let refused = |error: sip::sdp::Error| Failure::Response { code: error.status(), q850: None };
        let offer = self.handover.offer(codecs).map_err(refused)?;
        core.out.push_back(Effect::Checkpoint(Point::C0));
        let content = Content {
            side: self.by,
            forwards: env.settings.max_forwards,
            content_type: "application/sdp",
            body: &offer,
        };
        egress::send(core, env, &self.payer, "", attempt, &content, |builder| {
            if let Some(referred_by) = &self.referred_by {
                builder.add(Name::ReferredBy, referred_by);
            }
        })
    }

    /// The row of an attempt that came to nothing, and its place in the figures.
    pub(crate) fn close_attempt(&self, core: &mut Core, env: &Env<'_>, attempt: &Try, ending: &Ending) {
        let callee = Callee::paid_by(attempt, Some(Payer::of(&self.payer)));
        if !callee.metric.is_empty() {
            core.count_failure(callee.metric.clone(), Direction::Egress, ending.code);
        }
        // Nobody gives the number of this row to another one.
        core.out.push_back(Effect::Checkpoint(Point::C4));
        core.close_row(env, &callee, ending);
    }

    /// Tells the one who asked of a provisional response.
    pub(crate) fn progress(&mut self, core: &mut Core, env: &Env<'_>, code: u16) {
        if let Some(subscription) = &mut self.subscription {
            subscription.progress(core, env, code);
        }
    }

    /// The new party has answered: it takes the place of the one who asked. An error leaves the call as it was, and the
    /// new leg acknowledged and ended.
    pub(crate) fn join(
        self,
        core: &mut Core,
        env: &Env<'_>,
        call: Connected,
        attempt: &Try,
        message: &Message,
    ) -> Result<Connected, Box<(Self, Connected)>> {
        let accepted = new_leg(core, env, attempt, message)
            .and_then(|leg| Some((leg, message.sdp()?)))
            .and_then(|(leg, body)| core.media.adopt(&mut core.out, self.handover.clone(), &body).ok().map(|()| leg));
        let Some(leg) = accepted else {
            orphan::end_fork(core, env, attempt.client, message);
            return Err(Box::new((self, call)));
        };
        core.codecs_to = self.codecs.clone();
        core.drop_pending(env);
        self.part(core, env);
        let old = std::mem::replace(core.paths[0].leg_mut(self.by), leg);
        if let Some(client) = core.tx.client(attempt.client) {
            client.won = Some(message.to_tag().unwrap_or("").into());
        }
        orphan::acknowledge(core, env, attempt.client, 0, "", b"");
        core.forget_leg(env, self.by);
        if self.subscription.is_some() && !old.gone {
            core.parting = Some(Box::new(Parting { side: self.by, leg: old.clone() }));
        }
        core.give_back(&old);
        core.route = None;
        // Whoever takes the call over finds its parties as its rows say.
        core.out.push_back(Effect::Checkpoint(Point::C4));
        let call = self.records(core, env, call, &old, attempt);
        core.rejoin = Some(Rejoin::new(self.by.other(), env.now.mono));
        rejoin::on_alarm(core, env);
        Ok(call)
    }

    /// Tells the one who asked that it is done. Who did not want to be told is left at once.
    fn part(&self, core: &mut Core, env: &Env<'_>) {
        match self.subscription {
            Some(subscription) => subscription.finish(core, env, 200),
            None => core.bye(env, self.by, None),
        }
    }

    /// Closes the row of the leg that leaves, and opens the new one. The row of a leg that was called and stays goes on
    /// beside it: its carrier counts on.
    fn records(&self, core: &mut Core, env: &Env<'_>, call: Connected, old: &Leg, attempt: &Try) -> Connected {
        let mut callee = Callee::paid_by(attempt, Some(Payer::of(&self.payer)));
        callee.answer(core, env, attempt);
        let then = call.end_of(self.by, env);
        core.count_end(&then, old, self.by, &call);
        let (until, answered) = (call.until, call.answered);
        let mut legs = call.into_callees();
        if let Some(leaving) = legs[self.by.index()].take() {
            core.close_row(&then, &leaving, &Ending::new(200, 16, EndedBy::Callee, "transferred"));
        }
        let stays = legs[self.by.other().index()].take();
        if let Some(caller) = &core.caller {
            let ending = Ending::new(200, 16, EndedBy::Switch, "");
            let opened = stays.iter().map(|stays| records::row(core, env, caller, stays, &ending, false));
            let rows: SmallVec<[_; 2]> =
                opened.chain([records::row(core, env, caller, &callee, &ending, true)]).collect();
            core.out.extend(rows.into_iter().map(|row| Effect::Record(Record::Open(Box::new(row)))));
        }
        core.out.push_back(Effect::Event(Count::Answered { trunk: attempt.metric(), direction: Direction::Egress }));
        let trunks = [self.payer.source.trunk(), trunk_of(&attempt.plan.target)];
        let limits = trunks.into_iter().flatten().map(|trunk| trunk.max_call_seconds).filter(|seconds| *seconds > 0);
        let until = limits
            .fold(until, |until, seconds| until.min(env.now.mono + std::time::Duration::from_secs(u64::from(seconds))));
        Connected { callee, side: self.by, other: stays, until, answered, left: None, over_since: None }
    }
}

/// The one who asked, as the caller of a new call: the number of the party that stays is shown, where its policy lets it.
fn payer(core: &Core, env: &Env<'_>, by: MediaSide, asked: &Asked, message: &Message) -> Option<Caller> {
    let source = refer::party(core, by)?;
    let caller = core.caller.as_ref()?;
    let stays = core.paths.first()?.leg(by.other());
    let hidden = stays.attempt == 0 && caller.hidden;
    let shown = if stays.attempt == 0 { caller.caller_in.to_string() } else { called_number(core, stays)? };
    let identity = admission::shown_by(env, &source, &Presented { from: &shown, asserted: None, privacy: hidden });
    let party = refer::party(core, by.other());
    Some(Caller {
        called: refer::called(&source, &asked.number).into(),
        codecs: codecs_of(party.as_ref().and_then(Source::trunk).map(|trunk| &**trunk)),
        source,
        server: 0,
        flow: stays.flow,
        pinned: false,
        started: env.now.wall,
        caller_in: shown.into(),
        called_in: asked.number.as_str().into(),
        identity,
        lrn: Arc::default(),
        call_id: message.call_id().into(),
        tag: Arc::default(),
        options: SmallVec::new(),
        required: SmallVec::new(),
        session: None,
        emergency: false,
        hidden,
        told: Box::default(),
    })
}

/// The number of a party that was called, as its remote address names it, without the tech prefix of its trunk.
fn called_number(core: &Core, leg: &Leg) -> Option<String> {
    let to = sip::addr::NameAddr::parse(leg.dialog.remote())?;
    let number = to.parsed_uri()?.number()?;
    let prefix = core
        .ledger
        .seized_target(leg.attempt)
        .and_then(|target| trunk_of(target)?.egress.as_ref().map(|egress| egress.tech_prefix.clone()))
        .unwrap_or_default();
    Some(trunk::translate::ingress(&number, &prefix).unwrap_or(number))
}

/// The leg that a 2xx opens.
fn new_leg(core: &mut Core, env: &Env<'_>, attempt: &Try, message: &Message) -> Option<Leg> {
    let client = core.tx.client(attempt.client)?;
    let (request, flow) = (client.request.clone()?, client.to);
    let bound = attempt.hops.front().is_some_and(|hop| hop.flow.is_some());
    let leg = Leg::new(Dialog::uac_of(&request, message)?, flow, bound, message, env.locals);
    let mut leg = leg.of_attempt(attempt.number);
    let agreed = attempt.session.answered(env.now.mono, message);
    let own = attempt.asks_session.then(|| SessionTimer::new(env.now.mono, attempt.session.seconds, true));
    leg.start_timer(env.now.mono, agreed.or(own));
    Some(leg)
}

impl Core {
    /// The parties change: what one of them still waits for from the other has to be asked again.
    pub(crate) fn drop_pending(&mut self, env: &Env<'_>) {
        let open = self.tx.servers.iter().filter(|server| server.is_open());
        let open: SmallVec<[(u32, Method); 4]> = open.map(|server| (server.id, server.method)).collect();
        for (server, method) in open {
            self.refuse(env, server, if matches!(method, Method::Invite | Method::Update) { 491 } else { 480 });
        }
        self.cancel_reinvites(env);
        if self.rejoin.is_none() {
            self.media.close_offer();
        }
    }

    /// A leg is over while the call goes on: nothing that was under way with it may touch the one that takes its place.
    pub(crate) fn forget_leg(&mut self, env: &Env<'_>, side: MediaSide) {
        for client in &mut self.tx.clients {
            if client.side == side && client.purpose.is_within() {
                client.purpose = Purpose::Farewell;
            }
        }
        // The other leg's 2xx wants its ACK, though the answer that it waited for will not come.
        let dropped = self.tx.answers.iter().filter(|answer| answer.side == side && !answer.machine.is_over());
        let late: SmallVec<[u32; 1]> = dropped.filter_map(|answer| answer.late).collect();
        self.tx.answers.retain(|answer| answer.side != side);
        for client in late {
            orphan::acknowledge(self, env, client, 0, "", b"");
        }
    }

    /// Gives the channel of a leg back.
    pub(crate) fn give_back(&mut self, leg: &Leg) {
        if leg.attempt == 0 {
            self.ledger.leave(&mut self.out);
        } else {
            self.ledger.surrender(&mut self.out, leg.attempt);
        }
    }

    /// Ports that were taken for a leg that did not come, while the media of the call bypasses us.
    pub(crate) fn free_spare_ports(&mut self) {
        if self.ledger.is_anchored() && self.media.bypasses() {
            self.ledger.free_media(&mut self.out);
        }
    }

    /// Counts the end of an answered leg.
    pub(crate) fn count_end(&mut self, env: &Env<'_>, leg: &Leg, side: MediaSide, call: &Connected) {
        let Some((trunk, direction, callee)) = self.counted(leg, side, call) else { return };
        let since = env.now.mono.since(call.answered);
        let duration = callee.map_or(Some(since), |callee| callee.duration(env.now.mono)).unwrap_or_default();
        self.out.push_back(Effect::Event(Count::Ended { trunk, direction, duration }));
    }

    /// As what an answered leg is counted.
    pub(crate) fn counted<'a>(
        &self,
        leg: &Leg,
        side: MediaSide,
        call: &'a Connected,
    ) -> Option<(Arc<str>, Direction, Option<&'a Callee>)> {
        if let Some(callee) = call.callee_of(side) {
            return Some((callee.metric.clone(), Direction::Egress, Some(callee)));
        }
        let caller = self.caller.as_ref().filter(|_| leg.attempt == 0)?;
        Some((caller.source.metric(), Direction::Ingress, None))
    }

    /// The one who transferred the call hung up before that was done.
    pub(crate) fn left(&mut self, env: &Env<'_>, side: MediaSide) {
        self.drop_pending(env);
        self.forget_leg(env, side);
        let leg = self.paths[0].leg_mut(side);
        leg.gone = true;
        leg.timer = None;
        let leg = leg.clone();
        self.give_back(&leg);
    }
}
