//! The tables from TOML to a planned call, through the public interface only.

mod change;
mod document;
mod import;
mod index;
mod planning;
mod validation;
mod view;

use routing::{Change, Document, Error, Scope, Tables, View};

/// The example of the documentation, whole.
pub(crate) const EXAMPLE: &str = include_str!("example.toml");

/// Reads one file named `t.toml`.
pub(crate) fn read(text: &str) -> Result<Document, Vec<Error>> {
    Document::parse(&[("t.toml".into(), text.to_owned())])
}

/// What is wrong with one file, said as an operator reads it.
pub(crate) fn complaints(text: &str) -> Vec<String> {
    let errors = match read(text) {
        Err(errors) => errors,
        Ok(document) => Tables::default().plan_change(&document, Scope::Declare).err().unwrap_or_default(),
    };
    errors.iter().map(ToString::to_string).collect()
}

/// The change that a document asks of some tables.
pub(crate) fn change_of(tables: &Tables, text: &str, scope: Scope) -> Change {
    let document = read(text).expect("the document reads");
    tables.plan_change(&document, scope).expect("the document is valid")
}

/// Tables of one document.
pub(crate) fn tables_of(text: &str) -> Tables {
    let mut tables = Tables::default();
    let change = change_of(&tables, text, Scope::Declare);
    tables.apply(&change).expect("what was planned applies");
    tables
}

/// A view of one document.
pub(crate) fn view_of(text: &str) -> View {
    View::build(&tables_of(text), 1)
}
