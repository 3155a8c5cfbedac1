//! Between the words of a call and those of the relay.

use crate::calls::actor::CallMessage;
use crate::calls::directory::CallRef;
use ::call::Input;
use ::call::effect::{MediaSide, Steer};
use ::call::input::{MediaStats, SideStats};
use relay::{Event, Events, Payload, PayloadKind, Side, Stats, Update};

/// Where a session's events go: to its call. Called on the packet thread, it only hands over.
pub(crate) fn events(call: CallRef) -> Events {
    Box::new(move |event| {
        let input = match event {
            // The first stream is the audio; what a second one does is not the call's business.
            Event::FirstPacket { side, stream: 0 } => Input::MediaHeard(media_side(side)),
            Event::FirstPacket { .. } => return,
            Event::Silence => Input::MediaSilent,
            Event::Unheard { heard } => Input::MediaUnheard { heard: heard.map(media_side) },
            Event::Released(stats) => Input::MediaFreed(Box::new(figures(&stats))),
        };
        call.tell(CallMessage::Input(Box::new(input)));
    })
}

fn media_side(side: Side) -> MediaSide {
    match side {
        Side::A => MediaSide::A,
        Side::B => MediaSide::B,
    }
}

/// One side of one stream, in the relay's words.
pub(crate) fn update(steer: &Steer) -> Update {
    let payload = |p: &::call::effect::Payload| Payload {
        number: p.number,
        kind: if p.is_event { PayloadKind::TelephoneEvent } else { PayloadKind::Audio },
        clock_hz: p.clock_rate,
    };
    Update {
        stream: u8::try_from(steer.stream).unwrap_or(u8::MAX),
        side: match steer.side {
            MediaSide::A => Side::A,
            MediaSide::B => Side::B,
        },
        remote: steer.remote,
        rtcp: steer.rtcp,
        rtcp_mux: steer.rtcp_mux,
        receives: steer.receives,
        sends: steer.sends,
        payloads: steer.payloads.iter().map(payload).collect(),
    }
}

fn figures(stats: &Stats) -> MediaStats {
    let side = |side: Side| stats.side(side).map(side_figures).unwrap_or_default();
    MediaStats { a: side(Side::A), b: side(Side::B) }
}

fn side_figures(side: &relay::SideStats) -> SideStats {
    SideStats {
        packets: side.packets,
        bytes: side.bytes,
        lost: side.lost,
        jitter_ms: side.jitter_ms,
        mos: side.mos,
        payload_type: side.payload,
    }
}
