//! A drawn line in pieces of one colour each. The drawing knows nothing of who shows it: `calls show` writes it out with or
//! without escapes, the live view puts it into its own cells.

/// What a piece means to whoever looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Colour {
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Red,
}

/// One line. No piece holds what would steer a terminal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Row(Vec<(Colour, String)>);

impl Row {
    /// With one more piece at its end.
    #[must_use]
    pub(crate) fn and(mut self, colour: Colour, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((colour, text));
        }
        self
    }

    /// From the left to the right.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Colour, &str)> {
        self.0.iter().map(|(colour, text)| (*colour, text.as_str()))
    }
}

impl From<String> for Row {
    fn from(text: String) -> Self {
        Self::default().and(Colour::Plain, text)
    }
}

/// Whether what is written to standard output has colours.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) const fn new(on: bool) -> Self {
        Self(on)
    }

    /// The row as text, with the escapes of its colours where there are any.
    pub(super) fn text(self, row: &Row) -> String {
        row.pieces().map(|(colour, text)| self.piece(colour, text)).collect()
    }

    fn piece(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Plain => return text.to_owned(),
            Colour::Bold => 1,
            Colour::Dim => 2,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
