//! One call as its screen shows it: what the nodes last told of it, and how far its ladder is scrolled. Pure.

use crate::client::ladder::{Colour, Drawing, Row, wrapped};
use console::api;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Its id.
    id: String,
    /// What was told last; it stays when the next answer says no more.
    call: Option<api::Call>,
    /// Why the last answer has nothing of it.
    trouble: Option<String>,
    /// The first row that is shown; absent while the end is followed.
    first: Option<usize>,
}

impl Ladder {
    /// Of a call that nothing is known of yet.
    pub(super) fn of(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Takes what was said of a call, if it is this one.
    pub(super) fn hear(&mut self, id: &str, told: &Result<api::Call, String>) {
        if id != self.id {
            return;
        }
        match told {
            Ok(call) => (self.call, self.trouble) = (Some(call.clone()), None),
            Err(why) => self.trouble = Some(why.lines().next().unwrap_or_default().to_owned()),
        }
    }

    /// The end is shown, and what comes next will be.
    pub(super) const fn follows(&self) -> bool {
        self.first.is_none()
    }

    /// What stands above all the time, which call it is and what is wrong, and what is scrolled below; for so many columns.
    pub(super) fn rows(&self, columns: usize) -> (Vec<Row>, Vec<Row>) {
        let Self { call, trouble, .. } = self;
        let mut above = call.as_ref().map(|call| Drawing::new(call, columns).rows()).unwrap_or_default();
        let scrolled = above.split_off(above.len().min(1));
        let lines = trouble.iter().flat_map(|why| wrapped(why, columns));
        above.extend(lines.map(|line| Row::default().and(Colour::Red, line)));
        if above.is_empty() {
            above.push(Row::default().and(Colour::Dim, " …"));
        }
        (above, scrolled)
    }

    /// The rows that fit into `room`, of `rows` in all.
    pub(super) fn window(&self, rows: usize, room: usize) -> std::ops::Range<usize> {
        let last = rows.saturating_sub(room);
        let first = self.first.map_or(last, |first| first.min(last));
        first..rows.min(first + room)
    }

    /// Moves by so many rows in a window of `room`. Whoever comes to the end follows it.
    pub(super) fn scroll(&mut self, by: isize, rows: usize, room: usize) {
        let first = self.window(rows, room).start.saturating_add_signed(by);
        self.first = Some(first).filter(|first| first + room < rows);
    }
}
