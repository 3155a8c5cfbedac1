//! One call's ladder: bounded, and small while the call is quiet.
//!
//! New entries stand as they came. Once nothing has happened for four seconds they are packed into one compressed block:
//! the messages of a call repeat each other, and most calls are quiet for most of their time. What comes too often falls out
//! of the middle: the first entries say how the call began, the newest how it stands.

use super::entry::{Entry, Hop, Part, Passed, Tick, Way, What};
use bytes::Bytes;
use rustc_hash::FxHasher;
use sip::clock::{Instant, Now};
use std::hash::Hasher;
use std::time::Duration;

/// Bytes of all messages of a call before they are packed.
const BYTES: usize = 48 << 10;
/// Bytes of one message that are kept.
const MESSAGE: usize = 6 << 10;
/// A ladder is packed when nothing was added for so long. Packing costs a fifth of what the signalling of a whole call does, so
/// calls that are short or fail are spared it; what waits longer is memory that comes back only in pieces.
pub(super) const QUIET: Duration = Duration::from_secs(4);
/// Bytes of a part that is written, before it is compressed, beside its messages.
const WRITTEN: usize = 2 << 10;
/// What a ladder takes beside its entries, roughly.
const FRAME: usize = 256;

/// What is packed.
struct Packed {
    /// A [`Part`], written and compressed.
    block: Box<[u8]>,
    /// Entries in it.
    count: usize,
    /// Bytes of its messages.
    bytes: usize,
    /// Which message each entry is; 0 for what is none.
    marks: Box<[u64]>,
    /// What came again since it was packed: which entry, how often, and when for the last time.
    echoes: Vec<(u16, u16, Tick)>,
}

/// See the module.
pub(super) struct Rungs {
    began: Now,
    packed: Option<Packed>,
    fresh: Part,
    fresh_bytes: usize,
    left_out: u32,
    touched: Tick,
    /// It is known who sends the call: only then anybody will ask for it.
    recognised: bool,
}

/// A ladder, to be read.
#[derive(Clone, Debug)]
pub struct Shown {
    /// When it began; its ticks count from there.
    pub began: Now,
    /// In their order.
    pub entries: Vec<(Entry, Option<Hop>)>,
    /// Entries that were left out, between the first and the newest.
    pub left_out: u32,
}

impl Rungs {
    pub(super) fn new(now: Now) -> Self {
        Self {
            began: now,
            packed: None,
            fresh: Part::default(),
            fresh_bytes: 0,
            left_out: 0,
            touched: Tick::default(),
            recognised: false,
        }
    }

    pub(super) const fn began(&self) -> Now {
        self.began
    }

    pub(super) const fn is_recognised(&self) -> bool {
        self.recognised
    }

    /// A message passed. One that passed before in the same way is counted there.
    pub(super) fn message(&mut self, now: Instant, way: Way, hop: Hop, bytes: &Bytes, most: usize) {
        let at = self.touch(now);
        if self.came_again(at, way, bytes) {
            return;
        }
        let hop = self.fresh.hop(hop);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let bytes = if bytes.len() > MESSAGE { Bytes::copy_from_slice(&bytes[..MESSAGE]) } else { bytes.clone() };
        self.push(at, What::Passed(Passed { way, hop, repeats: 0, last: at, length, bytes }), most);
    }

    /// Anything else happened.
    pub(super) fn note(&mut self, now: Instant, what: What, most: usize) {
        self.recognised |= !matches!(what, What::Note(::call::note::Note::TurnedAway { .. }));
        let at = self.touch(now);
        self.push(at, what, most);
    }

    fn touch(&mut self, now: Instant) -> Tick {
        self.touched = Tick::of(self.began.mono, now);
        self.touched
    }

    /// Counts a message that is here already.
    fn came_again(&mut self, at: Tick, way: Way, bytes: &Bytes) -> bool {
        for entry in self.fresh.entries.iter_mut().rev() {
            if let What::Passed(passed) = &mut entry.what
                && passed.way == way
                && passed.length as usize == bytes.len()
                && passed.bytes[..] == bytes[..bytes.len().min(MESSAGE)]
            {
                passed.repeats = passed.repeats.saturating_add(1);
                passed.last = at;
                return true;
            }
        }
        let Some(packed) = &mut self.packed else { return false };
        let mark = mark(way, bytes);
        let Some(place) = packed.marks.iter().position(|known| *known == mark) else { return false };
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        match packed.echoes.iter_mut().find(|(known, _, _)| *known == place) {
            Some((_, count, last)) => (*count, *last) = (count.saturating_add(1), at),
            None => packed.echoes.push((place, 1, at)),
        }
        true
    }

    fn push(&mut self, at: Tick, what: What, most: usize) {
        if self.fresh.entries.capacity() == 0 {
            self.fresh.entries.reserve_exact(if self.packed.is_some() { 4 } else { 20 });
        }
        let entry = Entry { at, what };
        self.fresh_bytes += entry.message_bytes();
        self.fresh.entries.push(entry);
        self.trim(most);
    }

    fn count(&self) -> usize {
        self.packed.as_ref().map_or(0, |packed| packed.count) + self.fresh.entries.len()
    }

    /// Drops from the middle what is too much.
    fn trim(&mut self, most: usize) {
        let (packed, packed_bytes) = self.packed.as_ref().map_or((0, 0), |packed| (packed.count, packed.bytes));
        while self.count() > most || packed_bytes + self.fresh_bytes > BYTES {
            let first = (most / 2).saturating_sub(packed);
            let last = self.fresh.entries.len() - 1;
            let place = if first < last { first } else { 0 };
            if place >= last {
                return;
            }
            self.fresh_bytes -= self.fresh.entries.remove(place).message_bytes();
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Packs what is not packed yet, if nothing was added for a while; whether it did.
    pub(super) fn settle(&mut self, now: Instant, most: usize) -> bool {
        let still = Tick::of(self.began.mono, now).span().saturating_sub(self.touched.span());
        if self.fresh.entries.is_empty() || still < QUIET {
            return false;
        }
        let fresh = std::mem::take(&mut self.fresh);
        let mut all = match &self.packed {
            Some(packed) => {
                let mut all = packed.read();
                all.append(fresh);
                all
            }
            None => fresh,
        };
        let bytes = |part: &Part| part.message_bytes();
        // Room for the newest has to be left.
        while all.entries.len() > most * 3 / 4 || bytes(&all) > BYTES * 3 / 4 {
            all.entries.remove((most / 2).min(all.entries.len() - 1));
            self.left_out = self.left_out.saturating_add(1);
        }
        self.packed = Some(Packed {
            count: all.entries.len(),
            bytes: bytes(&all),
            marks: all.entries.iter().map(mark_of).collect(),
            echoes: Vec::new(),
            block: pack(&all),
        });
        self.fresh_bytes = 0;
        true
    }

    /// Everything, in order.
    fn read(&self) -> Part {
        let mut all = self.packed.as_ref().map(Packed::read).unwrap_or_default();
        all.append(self.fresh.clone());
        all
    }

    /// To be shown.
    pub(super) fn show(&self) -> Shown {
        let all = self.read();
        let hop = |entry: &Entry| if let What::Passed(passed) = &entry.what { all.hop_of(passed) } else { None };
        let entries = all.entries.iter().map(|entry| (entry.clone(), hop(entry))).collect();
        Shown { began: self.began, entries, left_out: self.left_out }
    }

    /// Bytes that it takes, roughly.
    pub(super) fn size(&self) -> usize {
        let packed =
            self.packed.as_ref().map_or(0, |packed| packed.block.len() + packed.marks.len() * size_of::<u64>());
        FRAME + packed + self.fresh_bytes + self.fresh.entries.capacity() * size_of::<Entry>()
    }
}

impl Packed {
    fn read(&self) -> Part {
        let mut part = unpack(&self.block);
        for (place, count, last) in &self.echoes {
            if let Some(Entry { what: What::Passed(passed), .. }) = part.entries.get_mut(usize::from(*place)) {
                passed.repeats = passed.repeats.saturating_add(*count);
                passed.last = *last;
            }
        }
        part
    }
}

fn pack(part: &Part) -> Box<[u8]> {
    // Plain values can always be written.
    let room = Vec::with_capacity(part.message_bytes() + WRITTEN);
    let written = postcard::to_extend(part, room).expect("a ladder can always be written");
    lz4_flex::compress_prepend_size(&written).into_boxed_slice()
}

fn unpack(block: &[u8]) -> Part {
    let written = lz4_flex::decompress_size_prepended(block).expect("it was packed here");
    postcard::from_bytes(&written).expect("it was packed here")
}

/// Names a message among those of a call, by what is kept of it.
fn mark(way: Way, bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u8(way as u8);
    hasher.write_usize(bytes.len());
    hasher.write(&bytes[..bytes.len().min(MESSAGE)]);
    hasher.finish().max(1)
}

fn mark_of(entry: &Entry) -> u64 {
    let What::Passed(passed) = &entry.what else { return 0 };
    let mut hasher = FxHasher::default();
    hasher.write_u8(passed.way as u8);
    hasher.write_usize(passed.length as usize);
    hasher.write(&passed.bytes);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Transport;
    use std::net::SocketAddr;

    const MOST: usize = 16;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    fn rungs() -> Rungs {
        Rungs::new(Now { mono: at(0), ..Now::default() })
    }

    fn hop(port: u16) -> Hop {
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        Hop { transport: Transport::Udp, local: address(5060), remote: address(port) }
    }

    fn message(number: usize) -> Bytes {
        Bytes::from(format!("INFO sip:h SIP/2.0\r\nCSeq: {number} INFO\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK\r\n\r\n"))
    }

    fn messages(rungs: &Rungs) -> Vec<(String, u16, Option<u16>)> {
        let message = |(entry, hop): (Entry, Option<Hop>)| {
            let What::Passed(passed) = entry.what else { return None };
            let text = String::from_utf8(passed.bytes.to_vec()).expect("text");
            let number = text.split("CSeq: ").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            Some((number.unwrap_or_default(), passed.repeats, hop.map(|hop| hop.remote.port())))
        };
        rungs.show().entries.into_iter().filter_map(message).collect()
    }

    #[test]
    fn what_comes_again_is_counted_where_it_stands_before_and_after_it_is_packed() {
        let mut rungs = rungs();
        rungs.message(at(0), Way::In, hop(1), &message(1), MOST);
        rungs.message(at(1), Way::Out, hop(2), &message(1), MOST);
        for ms in [500, 1_500] {
            rungs.message(at(ms), Way::In, hop(1), &message(1), MOST);
        }
        assert!(!rungs.settle(at(5_000), MOST), "it is not quiet for long enough");
        assert!(rungs.settle(at(5_500), MOST) && !rungs.settle(at(19_000), MOST), "once");
        rungs.message(at(19_000), Way::Out, hop(2), &message(1), MOST);
        rungs.message(at(19_001), Way::In, hop(3), &message(2), MOST);
        let expected = [("1".to_owned(), 2, Some(1)), ("1".to_owned(), 1, Some(2)), ("2".to_owned(), 0, Some(3))];
        assert_eq!(messages(&rungs), expected);
        assert!(rungs.settle(at(30_000), MOST));
        assert_eq!(messages(&rungs), expected, "packing again changes nothing");
        let What::Passed(passed) = &rungs.show().entries[1].0.what else { panic!("a message") };
        assert_eq!(passed.last.span(), Duration::from_millis(19_000));
    }

    #[test]
    fn the_first_and_the_newest_stay_and_the_rest_is_counted() {
        for pause in [0, 10_500] {
            let mut rungs = rungs();
            for number in 0..100 {
                let now = at(number * pause);
                rungs.message(now, Way::In, hop(1), &message(usize::try_from(number).expect("small")), MOST);
                rungs.settle(at(number * pause + 10_000), MOST);
            }
            let left: Vec<usize> =
                messages(&rungs).iter().map(|(number, ..)| number.parse().expect("a number")).collect();
            assert!(left.len() <= MOST && left.is_sorted(), "{left:?}");
            assert_eq!(left[..MOST / 2], (0..MOST / 2).collect::<Vec<_>>());
            assert_eq!(left[left.len() - 4..], [96, 97, 98, 99]);
            assert_eq!(rungs.left_out as usize, 100 - left.len());
        }
    }

    #[test]
    fn a_flood_of_large_messages_keeps_to_its_bytes() {
        let mut rungs = rungs();
        for number in 0..200 {
            let body = "x".repeat(60_000);
            let large = Bytes::from(format!("INFO sip:h SIP/2.0\r\nCSeq: {number} INFO\r\n\r\n{body}"));
            rungs.message(at(number), Way::In, hop(1), &large, 96);
            assert!(rungs.size() <= BYTES + MESSAGE + 96 * size_of::<Entry>() + FRAME, "{}", rungs.size());
        }
        let shown = rungs.show();
        assert_eq!(shown.entries.len() + shown.left_out as usize, 200);
        let What::Passed(passed) = &shown.entries[0].0.what else { panic!("a message") };
        assert!(passed.bytes.len() == MESSAGE && passed.length > 60_000);
    }

    #[test]
    fn the_ladder_of_a_quiet_call_is_small() {
        let mut rungs = rungs();
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 0 101\r\n\
                   a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
        let lines = "From: <sip:+442071230000@192.0.2.1>;tag=8f3c\r\nTo: <sip:+447700900123@192.0.2.2>;tag=1f.3.8a77-b9\r\n\
                     Call-ID: 18b0f0a7c2e94f0a@192.0.2.1\r\nContact: <sip:1f.3.8a77@192.0.2.9>\r\nMax-Forwards: 70\r\n\
                     Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY\r\nSupported: timer, 100rel\r\n";
        let mut whole = 0;
        for (number, start) in
            ["INVITE sip:a SIP/2.0", "SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK", "ACK"]
                .into_iter()
                .enumerate()
        {
            for (way, port) in [(Way::In, 1), (Way::Out, 2)] {
                let body = if number % 3 == 0 { sdp } else { "" };
                let via = format!("Via: SIP/2.0/UDP 192.0.2.{port};branch=z9hG4bK{number}{port}7f\r\n");
                let text = Bytes::from(format!("{start}\r\n{via}CSeq: {number} INVITE\r\n{lines}\r\n{body}"));
                whole += text.len();
                rungs.message(at(0), way, hop(port), &text, 96);
            }
        }
        assert!(rungs.settle(at(15_000), 96));
        assert!(rungs.size() < 2_000, "{} of {whole}", rungs.size());
    }
}
