//! The panel as text with colours: a line a site, a line a trunk, and what the partners hear.

use crate::demo::partners::AT_ONCE;
use crate::demo::scene::{Scene, Site, TrunkLine};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span, Text};

/// Columns of a bar of calls or channels.
const BAR: usize = 24;
/// Columns of a bar of a lease.
const LEASE: usize = 6;
/// A whole lease.
const LEASE_MS: u64 = 1_000;
/// The least full scale of the bars of calls.
const CALLS: u64 = 40;

/// The whole panel.
pub(super) fn of(scene: &Scene, width: u16) -> Text<'static> {
    let rule = || Line::from("─".repeat(usize::from(width))).dark_gray();
    let mut lines = vec![title(scene, usize::from(width)), rule()];
    let heads = format!(
        " {:<6}{:<9}{:<10}{:<10}{:<32}{:>9}  {:>6}  LEASE",
        "SITE", "NODE", "STATE", "ROLE", "CALLS", "AUDIO", "SHARDS"
    );
    lines.push(Line::from(heads).dark_gray());
    let most = scale(scene.sites.iter().map(|site| site.calls).max());
    lines.extend(scene.sites.iter().map(|site| of_site(site, most)));
    lines.push(Line::default());
    lines.push(Line::from(" TRUNK        CHANNELS OVER THE CLUSTER").dark_gray());
    let wide = scene.trunks.iter().filter(|trunk| trunk.limit.is_none_or(|limit| limit > CALLS));
    let most = scale(wide.map(|trunk| trunk.used).max());
    lines.extend(scene.trunks.iter().map(|trunk| of_trunk(trunk, most)));
    lines.push(rule());
    lines.extend(partners(scene));
    Text::from(lines)
}

/// What a full bar stands for: a third more than the most that there is, so that there is room to grow.
fn scale(most: Option<u64>) -> u64 {
    most.unwrap_or(0).max(CALLS) * 4 / 3
}

fn title(scene: &Scene, width: usize) -> Line<'static> {
    let leader = scene.leader.as_deref().unwrap_or("nobody");
    let left = " TANDEM  three sites, one switch";
    let right = format!(
        "led by {leader}, term {}, tables at revision {}   {:>5.1} s ",
        scene.term,
        scene.revision,
        scene.elapsed.as_secs_f64()
    );
    let gap = width.saturating_sub(left.chars().count() + right.chars().count());
    Line::from(vec![Span::from(left).bold().cyan(), Span::from(" ".repeat(gap)), Span::from(right)])
}

fn of_site(site: &Site, most: u64) -> Line<'static> {
    let state = Span::styled(format!("{:<10}", site.state), Style::new().fg(colour(&site.state)));
    let mut spans = vec![Span::from(format!(" {:<6}{:<9}", site.site, site.node)).bold(), state];
    spans.push(Span::from(format!("{:<10}", site.role)));
    spans.extend(bar(site.calls, most, BAR, Color::Green));
    spans.push(Span::from(format!(" {:>4}   ", site.calls)).bold());
    spans.push(Span::from(format!("{:>4} legs  {:>6}  ", site.legs, site.shards)));
    match site.lease_ms {
        Some(left) => {
            let colour = if left > LEASE_MS / 3 { Color::Cyan } else { Color::Red };
            spans.extend(bar(left, LEASE_MS, LEASE, colour));
            spans.push(Span::from(format!(" {:.1} s", std::time::Duration::from_millis(left).as_secs_f64())));
        }
        None => spans.push(Span::from("none").dark_gray()),
    }
    Line::from(spans)
}

fn colour(state: &str) -> Color {
    match state {
        "up" => Color::Green,
        "draining" => Color::Yellow,
        _ => Color::Red,
    }
}

fn of_trunk(trunk: &TrunkLine, most: u64) -> Line<'static> {
    let full = trunk.limit.is_some_and(|limit| limit > 0 && trunk.used >= limit);
    let whole = trunk.limit.filter(|limit| *limit <= most && *limit > 0).unwrap_or(most);
    let mut spans = vec![Span::from(format!(" {:<13}", trunk.name)).bold()];
    spans.extend(bar(trunk.used, whole, BAR, if full { Color::Yellow } else { Color::Blue }));
    spans.push(Span::from(format!(" {:>4}", trunk.used)).bold());
    let limit = trunk.limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    spans.push(Span::from(format!("{limit:<9}")));
    spans.push(if full { Span::from("full  ").yellow().bold() } else { Span::from("      ") });
    let shares: Vec<String> = trunk.by_node.iter().map(|(node, used)| format!("{node} {used}")).collect();
    spans.push(Span::from(shares.join(" · ")).dark_gray());
    Line::from(spans)
}

/// What became of the calls of the site that was killed.
fn death(scene: &Scene) -> Line<'static> {
    let head = Span::from(" a site dies  ").bold();
    let Some(death) = &scene.death else {
        return Line::from(vec![head, Span::from("later one of the sites is killed, with its calls").dark_gray()]);
    };
    let ago = scene.elapsed.saturating_sub(death.at).as_secs_f64();
    Line::from(vec![
        head,
        Span::from(format!("{} killed {ago:.1} s ago", death.node)).red().bold(),
        Span::from(format!(" with {} calls · ", death.calls)),
        Span::from(format!("{} calls go on from another site", scene.usual.moved)).green().bold(),
    ])
}

fn partners(scene: &Scene) -> [Line<'static>; 4] {
    let usual = &scene.usual;
    let bad = |figure: u64, text: String| if figure > 0 { Span::from(text).red().bold() } else { Span::from(text) };
    let head = |text: &'static str| Span::from(format!(" {text:<13}")).bold();
    let legs = usual.legs_hearing + scene.burst.map_or(0, |burst| burst.legs_hearing);
    [
        Line::from(vec![
            head("calls"),
            Span::from(format!("{} placed · {} up · {} ended · ", usual.offered, usual.in_flight, usual.completed)),
            Span::from(format!("{} refused as meant · ", usual.refused)),
            bad(usual.failed, format!("{} failed", usual.failed)),
        ]),
        Line::from(vec![
            head("audio"),
            Span::from(format!("{legs} legs hear each other · {} packets · ", usual.packets_received)),
            bad(usual.packets_lost, format!("{} lost · ", usual.packets_lost)),
            bad(usual.bad_samples, format!("{} wrong samples · ", usual.bad_samples)),
            Span::from(format!("gap {} ms", usual.longest_gap_ms)),
        ]),
        Line::from(match scene.burst {
            None => vec![
                head("ten channels"),
                Span::from(format!("soon {AT_ONCE} calls at once for beta, over all sites")).dark_gray(),
            ],
            Some(burst) => vec![
                head("ten channels"),
                Span::from(format!("{} calls at once over all sites: ", burst.offered)),
                Span::from(format!("{} admitted", burst.answered)).green().bold(),
                Span::from(format!(", {} refused", burst.failed)),
            ],
        }),
        death(scene),
    ]
}

/// A bar of `width` columns, filled to `part` of `whole`; anything above nought shows at least one column.
fn bar(part: u64, whole: u64, width: usize, colour: Color) -> [Span<'static>; 2] {
    let filled = (part * width as u64).div_ceil(whole.max(1));
    let filled = usize::try_from(filled).unwrap_or(width).min(width);
    [Span::styled("█".repeat(filled), Style::new().fg(colour)), Span::from("░".repeat(width - filled)).dark_gray()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scene::Death;
    use load::Snapshot;
    use std::time::Duration;

    fn scene() -> Scene {
        let site = |site: &str, calls| Site {
            site: site.to_owned(),
            node: format!("{site}-1"),
            state: "up".to_owned(),
            role: "leader".to_owned(),
            calls,
            legs: calls * 2,
            shards: 342,
            lease_ms: Some(930),
        };
        let by_node = ["fra-1", "lon-1", "ams-1"].map(|node| (node.to_owned(), 1_667)).to_vec();
        let trunk =
            |name: &str, used, limit| TrunkLine { name: name.to_owned(), used, limit, by_node: by_node.clone() };
        Scene {
            elapsed: Duration::from_secs(125),
            sites: vec![site("fra", 1_667), site("lon", 7), site("ams", 0)],
            trunks: vec![
                trunk("acme-pbx", 1_990, Some(2_000)),
                trunk("alpha", 5_000, None),
                trunk("beta", 10, Some(10)),
            ],
            leader: Some("fra-1".to_owned()),
            term: 12,
            revision: 1,
            usual: Snapshot {
                offered: 5_000,
                legs_hearing: 9_999,
                packets_received: 12_345_678,
                longest_gap_ms: 140,
                ..Snapshot::default()
            },
            burst: Some(Snapshot { offered: 60, answered: 10, failed: 50, ..Snapshot::default() }),
            death: Some(Death { node: "lon-1".to_owned(), calls: 1_667, at: Duration::from_secs(99) }),
        }
    }

    fn shown(scene: &Scene) -> Vec<String> {
        let text = of(scene, 100);
        text.lines.iter().map(|line| line.spans.iter().map(|span| span.content.as_ref()).collect()).collect()
    }

    #[test]
    fn the_panel_fits_a_terminal_of_a_hundred_columns_and_its_own_height() {
        let lines = shown(&scene());
        assert!(lines.len() <= usize::from(super::super::HEIGHT), "{}", lines.join("\n"));
        for line in &lines {
            assert!(line.chars().count() <= 100, "{}: {line}", line.chars().count());
        }
    }

    #[test]
    fn a_full_trunk_says_so_and_a_silent_site_has_no_lease() {
        let mut scene = scene();
        scene.sites[2] = Site { site: "ams".into(), node: "ams-1".into(), state: "silent".into(), ..Site::default() };
        let lines = shown(&scene).join("\n");
        assert_eq!(lines.matches("full").count(), 1, "{lines}");
        assert!(lines.contains("60 calls at once over all sites: 10 admitted, 50 refused"), "{lines}");
        let ams = lines.lines().find(|line| line.contains("ams-1    silent")).expect("the site has its line");
        assert!(ams.ends_with("none"), "{ams}");
        scene.burst = None;
        assert!(shown(&scene).join("\n").contains("soon 60 calls"));
    }

    #[test]
    fn whatever_is_there_at_all_can_be_seen() {
        let filled = |part, whole| bar(part, whole, 10, Color::Green)[0].content.chars().count();
        assert_eq!([filled(0, 40), filled(1, 4_000), filled(20, 40), filled(99, 40), filled(1, 0)], [0, 1, 5, 10, 10]);
    }
}
