//! Session timers of both legs (RFC 4028): our refreshes, and the end of a session that nobody refreshes.

use crate::core::{Core, Env, Request};
use crate::effect::MediaSide;
use crate::transactions::Purpose;
use sip::clock::Instant;
use sip::session_timer::{Expiry, Policy, SessionTimer};
use sip::{Message, Name};
use std::time::Duration;

const SIDES: [MediaSide; 2] = [MediaSide::A, MediaSide::B];

/// When the next session timer is due.
pub(crate) fn poll_timeout(core: &Core) -> Option<Instant> {
    let sessions = core.paths.first()?.legs.iter().filter_map(|leg| leg.timer.as_ref()?.poll_timeout());
    let rejoin = core.rejoin.as_ref().and_then(|rejoin| rejoin.at);
    sessions.chain(rejoin).chain(crate::parting::poll_timeout(core)).min()
}

/// Refreshes what is due; the side whose session has expired.
pub(crate) fn on_alarm(core: &mut Core, env: &Env<'_>) -> Option<MediaSide> {
    crate::parting::end(core, env);
    crate::rejoin::on_alarm(core, env);
    for side in SIDES {
        let leg = core.paths.first_mut()?.leg_mut(side);
        match leg.timer.as_mut().map(|timer| timer.handle_timeout(env.now.mono)) {
            Some(Expiry::Expired) => return Some(side),
            Some(Expiry::Refresh) => refresh(core, env, side),
            Some(Expiry::Nothing) | None => {}
        }
    }
    None
}

/// Sends UPDATE, or where the other side does not allow it a re-INVITE that repeats our description.
fn refresh(core: &mut Core, env: &Env<'_>, side: MediaSide) {
    let body = core.media.last(side).cloned();
    let Some(leg) = core.paths.first_mut().map(|path| path.leg_mut(side)) else { return };
    let Some(timer) = leg.timer.as_mut() else { return };
    let updates = leg.updates;
    if !updates && core.media.open_offer().is_some() {
        // An exchange of theirs is under way: wait for it.
        timer.retry_after(env.now.mono, Duration::from_secs(2));
        return;
    }
    let seconds = timer.seconds();
    let body = body.filter(|_| !updates).unwrap_or_default();
    let request = Request {
        path: 0,
        method: if updates { "UPDATE" } else { "INVITE" },
        purpose: Purpose::Refresh(side),
        max_forwards: env.settings.max_forwards,
        content_type: "application/sdp",
        body: &body,
    };
    let min_se = env.settings.min_se;
    core.request(env, side, request, |builder| {
        builder.add(Name::Supported, "timer");
        builder.add(Name::SessionExpires, format_args!("{seconds};refresher=uac"));
        builder.add(Name::MinSe, min_se);
        builder.add(Name::Allow, crate::headers::ALLOW);
        Core::sign(env, builder, Name::UserAgent);
    });
}

/// A 2xx to our refresh came.
pub(crate) fn refreshed(core: &mut Core, env: &Env<'_>, side: MediaSide, message: &Message) {
    let Some(path) = core.paths.first_mut() else { return };
    let leg = path.leg_mut(side);
    leg.refresh(message, env.locals);
    let policy = Policy { seconds: env.settings.min_se, min_seconds: env.settings.min_se };
    // One that knows no session timers answers without one: it is asked again all the same.
    let again = leg.timer.map(|timer| SessionTimer::new(env.now.mono, timer.seconds(), true));
    leg.start_timer(env.now.mono, policy.answered(env.now.mono, message).or(again));
}

/// Our refresh was refused for now: once more a little later, as long as the session lasts.
pub(crate) fn refused(core: &mut Core, env: &Env<'_>, side: MediaSide, code: u16) {
    // RFC 3261 §14.1: 2.1–4 s for the owner of the Call-ID, up to 2 s for the other side.
    let jitter = core.chance.next() % 1_900;
    let Some(path) = core.paths.first_mut() else { return };
    let leg = path.leg_mut(side);
    let wait = match (code, leg.attempt) {
        (491, 0) => Duration::from_millis(jitter),
        (491, _) => Duration::from_millis(2_100 + jitter),
        _ => Duration::from_secs(10),
    };
    if let Some(timer) = leg.timer.as_mut() {
        timer.retry_after(env.now.mono, wait);
    }
    if matches!(code, 405 | 501) {
        leg.updates = false;
    }
}
