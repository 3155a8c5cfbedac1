//! The view and its frames, out of answers that are written here.

use super::ask::{Answer, Wanted};
use super::view::{Key, View};
use super::{draw, frame, text};
use crate::client::ladder::{Drawing, Row};
use console::api;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
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
    assert_eq!(shown(&view, 80, 24)[2], " …", "its ladder is not told yet");
    hear_call(&mut view, Ok(call(10)));
    assert!(line(&shown(&view, 80, 24), "from").contains("acme-pbx  +442071230000"));
    let _ = view.press(Key::Enter);
    assert_eq!(view.wanted(), Wanted::Call("1a.2.0000000a".into()), "nothing is below it");
    let _ = view.press(Key::Back);
    assert_eq!(view.wanted(), Wanted::Trunk("trunk-01".into()));
    let _ = view.press(Key::Back);
    let _ = view.press(Key::Back);
    assert_eq!(view.wanted(), Wanted::Overview, "no further than to the overview");
    let _ = view.press(Key::Help);
    let help = shown(&view, 80, 24);
    assert!(
        line(&help, "MOS    ").ends_with("have ended")
            && line(&help, "until the node").ends_with("time")
            && line(&help, "nodes started").ends_with("since."),
        "{help:#?}"
    );
    let _ = view.press(Key::Enter);
    assert_eq!(view.wanted(), Wanted::Overview, "the key closed the help, and did nothing else");
    assert_eq!(view.press(Key::Quit), ControlFlow::Break(()));
}

/// What the nodes say of the call that is on the screen.
fn hear_call(view: &mut View, told: Result<api::Call, String>) {
    let Wanted::Call(id) = view.wanted() else { panic!("no call is on the screen") };
    view.hear(Instant::now(), Ok(Answer { call: Some((id, told)), ..answer(1) }));
}

/// A call of which so many messages have passed.
fn told(messages: u64) -> api::Call {
    let step = |number: u64| api::Step {
        unix_us: 1_000_000 + number * 1_000,
        leg: "a".into(),
        way: "in".into(),
        what: format!("INFO-{number:02}"),
        node: "fra-1".into(),
        ..api::Step::default()
    };
    api::Call { ladder: (0..messages).map(step).collect(), ..call(0) }
}

/// A view with the only call of the first trunk on its screen.
fn at_call() -> View {
    let mut view = view(answer(1));
    let _ = view.press(Key::Enter);
    into_call(&mut view);
    view
}

/// From the screen of the first trunk into its only call.
fn into_call(view: &mut View) {
    let calls = api::Calls { calls: vec![call(0)], ..api::Calls::default() };
    view.hear(Instant::now(), Ok(Answer { calls: Some(("trunk-00".into(), calls)), ..answer(1) }));
    let _ = view.press(Key::Enter);
}

/// The messages of its ladder that are seen, in a terminal of so many rows.
fn seen(view: &mut View, keys: &[Key], height: u16) -> Vec<String> {
    let (columns, rows) = draw::inner(Rect::new(0, 0, 80, height));
    view.fit(columns, rows);
    for key in keys {
        let _ = view.press(*key);
    }
    let lines = shown(view, 80, height);
    assert!(lines[2].starts_with("call 1a.2.00000000, "), "which call it is stands above: {lines:#?}");
    let name = |line: &String| line.split_whitespace().find(|word| word.starts_with("INFO-")).map(ToOwned::to_owned);
    lines.iter().filter_map(name).collect()
}

#[test]
fn a_ladder_is_followed_at_its_end_until_somebody_scrolls_and_from_the_end_on_again() {
    let mut view = at_call();
    hear_call(&mut view, Ok(told(50)));
    let ends = |messages: &[String], last: &str| messages.last().is_some_and(|message| message == last);
    assert!(ends(&seen(&mut view, &[], 24), "INFO-49"));
    hear_call(&mut view, Ok(told(51)));
    assert!(ends(&seen(&mut view, &[], 24), "INFO-50"), "what came is seen at once");
    let before = seen(&mut view, &[Key::Up, Key::Up], 24);
    assert!(ends(&before, "INFO-49"), "{before:?}");
    hear_call(&mut view, Ok(told(60)));
    assert_eq!(seen(&mut view, &[], 24), before, "whoever reads is not pulled away");
    assert_eq!(
        shown(&view, 80, 24)[23],
        " ↑↓ PgUp PgDn Home End scroll  Esc back  ? help  q quit  38–57 of 68",
        "how much there is"
    );
    let page = seen(&mut view, &[Key::PageUp], 24);
    assert_eq!(page.last(), before.first(), "a page up, and one row is seen again: {page:?}");
    assert_eq!(seen(&mut view, &[Key::PageDown], 24), before);
    let top = seen(&mut view, &[Key::Home, Key::Up], 24);
    assert_eq!(top.first().map(String::as_str), Some("INFO-00"));
    assert!(shown(&view, 80, 24).iter().any(|line| line.contains("acme-pbx")), "what stands above the ladder too");
    assert!(ends(&seen(&mut view, &[Key::End], 24), "INFO-59"));
    hear_call(&mut view, Ok(told(61)));
    assert!(ends(&seen(&mut view, &[], 24), "INFO-60"), "followed again");
    assert!(ends(&seen(&mut view, &[Key::Up, Key::Down], 24), "INFO-60"));
    hear_call(&mut view, Ok(told(63)));
    assert!(ends(&seen(&mut view, &[], 24), "INFO-62"), "also by whoever walked down to the end");
    assert_eq!(seen(&mut view, &[Key::PageUp, Key::PageUp], 80).len(), 63, "all of it fits: nothing to scroll");
}

#[test]
fn a_ladder_is_as_calls_show_draws_it_and_keeps_to_the_terminal() {
    let mut view = at_call();
    hear_call(&mut view, Ok(told(3)));
    for width in [40, 60, 66, 80, 100, 200] {
        let lines = shown(&view, width, 40);
        let expected: Vec<String> = Drawing::new(&told(3), usize::from(width)).rows().iter().map(plain).collect();
        let cut = |line: &String| line.chars().take(width.into()).collect::<String>().trim_end().to_owned();
        assert_eq!(lines[2..2 + expected.len()], expected.iter().map(cut).collect::<Vec<_>>(), "{width}");
    }
    assert!(seen(&mut view, &[Key::Up, Key::PageDown], 4).is_empty(), "there is room for its name only");
}

fn plain(row: &Row) -> String {
    row.pieces().map(|(_, text)| text).collect()
}

#[test]
fn why_a_ladder_is_not_told_is_said_and_what_was_known_of_it_stays() {
    let mut view = at_call();
    hear_call(&mut view, Err("the token lacks the scope `read`\nmore".into()));
    assert_eq!(shown(&view, 80, 24)[2..4], ["the token lacks the scope `read`", ""]);
    hear_call(&mut view, Ok(told(5)));
    let lines = shown(&view, 80, 40);
    assert!(!lines.iter().any(|line| line.contains("lacks")) && lines.iter().any(|line| line.contains("INFO-04")));
    let gone = "there is no call `1a.2.00000000`, and no node keeps one of that name that has ended; see the records";
    hear_call(&mut view, Err(gone.into()));
    let lines = shown(&view, 80, 40);
    assert_eq!(lines[3..5].join(" "), gone, "on as many lines as it takes: {lines:#?}");
    assert!(lines.iter().any(|line| line.contains("INFO-04")), "{lines:#?}");
    let other = Answer { call: Some(("1a.2.00000001".into(), Ok(told(9)))), ..answer(1) };
    view.hear(Instant::now(), Ok(other));
    assert!(!shown(&view, 80, 40).iter().any(|line| line.contains("INFO-08")), "that is another call");
    let forgotten = api::Call { ladder: Vec::new(), ..told(0) };
    hear_call(&mut view, Ok(forgotten));
    assert!(shown(&view, 80, 40).iter().any(|line| line.starts_with("no ladder is kept of it")));
    let missing = api::Missing { node: "lon-1".into(), site: "lon".into(), why: "down".into() };
    hear_call(&mut view, Ok(api::Call { missing: vec![missing], ..told(2) }));
    assert!(shown(&view, 80, 40).iter().any(|line| line.contains("lon-1 had it too and is not heard: down")));
    let _ = view.press(Key::Back);
    assert_eq!(view.wanted(), Wanted::Trunk("trunk-00".into()), "nobody asks for it any more");
    into_call(&mut view);
    assert_eq!(shown(&view, 80, 24)[2], " …", "it is asked for anew");
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
