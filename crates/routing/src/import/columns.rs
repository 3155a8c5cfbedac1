//! The header of a file: which column means what, in whichever words its sender uses.

use super::mistakes::Mistakes;
use super::record::Record;

/// A column that a form knows.
#[derive(Debug)]
pub(super) struct Column {
    /// The word of our own documentation.
    pub(super) name: &'static str,
    /// Other words for it, in small letters and digits only.
    pub(super) spellings: &'static [&'static str],
    /// Whether a file must have it.
    pub(super) needed: bool,
}

/// What stands in a file for people to read, and changes no row.
const FOR_PEOPLE: [&str; 12] = [
    "destination",
    "destinationname",
    "description",
    "country",
    "countryname",
    "zone",
    "region",
    "area",
    "areaname",
    "comment",
    "comments",
    "notes",
];

/// Where in a record each column of a form stands.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By the place of the column in the form.
    places: Vec<Option<usize>>,
    /// As the file writes them.
    pub(super) headers: Vec<String>,
    /// Places of columns without a name: nothing may be written there.
    pub(super) unnamed: Vec<usize>,
}

impl Layout {
    /// Where a column of the form stands in the file.
    pub(super) fn place(&self, column: usize) -> Option<usize> {
        self.places.get(column).copied().flatten()
    }

    /// Reads a header; everything wrong with it is told.
    pub(super) fn read(columns: &[Column], header: &Record, mistakes: &mut Mistakes) -> Self {
        let mut layout = Self { places: vec![None; columns.len()], ..Self::default() };
        for place in 0..header.len() {
            let text = header.field(place).unwrap_or_default();
            layout.headers.push(text.to_owned());
            match find(columns, text) {
                Found::Column(column) => layout.assign(column, place, &columns[column], mistakes),
                Found::ForPeople => {}
                Found::Nothing if text.is_empty() => layout.unnamed.push(place),
                Found::Nothing => {
                    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
                    let mend = format!("remove or rename it; known are {}", names.join(", "));
                    mistakes.cell(header.line, place, text, "nothing is known of this column".into(), mend);
                }
            }
        }
        for (at, column) in columns.iter().enumerate().filter(|(_, column)| column.needed) {
            if layout.places[at].is_none() {
                let what = format!("no column is `{}`", column.name);
                mistakes.line(header.line, what, format!("begin the file with a header that has `{}`", column.name));
            }
        }
        layout
    }

    fn assign(&mut self, at: usize, place: usize, column: &Column, mistakes: &mut Mistakes) {
        match self.places[at] {
            None => self.places[at] = Some(place),
            Some(first) => {
                let what = format!("columns {} and {} both mean `{}`", first + 1, place + 1, column.name);
                let text = self.headers[place].clone();
                mistakes.cell(1, place, &text, what, "remove one of them".into());
            }
        }
    }
}

/// How many fields of a header have a meaning.
pub(super) fn known(columns: &[Column], header: &Record) -> usize {
    let known = |at: &usize| !matches!(find(columns, header.field(*at).unwrap_or_default()), Found::Nothing);
    (0..header.len()).filter(known).count()
}

enum Found {
    /// The place in the form.
    Column(usize),
    ForPeople,
    Nothing,
}

/// Case, spaces and signs make no difference: `Dial Code`, `dial_code` and `DialCode` are one.
fn find(columns: &[Column], text: &str) -> Found {
    let plain: String =
        text.chars().filter(char::is_ascii_alphanumeric).map(|sign| sign.to_ascii_lowercase()).collect();
    let own = |column: &Column| column.name.bytes().filter(|byte| *byte != b'_').eq(plain.bytes());
    let is = |column: &Column| own(column) || column.spellings.contains(&plain.as_str());
    match columns.iter().position(is) {
        Some(at) => Found::Column(at),
        None if FOR_PEOPLE.contains(&plain.as_str()) => Found::ForPeople,
        None => Found::Nothing,
    }
}
