//! What explains a call afterwards: its messages in their order, what was decided between them and why, its moves between nodes
//! and its media figures. While the call lives the ladder lies in its cell; later it is kept for a while ([`archive`]). What
//! passes may also go to a collector ([`crate::hep`]), and what becomes of some calls to one of traces ([`crate::otlp`]).
//!
//! The pure call knows nothing of it, and nothing of it makes a call wait: it is written where a turn receives and performs.
//! Secrets are blanked before anything is kept or sent on ([`mask`]).

mod ahead;
mod archive;
mod entry;
mod hop;
mod legs;
mod mask;
mod rungs;
mod spool;
mod sweeper;
mod written;

use crate::calls::directory::Place;
use crate::hep;
use crate::otlp::{self, Happened, Part};
use ::call::effect::{MediaSide, Moved, Outcome};
use ::call::input::MediaStats;
use ::call::note::Note;
use ::call::record::{Record, Row};
use ::call::{Call, CallId};
use archive::Archive;
use bytes::Bytes;
pub use entry::{Entry, Fault, Hop, Passed, Said, Tick, Way, What, Why};
pub use legs::Legs;
use parking_lot::Mutex;
use routing::cluster::NodeId;
use rungs::Rungs;
pub use rungs::Shown;
use sip::Flow;
use sip::clock::{Instant, Now};
use spool::Spool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
pub(crate) use sweeper::spawn;

/// Bytes of a row, mostly.
const ROW: usize = 384;

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Messages and decisions of one call; 0 keeps none of any call.
    pub messages: usize,
    /// Bytes of all calls that have ended.
    pub kept_bytes: usize,
    /// For how long these are kept.
    pub kept_for: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { messages: 96, kept_bytes: 64 << 20, kept_for: Duration::from_secs(3_600) }
    }
}

/// The ladder of one call; empty until something has happened.
#[derive(Default)]
pub struct Ladder {
    rungs: Mutex<Option<Box<Rungs>>>,
    /// Of a call that is traced.
    part: OnceLock<Box<Mutex<Part>>>,
}

impl Ladder {
    /// Has it fetched: a turn begins, in which it will be written to.
    pub(crate) fn fetch(&self) {
        if let Some(rungs) = self.rungs.lock().as_deref() {
            ahead::fetch(rungs);
        }
    }
}

/// What all calls of a node share of it.
pub struct Ladders {
    options: Options,
    /// What is fresh, of calls that live and of those that have ended.
    spool: Spool,
    archive: Archive,
    hep: Option<hep::Queue>,
    otlp: Option<otlp::Queue>,
}

impl Ladders {
    /// With room for what `options` say, and queues to collectors where there are any.
    #[must_use]
    pub fn new(options: Options, hep: Option<hep::Queue>, otlp: Option<otlp::Queue>) -> Self {
        let (spool, archive) = (Spool::new(options.kept_bytes), Archive::new(options.kept_bytes / 2, options.kept_for));
        Self { options, spool, archive, hep, otlp }
    }

    /// Whether any ladder is kept.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.options.messages > 0
    }

    /// A message of a call came.
    pub(crate) fn received(&self, id: CallId, ladder: &Ladder, now: Now, bytes: &Bytes, flow: &Flow) {
        self.passed(id, ladder, now, (Way::In, flow), bytes);
    }

    /// A message of a call was handed to the network, or could not be.
    pub(crate) fn sent(&self, id: CallId, ladder: &Ladder, now: Now, bytes: &Bytes, flow: &Flow, handed: bool) {
        let way = if handed { Way::Out } else { Way::Unsent };
        self.passed(id, ladder, now, (way, flow), bytes);
    }

    /// Whether anybody wants to know what passes.
    pub(crate) const fn listens(&self) -> bool {
        self.is_kept() || self.hep.is_some() || self.otlp.is_some()
    }

    fn passed(&self, id: CallId, ladder: &Ladder, now: Now, (way, flow): (Way, &Flow), bytes: &Bytes) {
        if !self.listens() {
            return;
        }
        self.begin(id, ladder, || Part::new(id, now));
        self.traced(ladder, |part, _| part.passed(now, way, bytes));
        if !self.is_kept() && self.hep.is_none() {
            return;
        }
        let masked = mask::masked(bytes);
        let bytes = masked.as_ref().unwrap_or(bytes);
        let mut unix_us = now.wall.0.saturating_mul(1_000);
        if self.is_kept() {
            let mut rungs = ladder.rungs.lock();
            let rungs = rungs.get_or_insert_with(|| Box::new(Rungs::new(now)));
            rungs.message(&self.spool, now.mono, way, Hop::of(flow), bytes, self.options.messages);
            let began = rungs.began();
            let since = u64::try_from(now.mono.since(began.mono).as_micros()).unwrap_or(u64::MAX);
            unix_us = began.wall.0.saturating_mul(1_000).saturating_add(since);
        }
        if let Some(hep) = &self.hep
            && way != Way::Unsent
        {
            hep.offer(hep::Captured::message(id, way, Hop::of(flow), unix_us, bytes.clone()));
        }
    }

    /// Begins the trace of a call, if it is among those that are traced and has none yet.
    fn begin(&self, id: CallId, ladder: &Ladder, part: impl FnOnce() -> Part) {
        if let Some(queue) = &self.otlp
            && queue.wants(id)
        {
            ladder.part.get_or_init(|| Box::new(Mutex::new(part())));
        }
    }

    /// Adds to the trace of a call that has one.
    fn traced(&self, ladder: &Ladder, add: impl FnOnce(&mut Part, &otlp::Queue)) {
        if let (Some(queue), Some(part)) = (&self.otlp, ladder.part.get()) {
            add(&mut part.lock(), queue);
        }
    }

    fn note(&self, ladder: &Ladder, now: Now, what: impl FnOnce() -> What) {
        if self.is_kept() {
            let mut rungs = ladder.rungs.lock();
            let rungs = rungs.get_or_insert_with(|| Box::new(Rungs::new(now)));
            rungs.note(&self.spool, now.mono, &what(), self.options.messages);
        }
    }

    /// The call has decided something.
    pub(crate) fn decided(&self, ladder: &Ladder, now: Now, note: Note) {
        self.traced(ladder, |part, queue| part.decided(queue, now, &note));
        self.note(ladder, now, || What::Note(note));
    }

    /// An attempt, or the call, is over.
    pub(crate) fn recorded(&self, ladder: &Ladder, now: Now, record: &Record) {
        self.traced(ladder, |part, queue| part.recorded(queue, now, record));
        if let Record::Close(row) = record {
            // A row can always be written; the outbox writes it in the same way.
            let write = || postcard::to_extend(row, Vec::with_capacity(ROW)).unwrap_or_default();
            self.note(ladder, now, || What::Row(write().into()));
        }
    }

    /// The call has learnt something of a gateway.
    pub(crate) fn learnt(&self, ladder: &Ladder, now: Now, (trunk, gateway): (&Arc<str>, &Arc<str>), outcome: Outcome) {
        if let Some(fault) = Fault::of(outcome) {
            self.traced(ladder, |part, _| part.happened(now, Happened::Gateway { trunk: Arc::clone(trunk), fault }));
            self.note(ladder, now, || What::Gateway { trunk: Arc::clone(trunk), gateway: Arc::clone(gateway), fault });
        }
    }

    /// Audio of a side is heard.
    pub(crate) fn heard(&self, ladder: &Ladder, now: Now, side: MediaSide) {
        self.traced(ladder, |part, _| part.happened(now, Happened::Heard(side)));
        self.note(ladder, now, || What::Heard(side));
    }

    /// The figures of the media are there.
    pub(crate) fn figures(&self, ladder: &Ladder, now: Now, stats: &MediaStats) {
        if stats.a.packets + stats.b.packets > 0 {
            self.traced(ladder, |part, _| part.figures(stats));
            self.note(ladder, now, || What::Media(Box::new(*stats)));
        }
    }

    /// The call came from another node.
    pub(crate) fn came(&self, call: &Call, ladder: &Ladder, now: Now, (from, why): (NodeId, Why)) {
        self.begin(call.id(), ladder, || Part::taken_over(&call.summary(now), now, from, why));
        self.note(ladder, now, || What::Came { from, why });
    }

    /// The call went to another node.
    pub(crate) fn went(&self, ladder: &Ladder, now: Now, to: Option<NodeId>) {
        self.traced(ladder, |part, queue| part.went(queue, now, to));
        self.note(ladder, now, || What::Went { to });
    }

    /// A party was asked to follow the call here.
    pub(crate) fn followed(&self, ladder: &Ladder, now: Now, remote: std::net::SocketAddr, outcome: Moved) {
        self.traced(ladder, |part, _| part.happened(now, Happened::Followed(Said::of(outcome))));
        self.note(ladder, now, || What::Followed { remote, said: Said::of(outcome) });
    }

    /// The call is gone from here: what explains it is kept, if it was anybody's call.
    pub(crate) fn over(&self, id: CallId, ladder: &Ladder, now: Instant) {
        self.traced(ladder, |part, queue| part.gone(queue, now));
        let Some(mut rungs) = ladder.rungs.lock().take() else { return };
        if rungs.is_recognised() {
            self.archive.keep(&self.spool, now, id, rungs);
        } else {
            rungs.leave(&self.spool);
        }
    }

    /// The ladder of a call that is here.
    #[must_use]
    pub fn live(&self, place: &Place) -> Option<Shown> {
        place.cell().ladder.rungs.lock().as_ref().map(|rungs| rungs.show(&self.spool))
    }

    /// The ladders of a call that was here: one for each time that it was.
    #[must_use]
    pub fn ended(&self, id: CallId) -> Vec<Shown> {
        self.archive.find(&self.spool, id)
    }

    pub(crate) const fn hep(&self) -> Option<&hep::Queue> {
        self.hep.as_ref()
    }

    pub(crate) const fn otlp(&self) -> Option<&otlp::Queue> {
        self.otlp.as_ref()
    }

    /// Forgets what is too old; answers the ladders that are kept, and the bytes that all of them take, those of live calls
    /// included as far as these are not packed.
    fn expire(&self, now: Instant) -> (usize, usize) {
        self.archive.expire(&self.spool, now);
        let (kept, bytes) = self.archive.size();
        metrics::counter!("tandem_ladders_evicted_total", "reason" => "room").increment(self.spool.lost());
        (kept, bytes + self.spool.size())
    }

    /// Packs the ladder of a call if it is quiet; whether it did.
    fn settle(&self, ladder: &Ladder, now: Instant) -> bool {
        ladder.rungs.lock().as_mut().is_some_and(|rungs| rungs.settle(&self.spool, now, self.options.messages))
    }
}

/// Reads the row of an [`What::Row`].
#[must_use]
pub fn row(written: &[u8]) -> Option<Row> {
    postcard::from_bytes(written).ok()
}
