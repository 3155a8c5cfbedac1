//! What this node tells of one call that is traced: phases as they end, each with what happened in it.
//!
//! Each phase is handed over at its end and not with the call: of a node that dies, the others cannot send what it knew. No number,
//! no address and no name of a line comes in here, so none can come out.

use super::Queue;
use crate::ladder::{Fault, Said, Way, Why};
use ::call::CallId;
use ::call::Summary;
use ::call::effect::MediaSide;
use ::call::input::MediaStats;
use ::call::note::{By, Note, Party};
use ::call::record::{EndedBy, Record, Row};
use routing::cluster::NodeId;
use sip::Method;
use sip::clock::{Instant, Now, Wall};
use sip::peek::Peek;
use smallvec::SmallVec;
use std::sync::Arc;

/// Things that happened in one phase; more are counted.
const EVENTS: usize = 64;

/// A phase that is over.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Phase {
    pub(crate) id: CallId,
    /// In microseconds since 1970.
    pub(crate) began_us: u64,
    /// In microseconds since 1970.
    pub(crate) ended_us: u64,
    pub(crate) what: What,
    /// In their order.
    pub(crate) events: Vec<Event>,
    /// Events that had no room.
    pub(crate) dropped: u32,
}

/// Which phase.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum What {
    /// From the INVITE to the first attempt, or to the end where there is none.
    Routing,
    /// From the wish for a channel to the answer or the failure.
    Attempt(Leg),
    /// From an answer to the end of that leg.
    Conversation(Leg),
    /// From when this node had the call until it ended or left.
    Carried { over: bool, figures: Option<Box<MediaStats>> },
    /// All of it, from the INVITE to the end: told by the node that ends it.
    Call(Box<Whole>),
}

/// One attempt, or what became of it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Leg {
    /// From 1.
    pub(crate) attempt: u32,
    /// Empty for a line.
    pub(crate) trunk: Arc<str>,
    /// The final status; 0 for none.
    pub(crate) code: u16,
}

/// What the last row of a call says of it, without its parties.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Whole {
    pub(crate) ingress: Arc<str>,
    pub(crate) egress: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) code: u16,
    pub(crate) q850: u16,
    pub(crate) ended_by: EndedBy,
    pub(crate) reason: Arc<str>,
    /// From answer to end, in milliseconds; absent where nobody answered.
    pub(crate) duration_ms: Option<u64>,
    pub(crate) pdd_ms: Option<u64>,
    pub(crate) codec: Box<str>,
    pub(crate) mos: f32,
    pub(crate) jitter_ms: f32,
    pub(crate) loss_percent: f32,
    pub(crate) takeovers: u32,
}

/// What happened, and when.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Event {
    /// In microseconds since 1970.
    pub(crate) at_us: u64,
    pub(crate) happened: Happened,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Happened {
    /// A request, or a response to one.
    Message {
        way: Way,
        method: Method,
        code: Option<u16>,
    },
    /// Empty trunk for a line.
    Recognised {
        trunk: Arc<str>,
        by: By,
    },
    TurnedAway {
        code: u16,
    },
    Planned {
        attempts: u32,
        emergency: bool,
    },
    Calling {
        attempt: u32,
    },
    Gateway {
        trunk: Arc<str>,
        fault: Fault,
    },
    Heard(MediaSide),
    Came {
        from: NodeId,
        why: Why,
    },
    Went {
        to: Option<NodeId>,
    },
    Followed(Said),
}

/// An attempt under way.
struct Attempt {
    /// Not known of one that another node began.
    number: Option<u32>,
    began_us: Option<u64>,
    trunk: Arc<str>,
}

/// See the module.
pub(crate) struct Part {
    id: CallId,
    began: Now,
    /// When the INVITE came, wherever that was.
    started_us: u64,
    routed: bool,
    /// Those under way: the next one begins before the row of the last one is there.
    attempts: SmallVec<[Attempt; 1]>,
    events: Vec<Event>,
    dropped: u32,
    figures: Option<Box<MediaStats>>,
    over: bool,
}

impl Part {
    /// Of a call that begins here.
    pub(crate) fn new(id: CallId, now: Now) -> Self {
        let (events, started_us) = (Vec::new(), micros(now.wall));
        let (attempts, routed, over) = (SmallVec::new(), false, false);
        Self { id, began: now, started_us, routed, attempts, events, dropped: 0, figures: None, over }
    }

    /// Of a call that came from another node as it is now.
    pub(crate) fn taken_over(summary: &Summary, now: Now, from: NodeId, why: Why) -> Self {
        let mut part = Self::new(summary.id, now);
        part.routed = true;
        part.started_us = summary.started.map_or(part.started_us, micros);
        let ringing = || Attempt { number: None, began_us: None, trunk: Arc::clone(&summary.egress_trunk) };
        part.attempts.extend(summary.answered.is_none().then(ringing));
        part.happened(now, Happened::Came { from, why });
        part
    }

    /// Notes what happened.
    pub(crate) fn happened(&mut self, now: Now, happened: Happened) {
        if self.over {
            return;
        }
        if self.events.len() >= EVENTS {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.events.push(Event { at_us: self.at(now.mono), happened });
    }

    /// A message passed.
    pub(crate) fn passed(&mut self, now: Now, way: Way, bytes: &[u8]) {
        let Some(peek) = Peek::of(bytes) else { return };
        let method = peek.method.or_else(|| peek.cseq_method()).unwrap_or(Method::Other);
        self.happened(now, Happened::Message { way, method, code: peek.code });
    }

    /// The call has decided something.
    pub(crate) fn decided(&mut self, queue: &Queue, now: Now, note: &Note) {
        match note {
            Note::Recognised { from, by } => {
                self.happened(now, Happened::Recognised { trunk: trunk_of(from), by: *by });
            }
            Note::TurnedAway { code } => self.happened(now, Happened::TurnedAway { code: *code }),
            Note::Planned { attempts, emergency, .. } => {
                self.happened(now, Happened::Planned { attempts: *attempts, emergency: *emergency });
            }
            Note::Attempt { number, to, .. } => self.attempted(queue, now, *number, trunk_of(to)),
            Note::Calling { attempt, .. } => self.happened(now, Happened::Calling { attempt: *attempt }),
        }
    }

    fn attempted(&mut self, queue: &Queue, now: Now, number: u32, trunk: Arc<str>) {
        let now_us = self.at(now.mono);
        self.end_routing(queue, now_us);
        self.attempts.push(Attempt { number: Some(number), began_us: Some(now_us), trunk });
    }

    /// A row was opened or closed.
    pub(crate) fn recorded(&mut self, queue: &Queue, now: Now, record: &Record) {
        if self.over {
            return;
        }
        let now_us = self.at(now.mono);
        match record {
            // What was answered elsewhere is told by that node.
            Record::Open(row) if row.is_final => self.end_attempt(queue, now_us, row),
            Record::Open(_) => {}
            Record::Close(row) => {
                if row.answered.is_some() {
                    self.end_conversation(queue, row);
                } else {
                    self.end_attempt(queue, now_us, row);
                }
                if row.is_final {
                    self.end(queue, now_us, row);
                }
            }
        }
    }

    fn end_routing(&mut self, queue: &Queue, now_us: u64) {
        if !std::mem::replace(&mut self.routed, true) {
            self.tell(queue, self.started_us, now_us, What::Routing);
        }
    }

    /// The attempt of a row is over, if it is one that was under way here.
    fn end_attempt(&mut self, queue: &Queue, now_us: u64, row: &Row) {
        let of_row = |attempt: &Attempt| attempt.number.is_none_or(|number| number == row.attempt);
        if let Some(index) = self.attempts.iter().position(of_row) {
            let Attempt { began_us, trunk, .. } = self.attempts.remove(index);
            let leg = Leg { attempt: row.attempt, trunk, code: row.sip_code };
            self.tell(queue, began_us.unwrap_or_else(|| micros(row.started)), now_us, What::Attempt(leg));
        }
    }

    /// Attempts of which no row speaks were left.
    fn leave_attempts(&mut self, queue: &Queue, now_us: u64) {
        for Attempt { number, began_us, trunk } in std::mem::take(&mut self.attempts) {
            let leg = Leg { attempt: number.unwrap_or_default(), trunk, code: 0 };
            self.tell(queue, began_us.unwrap_or_else(|| micros(self.began.wall)), now_us, What::Attempt(leg));
        }
    }

    fn end_conversation(&mut self, queue: &Queue, row: &Row) {
        let leg = Leg { attempt: row.attempt, trunk: Arc::clone(&row.egress_trunk), code: row.sip_code };
        let began_us = row.answered.map_or(self.started_us, micros);
        let events = std::mem::take(&mut self.events);
        self.tell(queue, began_us, micros(row.ended), What::Conversation(leg));
        self.events = events;
    }

    /// The call is over.
    fn end(&mut self, queue: &Queue, now_us: u64, row: &Row) {
        self.end_routing(queue, now_us);
        self.leave_attempts(queue, now_us);
        self.end_carried(queue, now_us, true);
        let whole = What::Call(Box::new(Whole::of(row)));
        self.tell(queue, self.started_us, micros(row.ended), whole);
    }

    fn end_carried(&mut self, queue: &Queue, now_us: u64, over: bool) {
        let figures = self.figures.take();
        self.tell(queue, micros(self.began.wall), now_us, What::Carried { over, figures });
        self.over = true;
    }

    /// The figures of the media are there.
    pub(crate) fn figures(&mut self, stats: &MediaStats) {
        self.figures = Some(Box::new(*stats));
    }

    /// The call goes on elsewhere.
    pub(crate) fn went(&mut self, queue: &Queue, now: Now, to: Option<NodeId>) {
        if !self.over {
            self.happened(now, Happened::Went { to });
            self.end_carried(queue, self.at(now.mono), false);
        }
    }

    /// The call is not here any more. One that was nobody's is not told of, and one without an end is another node's, or lost.
    pub(crate) fn gone(&mut self, queue: &Queue, now: Instant) {
        if !self.over && self.routed {
            let now_us = self.at(now);
            self.leave_attempts(queue, now_us);
            self.end_carried(queue, now_us, false);
        }
        self.over = true;
    }

    /// Hands a phase over, with what has happened since the last one.
    fn tell(&mut self, queue: &Queue, began_us: u64, ended_us: u64, what: What) {
        let (events, dropped) = (std::mem::take(&mut self.events), std::mem::take(&mut self.dropped));
        // The clocks of two nodes differ, and rows count in milliseconds.
        queue.offer(Phase { id: self.id, began_us, ended_us: ended_us.max(began_us), what, events, dropped });
    }

    fn at(&self, now: Instant) -> u64 {
        let since = u64::try_from(now.since(self.began.mono).as_micros()).unwrap_or(u64::MAX);
        micros(self.began.wall).saturating_add(since)
    }
}

impl Whole {
    fn of(row: &Row) -> Self {
        Self {
            ingress: Arc::clone(&row.ingress_trunk),
            egress: Arc::clone(&row.egress_trunk),
            attempt: row.attempt,
            code: row.sip_code,
            q850: row.q850,
            ended_by: row.ended_by,
            reason: row.reason.clone(),
            duration_ms: row.answered.map(|_| row.duration_ms),
            pdd_ms: row.pdd_ms,
            codec: codec(&row.codec).into(),
            mos: row.mos,
            jitter_ms: row.jitter_ms,
            loss_percent: row.loss_percent,
            takeovers: row.takeovers,
        }
    }
}

/// The name of a codec is what a peer says: it is told only where it looks like one.
fn codec(name: &str) -> &str {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    if name.len() <= 16 && digits <= 4 && name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name
    } else {
        ""
    }
}

fn trunk_of(party: &Party) -> Arc<str> {
    match party {
        Party::Trunk(trunk) | Party::Registered(trunk) => Arc::clone(trunk),
        Party::Line(_) => Arc::from(""),
    }
}

const fn micros(wall: Wall) -> u64 {
    wall.0.saturating_mul(1_000)
}

#[cfg(test)]
mod tests;
