//! One call's ladder: bounded, and small while the call is quiet.
//!
//! New entries are written to the spool that all ladders share. Once nothing has happened for four seconds they are packed into
//! one compressed block of the call's own: the messages of a call repeat each other, and most calls are quiet for most of their
//! time. What comes too often falls out of the middle: the first entries say how the call began, the newest how it stands.

use super::entry::{Entry, Hop, Part, Tick, Way, What};
use super::spool::{Held, Spool};
use super::written::{self, Written};
use foldhash::fast::FixedState;
use sip::clock::{Instant, Now};
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::time::Duration;

/// Bytes of all messages of a call before they are packed.
const BYTES: usize = 48 << 10;
/// Bytes of one message that are kept.
const MESSAGE: usize = 6 << 10;
/// A ladder is packed when nothing was added for so long. Packing costs a fifth of what the signalling of a whole call does, so
/// calls that are short or fail are spared it.
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
    /// Which message each entry is; 0 for what is none.
    marks: Box<[u32]>,
    /// What came again since it was packed.
    echoes: Echoes,
}

/// What came again, at the most once for each entry however often that was: which entry, how often, and when for the last time.
#[derive(Default)]
struct Echoes(Vec<(u16, u16, Tick)>);

/// What was written to the spool since it was last packed.
#[derive(Default)]
struct Fresh {
    held: Held,
    /// Bytes of its messages.
    bytes: usize,
    /// Which message each entry is; 0 for what is none.
    marks: SmallVec<[u32; 20]>,
    echoes: Echoes,
}

/// See the module.
pub(super) struct Rungs {
    began: Now,
    packed: Option<Box<Packed>>,
    fresh: Fresh,
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
        let (fresh, touched) = (Fresh::default(), Tick::default());
        Self { began: now, packed: None, fresh, left_out: 0, touched, recognised: false }
    }

    pub(super) const fn began(&self) -> Now {
        self.began
    }

    pub(super) const fn is_recognised(&self) -> bool {
        self.recognised
    }

    /// A message passed. One that passed before in the same way is counted there.
    pub(super) fn message(&mut self, spool: &Spool, now: Instant, way: Way, hop: Hop, bytes: &[u8], most: usize) {
        let at = self.touch(now);
        let mark = mark(way, bytes.len(), bytes);
        let (fresh, packed) = (&mut self.fresh, self.packed.as_deref_mut());
        if fresh.echoes.hears(&fresh.marks, mark, at)
            || packed.is_some_and(|packed| packed.echoes.hears(&packed.marks, mark, at))
        {
            return;
        }
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let bytes = &bytes[..bytes.len().min(MESSAGE)];
        self.make_room(spool, bytes.len(), most);
        self.fresh.bytes += bytes.len();
        self.fresh.marks.push(mark);
        self.write(spool, &Written::Passed { at, way, hop, length, bytes });
    }

    /// Anything else happened.
    pub(super) fn note(&mut self, spool: &Spool, now: Instant, what: &What, most: usize) {
        self.recognised |= !matches!(what, What::Note(::call::note::Note::TurnedAway { .. }));
        let at = self.touch(now);
        self.make_room(spool, 0, most);
        self.fresh.marks.push(0);
        self.write(spool, &Written::Noted { at, what });
    }

    fn touch(&mut self, now: Instant) -> Tick {
        self.touched = Tick::of(self.began.mono, now);
        self.touched
    }

    fn write(&mut self, spool: &Spool, entry: &Written<'_>) {
        // What fits into no block is not there; what is behind it does not know of it.
        spool.append(&mut self.fresh.held, |room| entry.write(room));
    }

    fn count(&self) -> usize {
        self.packed.as_ref().map_or(0, |packed| packed.count) + self.fresh.marks.len()
    }

    /// Packs what there is, where it would be too much with so many bytes more: what is packed leaves room.
    fn make_room(&mut self, spool: &Spool, bytes: usize, most: usize) {
        if self.count() >= most || self.fresh.bytes + bytes > BYTES {
            self.pack(spool, most);
        }
    }

    /// Packs what is not packed yet, if nothing was added for a while or the spool needs its room; whether it did.
    pub(super) fn settle(&mut self, spool: &Spool, now: Instant, most: usize) -> bool {
        if self.fresh.held.is_empty() {
            return false;
        }
        let still = Tick::of(self.began.mono, now).span().saturating_sub(self.touched.span());
        if still < QUIET && !spool.is_pressing(&self.fresh.held) {
            return false;
        }
        self.pack(spool, most);
        true
    }

    fn pack(&mut self, spool: &Spool, most: usize) {
        let (mut all, missing) = self.read(spool);
        self.left_out = self.left_out.saturating_add(missing);
        let bytes = |part: &Part| part.message_bytes();
        // Room for the newest has to be left.
        while all.entries.len() > most * 3 / 4 || bytes(&all) > BYTES * 3 / 4 {
            all.entries.remove((most / 2).min(all.entries.len() - 1));
            self.left_out = self.left_out.saturating_add(1);
        }
        self.packed = Some(Box::new(Packed {
            count: all.entries.len(),
            marks: all.entries.iter().map(mark_of).collect(),
            echoes: Echoes::default(),
            block: pack(&all),
        }));
        self.leave(spool);
    }

    /// Lets go of what it has in the spool.
    pub(super) fn leave(&mut self, spool: &Spool) {
        spool.leave(&std::mem::take(&mut self.fresh).held);
    }

    /// Whether nothing is left to be shown.
    pub(super) fn is_hollow(&self, spool: &Spool) -> bool {
        self.packed.is_none() && spool.has_lost(&self.fresh.held)
    }

    /// Everything, in order, and how many of the fresh entries are gone.
    fn read(&self, spool: &Spool) -> (Part, u32) {
        let mut all = self.packed.as_ref().map(|packed| packed.read()).unwrap_or_default();
        let (fresh, missing) = self.fresh.read(spool);
        all.append(fresh);
        (all, missing)
    }

    /// To be shown.
    pub(super) fn show(&self, spool: &Spool) -> Shown {
        let (all, missing) = self.read(spool);
        let hop = |entry: &Entry| if let What::Passed(passed) = &entry.what { all.hop_of(passed) } else { None };
        let entries = all.entries.iter().map(|entry| (entry.clone(), hop(entry))).collect();
        Shown { began: self.began, entries, left_out: self.left_out.saturating_add(missing) }
    }

    /// Bytes that it takes beside the spool, roughly.
    pub(super) fn size(&self) -> usize {
        FRAME + self.packed.as_ref().map_or(0, |packed| packed.block.len() + packed.marks.len() * size_of::<u32>())
    }
}

impl Fresh {
    /// What is still in the spool of it, and how many entries are not.
    fn read(&self, spool: &Spool) -> (Part, u32) {
        let mut part = Part::default();
        // It was written here, and reads.
        spool.walk(&self.held, |written| {
            if let Some((entry, hop)) = written::read(written) {
                part.push(entry, hop);
            }
        });
        part.entries.reverse();
        let missing = self.marks.len().saturating_sub(part.entries.len());
        self.echoes.count_in(&mut part, missing);
        (part, u32::try_from(missing).unwrap_or(u32::MAX))
    }
}

impl Echoes {
    /// Counts a message if it is one of those with these marks; whether it is.
    fn hears(&mut self, marks: &[u32], mark: u32, at: Tick) -> bool {
        let Some(place) = marks.iter().position(|known| *known == mark) else { return false };
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        match self.0.iter_mut().find(|(known, _, _)| *known == place) {
            Some((_, count, last)) => (*count, *last) = (count.saturating_add(1), at),
            None => self.0.push((place, 1, at)),
        }
        true
    }

    /// Tells the entries of a part, of which the first `missing` are gone.
    fn count_in(&self, part: &mut Part, missing: usize) {
        for (place, count, last) in &self.0 {
            let entry = usize::from(*place).checked_sub(missing).and_then(|place| part.entries.get_mut(place));
            if let Some(Entry { what: What::Passed(passed), .. }) = entry {
                passed.repeats = passed.repeats.saturating_add(*count);
                passed.last = *last;
            }
        }
    }
}

impl Packed {
    fn read(&self) -> Part {
        let mut part = unpack(&self.block);
        self.echoes.count_in(&mut part, 0);
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

/// Names a message among those of a call, by what is kept of it; never 0.
fn mark(way: Way, length: usize, bytes: &[u8]) -> u32 {
    let hash = FixedState::default().hash_one((way as u8, length, &bytes[..bytes.len().min(MESSAGE)]));
    u32::try_from(hash >> 32).unwrap_or(0).max(1)
}

fn mark_of(entry: &Entry) -> u32 {
    let What::Passed(passed) = &entry.what else { return 0 };
    mark(passed.way, passed.length as usize, &passed.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sip::Transport;
    use std::net::SocketAddr;

    const MOST: usize = 16;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(1_000_000 + ms * 1_000)
    }

    /// A ladder with a spool of its own.
    struct Alone(Rungs, Spool);

    impl Alone {
        fn message(&mut self, now: Instant, way: Way, hop: Hop, bytes: &[u8], most: usize) {
            self.0.message(&self.1, now, way, hop, bytes, most);
        }

        fn settle(&mut self, now: Instant, most: usize) -> bool {
            self.0.settle(&self.1, now, most)
        }

        fn show(&self) -> Shown {
            self.0.show(&self.1)
        }
    }

    fn rungs() -> Alone {
        Alone(Rungs::new(Now { mono: at(0), ..Now::default() }), Spool::new(64 << 20))
    }

    fn hop(port: u16) -> Hop {
        let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
        Hop { transport: Transport::Udp, local: address(5060), remote: address(port) }
    }

    fn message(number: usize) -> Bytes {
        Bytes::from(format!("INFO sip:h SIP/2.0\r\nCSeq: {number} INFO\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK\r\n\r\n"))
    }

    fn messages(rungs: &Alone) -> Vec<(String, u16, Option<u16>)> {
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
            assert_eq!(rungs.0.left_out as usize, 100 - left.len());
        }
    }

    #[test]
    fn a_flood_of_large_messages_keeps_to_its_bytes() {
        let mut rungs = rungs();
        for number in 0..200 {
            let body = "x".repeat(60_000);
            let large = Bytes::from(format!("INFO sip:h SIP/2.0\r\nCSeq: {number} INFO\r\n\r\n{body}"));
            rungs.message(at(number), Way::In, hop(1), &large, 96);
            assert!(rungs.0.fresh.bytes <= BYTES, "{}", rungs.0.fresh.bytes);
            assert!(rungs.0.size() <= BYTES, "{}", rungs.0.size());
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
        assert!(rungs.0.size() < 2_000, "{} of {whole}", rungs.0.size());
        assert_eq!(rungs.1.size(), 256 << 10, "the spool has all its room again");
    }

    #[test]
    fn a_flood_of_one_message_takes_no_room() {
        let mut rungs = rungs();
        (0..100_000).for_each(|ms| rungs.message(at(ms), Way::In, hop(1), &message(1), MOST));
        assert_eq!((rungs.1.size(), rungs.0.fresh.marks.len()), (256 << 10, 1));
        assert_eq!(messages(&rungs), [("1".to_owned(), u16::MAX, Some(1))]);
    }

    #[test]
    fn what_the_spool_has_lost_is_counted_and_the_rest_is_shown_in_its_place() {
        let mut rungs = Alone(Rungs::new(Now { mono: at(0), ..Now::default() }), Spool::new(0));
        let large = |number: usize| {
            let text = format!("INFO sip:h SIP/2.0\r\nCSeq: {number} INFO\r\n\r\n{}", "x".repeat(4_000));
            Bytes::from(text)
        };
        rungs.message(at(0), Way::In, hop(1), &large(1), MOST);
        let mut others = Rungs::new(Now { mono: at(0), ..Now::default() });
        let mut fill = |rungs: &Alone, from: usize, count: usize| {
            (from..from + count).for_each(|number| {
                others.message(&rungs.1, at(0), Way::In, hop(9), &large(number), 1_000);
                others.fresh.bytes = 0;
            });
        };
        fill(&rungs, 1_000, 100);
        rungs.message(at(1), Way::In, hop(1), &large(2), MOST);
        rungs.message(at(2), Way::In, hop(1), &large(3), MOST);
        fill(&rungs, 2_000, 40);
        rungs.message(at(3), Way::In, hop(1), &large(3), MOST);
        rungs.message(at(4), Way::In, hop(1), &large(4), MOST);
        let left = rungs.show();
        assert_eq!(
            messages(&rungs),
            [("2".to_owned(), 0, Some(1)), ("3".to_owned(), 1, Some(1)), ("4".to_owned(), 0, Some(1))]
        );
        assert_eq!(left.left_out, 1);
        assert!(rungs.settle(at(5), MOST), "what is left is brought into safety before it is quiet");
        assert_eq!((messages(&rungs).len(), rungs.show().left_out), (3, 1));
    }
}
