//! Draws a call for a terminal: who it is, lifelines of the caller, the node and each attempt, an arrow a message, a line a
//! decision, and how it sounded. It decides nothing; what it shows was said by the nodes.

use super::super::text_table::harmless;
use super::row::{Colour, Row};
use console::api::{Call, MediaSide, Step};

/// Lines longer than this are no easier to read.
const WIDEST: usize = 140;
/// Lifelines need so many columns.
const NARROWEST: usize = 60;
/// Columns of the time, with a gap behind.
const TIME: usize = 9;
/// Room for half a name beside the outer lifelines.
const MARGIN: usize = 9;
/// Between lifelines; where more would be needed all attempts share one.
const GAP_LEAST: usize = 17;

/// One lifeline.
struct Lane {
    leg: String,
    name: String,
    address: String,
    column: usize,
}

/// See the module.
pub(crate) struct Drawing<'a> {
    call: &'a Call,
    width: usize,
    /// The caller, the node, then the attempts.
    lanes: Vec<Lane>,
    began_us: u64,
}

impl<'a> Drawing<'a> {
    /// For so many columns: no fewer than [`NARROWEST`] are used, and no more than [`WIDEST`].
    pub(crate) fn new(call: &'a Call, columns: usize) -> Self {
        let began_us = call.ladder.first().map_or(0, |step| step.unix_us);
        let width = columns.clamp(NARROWEST, WIDEST);
        Self { call, width, lanes: lanes(call, width), began_us }
    }

    /// The whole of it, from the top to the bottom.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = self.summary();
        if self.call.ladder.is_empty() {
            rows.push("no ladder is kept of it: [ladder] messages = 0, or the node forgot it".to_owned().into());
        } else {
            self.rungs(&mut rows);
        }
        rows.extend(self.media().into_iter().chain(self.not_shown()).map(Row::from));
        rows
    }

    fn summary(&self) -> Vec<Row> {
        let call = self.call;
        let place = if call.site.is_empty() { call.node.clone() } else { format!("{} ({})", call.node, call.site) };
        let title = Row::default().and(Colour::Bold, format!("call {}, {} at {place}", call.id, call.state));
        let mut lines = Vec::new();
        let named = |name: &str| if name.is_empty() { "a line".to_owned() } else { harmless(name) };
        if !call.caller.is_empty() || !call.called.is_empty() {
            lines.push(format!("  from     {}  {}", named(&call.ingress_trunk), harmless(&call.caller)));
            let tried = call.attempts > 0;
            lines.push(format!(
                "  to       {}  {}",
                if tried { named(&call.egress_trunk) } else { "nobody".to_owned() },
                harmless(&call.called)
            ));
        }
        let times = [("started", &call.started), ("answered", &call.answered), ("ended", &call.ended)];
        for (word, time) in times.into_iter().filter_map(|(word, time)| Some((word, time.as_ref()?))) {
            lines.push(format!("  {word:<8} {time}{}", self.after(word)));
        }
        if !call.codec.is_empty() {
            lines.push(format!("  codec    {}", harmless(&call.codec)));
        }
        std::iter::once(title).chain(lines.into_iter().map(Row::from)).collect()
    }

    /// What belongs behind a time.
    fn after(&self, word: &str) -> String {
        let call = self.call;
        match (word, call.sip_code, &call.ended_by) {
            ("answered", ..) if call.ended.is_none() => format!(", {} s ago", call.seconds),
            ("answered", ..) => format!(", for {} s", call.seconds),
            ("ended", Some(code), Some(by)) => {
                let why = call.reason.as_ref().filter(|why| !why.is_empty());
                let why = why.map(|why| format!(", {}", harmless(why))).unwrap_or_default();
                let q850 =
                    call.q850.filter(|q850| *q850 > 0).map(|q850| format!(" (Q.850 {q850})")).unwrap_or_default();
                let code = if call.answered.is_some() { String::new() } else { format!(" with {code}") };
                format!(" by the {by}{code}{why}{q850}")
            }
            _ => String::new(),
        }
    }

    fn rungs(&self, rows: &mut Vec<Row>) {
        let mut node = None;
        for step in &self.call.ladder {
            let is_note = step.way == "note";
            if !is_note && node != Some(&step.node) {
                rows.extend(self.heading(&step.node));
                node = Some(&step.node);
            }
            if is_note { self.note(rows, step) } else { rows.push(self.arrow(step)) }
        }
        rows.push(self.lifelines("").into());
    }

    /// Milliseconds since the call began.
    fn time(&self, step: &Step) -> String {
        let us = step.unix_us.saturating_sub(self.began_us);
        let (ms, tenth) = (us / 1_000, us % 1_000 / 100);
        let text = if ms < 10_000 { format!("{ms}.{tenth}") } else { ms.to_string() };
        format!("{text:>width$}  ", width = TIME - 2)
    }

    /// Names and addresses above the lifelines.
    fn heading(&self, node: &str) -> [Row; 4] {
        let name = |lane: &Lane| if lane.leg == "node" { node.to_owned() } else { lane.name.clone() };
        let names = self.row(|lane| name(lane));
        let addresses = self.row(|lane| lane.address.clone());
        let mut ms = format!("{:>width$}", "ms", width = TIME - 2);
        ms.push_str(names.get(TIME - 2..).unwrap_or_default());
        [
            Row::default(),
            Row::default().and(Colour::Bold, ms.trim_end()),
            Row::default().and(Colour::Dim, addresses),
            self.lifelines("").into(),
        ]
    }

    /// A text around each lifeline, cut where it would meet the next one.
    fn row(&self, text: impl Fn(&Lane) -> String) -> String {
        let mut row = vec![' '; self.width];
        let gap = self.gap();
        for lane in &self.lanes {
            let text = cut(&harmless(&text(lane)), gap - 1);
            let length = text.chars().count();
            let first = lane.column.saturating_sub(length / 2).min(self.width.saturating_sub(length));
            text.chars().zip(first..).for_each(|(one, at)| row[at] = one);
        }
        row.into_iter().collect::<String>().trim_end().to_owned()
    }

    fn gap(&self) -> usize {
        self.lanes.windows(2).map(|pair| pair[1].column - pair[0].column).min().unwrap_or(self.width).max(2)
    }

    /// Nothing but the lifelines, behind a time.
    fn lifelines(&self, time: &str) -> String {
        let mut row = vec![' '; self.width];
        time.chars().enumerate().for_each(|(at, one)| row[at] = one);
        self.lanes.iter().for_each(|lane| row[lane.column] = '│');
        row.into_iter().collect::<String>().trim_end().to_owned()
    }

    /// A decision, between the lifelines.
    fn note(&self, rows: &mut Vec<Row>, step: &Step) {
        let (sign, colour) = match step.kind.as_deref() {
            Some("attempt") => ("▸ ", Colour::Bold),
            Some("failed") => ("✗ ", Colour::Red),
            Some("ended") => ("■ ", Colour::Bold),
            Some("moved") => ("⇄ ", Colour::Yellow),
            _ => ("· ", Colour::Plain),
        };
        let mut first = self.time(step);
        let room = self.width - TIME - 2;
        let text = if self.is_other(&step.node) { format!("{}: {}", step.node, step.what) } else { step.what.clone() };
        for (index, part) in wrapped(&harmless(&text), room).into_iter().enumerate() {
            let sign = if index == 0 { sign } else { "  " };
            rows.push(Row::from(first).and(colour, format!("{sign}{part}")));
            first = " ".repeat(TIME);
        }
    }

    /// Not the node that has the call, or had it last: it is named where it tells something.
    fn is_other(&self, node: &str) -> bool {
        node != self.call.node && !node.is_empty()
    }

    /// One message.
    fn arrow(&self, step: &Step) -> Row {
        let Some(lane) = self.lane_of(&step.leg) else {
            let (what, way, peer) = (harmless(&step.what), &step.way, step.remote.as_deref().unwrap_or("?"));
            return format!("{}{what} {way} {peer}, of no leg that is known", self.time(step)).into();
        };
        let node = &self.lanes[1];
        let (left, right) = (lane.column.min(node.column), lane.column.max(node.column));
        let mut row: Vec<char> =
            self.lifelines(&self.time(step)).chars().chain(std::iter::repeat(' ')).take(self.width).collect();
        (left + 1..right).for_each(|at| row[at] = if row[at] == '│' { '┼' } else { '─' });
        let to_right = (step.way == "in") == (lane.column < node.column);
        let head = if step.way == "unsent" {
            'x'
        } else if to_right {
            '>'
        } else {
            '<'
        };
        row[if to_right { right - 1 } else { left + 1 }] = head;
        // Next to the far lifeline: between others it would be taken for theirs.
        let gap = self.gap();
        let (from, to) = if lane.column < node.column { (left, left + gap) } else { (right - gap, right) };
        let text = cut(&text_of(step, &lane.leg), gap.saturating_sub(4));
        // The head of the arrow stands at one of the ends.
        let (room, length) = (to - from - 2, text.chars().count() + 2);
        let first = from + 1 + usize::from(!to_right) + room.saturating_sub(length) / 2;
        format!(" {text} ").chars().zip(first..).for_each(|(one, at)| row[at] = one);
        let (before, rest) = row.split_at(left + 1);
        let (middle, after) = rest.split_at(right - left - 1);
        let text = |part: &[char]| part.iter().collect::<String>();
        // At the end of the arrow stands a lifeline, so nothing but blanks behind it is cut.
        Row::from(text(before)).and(colour_of(step), text(middle)).and(Colour::Plain, text(after).trim_end())
    }

    fn lane_of(&self, leg: &str) -> Option<&Lane> {
        let shared = || self.lanes.iter().find(|lane| lane.leg == "b" && leg.starts_with('b'));
        self.lanes.iter().find(|lane| lane.leg == leg).or_else(shared)
    }

    fn media(&self) -> Vec<String> {
        let heard: Vec<&MediaSide> = self.call.media.iter().filter(|side| side.packets > 0).collect();
        let several = heard.iter().any(|side| self.is_other(&side.node));
        let line = |side: &&MediaSide| {
            let sent = side.packets.saturating_add(side.lost).max(1);
            #[allow(clippy::cast_precision_loss, reason = "a percentage for reading")]
            let share = side.lost as f64 * 100.0 / sent as f64;
            let mos = if side.mos > 0.0 { format!(", MOS {:.1}", side.mos) } else { String::new() };
            let by = if several { format!(" at {}", side.node) } else { String::new() };
            format!(
                "audio from the {}{by}: {} packets, {} lost ({share:.1} %), jitter {:.1} ms{mos}",
                side.side, side.packets, side.lost, side.jitter_ms
            )
        };
        heard.iter().map(line).collect()
    }

    fn not_shown(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(count) = self.call.left_out {
            lines.push(format!("{count} rungs between the first and the newest are not kept"));
        }
        let missing = self.call.missing.iter();
        lines.extend(missing.map(|one| format!("{} had it too and is not heard: {}", one.node, one.why)));
        lines
    }
}

/// The lifelines of a call: the caller's, the node's, one for each attempt that was sent, in their order.
fn lanes(call: &Call, width: usize) -> Vec<Lane> {
    let first = |leg: &str| call.ladder.iter().find(|step| step.leg == leg && step.way != "note");
    let address = |leg: &str| first(leg).and_then(|step| step.remote.clone()).unwrap_or_default();
    let party = |leg: &str| {
        let kinds = [Some("attempt"), Some("source")];
        let notes = call.ladder.iter().filter(|step| step.leg == leg && kinds.contains(&step.kind.as_deref()));
        notes.filter_map(|step| step.party.clone()).next_back()
    };
    let mut legs: Vec<&str> = Vec::new();
    for step in call.ladder.iter().filter(|step| step.way != "note" && step.leg.starts_with('b')) {
        if !legs.contains(&&*step.leg) {
            legs.push(&step.leg);
        }
    }
    let last = legs.last().copied();
    let named = |leg: &str, usual: &str| {
        let known = party(leg).or_else(|| Some(usual.to_owned()).filter(|usual| !usual.is_empty()));
        known.unwrap_or_else(|| if leg == "a" { "caller" } else { "callee" }.to_owned())
    };
    let lane = |leg: &str, name: String, address: String| Lane { leg: leg.to_owned(), name, address, column: 0 };
    let mut lanes =
        vec![lane("a", named("a", &call.ingress_trunk), address("a")), lane("node", String::new(), String::new())];
    let room = width - TIME - MARGIN - MARGIN;
    if room / (legs.len() + 1) >= GAP_LEAST {
        let usual = |leg: &str| if Some(leg) == last { call.egress_trunk.as_str() } else { "" };
        lanes.extend(legs.iter().map(|leg| lane(leg, named(leg, usual(leg)), address(leg))));
    } else {
        lanes.push(lane("b", format!("{} attempts", legs.len()), String::new()));
    }
    let gap = room / (lanes.len() - 1).max(1);
    lanes.iter_mut().enumerate().for_each(|(index, lane)| lane.column = TIME + MARGIN - 1 + index * gap.min(34));
    lanes
}

/// What stands on an arrow.
fn text_of(step: &Step, lane: &str) -> String {
    let mut text = harmless(&step.what);
    let is_final = step.what.starts_with(|first: char| ('2'..='6').contains(&first));
    if let Some(method) = step.method.as_ref().filter(|method| is_final && *method != "INVITE") {
        text.push_str(&format!(" {method}"));
    }
    if lane == "b" {
        text = format!("{}: {text}", step.leg);
    }
    if step.sdp {
        text.push_str(" sdp");
    }
    if step.repeats > 0 {
        // What marks it must not be cut.
        text.push_str(&format!(" ×{}", step.repeats + 1));
    }
    text
}

fn colour_of(step: &Step) -> Colour {
    match step.what.as_bytes().first() {
        _ if step.way == "unsent" => Colour::Red,
        _ if step.repeats > 0 => Colour::Yellow,
        Some(b'4'..=b'6') => Colour::Red,
        Some(b'2') => Colour::Green,
        _ => Colour::Plain,
    }
}

/// A text in so many characters; a mark of repetition at its end stays.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let tail = text.rfind(" ×").map_or("", |at| &text[at..]);
    let room = most.saturating_sub(tail.chars().count() + 1);
    text.chars().take(room).chain(['…']).chain(tail.chars()).collect()
}

/// The text in lines of at most so many characters, parted between words.
pub(crate) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::row::Paint;
    use super::*;

    fn step(ms: u64, leg: &str, way: &str, what: &str) -> Step {
        Step {
            unix_us: 1_000_000 + ms * 1_000,
            leg: leg.to_owned(),
            way: way.to_owned(),
            what: what.to_owned(),
            node: "fra-1".to_owned(),
            remote: Some(format!("192.0.2.{}:5060", leg.len() * 7)),
            ..Step::default()
        }
    }

    fn note(ms: u64, leg: &str, kind: &str, what: &str) -> Step {
        let party = (kind == "attempt").then(|| what.rsplit(' ').next().unwrap_or_default().to_owned());
        Step { kind: Some(kind.to_owned()), party, ..step(ms, leg, "note", what) }
    }

    fn call(ladder: Vec<Step>) -> Call {
        Call {
            id: "1.2.3".to_owned(),
            state: "connected".to_owned(),
            node: "fra-1".to_owned(),
            ingress_trunk: "pbx".to_owned(),
            egress_trunk: "beta".to_owned(),
            ladder,
            ..Call::default()
        }
    }

    fn text(call: &Call, width: usize, paint: Paint) -> Vec<String> {
        Drawing::new(call, width).rows().iter().map(|row| paint.text(row)).collect()
    }

    fn drawn(call: &Call, width: usize) -> Vec<String> {
        let lines = text(call, width, Paint::new(false));
        assert!(lines.iter().all(|line| line.chars().count() <= width), "wider than {width}:\n{}", lines.join("\n"));
        lines
    }

    /// A call that is refused at one trunk and taken by the next.
    fn rerouted() -> Call {
        call(vec![
            Step { sdp: true, repeats: 2, ..step(0, "a", "in", "INVITE") },
            step(0, "a", "out", "100 Trying"),
            note(0, "b1", "attempt", "attempt 1: trunk alpha"),
            step(1, "b1", "out", "INVITE"),
            step(9, "b1", "in", "503 Service Unavailable"),
            note(9, "b1", "failed", "attempt 1 ended with 503: service unavailable"),
            note(10, "b2", "attempt", "attempt 2: trunk beta"),
            step(10, "b2", "out", "INVITE"),
            Step { sdp: true, ..step(12_345, "b2", "in", "200 OK") },
            Step { method: Some("BYE".to_owned()), ..step(12_346, "a", "in", "200 OK") },
        ])
    }

    #[test]
    fn each_attempt_has_its_lifeline_and_arrows_end_there() {
        let call = rerouted();
        let lines = drawn(&call, 80);
        let text = lines.join("\n");
        let line =
            |word: &str| lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word}:\n{text}"));
        assert!(line("alpha").contains("attempt 1") || line("pbx").contains("beta"), "{text}");
        let names = lines.iter().find(|line| line.contains("ms ")).unwrap_or_else(|| panic!("no heading:\n{text}"));
        assert!(["pbx", "fra-1", "alpha", "beta"].iter().all(|name| names.contains(name)), "{text}");
        assert!(line("INVITE sdp ×3").contains(">│"), "{text}");
        assert!(line("100 Trying").contains("│<"), "{text}");
        let far = line("200 OK sdp");
        assert!(
            far.trim_start().starts_with("12345 ") && far.contains("<─") && far.contains('┼'),
            "it crosses one:\n{text}"
        );
        assert!(text.contains("✗ attempt 1 ended with 503"), "{text}");
        assert!(line("200 OK BYE").contains("12346"), "{text}");
    }

    #[test]
    fn it_fits_every_width_and_many_attempts_share_a_lifeline() {
        let mut call = rerouted();
        for number in 3..9 {
            call.ladder.push(step(20_000, &format!("b{number}"), "out", "INVITE"));
        }
        for width in [60, 80, 100, 140] {
            let text = drawn(&call, width).join("\n");
            assert!(text.contains(if width < 140 { "b8: INVITE" } else { "INVITE" }), "{width}:\n{text}");
        }
        drawn(&rerouted(), 60);
    }

    #[test]
    fn a_move_shows_the_new_node_and_what_is_missing_is_said() {
        let taken = Step { node: "lon-1".to_owned(), ..note(1, "", "moved", "taken over, since the other is lost") };
        let given = note(1, "", "moved", "given away");
        let mut call = call(vec![step(0, "a", "in", "INVITE"), given, taken]);
        call.ladder.push(Step { node: "lon-1".to_owned(), ..step(2, "a", "out", "INVITE") });
        call.node = "lon-1".to_owned();
        call.left_out = Some(7);
        call.missing = vec![console::api::Missing { node: "ams-1".into(), site: "ams".into(), why: "down".into() }];
        call.media = vec![MediaSide { side: "caller".into(), packets: 99, lost: 1, mos: 4.4, ..MediaSide::default() }];
        let lines = drawn(&call, 80);
        let text = lines.join("\n");
        let place = |word: &str| {
            let found = lines.iter().skip(1).position(|line| line.contains(word));
            found.unwrap_or_else(|| panic!("no {word}:\n{text}"))
        };
        let order = ["fra-1", "⇄ fra-1: given away", "⇄ taken over", "lon-1", "<─"].map(place);
        assert!(order.is_sorted(), "{order:?}:\n{text}");
        assert!(
            text.contains("7 rungs")
                && text.contains("ams-1 had it too")
                && text.contains("99 packets, 1 lost (1.0 %)")
        );
    }

    #[test]
    fn colours_are_only_there_when_asked_for_and_nothing_steers_the_terminal() {
        let mut call = rerouted();
        call.ladder[0].what = "INV\u{1b}[2JITE".to_owned();
        assert!(!drawn(&call, 80).join("").contains('\u{1b}'));
        let painted = text(&call, 80, Paint::new(true)).join("\n");
        assert!(painted.contains("\u{1b}[31m") && !painted.contains("\u{1b}[2J"));
    }

    #[test]
    fn long_texts_are_cut_but_for_the_mark_of_repetition_and_notes_are_parted_between_words() {
        assert_eq!(cut("503 Service Unavailable ×12", 14), "503 Servi… ×12");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable it is", 5), ["unbreakable", "it is"]);
    }
}
