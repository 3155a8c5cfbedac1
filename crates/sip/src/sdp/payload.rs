//! RTP payload types: the static table of RFC 3551 and what `a=rtpmap` and `a=fmtp` say. It never ranks codecs.

use super::media::Media;

/// One RTP format of a media description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload<'a> {
    /// The payload type, 0–127.
    pub number: u8,
    /// The encoding's name as written, to be compared without regard to case.
    pub name: &'a str,
    /// Clock rate in Hz.
    pub clock: u32,
    /// Audio channels; 1 where nothing is said.
    pub channels: u8,
    /// The format's parameters.
    pub fmtp: Option<&'a str>,
}

impl<'a> Payload<'a> {
    /// Reads the format `format` of `media`; `None` for one that is neither static nor mapped.
    pub(super) fn of(media: &Media<'a>, format: &str) -> Option<Self> {
        let number: u8 = format.parse().ok().filter(|number| *number < 128)?;
        let mapped = of_format(media, "rtpmap", format).and_then(|map| read_map(number, map));
        let mut payload = mapped.or_else(|| fixed(number))?;
        payload.fmtp = of_format(media, "fmtp", format);
        Some(payload)
    }

    /// True if both are the same encoding at the same rate, whatever their numbers and parameters.
    #[must_use]
    pub fn same_codec(&self, other: &Payload<'_>) -> bool {
        self.clock == other.clock && self.channels == other.channels && self.name.eq_ignore_ascii_case(other.name)
    }

    /// True for formats that carry no speech or picture of their own: DTMF, comfort noise, redundancy.
    #[must_use]
    pub fn is_auxiliary(&self) -> bool {
        const AUXILIARY: [&str; 7] = ["telephone-event", "tone", "CN", "red", "rtx", "ulpfec", "flexfec-03"];
        AUXILIARY.iter().any(|name| name.eq_ignore_ascii_case(self.name))
    }
}

/// The value of the first attribute `name` that speaks of `format`, without the format.
fn of_format<'a>(media: &Media<'a>, name: &'static str, format: &str) -> Option<&'a str> {
    media.values(name).find_map(|value| {
        let (number, rest) = value.trim_start().split_once([' ', '\t'])?;
        (number == format).then(|| rest.trim())
    })
}

/// Reads `PCMA/8000` or `opus/48000/2`.
fn read_map(number: u8, map: &str) -> Option<Payload<'_>> {
    let mut parts = map.split('/');
    let name = parts.next().map(str::trim).filter(|name| !name.is_empty())?;
    let clock = parts.next()?.trim().parse().ok()?;
    let channels = parts.next().and_then(|channels| channels.trim().parse().ok()).unwrap_or(1);
    Some(Payload { number, name, clock, channels, fmtp: None })
}

/// The static assignments of RFC 3551 §6 that are still met.
fn fixed(number: u8) -> Option<Payload<'static>> {
    let (name, clock, channels) = match number {
        0 => ("PCMU", 8000, 1),
        3 => ("GSM", 8000, 1),
        4 => ("G723", 8000, 1),
        5 => ("DVI4", 8000, 1),
        6 => ("DVI4", 16000, 1),
        7 => ("LPC", 8000, 1),
        8 => ("PCMA", 8000, 1),
        // RFC 3551 §4.5.2: the clock of G.722 is 8000 by an old mistake, though it samples at 16 kHz.
        9 => ("G722", 8000, 1),
        10 => ("L16", 44100, 2),
        11 => ("L16", 44100, 1),
        12 => ("QCELP", 8000, 1),
        13 => ("CN", 8000, 1),
        14 => ("MPA", 90000, 1),
        15 => ("G728", 8000, 1),
        16 => ("DVI4", 11025, 1),
        17 => ("DVI4", 22050, 1),
        18 => ("G729", 8000, 1),
        25 => ("CelB", 90000, 1),
        26 => ("JPEG", 90000, 1),
        28 => ("nv", 90000, 1),
        31 => ("H261", 90000, 1),
        32 => ("MPV", 90000, 1),
        33 => ("MP2T", 90000, 1),
        34 => ("H263", 90000, 1),
        _ => return None,
    };
    Some(Payload { number, name, clock, channels, fmtp: None })
}
