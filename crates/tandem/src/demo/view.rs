//! The live view: a panel that is drawn over itself on a terminal, and two lines now and then elsewhere.

mod panel;

use super::scene::Scene;
use crate::logging::say;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Position;
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{IsTerminal as _, Stdout, stdout};
use std::time::Duration;

/// Lines of the panel: with those that stand above it, less than a screen of thirty.
const HEIGHT: u16 = 18;
/// How often lines are written where there is no terminal.
const LINES: Duration = Duration::from_secs(2);

/// Draws scenes.
pub(super) enum View {
    /// On a terminal.
    Panel(Terminal<CrosstermBackend<Stdout>>),
    /// On anything else; with the time of the last lines.
    Lines(Option<Duration>),
}

impl View {
    /// On standard output, as it is. A terminal that does not say where its cursor stands gets lines.
    pub(super) fn open() -> Self {
        if !stdout().is_terminal() {
            return Self::Lines(None);
        }
        let options = TerminalOptions { viewport: Viewport::Inline(HEIGHT) };
        Terminal::with_options(CrosstermBackend::new(stdout()), options).map_or(Self::Lines(None), Self::Panel)
    }

    /// Draws one. A terminal that has gone away is no error of ours.
    pub(super) fn draw(&mut self, scene: &Scene) {
        match self {
            Self::Panel(terminal) => {
                let _ = terminal.draw(|frame| frame.render_widget(panel::of(scene, frame.area().width), frame.area()));
            }
            Self::Lines(last) => {
                if last.is_none_or(|last| scene.elapsed >= last + LINES) {
                    *last = Some(scene.elapsed);
                    lines(scene).iter().for_each(|line| say(line));
                }
            }
        }
    }

    /// Ends the view, so that what follows stands below it.
    pub(super) fn close(&mut self) {
        if let Self::Panel(terminal) = self {
            let area = terminal.get_frame().area();
            let _ = terminal.set_cursor_position(Position::new(0, area.bottom().saturating_sub(1)));
            let _ = terminal.show_cursor();
        }
        say("");
    }
}

/// A scene in two lines.
fn lines(scene: &Scene) -> Vec<String> {
    let site = |site: &super::scene::Site| format!("{} {} calls", site.node, site.calls);
    let sites: Vec<String> = scene.sites.iter().map(site).collect();
    let usual = &scene.usual;
    let mut lines = vec![
        format!("{:>5.1} s  {}", scene.elapsed.as_secs_f64(), sites.join(", ")),
        format!(
            "         {} placed, {} up, {} failed; {} legs hear each other, {} lost packets, {} wrong samples",
            usual.offered, usual.in_flight, usual.failed, usual.legs_hearing, usual.packets_lost, usual.bad_samples
        ),
    ];
    if let Some(death) = &scene.death {
        let ago = scene.elapsed.saturating_sub(death.at).as_secs_f64();
        let (node, calls, moved) = (&death.node, death.calls, usual.moved);
        lines
            .push(format!("         {node} killed {ago:.1} s ago with {calls} calls; {moved} go on from another site"));
    }
    lines
}
