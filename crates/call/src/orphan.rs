//! INVITEs that nobody waits for any more: CANCEL at the right moment, and ACK and BYE for an answer that comes all the
//! same (RFC 3261 §9.1, §13.2.2.4).

use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::event::About;
use crate::leg::Leg;
use crate::transactions::{Acked, Cancelling, Client, Purpose};
use sip::dialog::Dialog;
use sip::{Message, Method, Name, Sent};

/// Gives an INVITE up: CANCEL now, or once a provisional response allows it.
pub(crate) fn give_up(core: &mut Core, env: &Env<'_>, client: u32, reason: Option<&str>) {
    let Some(entry) = core.tx.client(client) else { return };
    entry.purpose = Purpose::Orphan;
    let attempt = entry.attempt;
    // A peer that has said nothing holds no channel.
    if entry.is_calling() {
        core.ledger.surrender(&mut core.out, attempt);
    }
    send_cancel(core, env, client, reason);
}

/// Sends the CANCEL that is wanted, if it may go out.
pub(crate) fn send_cancel(core: &mut Core, env: &Env<'_>, client: u32, reason: Option<&str>) {
    let id = core.number();
    let Some(entry) = core.tx.client(client) else { return };
    if entry.cancelling == Cancelling::Sent {
        return;
    }
    entry.cancelling = Cancelling::Wanted;
    let Some(bytes) = entry.cancel(env.now.mono, reason) else { return };
    entry.cancelling = Cancelling::Sent;
    let (to, side, branch) = (entry.to, entry.side, entry.branch);
    let mut cancel = Client::other(env.now.mono, id, Method::Cancel, side, to, bytes.clone(), &env.settings.timers);
    cancel.branch = branch;
    core.tx.clients.push(Box::new(cancel));
    core.send(bytes, to, id);
}

pub(crate) fn on_response(core: &mut Core, env: &Env<'_>, about: About, message: &Message) {
    match message.code().unwrap_or(0) {
        100..200 => send_cancel(core, env, about.client, None),
        200..300 => {
            core.ledger.surrender(&mut core.out, about.attempt);
            end_fork(core, env, about.client, message);
        }
        _ => core.ledger.surrender(&mut core.out, about.attempt),
    }
}

pub(crate) fn on_lost(core: &mut Core, _env: &Env<'_>, about: About) {
    core.ledger.surrender(&mut core.out, about.attempt);
}

/// An answer that comes too late or beside another one: ACK, then BYE.
pub(crate) fn end_fork(core: &mut Core, env: &Env<'_>, client: u32, message: &Message) {
    let Some(entry) = core.tx.client(client) else { return };
    let (Some(request), flow, side) = (entry.request.clone(), entry.to, entry.side) else { return };
    let tag: Box<str> = message.to_tag().unwrap_or("").into();
    entry.won.get_or_insert_with(|| tag.clone());
    let Some(dialog) = Dialog::uac_of(&request, message) else { return };
    let mut leg = Leg::new(dialog, flow, false, message, env.locals);
    let seq = request.number();
    let (ack_number, bye_number) = (core.number(), core.number());
    let ack = leg.dialog.ack(seq, core.via(env, &leg.flow, ack_number), env.settings.max_forwards).finish();
    let via = core.via(env, &leg.flow, bye_number);
    // Its early dialog, which is forgotten, may have seen PRACKs.
    leg.dialog.take_over(core.spare());
    let mut bye = leg.dialog.request(Method::Bye, via, None, env.settings.max_forwards);
    bye.add(Name::Reason, "SIP;cause=487");
    let bye = bye.finish();
    let mut farewell =
        Client::other(env.now.mono, bye_number, Method::Bye, side, leg.flow, bye.clone(), &env.settings.timers);
    farewell.purpose = Purpose::Farewell;
    core.send(ack.clone(), leg.flow, 0);
    core.send(bye, leg.flow, bye_number);
    if let Some(entry) = core.tx.client(client) {
        entry.acked.push(Acked::new(tag, &ack, leg.flow));
    }
    core.tx.clients.push(Box::new(farewell));
}

/// Acknowledges the 2xx of an INVITE of ours on a path, with the answer to a late offer if there is one.
pub(crate) fn acknowledge(core: &mut Core, env: &Env<'_>, client: u32, path: usize, content_type: &str, body: &[u8]) {
    let number = core.number();
    let Some(entry) = core.tx.client(client) else { return };
    let side: MediaSide = entry.side;
    let seq = entry.request.as_ref().map_or(1, Sent::number);
    let Some(flow) = core.paths.get(path).map(|path| path.leg(side).flow) else { return };
    let via = core.via(env, &flow, number);
    let dialog = &core.paths[path].leg(side).dialog;
    let tag: Box<str> = dialog.remote_tag().into();
    let ack = dialog.ack(seq, via, env.settings.max_forwards).finish_with(content_type, body);
    core.send(ack.clone(), flow, 0);
    if let Some(entry) = core.tx.client(client) {
        entry.acked.push(Acked::new(tag, &ack, flow));
    }
}
