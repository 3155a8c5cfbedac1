//! What this node knows of how a call went, as the API has it: rungs with the words for each decision, moves, media, and for a
//! call that has ended its final row.

use crate::base64;
use ::call::effect::MediaSide;
use ::call::input::{MediaStats, SideStats};
use ::call::note::{By, Note, Party};
use ::call::record::{EndedBy, Row};
use console::{api, show_time};
use routing::cluster::NodeId;
use sip::clock::Wall;
use std::time::Duration;
use switch::ladder::{self, Entry, Fault, Hop, Legs, Passed, Said, Shown, Tick, Way, What, Why};

/// Bytes of messages in one answer: it goes between nodes as one parcel.
const MESSAGES: usize = 128 << 10;

/// What is told of a call.
pub(super) struct Teller<'a> {
    /// This node.
    pub(super) node: &'a str,
    /// The name of any node.
    pub(super) name: &'a dyn Fn(NodeId) -> String,
    /// With the text of messages.
    pub(super) messages: bool,
    /// The attempt that was answered where that cannot be seen here.
    pub(super) attempt: u32,
}

/// The whole of it.
#[derive(Default)]
pub(super) struct Told {
    pub(super) steps: Vec<api::Step>,
    pub(super) moves: Vec<api::Move>,
    pub(super) media: Vec<api::MediaSide>,
    pub(super) left_out: u32,
    /// The row that closed the call.
    pub(super) last: Option<Row>,
    /// The last thing that is known: it went to another node.
    pub(super) has_gone: bool,
}

impl Teller<'_> {
    /// Of every life of the call on this node, in their order.
    pub(super) fn tell(&self, lives: &[Shown]) -> Told {
        let mut told = Told::default();
        for life in lives {
            let rows = life.entries.iter().filter_map(|(entry, _)| row_of(entry)).map(|row| row.attempt);
            let legs = Legs::of(life.entries.iter().map(|(entry, _)| entry), rows.last().unwrap_or(self.attempt));
            told.left_out += life.left_out;
            for (entry, hop) in &life.entries {
                self.entry(&mut told, life, entry, *hop, &legs);
            }
        }
        let mut room = MESSAGES;
        for step in told.steps.iter_mut().rev() {
            let size = step.message.as_ref().or(step.message_base64.as_ref()).map_or(0, String::len);
            match room.checked_sub(size) {
                Some(left) => room = left,
                None => (step.message, step.message_base64) = (None, None),
            }
        }
        told
    }

    fn entry(&self, told: &mut Told, life: &Shown, entry: &Entry, hop: Option<Hop>, legs: &Legs) {
        let at = unix_us(life, entry.at);
        let steps = &mut told.steps;
        let mut note = |leg: &str, kind: &str, what: String| steps.push(self.note(at, leg, kind, what));
        match &entry.what {
            What::Passed(passed) => steps.push(self.message(life, at, passed, hop, legs)),
            What::Note(decided) => {
                let (leg, kind, what) = words(decided);
                steps.push(api::Step { party: name_of(decided), ..self.note(at, &leg, kind, what) });
            }
            What::Row(_) => {
                let Some(row) = row_of(entry) else { return };
                let (leg, kind, what) = ending(&row);
                // The next attempt begins before the row of this one is written; it is told after.
                let next = steps.last().filter(|step| step.unix_us == at && step.kind.as_deref() == Some("attempt"));
                let place = steps.len() - usize::from(!row.is_final && next.is_some());
                steps.insert(place, self.note(at, &leg, kind, what));
                told.last = row.is_final.then_some(row).or(told.last.take());
            }
            What::Gateway { trunk, gateway, fault } => {
                note("", "gateway", format!("gateway {gateway} of {trunk} {}", fault_words(*fault)));
            }
            What::Heard(side) => note(leg_of(*side), "media", format!("audio from the {} is heard", side_word(*side))),
            What::Media(stats) => told.media.extend(self.media(stats)),
            What::Came { from, why } => {
                let (from, to) = ((self.name)(*from), self.node.to_owned());
                let (word, why) = match why {
                    Why::NodeLost => ("node_lost", "is lost"),
                    Why::Drain => ("drain", "is drained"),
                };
                note("", "moved", format!("taken over from {from}, which {why}"));
                let at = show_time(Wall(at / 1_000));
                told.moves.push(api::Move { at, from, to, why: word.to_owned() });
                told.has_gone = false;
            }
            What::Went { to } => {
                let to = to.map_or_else(|| "another node".to_owned(), |to| (self.name)(to));
                note("", "moved", format!("given to {to}: this node is drained"));
                let (at, from) = (show_time(Wall(at / 1_000)), self.node.to_owned());
                told.moves.push(api::Move { at, from, to, why: "drain".to_owned() });
                told.has_gone = true;
            }
            What::Followed { remote, said } => {
                note("", "party", format!("the party at {remote} {}", said_words(*said)))
            }
        }
    }

    fn note(&self, unix_us: u64, leg: &str, kind: &str, what: String) -> api::Step {
        api::Step {
            at: show_time(Wall(unix_us / 1_000)),
            unix_us,
            node: self.node.to_owned(),
            leg: leg.to_owned(),
            way: "note".to_owned(),
            what,
            kind: Some(kind.to_owned()),
            ..api::Step::default()
        }
    }

    fn message(&self, life: &Shown, unix_us: u64, passed: &Passed, hop: Option<Hop>, legs: &Legs) -> api::Step {
        let (message, message_base64) = match std::str::from_utf8(&passed.bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(base64::encode(&passed.bytes))),
        };
        let way = match passed.way {
            Way::In => "in",
            Way::Out => "out",
            Way::Unsent => "unsent",
        };
        let peek = sip::peek::Peek::of(&passed.bytes);
        let method = peek.and_then(|peek| peek.method.or_else(|| peek.cseq_method()));
        api::Step {
            at: show_time(Wall(unix_us / 1_000)),
            unix_us,
            node: self.node.to_owned(),
            leg: legs.leg(&passed.bytes).to_owned(),
            way: way.to_owned(),
            what: what(&passed.bytes),
            kind: None,
            party: None,
            method: method.map(|method| method.token().to_owned()).filter(|token| !token.is_empty()),
            transport: hop.map(|hop| hop.transport.param().to_owned()),
            local: hop.map(|hop| hop.local.to_string()),
            remote: hop.map(|hop| hop.remote.to_string()),
            repeats: u32::from(passed.repeats),
            last_unix_us: (passed.repeats > 0).then(|| self::unix_us(life, passed.last)),
            sdp: has_sdp(&passed.bytes),
            length: passed.length,
            message: message.filter(|_| self.messages),
            message_base64: message_base64.filter(|_| self.messages),
        }
    }

    fn media(&self, stats: &MediaStats) -> [api::MediaSide; 2] {
        let side = |side: &str, stats: &SideStats| api::MediaSide {
            node: self.node.to_owned(),
            side: side.to_owned(),
            packets: stats.packets,
            lost: stats.lost,
            jitter_ms: rounded(stats.jitter_ms),
            mos: rounded(stats.mos),
            payload_type: stats.payload_type,
        };
        [side("caller", &stats.a), side("callee", &stats.b)]
    }
}

fn unix_us(life: &Shown, at: Tick) -> u64 {
    let since = u64::try_from(at.span().as_micros()).unwrap_or(u64::MAX);
    life.began.wall.0.saturating_mul(1_000).saturating_add(since)
}

/// Two digits behind the point: more than anybody reads.
fn rounded(figure: f32) -> f64 {
    (f64::from(figure) * 100.0).round() / 100.0
}

/// The method of a request, code and reason of a response.
fn what(message: &[u8]) -> String {
    let line = message.split(|b| matches!(b, b'\r' | b'\n')).find(|line| !line.is_empty()).unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.strip_prefix("SIP/2.0 ") {
        Some(status) => status.trim_end().to_owned(),
        None => line.split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// Whether the message has a body that describes a session, alone or beside others.
fn has_sdp(message: &[u8]) -> bool {
    let body = message.windows(4).position(|end| end == b"\r\n\r\n").map_or(&[][..], |end| &message[end + 4..]);
    body.starts_with(b"v=0") || body.windows(5).any(|line| line == b"\nv=0\r")
}

fn row_of(entry: &Entry) -> Option<Row> {
    if let What::Row(written) = &entry.what { ladder::row(written) } else { None }
}

fn leg_of(side: MediaSide) -> &'static str {
    match side {
        MediaSide::A => "a",
        MediaSide::B => "b",
    }
}

fn side_word(side: MediaSide) -> &'static str {
    match side {
        MediaSide::A => "caller",
        MediaSide::B => "callee",
    }
}

fn party(party: &Party) -> String {
    match party {
        Party::Trunk(name) => format!("trunk {name}"),
        Party::Registered(name) => format!("trunk {name}, where it is registered"),
        Party::Line(name) => format!("line {name}"),
    }
}

/// The trunk or line that a decision is about.
fn name_of(note: &Note) -> Option<String> {
    match note {
        Note::Recognised { from: party, .. } | Note::Attempt { to: party, .. } => Some(match party {
            Party::Trunk(name) | Party::Registered(name) | Party::Line(name) => name.to_string(),
        }),
        Note::TurnedAway { .. } | Note::Planned { .. } | Note::Calling { .. } => None,
    }
}

/// Leg, kind and text of a decision.
fn words(note: &Note) -> (String, &'static str, String) {
    match note {
        Note::Recognised { from, by } => {
            let by = match by {
                By::Address => "by its address",
                By::TechPrefix => "by its address and tech prefix",
                By::Digest => "by its digest",
            };
            ("a".to_owned(), "source", format!("from {}, known {by}", party(from)))
        }
        Note::TurnedAway { code: 401 } => ("a".to_owned(), "source", "asked for its digest".to_owned()),
        Note::TurnedAway { code: 0 } => ("a".to_owned(), "source", "not known, and left without an answer".to_owned()),
        Note::TurnedAway { code } => ("a".to_owned(), "source", format!("not known, or not allowed: {code}")),
        Note::Planned { attempts, lrn, emergency } => {
            let mut text = format!("{attempts} {} planned", if *attempts == 1 { "attempt is" } else { "attempts are" });
            if !lrn.is_empty() {
                text.push_str(&format!(", ported to {lrn}"));
            }
            if *emergency {
                text.push_str(", as an emergency call");
            }
            (String::new(), "plan", text)
        }
        Note::Attempt { number, to, plan, prefix, forwarded_by } => {
            let mut text = format!("attempt {number}: {}", party(to));
            match plan {
                Some(plan) if prefix.is_empty() => text.push_str(&format!(", default of plan {plan}")),
                Some(plan) => text.push_str(&format!(", prefix {prefix} of plan {plan}")),
                None => {}
            }
            if !forwarded_by.is_empty() {
                text.push_str(&format!(", by number {forwarded_by}"));
            }
            (format!("b{number}"), "attempt", text)
        }
        Note::Calling { attempt, gateway } => {
            let text =
                gateway.as_ref().map_or_else(|| "at its contact".to_owned(), |gateway| format!("gateway {gateway}"));
            (format!("b{attempt}"), "gateway", text)
        }
    }
}

/// Leg, kind and text of the end of an attempt or of the call.
fn ending(row: &Row) -> (String, &'static str, String) {
    let why = if row.reason.is_empty() { String::new() } else { format!(": {}", row.reason) };
    let q850 = if row.q850 == 0 { String::new() } else { format!(" (Q.850 {})", row.q850) };
    if !row.is_final {
        let text = format!("attempt {} ended with {}{why}{q850}", row.attempt, row.sip_code);
        return (format!("b{}", row.attempt), "failed", text);
    }
    let by = ended_by(row.ended_by);
    let code = if row.answered.is_some() { String::new() } else { format!(" with {}", row.sip_code) };
    (String::new(), "ended", format!("ended by the {by}{code}{why}{q850}"))
}

pub(super) const fn ended_by(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Caller => "caller",
        EndedBy::Callee => "callee",
        EndedBy::Switch => "switch",
    }
}

fn fault_words(fault: Fault) -> String {
    match fault {
        Fault::Unavailable(Some(seconds)) => format!("is unavailable for {seconds} s"),
        Fault::Unavailable(None) => "is unavailable".to_owned(),
        Fault::Silent => "says nothing".to_owned(),
        Fault::Unreachable => "cannot be reached".to_owned(),
    }
}

const fn said_words(said: Said) -> &'static str {
    match said {
        Said::Yes => "follows",
        Said::NotNow => "does not follow now",
        Said::Nothing => "says nothing",
        Said::No => "does not know the call any more, or will not follow",
    }
}

/// A call that has ended, as its final row has it.
pub(super) fn ended(row: &Row) -> api::Call {
    api::Call {
        id: row.call.to_string(),
        state: "ended".to_owned(),
        ingress_trunk: row.ingress_trunk.to_string(),
        egress_trunk: row.egress_trunk.to_string(),
        caller: row.caller_in.to_string(),
        called: row.called_in.to_string(),
        started: Some(show_time(row.started)),
        answered: row.answered.map(show_time),
        seconds: Duration::from_millis(row.duration_ms).as_secs(),
        codec: row.codec.to_string(),
        attempts: row.attempt,
        ended: Some(show_time(row.ended)),
        sip_code: Some(row.sip_code),
        q850: Some(row.q850),
        ended_by: Some(ended_by(row.ended_by).to_owned()),
        reason: Some(row.reason.to_string()),
        ..api::Call::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn decisions_are_said_in_words() {
        let attempt = |plan: Option<&str>, prefix: &str, by: &str| Note::Attempt {
            number: 2,
            to: Party::Trunk(Arc::from("beta")),
            plan: plan.map(Arc::from),
            prefix: prefix.into(),
            forwarded_by: by.into(),
        };
        let said = |note: Note| words(&note).2;
        assert_eq!(said(attempt(Some("retail"), "44", "")), "attempt 2: trunk beta, prefix 44 of plan retail");
        assert_eq!(said(attempt(Some("retail"), "", "")), "attempt 2: trunk beta, default of plan retail");
        assert_eq!(said(attempt(None, "", "+4420")), "attempt 2: trunk beta, by number +4420");
        let from = Party::Line(Arc::from("alice"));
        assert_eq!(said(Note::Recognised { from, by: By::Digest }), "from line alice, known by its digest");
        assert_eq!(what(b"SIP/2.0 503 Service Unavailable\r\n"), "503 Service Unavailable");
        assert_eq!(what(b"INVITE sip:+44@h SIP/2.0\r\n"), "INVITE", "no number stands in it");
    }

    #[test]
    fn a_description_is_found_alone_and_beside_others() {
        assert!(has_sdp(b"ACK sip:h SIP/2.0\r\n\r\nv=0\r\no=-"));
        assert!(has_sdp(b"ACK sip:h SIP/2.0\r\n\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\no=-"));
        assert!(!has_sdp(b"ACK sip:h SIP/2.0\r\nX: v=0\r\n\r\n") && !has_sdp(b"ACK"));
    }
}
