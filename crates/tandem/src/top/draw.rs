//! How the view looks: lines of text, wide or narrow, that fill the area and no more.

use super::ladder::Ladder;
use super::rates::Figures;
use super::screen::Screen;
use super::view::{View, ids};
use crate::client::ladder::{Colour, Row};
use console::api;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;
use std::time::Instant;

/// The columns of the trunks but for the last.
const TRUNKS: &str = "CALLS  LIMIT   IN/s   ASR  MOS  OUT/s   ASR   PDD  MOS  GATEWAYS";

/// Rows above and below what a screen shows.
const FRAME: u16 = 3;

/// From so many columns on the whole id of a call is shown.
const WIDE: usize = 100;

/// Draws the view.
pub(super) fn draw(view: &View, now: Instant, area: Rect, buffer: &mut Buffer) {
    if area.height < 4 {
        return;
    }
    let (width, room) = inner(area);
    let mut lines = vec![title(view), total(view)];
    let body = if view.help { help() } else { body(view, width, room) };
    lines.extend(body.into_iter().take(room));
    lines.resize(usize::from(area.height) - 1, Line::default());
    lines.push(footer(view, now, width, room));
    for (line, y) in lines.into_iter().zip(area.top()..area.bottom()) {
        line.render(Rect { y, height: 1, ..area }, buffer);
    }
}

/// Columns and rows of what a screen shows within this area.
pub(super) fn inner(area: Rect) -> (usize, usize) {
    (usize::from(area.width), usize::from(area.height.saturating_sub(FRAME)))
}

/// As many lines as show everything.
pub(super) fn height(view: &View) -> u16 {
    let lines = body(view, 200, usize::from(u16::MAX)).len();
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(FRAME)
}

fn body(view: &View, width: usize, room: usize) -> Vec<Line<'static>> {
    match &view.screen {
        Screen::Overview => overview(view, width, room),
        Screen::Trunk(name) => of_trunk(view, name, width, room),
        Screen::Call(_) => of_call(&view.ladder, width, room),
    }
}

fn title(view: &View) -> Line<'static> {
    let api::Cluster { id, leader, term, revision, quorum, .. } = &view.answer.cluster;
    let cluster: String = id.chars().take(8).collect();
    let leader = leader.as_deref().unwrap_or("nobody");
    let mut spans = vec![Span::from(" TANDEM").bold().cyan()];
    spans.push(Span::from(format!("  cluster {cluster}  led by {leader}, term {term}  tables at {revision}")));
    if !quorum {
        spans.push(Span::from("  NO QUORUM").red().bold());
    }
    Line::from(spans)
}

fn total(view: &View) -> Line<'static> {
    let [ingress, egress] = view.rates.total();
    let window = view.rates.window().map_or("since start".to_owned(), |window| format!("{} s", window.as_secs()));
    Line::from(format!(
        " {} calls up  {} in/s  {} out/s  ASR {}  PDD {}  MOS {}  ({window})",
        ingress.active,
        rate(ingress.cps),
        rate(egress.cps),
        percent(egress.asr),
        seconds(egress.pdd),
        mos(egress.mos)
    ))
}

fn footer(view: &View, now: Instant, width: usize, room: usize) -> Line<'static> {
    if let Some((since, why)) = &view.silent {
        let text = format!(" no answer for {} s: {}", now.duration_since(*since).as_secs(), first_line(why));
        return Line::from(text).red().bold();
    }
    let missing: Vec<&str> = view.answer.cluster.missing.iter().map(|one| one.node.as_str()).collect();
    if !missing.is_empty() {
        return Line::from(format!(" no answer from {}: what it has is not shown", missing.join(", "))).yellow();
    }
    let keys = match view.screen {
        _ if view.help => " any key goes back",
        Screen::Overview => " ↑↓ choose  Enter trunk  ? help  q quit",
        Screen::Trunk(_) => " ↑↓ choose  Enter ladder  Esc back  ? help  q quit",
        Screen::Call(_) => {
            let keys = " ↑↓ PgUp PgDn Home End scroll  Esc back  ? help  q quit";
            return Line::from(format!("{keys}  {}", position(&view.ladder, width, room))).dark_gray();
        }
    };
    Line::from(keys).dark_gray()
}

/// Which part of a ladder is seen.
fn position(ladder: &Ladder, width: usize, room: usize) -> String {
    let (above, rows) = ladder.rows(width);
    let window = ladder.window(rows.len(), room.saturating_sub(above.len()));
    if window.len() == rows.len() {
        return String::new();
    }
    let end = if ladder.follows() { ", the end" } else { "" };
    format!("{}–{} of {}{end}", window.start + 1, window.end, rows.len())
}

fn help() -> Vec<Line<'static>> {
    let text = "
 ↑ ↓ PgUp PgDn   choose a row; in a ladder go up and down, with Home and End too
 Enter           into a trunk, and from there into the ladder of a call
 Esc             back
 q               quit

 CALLS  answered calls that are up, in and out; yellow: all channels are in use
 LIMIT  channels of the trunk in the whole cluster
 IN/s   calls a second from it             OUT/s  attempts a second to it
 ASR    answered of a hundred              PDD    seconds from INVITE to ringing
 MOS    listening quality of what it sends, of calls that have ended
 LEASE  until the node may not act for its shards any more; renewed all the time

 A ladder is followed at its end until you go up, and again from End on.
 Calls a second are of the last ten seconds; ASR, PDD and MOS of the last five
 minutes, or since the nodes started where nothing came since.
";
    text.lines().map(Line::from).collect()
}

fn overview(view: &View, width: usize, room: usize) -> Vec<Line<'static>> {
    let mut lines = vec![head(" SITE    NODE          STATE      ROLE      CALLS  SHARDS   LEASE     RTT")];
    let nodes = view.nodes();
    // The trunks get at least half of the room.
    let shown = nodes.len().min((room / 2).saturating_sub(2).max(3));
    lines.extend(nodes.iter().take(shown).map(|node| of_node(node)));
    if nodes.len() > shown {
        lines.push(Line::from(format!(" … {} more", nodes.len() - shown)).dark_gray());
    }
    lines.push(Line::default());
    let name = name_width(width);
    lines.push(head(&format!(" {:<name$} {TRUNKS}", "TRUNK")));
    let names = view.trunk_names();
    let marked = view.trunk.index(&names);
    let room = room.saturating_sub(lines.len());
    for index in window(names.len(), marked, room) {
        let trunk = &view.answer.trunks.trunks[index];
        lines.push(mark(trunk_line(view, trunk, name), marked == Some(index)));
    }
    if names.is_empty() {
        lines.push(Line::from(" no trunk").dark_gray());
    }
    lines
}

/// What is left for the name of a trunk.
fn name_width(width: usize) -> usize {
    width.saturating_sub(TRUNKS.len() + 4).clamp(10, 30)
}

/// The rows that fit, the marked one among them.
fn window(rows: usize, marked: Option<usize>, room: usize) -> std::ops::Range<usize> {
    let begin = marked.unwrap_or(0).saturating_sub(room.saturating_sub(1)).min(rows);
    begin..rows.min(begin + room)
}

fn of_node(node: &api::Member) -> Line<'static> {
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let lease = node.lease_remaining_ms.map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms"));
    let rtt = node.rtt_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1} ms"));
    Line::from(vec![
        Span::from(format!(" {} {} ", cut(&node.site, 7), cut(&node.name, 13))).bold(),
        Span::styled(cut(&node.state, 11), Style::new().fg(colour(&node.state))),
        Span::from(cut(&node.role, 8)),
        Span::from(format!("{:>7}{:>8}{lease:>8}{rtt:>8}", number(node.calls), node.shards_owned)),
    ])
}

fn colour(state: &str) -> Color {
    match state {
        "up" => Color::Green,
        "draining" | "unknown" => Color::Yellow,
        _ => Color::Red,
    }
}

fn trunk_line(view: &View, trunk: &api::Trunk, name: usize) -> Line<'static> {
    let [ingress, egress] = view.rates.of(&trunk.name);
    let limit = trunk.channels_limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
    let Figures { cps, asr, mos: heard, .. } = ingress;
    let up = trunk.gateways.iter().filter(|gateway| gateway.state == "up").count();
    let full = trunk.channels_limit.is_some_and(|limit| trunk.channels_used >= limit);
    let used = Span::from(format!("{:>5}", ingress.active + egress.active));
    Line::from(vec![
        Span::from(format!(" {} ", cut(&trunk.name, name))).bold(),
        if full { used.yellow().bold() } else { used },
        Span::from(format!("{limit:>7}{:>7}{:>6}{:>5}", rate(cps), percent(asr), mos(heard))),
        Span::from(format!("{:>7}{:>6}{:>6}", rate(egress.cps), percent(egress.asr), seconds(egress.pdd))),
        Span::from(format!("{:>5}  ", mos(egress.mos))),
        gateways(up, trunk.gateways.len()),
    ])
}

fn gateways(up: usize, all: usize) -> Span<'static> {
    let text = format!("{up}/{all}");
    match (up, all) {
        (_, 0) => Span::from("-").dark_gray(),
        (up, all) if up == all => Span::from(text).green(),
        (0, _) => Span::from(text).red().bold(),
        _ => Span::from(text).yellow(),
    }
}

fn of_trunk(view: &View, name: &str, width: usize, room: usize) -> Vec<Line<'static>> {
    let Some(trunk) = view.trunk_named(name) else {
        return vec![Line::default(), Line::from(format!(" {name} is not in the tables any more"))];
    };
    let columns = name_width(width);
    let mut lines = vec![head(&format!(" {:<columns$} {TRUNKS}", "TRUNK")), trunk_line(view, trunk, columns)];
    let share = |share: &api::Share| {
        let free = share.channels_leased.map_or_else(String::new, |leased| format!(" of {leased} lent"));
        format!("{} {}{free}", share.node, share.channels_used)
    };
    let shares: Vec<String> = trunk.nodes.iter().map(share).collect();
    lines.push(Line::from(format!(" channels: {}", shares.join(" · "))));
    // Half of the room is for its calls.
    let shown = trunk.gateways.len().min((room / 2).saturating_sub(5).max(1));
    lines.extend(trunk.gateways.iter().take(shown).map(gateway));
    if trunk.gateways.len() > shown {
        lines.push(Line::from(format!(" … {} more gateways", trunk.gateways.len() - shown)).dark_gray());
    }
    lines.push(Line::default());
    let id = if width < WIDE { 10 } else { 26 };
    lines.push(head(&format!(
        " {:<id$} {:<9} {:<10} {:<14} {:<14}{:>5} CODEC NODE",
        "CALL", "STATE", "FROM", "CALLER", "CALLED", "SECS"
    )));
    let Some(calls) = view.calls_of(name) else {
        lines.push(Line::from(" …").dark_gray());
        return lines;
    };
    let ids = ids(calls);
    let marked = view.call.index(&ids);
    let left = room.saturating_sub(lines.len());
    for index in window(ids.len(), marked, left) {
        lines.push(mark(call_line(&calls.calls[index], id), marked == Some(index)));
    }
    if ids.is_empty() {
        lines.push(Line::from(" no call").dark_gray());
    }
    lines
}

fn gateway(gateway: &api::Gateway) -> Line<'static> {
    let mut spans = vec![Span::from(format!(" gateway {} ", cut(&gateway.address, 24)))];
    spans.push(Span::styled(format!("{:<8}", gateway.state), Style::new().fg(colour(&gateway.state))));
    let sites = gateway.sites.iter().filter(|site| site.state != gateway.state);
    let other: Vec<String> = sites.map(|site| format!("{} from {}", site.state, site.site)).collect();
    spans.push(Span::from(other.join(", ")).yellow());
    Line::from(spans)
}

fn call_line(call: &api::Call, id: usize) -> Line<'static> {
    Line::from(format!(
        " {} {} {} {} {}{:>5} {} {}",
        cut(&call.id, id),
        cut(&call.state, 9),
        cut(&call.ingress_trunk, 10),
        cut(&call.caller, 14),
        cut(&call.called, 14),
        call.seconds,
        cut(&call.codec, 5),
        call.node
    ))
}

/// One call with its ladder.
fn of_call(ladder: &Ladder, width: usize, room: usize) -> Vec<Line<'static>> {
    let (above, rows) = ladder.rows(width);
    let window = ladder.window(rows.len(), room.saturating_sub(above.len()));
    above.iter().chain(rows.get(window).unwrap_or_default()).map(row).collect()
}

/// A row of a ladder as it stands in `tandem calls show`.
fn row(row: &Row) -> Line<'static> {
    let style = |colour| match colour {
        Colour::Plain => Style::new(),
        Colour::Bold => Style::new().bold(),
        Colour::Dim => Style::new().dim(),
        Colour::Green => Style::new().green(),
        Colour::Yellow => Style::new().yellow(),
        Colour::Red => Style::new().red(),
    };
    row.pieces().map(|(colour, text)| Span::styled(text.to_owned(), style(colour))).collect()
}

fn head(text: &str) -> Line<'static> {
    Line::from(text.to_owned()).dark_gray()
}

fn mark(line: Line<'static>, marked: bool) -> Line<'static> {
    if marked { line.reversed() } else { line }
}

/// A text of just so many columns.
fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return format!("{text:<width$}");
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn shown(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

fn rate(cps: Option<f64>) -> String {
    shown(cps, |cps| if cps < 100.0 { format!("{cps:.1}") } else { format!("{cps:.0}") })
}

fn percent(share: Option<f64>) -> String {
    shown(share, |share| format!("{share:.0}%"))
}

fn seconds(value: Option<f64>) -> String {
    shown(value, |value| format!("{value:.1}s"))
}

fn mos(value: Option<f64>) -> String {
    shown(value, |value| format!("{value:.1}"))
}
