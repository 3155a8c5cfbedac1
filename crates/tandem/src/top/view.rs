//! What is shown, as it follows from the answers and the keys. Pure.

use super::ask::{Answer, Wanted};
use super::ladder::Ladder;
use super::rates::Rates;
use super::screen::{Mark, Screen};
use console::api;
use std::ops::ControlFlow;
use std::time::Instant;

/// Rows that a page is.
const PAGE: isize = 10;

/// A key, as far as this view knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// A row up.
    Up,
    /// A row down.
    Down,
    /// Ten rows up; in a ladder as many as are seen.
    PageUp,
    /// As many down.
    PageDown,
    /// To the first row.
    Home,
    /// To the last one.
    End,
    /// Into the row that is marked.
    Enter,
    /// Out of it.
    Back,
    /// What the keys do.
    Help,
    /// The end.
    Quit,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The last thing that the node said.
    pub(super) answer: Answer,
    /// Since when the node has said nothing, and why.
    pub(super) silent: Option<(Instant, String)>,
    pub(super) rates: Rates,
    /// The help is open.
    pub(super) help: bool,
    /// The screens that lead here; the overview is below them.
    below: Vec<Screen>,
    pub(super) screen: Screen,
    pub(super) trunk: Mark,
    pub(super) call: Mark,
    /// Of the call that is on the screen.
    pub(super) ladder: Ladder,
    /// Columns and rows of a screen, without what stands above and below each.
    size: (usize, usize),
}

impl View {
    /// How large a screen is from now on: by this a ladder is scrolled.
    pub(super) const fn fit(&mut self, columns: usize, rows: usize) {
        self.size = (columns, rows);
    }

    /// What the node said, or why it did not.
    pub(super) fn hear(&mut self, now: Instant, heard: Result<Answer, String>) {
        match heard {
            Ok(answer) => {
                self.rates.take(now, &answer.trunks.trunks);
                if let Some((id, told)) = &answer.call {
                    self.ladder.hear(id, told);
                }
                self.silent = None;
                self.answer = answer;
            }
            Err(why) => {
                let since = self.silent.take().map_or(now, |(since, _)| since);
                self.silent = Some((since, why));
            }
        }
    }

    /// What the node is to be asked for.
    pub(super) fn wanted(&self) -> Wanted {
        match &self.screen {
            Screen::Overview => Wanted::Overview,
            Screen::Trunk(name) => Wanted::Trunk(name.clone()),
            Screen::Call(id) => Wanted::Call(id.clone()),
        }
    }

    /// A key was pressed; broken off at the end.
    pub(super) fn press(&mut self, key: Key) -> ControlFlow<()> {
        if key == Key::Quit {
            return ControlFlow::Break(());
        }
        if self.help {
            // Any key closes it.
            self.help = false;
            return ControlFlow::Continue(());
        }
        match key {
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            Key::PageUp => self.step(-self.page()),
            Key::PageDown => self.step(self.page()),
            Key::Home => self.step(isize::MIN),
            Key::End => self.step(isize::MAX),
            Key::Enter => self.enter(),
            Key::Back => self.screen = self.below.pop().unwrap_or_default(),
            Key::Help => self.help = true,
            Key::Quit => {}
        }
        ControlFlow::Continue(())
    }

    /// Whether every node has answered.
    pub(super) fn is_well(&self) -> bool {
        self.silent.is_none() && self.answer.cluster.missing.is_empty()
    }

    /// The nodes by site.
    pub(super) fn nodes(&self) -> Vec<&api::Member> {
        let mut nodes: Vec<&api::Member> = self.answer.cluster.nodes.iter().collect();
        nodes.sort_by(|one, other| (&one.site, &one.name).cmp(&(&other.site, &other.name)));
        nodes
    }

    /// The names of all trunks.
    pub(super) fn trunk_names(&self) -> Vec<&str> {
        self.answer.trunks.trunks.iter().map(|trunk| trunk.name.as_str()).collect()
    }

    /// The trunk of this name, while it is in the tables.
    pub(super) fn trunk_named(&self, name: &str) -> Option<&api::Trunk> {
        self.answer.trunks.trunks.iter().find(|trunk| trunk.name == name)
    }

    /// The calls of a trunk, once the node has told them.
    pub(super) fn calls_of(&self, trunk: &str) -> Option<&api::Calls> {
        self.answer.calls.as_ref().filter(|(of, _)| of == trunk).map(|(_, calls)| calls)
    }

    fn step(&mut self, by: isize) {
        match &self.screen {
            Screen::Overview => {
                let mut mark = std::mem::take(&mut self.trunk);
                mark.step(&self.trunk_names(), by);
                self.trunk = mark;
            }
            Screen::Trunk(name) => {
                let ids = self.calls_of(name).map(ids).unwrap_or_default();
                let mut mark = self.call.clone();
                mark.step(&ids, by);
                self.call = mark;
            }
            Screen::Call(_) => {
                let (rows, room) = self.ladder_size();
                self.ladder.scroll(by, rows, room);
            }
        }
    }

    /// Rows of a page. In a ladder one stays in sight.
    fn page(&self) -> isize {
        match self.screen {
            Screen::Overview | Screen::Trunk(_) => PAGE,
            Screen::Call(_) => isize::try_from(self.ladder_size().1).map_or(PAGE, |room| (room - 1).max(1)),
        }
    }

    /// Rows of the ladder that are scrolled, and for how many there is room.
    fn ladder_size(&self) -> (usize, usize) {
        let (above, rows) = self.ladder.rows(self.size.0);
        (rows.len(), self.size.1.saturating_sub(above.len()))
    }

    fn enter(&mut self) {
        let next = match &self.screen {
            Screen::Overview => self.trunk.name(&self.trunk_names()).map(|name| Screen::Trunk(name.to_owned())),
            Screen::Trunk(name) => {
                let ids = self.calls_of(name).map(ids).unwrap_or_default();
                self.call.name(&ids).map(|id| Screen::Call(id.to_owned()))
            }
            // Nothing is below the ladder of a call.
            Screen::Call(_) => None,
        };
        if let Some(next) = next {
            match &next {
                Screen::Overview => {}
                Screen::Trunk(_) => self.call = Mark::default(),
                Screen::Call(id) => self.ladder = Ladder::of(id),
            }
            self.below.push(std::mem::replace(&mut self.screen, next));
        }
    }
}

/// The ids of calls.
pub(super) fn ids(calls: &api::Calls) -> Vec<&str> {
    calls.calls.iter().map(|call| call.id.as_str()).collect()
}
