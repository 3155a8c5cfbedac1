//! From a message to an event: its transaction is found, retransmissions are answered, what cannot be right is refused.

use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::event::{About, Event, Loss};
use crate::orphan;
use crate::transactions::{Client, Due, Purpose};
use sip::transaction::Action;
use sip::{Builder, Flow, Message, Method, Name};
use std::sync::Arc;

impl Client {
    /// What an event says about it.
    pub(crate) const fn about(&self) -> About {
        About { client: self.id, purpose: self.purpose, attempt: self.attempt }
    }
}

/// Takes in a message; answers what a state has to hear of it.
pub(crate) fn receive(core: &mut Core, env: &Env<'_>, message: Message, flow: &Flow) -> Option<Event> {
    if message.is_request() { request(core, env, message, flow) } else { response(core, env, message) }
}

/// The end of one of our branches, `z9hG4bKshard.epoch.call-number`.
fn number_in(branch: &str) -> Option<u32> {
    u32::from_str_radix(branch.rsplit_once('-')?.1, 16).ok()
}

fn response(core: &mut Core, env: &Env<'_>, message: Message) -> Option<Event> {
    let branch = number_in(message.top_via()?.branch())?;
    let method = message.method();
    let client = core.tx.client_of(branch, method)?;
    let (to, id) = (client.to, client.id);
    let code = message.code().unwrap_or(0);
    let is_2xx = (200..300).contains(&code) && method == Method::Invite;
    let action = client.handle_response(env.now.mono, &message);
    let about = client.about();
    if let Action::Nothing | Action::Over | Action::Timeout = action {
        return None;
    }
    if is_2xx && client.won.is_some() {
        repeated_answer(core, env, id, &message);
        return None;
    }
    let delivers = matches!(action, Action::Deliver | Action::SendAndDeliver(_));
    core.perform(action, to, 0);
    if !delivers {
        return None;
    }
    if about.purpose == Purpose::Orphan {
        orphan::on_response(core, env, about, &message);
        return None;
    }
    Some(Event::Response { about, message: Box::new(message) })
}

/// A 2xx after the first: its ACK got lost, or another fork answered as well.
fn repeated_answer(core: &mut Core, env: &Env<'_>, id: u32, message: &Message) {
    let tag = message.to_tag().unwrap_or("");
    let Some(client) = core.tx.client(id) else { return };
    if let Some(acked) = client.acked.iter().find(|acked| &*acked.tag == tag) {
        let (ack, to) = (acked.ack.clone(), acked.to);
        core.send(ack, to, 0);
    } else if client.won.as_deref() != Some(tag) {
        orphan::end_fork(core, env, id, message);
    }
}

fn request(core: &mut Core, env: &Env<'_>, message: Message, flow: &Flow) -> Option<Event> {
    let method = message.method();
    if let Some(server) = core.tx.server_of(&message) {
        let action = server.handle_request(env.now.mono, method);
        let to = server.to;
        if action != Action::Deliver {
            core.perform(action, to, 0);
            return None;
        }
    }
    match method {
        Method::Ack => acknowledged(core, message),
        Method::Cancel => cancelled(core, env, message, flow),
        Method::Invite
        | Method::Bye
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
        | Method::Other => fresh(core, env, Arc::new(message), flow),
    }
}

fn fresh(core: &mut Core, env: &Env<'_>, message: Arc<Message>, flow: &Flow) -> Option<Event> {
    let Some(tag) = message.to_tag() else {
        if core.caller.is_none() && core.invite.is_none() && message.method() == Method::Invite {
            return Some(Event::Invite { message, flow: *flow });
        }
        // RFC 3261 §8.2.2.2: the same request by two ways. Anything else without a tag is not for a call.
        let code = if message.method() == Method::Invite { 482 } else { 481 };
        let server = core.serve(env, MediaSide::A, flow, &message);
        core.refuse(env, server, code);
        return None;
    };
    let found = find_dialog(core, tag, &message);
    let side = found.map_or(MediaSide::A, |(_, side)| side);
    let server = core.serve(env, side, flow, &message);
    let Some((path, side)) = found else {
        let told = core.caller.as_ref().is_some_and(|caller| crate::resumption::was_told(caller, &message));
        let heard = told && matches!(message.method(), Method::Bye | Method::Prack);
        let code = if heard || crate::parting::takes(core, &message) { 200 } else { 481 };
        core.refuse(env, server, code);
        // RFC 3261 §15.1.2: a BYE in the early dialog ends the call as CANCEL would.
        let setup =
            core.caller.as_ref().map(|caller| caller.server).filter(|_| told && message.method() == Method::Bye)?;
        return Some(Event::Cancelled { server: setup, reason: None });
    };
    let cseq = message.cseq()?;
    let leg = core.paths[path].leg_mut(side);
    if let Err(reject) = leg.dialog.accept(cseq) {
        core.refuse(env, server, reject.code);
        return None;
    }
    Some(Event::Request { server, side, path, message })
}

fn find_dialog(core: &Core, tag: &str, message: &Message) -> Option<(usize, MediaSide)> {
    core.paths.iter().enumerate().find_map(|(index, path)| {
        let side = [MediaSide::A, MediaSide::B].into_iter().find(|side| path.leg(*side).dialog.local_tag() == tag)?;
        path.leg(side).dialog.matches(message).then_some((index, side))
    })
}

fn acknowledged(core: &mut Core, message: Message) -> Option<Event> {
    let (_, side) = find_dialog(core, message.to_tag()?, &message)?;
    let cseq = message.cseq()?.number;
    let mut answers = core.tx.answers.iter_mut().filter(|answer| answer.side == side);
    let late = answers.find_map(|answer| answer.machine.acknowledge(cseq).then_some(answer.late))?;
    Some(Event::Acknowledged { side, late, message: Arc::new(message) })
}

fn cancelled(core: &mut Core, env: &Env<'_>, message: Message, flow: &Flow) -> Option<Event> {
    let message = Arc::new(message);
    let id = core.serve(env, MediaSide::A, flow, &message);
    let Some((target, open)) = core.tx.cancelled_by(&message).map(|server| (server.id, server.is_open())) else {
        core.refuse(env, id, 481);
        return None;
    };
    // RFC 3261 §9.2: the To tag is that of the responses to the INVITE.
    let tag = core.caller.as_ref().map_or_else(Arc::default, |caller| caller.tag.clone());
    if let Some(reply) = core.reply(id, 200, &tag) {
        core.respond(env, id, 200, Builder::finish(reply));
    }
    let reason = message.get(Name::Reason).map(Box::from);
    open.then_some(Event::Cancelled { server: target, reason })
}

/// Looks at the clock on behalf of every transaction.
pub(crate) fn tick(core: &mut Core, env: &Env<'_>) {
    let mut dues = Vec::new();
    core.tx.handle_timeout(env.now.mono, |due| dues.push(due));
    for due in dues {
        match due {
            Due::Send(bytes, to, mark) => core.send(bytes, to, mark),
            Due::Silence(client) => lost(core, env, client, Loss::Timeout),
            Due::Unacknowledged(side) => core.events.push_back(Event::Unacknowledged { side }),
        }
    }
    core.tx.sweep();
}

/// A message of ours could not be sent.
pub(crate) fn unreachable(core: &mut Core, env: &Env<'_>, mark: u32) {
    let Some(client) = core.tx.client(mark) else { return };
    // After a response the peer is there; the transaction's own timers then decide.
    if client.is_calling() {
        client.abandon();
        lost(core, env, mark, Loss::Unreachable);
        core.tx.sweep();
    }
}

fn lost(core: &mut Core, env: &Env<'_>, client: u32, loss: Loss) {
    let Some(client) = core.tx.client(client) else { return };
    let about = client.about();
    if about.purpose == Purpose::Orphan {
        orphan::on_lost(core, env, about);
    } else {
        core.events.push_back(Event::Lost { about, loss });
    }
}
