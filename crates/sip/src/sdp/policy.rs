//! Which formats of a media description a trunk lets through, and in what order. It never adds a format.

use super::media::Media;
use super::payload::Payload;
use smallvec::SmallVec;
use std::sync::Arc;

/// Formats that stay, in the order in which they are written.
pub(super) type Formats<'a> = SmallVec<[&'a str; 16]>;

/// The formats of an RTP media description that `allowed` lets through, in the policy's order. Empty if no codec is
/// left: DTMF or comfort noise alone make no call.
pub(super) fn apply<'a>(media: &Media<'a>, allowed: &[Arc<str>]) -> Formats<'a> {
    let mut kept: SmallVec<[(usize, &'a str, bool); 16]> = SmallVec::new();
    for format in media.formats() {
        let Some(payload) = Payload::of(media, format) else { continue };
        if let Some(rank) = allowed.iter().position(|entry| names(entry, &payload)) {
            kept.push((rank, format, payload.is_auxiliary()));
        }
    }
    if kept.iter().all(|(_, _, auxiliary)| *auxiliary) {
        return Formats::new();
    }
    // Stable: two formats of one codec, such as H264 profiles, keep the order of the one who offers them.
    kept.sort_by_key(|(rank, _, _)| *rank);
    kept.into_iter().map(|(_, format, _)| format).collect()
}

/// True if a policy entry names this payload: `PCMA`, or with a rate `L16/44100`, without regard to case.
fn names(entry: &str, payload: &Payload<'_>) -> bool {
    let (name, clock) = entry.split_once('/').map_or((entry, None), |(name, rest)| (name, rest.split('/').next()));
    name.eq_ignore_ascii_case(payload.name)
        && clock.is_none_or(|clock| clock.parse().is_ok_and(|clock: u32| clock == payload.clock))
}

/// The format that an attribute speaks of, if it is one of those that speak of a single format.
pub(super) fn format_of<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    const OF_ONE_FORMAT: [&str; 6] = ["rtpmap", "fmtp", "rtcp-fb", "imageattr", "framesize", "gpmd"];
    let format = value.split_ascii_whitespace().next()?;
    (OF_ONE_FORMAT.contains(&name) && format != "*").then_some(format)
}
