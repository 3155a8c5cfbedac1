//! The view and its frames, out of answers that are written here.

use super::ask::{Answer, Wanted};
use super::view::{Key, View};
use super::{draw, frame, text};
use console::api;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn member(site: &str, number: u16, state: &str) -> api::Member {
    api::Member {
        name: format!("{site}-{number}"),
        site: site.into(),
        state: state.into(),
        role: "voter".into(),
        shards_owned: 342,
        lease_remaining_ms: (state == "up").then_some(930),
        rtt_ms: Some(12.345),
        calls: (state == "up").then_some(1_234),
        ..api::Member::default()
    }
}

fn trunk(name: &str) -> api::Trunk {
    let sums = api::Traffic {
        active: 7,
        attempts: 200,
        answered: 90,
        rang: 150,
        pdd_ms_sum: 300_000,
        heard: 80,
        mos_milli_sum: 336_000,
    };
    let share = |node: &str| api::Share {
        node: node.into(),
        channels_used: 5,
        channels_leased: Some(6),
        egress: sums.clone(),
        ..api::Share::default()
    };
    let site = |site: &str, state: &str| api::GatewaySite { site: site.into(), state: state.into() };
    let gateway = |address: &str, state: &str| api::Gateway {
        address: address.into(),
        state: state.into(),
        sites: vec![site("fra", state), site("lon", "down")],
    };
    api::Trunk {
        name: name.into(),
        channels_used: 10,
        channels_limit: Some(10),
        nodes: vec![share("fra-1"), share("lon-1")],
        gateways: vec![gateway("192.0.2.10:5060", "up"), gateway("192.0.2.11:5060", "down")],
        ..api::Trunk::default()
    }
}

fn call(number: usize) -> api::Call {
    api::Call {
        id: format!("1a.2.{number:08x}"),
        state: "connected".into(),
        ingress_trunk: "acme-pbx".into(),
        egress_trunk: "alpha".into(),
        caller: "+442071230000".into(),
        called: "+447700900123".into(),
        seconds: 61,
        codec: "PCMA".into(),
        node: "fra-1".into(),
        ..api::Call::default()
    }
}

fn answer(trunks: usize) -> Answer {
    let nodes = vec![member("lon", 1, "down"), member("fra", 1, "up"), member("ams", 1, "draining")];
    let cluster = api::Cluster {
        id: "0123456789abcdef".into(),
        leader: Some("fra-1".into()),
        term: 3,
        revision: 12,
        quorum: true,
        nodes,
        ..api::Cluster::default()
    };
    let trunks = (0..trunks).map(|number| trunk(&format!("trunk-{number:02}"))).collect();
    Answer { cluster, trunks: api::Trunks { trunks, ..api::Trunks::default() }, ..Answer::default() }
}

/// A view that has heard this.
fn view(answer: Answer) -> View {
    let mut view = View::default();
    view.hear(Instant::now(), Ok(answer));
    view
}

fn shown(view: &View, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let drawn = terminal.draw(|frame| draw::draw(view, Instant::now(), frame.area(), frame.buffer_mut()));
    drawn.expect("drawn");
    text(terminal.backend().buffer())
}

fn line<'l>(lines: &'l [String], word: &str) -> &'l str {
    lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no `{word}` in\n{}", lines.join("\n")))
}

#[test]
fn the_overview_fits_a_small_terminal_and_uses_a_wide_one() {
    let view = view(answer(40));
    let small = shown(&view, 80, 24);
    assert_eq!(small[0], " TANDEM  cluster 01234567  led by fra-1, term 3  tables at 12");
    let sites: Vec<usize> = ["ams-1", "fra-1  ", "lon-1"]
        .iter()
        .filter_map(|node| small.iter().position(|line| line.contains(node) && line.contains("342")))
        .collect();
    assert!(sites.len() == 3 && sites.is_sorted(), "by site: {small:#?}");
    assert!(line(&small, "trunk-00").ends_with("1/2"), "everything to the last column is there: {small:#?}");
    assert!(!small.iter().any(|line| line.contains("trunk-39")), "more than fits");
    assert!(small[23].contains("q quit"));
    let wide = shown(&view, 160, 60);
    assert!(line(&wide, "trunk-39").contains("1/2"), "all of them");
}

#[test]
fn a_trunk_shows_its_figures_over_all_nodes() {
    let row = shown(&view(answer(1)), 100, 24);
    let row: Vec<&str> = line(&row, "trunk-00").split_whitespace().collect();
    // Calls, limit; nothing came from it; to it: no rate before a second look, ASR, PDD and MOS since the start.
    assert_eq!(row, ["trunk-00", "14", "10", "-", "-", "-", "-", "45%", "2.0s", "4.2", "1/2"]);
}

#[test]
fn the_marked_row_is_always_in_sight() {
    let mut view = view(answer(40));
    for _ in 0..39 {
        assert_eq!(view.press(Key::Down), ControlFlow::Continue(()));
    }
    assert!(shown(&view, 80, 24).iter().any(|line| line.contains("trunk-39")));
    let _ = view.press(Key::Enter);
    assert_eq!(view.wanted(), Wanted::Trunk("trunk-39".into()));
}

#[test]
fn keys_lead_down_to_a_call_and_back() {
    let mut view = view(answer(3));
    let _ = view.press(Key::Down);
    let _ = view.press(Key::Enter);
    assert!(shown(&view, 80, 24).iter().any(|line| line.trim() == "…"), "its calls are not told yet");
    let calls = api::Calls { calls: (0..50).map(call).collect(), ..api::Calls::default() };
    view.hear(Instant::now(), Ok(Answer { calls: Some(("trunk-01".into(), calls)), ..answer(3) }));
    let lines = shown(&view, 80, 24);
    assert!(line(&lines, "192.0.2.10").contains("down from lon"), "{lines:#?}");
    assert!(line(&lines, "channels:").contains("fra-1 5 of 6 lent"), "{lines:#?}");
    assert!(line(&lines, "1a.2.0000").ends_with("61 PCMA  fra-1"), "{lines:#?}");
    assert!(shown(&view, 120, 24).iter().any(|line| line.contains("1a.2.00000000")));
    let _ = view.press(Key::PageDown);
    let _ = view.press(Key::Enter);
    assert_eq!(view.wanted(), Wanted::Call("1a.2.0000000a".into()));
    view.hear(Instant::now(), Ok(Answer { call: Some(("1a.2.0000000a".into(), Some(call(10)))), ..answer(3) }));
    assert!(line(&shown(&view, 80, 24), "from").contains("acme-pbx +442071230000"));
    view.hear(Instant::now(), Ok(Answer { call: Some(("1a.2.0000000a".into(), None)), ..answer(3) }));
    assert!(line(&shown(&view, 80, 24), "1a.2.0000000a").contains("has ended"));
    let _ = view.press(Key::Back);
    assert_eq!(view.wanted(), Wanted::Trunk("trunk-01".into()));
    let _ = view.press(Key::Back);
    let _ = view.press(Key::Back);
    assert_eq!(view.wanted(), Wanted::Overview, "no further than to the overview");
    let _ = view.press(Key::Help);
    let help = shown(&view, 80, 24);
    assert!(
        line(&help, "MOS    ").ends_with("have ended") && line(&help, "until the node").ends_with("time"),
        "{help:#?}"
    );
    let _ = view.press(Key::Enter);
    assert_eq!(view.wanted(), Wanted::Overview, "the key closed the help, and did nothing else");
    assert_eq!(view.press(Key::Quit), ControlFlow::Break(()));
}

#[test]
fn silence_and_missing_nodes_are_said() {
    let mut silent = view(answer(1));
    let long_ago = Instant::now().checked_sub(Duration::from_secs(5)).expect("the machine runs for longer");
    silent.hear(long_ago, Err("no node answers there\nmore".into()));
    silent.hear(Instant::now(), Err("still not".into()));
    assert_eq!(shown(&silent, 80, 24)[23], " no answer for 5 s: still not");
    let mut partly = answer(1);
    partly.cluster.missing = vec![api::Missing { node: "lon-1".into(), site: "lon".into(), why: "down".into() }];
    partly.cluster.quorum = false;
    let lines = shown(&view(partly), 80, 24);
    assert!(lines[23].contains("no answer from lon-1") && lines[0].contains("NO QUORUM"), "{lines:#?}");
}

#[test]
fn a_frame_of_text_shows_everything() {
    let lines = frame(&view(answer(100)), 80);
    assert!(line(&lines, "trunk-99").ends_with("1/2"));
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
    assert!(shown(&view(Answer::default()), 80, 24).iter().any(|line| line.contains("no trunk")));
    shown(&view(answer(3)), 10, 2);
}
