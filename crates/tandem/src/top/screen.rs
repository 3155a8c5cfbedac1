//! The screens, one below the other, and the row that is marked on each.

/// What is shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Screen {
    /// Nodes and trunks.
    #[default]
    Overview,
    /// One trunk: its nodes, gateways and calls.
    Trunk(String),
    /// One call with its ladder.
    Call(String),
}

/// A row that is marked by its name, so that it stays marked when others come and go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    name: Option<String>,
    /// Where it was when it was last seen.
    index: usize,
}

impl Mark {
    /// The row now; the one in its place where it is gone.
    pub(super) fn index(&self, rows: &[&str]) -> Option<usize> {
        let last = rows.len().checked_sub(1)?;
        let found = self.name.as_deref().and_then(|name| rows.iter().position(|row| *row == name));
        Some(found.unwrap_or(self.index).min(last))
    }

    /// Its name now.
    pub(super) fn name<'r>(&self, rows: &[&'r str]) -> Option<&'r str> {
        self.index(rows).and_then(|index| rows.get(index).copied())
    }

    /// Moves by so many rows, no further than the first and the last.
    pub(super) fn step(&mut self, rows: &[&str], by: isize) {
        let (Some(index), Some(last)) = (self.index(rows), rows.len().checked_sub(1)) else { return };
        self.index = index.saturating_add_signed(by).min(last);
        self.name = rows.get(self.index).map(|row| (*row).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_marked_when_others_come_and_go() {
        let mut mark = Mark::default();
        assert_eq!((mark.index(&[]), mark.name(&["a", "b"])), (None, Some("a")));
        mark.step(&["a", "b", "c"], 1);
        assert_eq!(mark.name(&["0", "a", "b", "c"]), Some("b"));
        assert_eq!(mark.name(&["a", "c"]), Some("c"), "the one in its place");
        assert_eq!(mark.name(&["a"]), Some("a"));
        mark.step(&["a", "b", "c"], 10);
        assert_eq!(mark.name(&["a", "b", "c"]), Some("c"));
        mark.step(&["a", "b", "c"], -10);
        assert_eq!(mark.name(&["a", "b", "c"]), Some("a"));
        mark.step(&[], 1);
    }
}
