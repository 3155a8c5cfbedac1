//! The leg of one who transferred the call, while it is told how that went. It says BYE itself, as user agents do once the
//! NOTIFY has told them of the success (RFC 5589 §6), or gets ours when that NOTIFY was answered or got lost.

use crate::core::{Core, Env};
use crate::effect::MediaSide;
use crate::leg::Leg;
use crate::transactions::{Client, Purpose};
use sip::clock::Instant;
use sip::{Message, Method, Name};

/// A leg beside the call.
#[derive(Clone, Debug)]
pub(crate) struct Parting {
    /// The side on which it was.
    pub(crate) side: MediaSide,
    pub(crate) leg: Leg,
}

/// Whether a request is the BYE of that leg, which then is over.
pub(crate) fn takes(core: &mut Core, message: &Message) -> bool {
    let takes = message.method() == Method::Bye
        && core.parting.as_ref().is_some_and(|parting| parting.leg.dialog.matches(message));
    if takes {
        core.parting = None;
    }
    takes
}

/// At once, when a leg is parting and no NOTIFY is on its way to it any more.
pub(crate) fn poll_timeout(core: &Core) -> Option<Instant> {
    (core.parting.is_some() && !is_notified(core)).then_some(Instant::ORIGIN)
}

fn is_notified(core: &Core) -> bool {
    core.tx.clients.iter().any(|client| client.purpose == Purpose::Notify && client.is_needed())
}

/// Ends the leg if it has heard everything.
pub(crate) fn end(core: &mut Core, env: &Env<'_>) {
    if !is_notified(core) {
        end_now(core, env);
    }
}

/// Ends the leg.
pub(crate) fn end_now(core: &mut Core, env: &Env<'_>) {
    let Some(mut parting) = core.parting.take() else { return };
    let number = core.number();
    let flow = parting.leg.flow;
    let via = core.via(env, &flow, number);
    let mut bye = parting.leg.dialog.request(Method::Bye, via, None, env.settings.max_forwards);
    Core::sign(env, &mut bye, Name::UserAgent);
    let bye = bye.finish();
    let timers = &env.settings.timers;
    let client = Client::other(env.now.mono, number, Method::Bye, parting.side, flow, bye.clone(), timers);
    core.tx.clients.push(Box::new(client));
    core.send(bye, flow, number);
}
