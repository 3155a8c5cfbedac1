//! The re-INVITE that tells a party of the one that it was joined with: its codecs, and that a hold is over. It waits while
//! an exchange of theirs is under way, and comes again after 491 (RFC 3261 §14.1).

use crate::core::{Core, Env, Request};
use crate::effect::{Effect, MediaSide, Point};
use crate::orphan;
use crate::transactions::Purpose;
use sip::clock::Instant;
use sip::{Message, Method, Name};
use std::time::Duration;

/// How often it is tried.
const MAX_TRIES: u8 = 6;

/// How long an exchange of theirs is waited for before the next look.
const PAUSE: Duration = Duration::from_millis(500);

/// What is still to be said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejoin {
    /// To whom.
    pub(crate) side: MediaSide,
    /// When; absent while it is out.
    pub(crate) at: Option<Instant>,
    tries: u8,
    /// The other party has heard already, and its answer is what this one hears.
    answers: bool,
}

impl Rejoin {
    pub(crate) const fn new(side: MediaSide, at: Instant) -> Self {
        Self { side, at: Some(at), tries: 0, answers: false }
    }

    /// The other way round, once.
    const fn back(self, at: Instant) -> Self {
        Self { side: self.side.other(), at: Some(at), tries: 0, answers: true }
    }
}

/// Sends it if its time has come.
pub(crate) fn on_alarm(core: &mut Core, env: &Env<'_>) {
    let Some(mut rejoin) = core.rejoin.filter(|rejoin| rejoin.at.is_some_and(|at| at <= env.now.mono)) else { return };
    if is_busy(core, rejoin.side) {
        rejoin.at = Some(env.now.mono + PAUSE);
        core.rejoin = Some(rejoin);
        return;
    }
    let codecs = core.codecs_to[rejoin.side.index()].clone();
    let Some(body) = core.media.offer_again(rejoin.side.other(), &codecs) else {
        core.rejoin = None;
        return;
    };
    rejoin.at = None;
    rejoin.tries += 1;
    core.rejoin = Some(rejoin);
    let request = Request {
        path: 0,
        method: "INVITE",
        purpose: Purpose::Rejoin(rejoin.side),
        max_forwards: env.settings.max_forwards,
        content_type: "application/sdp",
        body: &body,
    };
    let timer = core.paths.first().and_then(|path| path.leg(rejoin.side).timer);
    let min_se = env.settings.min_se;
    core.request(env, rejoin.side, request, |builder| {
        builder.add(Name::Supported, "timer");
        builder.add(Name::Allow, crate::headers::ALLOW);
        if let Some(timer) = timer {
            let refresher = if timer.we_refresh() { "uac" } else { "uas" };
            builder.add(Name::SessionExpires, format_args!("{};refresher={refresher}", timer.seconds()));
            builder.add(Name::MinSe, min_se);
        }
        Core::sign(env, builder, Name::UserAgent);
    });
}

/// Whether some offer is open, or an INVITE with this leg.
fn is_busy(core: &Core, side: MediaSide) -> bool {
    let sent = core.tx.clients.iter().any(|client| {
        let apart = matches!(client.purpose, Purpose::Orphan | Purpose::Setup);
        client.method == Method::Invite && client.side == side && !apart && client.is_needed()
    });
    let came = core.tx.servers.iter().any(|server| server.method == Method::Invite && server.is_open());
    let late = core.tx.answers.iter().any(|answer| answer.late.is_some());
    core.media.open_offer().is_some() || sent || came || late
}

/// Its answer. An error says that the leg cannot be talked to any more.
pub(crate) fn on_response(
    core: &mut Core,
    env: &Env<'_>,
    side: MediaSide,
    client: u32,
    message: &Message,
) -> Result<(), &'static str> {
    let code = message.code().unwrap_or(0);
    if code < 200 {
        return Ok(());
    }
    let Some(mut rejoin) = core.rejoin.filter(|rejoin| rejoin.side == side) else { return Ok(()) };
    if code < 300 {
        if let Some(entry) = core.tx.client(client) {
            entry.won = Some(message.to_tag().unwrap_or("").into());
        }
        orphan::acknowledge(core, env, client, 0, "", b"");
        crate::timers::refreshed(core, env, side, message);
        let body = message.sdp();
        // The new party was told where this one was before it moved; behind the relay that makes no difference.
        let moved = core.media.bypasses() && body.as_ref().is_some_and(|body| core.media.moves(side, body));
        let answered = body.map(|body| core.media.answer(&mut core.out, side, &body, true, true));
        core.media.close_offer();
        core.rejoin = (moved && !rejoin.answers).then(|| rejoin.back(env.now.mono));
        on_alarm(core, env);
        core.out.push_back(Effect::Checkpoint(Point::C4));
        return match answered {
            Some(Err(_)) => Err("answer cannot be used"),
            Some(Ok(_)) | None => Ok(()),
        };
    }
    core.media.close_offer();
    if !matches!(code, 491 | 500) || rejoin.tries >= MAX_TRIES {
        return Err("parties cannot be joined");
    }
    // RFC 3261 §14.1: 2.1–4 s for the owner of the Call-ID, up to 2 s for the other side; to a 500 after its time.
    let jitter = Duration::from_millis(core.chance.next() % 1_900);
    let owns = core.paths.first().is_some_and(|path| path.leg(side).attempt > 0);
    let least = if owns { Duration::from_millis(2_100) } else { Duration::ZERO };
    let asked = Duration::from_secs(u64::from(message.retry_after().unwrap_or(0).min(10)));
    rejoin.at = Some(env.now.mono + (least + jitter).max(asked));
    core.rejoin = Some(rejoin);
    Ok(())
}
