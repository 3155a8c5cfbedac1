//! `tandem top`: the cluster live on a terminal: its nodes, its trunks with what goes over them, and down to one trunk, its calls
//! and the ladder of one of them.
//!
//! It asks one node, which asks all others. What it shows follows from what that node said and from the keys ([`view`]); how it looks
//! is [`draw`]; neither knows of a terminal or of HTTP.

mod ask;
mod draw;
mod ladder;
mod rates;
mod screen;
mod view;

use crate::cli::Reach;
use crate::logging::say;
use anyhow::bail;
use ask::Asker;
use clap::Args;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use view::{Key, View};

/// `tandem top`
#[derive(Args)]
pub(crate) struct Arguments {
    /// Print one frame as text, and end.
    #[arg(long)]
    once: bool,
    /// Columns of that frame.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(40..=400))]
    columns: u16,
    #[command(flatten)]
    reach: Reach,
}

/// How soon a key is heard and an answer shown.
const LOOK: Duration = Duration::from_millis(100);
/// Between the two looks of a single frame, from which its rates follow.
const BETWEEN: Duration = Duration::from_secs(1);

/// Runs until `q` is pressed.
///
/// # Errors
/// The node does not answer the first look, or standard output is no terminal.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let client = arguments.reach.client();
    let mut view = View::default();
    view.hear(Instant::now(), Ok(ask::look(&client, &view.wanted())?));
    if arguments.once {
        std::thread::sleep(BETWEEN);
        view.hear(Instant::now(), Ok(ask::look(&client, &view.wanted())?));
        frame(&view, arguments.columns).iter().for_each(|line| say(line));
        return Ok(ExitCode::SUCCESS);
    }
    if !stdout().is_terminal() {
        bail!("standard output is no terminal; `tandem top --once` prints one frame");
    }
    let mut terminal = ratatui::try_init()?;
    let ended = live(&mut terminal, &mut view, Asker::start(client));
    ratatui::restore();
    ended.map(|()| ExitCode::SUCCESS)
}

fn live(terminal: &mut ratatui::DefaultTerminal, view: &mut View, asker: Asker) -> anyhow::Result<()> {
    loop {
        terminal.draw(|frame| {
            let (columns, rows) = draw::inner(frame.area());
            view.fit(columns, rows);
            draw::draw(view, Instant::now(), frame.area(), frame.buffer_mut());
        })?;
        if event::poll(LOOK)?
            && let Event::Key(pressed) = event::read()?
            && let Some(key) = key(pressed)
            && view.press(key).is_break()
        {
            return Ok(());
        }
        asker.want(view.wanted());
        if let Some(heard) = asker.heard() {
            view.hear(Instant::now(), heard);
        }
    }
}

fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    if pressed.modifiers.contains(KeyModifiers::CONTROL) {
        return (pressed.code == KeyCode::Char('c')).then_some(Key::Quit);
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "a keyboard has more keys than this view")]
    match pressed.code {
        KeyCode::Char('q') => Some(Key::Quit),
        KeyCode::Char('?' | 'h') => Some(Key::Help),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        KeyCode::Enter | KeyCode::Right => Some(Key::Enter),
        KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => Some(Key::Back),
        _ => None,
    }
}

/// One frame as lines, as high as it has to be.
fn frame(view: &View, columns: u16) -> Vec<String> {
    let area = Rect::new(0, 0, columns, draw::height(view));
    let mut buffer = Buffer::empty(area);
    draw::draw(view, Instant::now(), area, &mut buffer);
    let mut lines = text(&buffer);
    // Nobody presses a key here.
    if view.is_well() {
        lines.pop();
    }
    lines
}

fn text(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width).max(1);
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    buffer.content.chunks(width).map(|cells| row(cells).trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests;
