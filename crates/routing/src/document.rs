//! Documents: the tables as an operator writes them, in TOML.
//!
//! Reading checks each row by itself and keeps its line; whether the rows fit each other is for `validate`.

mod fields;
mod people;
mod portable;
mod routes;
mod source;
mod trunk;
mod value;

use crate::error::{Error, Place};
use crate::model::Name;
use crate::row::{Kind, Row, RowKey};
use fields::Fields;
use rustc_hash::FxHashMap;
use source::Source;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use value::kind_of;

/// What a document says about rows that it does not list.
///
/// In either case a plan that it lists gets exactly the routes that stand there, and a deck the rates; only a deck written
/// without any `rate` keeps those it has, for they are usually imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Scope {
    /// A table that the document names becomes exactly what the document says; tables that it does not name stay.
    /// `number = []` names a table and empties it.
    Declare,
    /// The rows listed are put, everything else stays.
    Merge,
}

/// What one or several files say.
#[derive(Clone, Debug, Default)]
pub struct Document {
    rows: BTreeMap<RowKey, (Row, Place)>,
    /// Lines of single keys, where they are not the line of the row.
    marks: FxHashMap<RowKey, Marks>,
    kinds: BTreeSet<Kind>,
    decks_kept: BTreeSet<Name>,
}

/// The lines of keys of one row.
type Marks = Vec<(Cow<'static, str>, u32)>;

impl Document {
    /// Reads files, each a path for messages and its text. Rows may be spread over the files in any order.
    ///
    /// # Errors
    /// Everything that is wrong, each with its file and line.
    pub fn parse(files: &[(PathBuf, String)]) -> Result<Self, Vec<Error>> {
        let mut document = Self::default();
        let mut errors = Vec::new();
        for (path, text) in files {
            let source = Source::new(path, text);
            let (tables, broken) = DeTable::parse_recoverable(text);
            if broken.is_empty() {
                document.read_tables(&source, tables.get_ref());
            }
            for error in broken {
                source.syntax(&error);
            }
            errors.append(&mut source.into_errors());
        }
        if errors.is_empty() { Ok(document) } else { Err(errors) }
    }

    /// The rows listed, by key.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|(row, _)| row)
    }

    /// Whether a row of this key is listed.
    #[must_use]
    pub fn lists(&self, key: &RowKey) -> bool {
        self.rows.contains_key(key)
    }

    /// Whether the table is named, be it with no row.
    #[must_use]
    pub fn names(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether a deck is written without its rates.
    pub(crate) fn keeps_rates_of(&self, deck: &Name) -> bool {
        self.decks_kept.contains(deck)
    }

    /// Where a key of a row is written; the row itself if the key is not.
    pub(crate) fn place(&self, key: &RowKey, field: &str) -> Option<Place> {
        let (_, place) = self.rows.get(key)?;
        let marked = self.marks.get(key).and_then(|marks| marks.iter().find(|(name, _)| *name == field));
        Some(Place { line: marked.map_or(place.line, |(_, line)| *line), ..place.clone() })
    }

    fn read_tables(&mut self, source: &Source, tables: &DeTable<'_>) {
        for (key, value) in tables.iter() {
            let name: &str = key.get_ref();
            match name {
                "node" | "shard" => {
                    let what = format!("`{name}` is the cluster's own and cannot be applied");
                    source.report(key.span(), what, "remove it; nodes are configured in their node.toml".into());
                }
                "account" | "deck" | "plan" | "trunk" | "number" | "user" | "ported" | "screen" => {
                    self.read_rows(source, name, value);
                }
                _ => source.unknown(key, "a document", &DOCUMENT_KEYS),
            }
        }
    }

    fn read_rows(&mut self, source: &Source, name: &str, rows: &Spanned<DeValue<'_>>) {
        let Some(kind) = Kind::of_word(name) else { return };
        self.kinds.insert(kind);
        let Some(list) = rows.get_ref().as_array() else {
            let what = format!("`{name}` is {}, not a list of tables", kind_of(rows.get_ref()));
            source.report(rows.span(), what, format!("write each one as `[[{name}]]`"));
            return;
        };
        for row in list.iter() {
            if let Some(fields) = Fields::of_value(source, kind.as_str(), row) {
                self.read_row(source, kind, fields);
            }
        }
    }

    fn read_row(&mut self, source: &Source, kind: Kind, mut fields: Fields<'_, '_>) {
        match kind {
            Kind::Account => self.add(source, people::account(&mut fields), fields),
            Kind::User => self.add(source, people::user(&mut fields), fields),
            Kind::Number => self.add(source, people::number(&mut fields), fields),
            Kind::Ported => self.add(source, people::ported(&mut fields), fields),
            Kind::Screen => self.add(source, people::screen(&mut fields), fields),
            Kind::Trunk => self.add(source, trunk::trunk(&mut fields), fields),
            Kind::Plan => {
                let head = routes::plan(&mut fields);
                let name = head.as_ref().map(|head| head.name.clone());
                let routes = fields.tables("route");
                self.add(source, head.map(|head| Row::Plan(head.into())), fields);
                for mut route in routes.into_iter().flatten() {
                    self.add(source, routes::route(&mut route, name.as_ref()), route);
                }
            }
            Kind::Deck => {
                let head = routes::deck(&mut fields);
                let name = head.as_ref().map(|head| head.name.clone());
                let rates = fields.tables("rate");
                self.add(source, head.map(|head| Row::Deck(head.into())), fields);
                if let (None, Some(name)) = (&rates, &name) {
                    self.decks_kept.insert(name.clone());
                }
                for mut rate in rates.into_iter().flatten() {
                    self.add(source, routes::rate(&mut rate, name.as_ref()), rate);
                }
            }
            // They stand within their plan or deck; `read_tables` lets none come here.
            Kind::Route | Kind::Rate => {}
        }
    }

    fn add(&mut self, source: &Source, row: Option<Row>, fields: Fields<'_, '_>) {
        let span = fields.span();
        let place = source.place(span.start);
        let marks = fields.finish();
        let Some(row) = row else { return };
        let key = row.key();
        if let Some((_, first)) = self.rows.get(&key) {
            let what = format!("`{key}` is written a second time, first at {first}");
            source.report(span, what, "remove or rename one of them".into());
            return;
        }
        if !marks.is_empty() {
            self.marks.insert(key.clone(), marks);
        }
        self.rows.insert(key, (row, place));
    }
}

const DOCUMENT_KEYS: [&str; 8] = ["account", "trunk", "plan", "deck", "number", "user", "ported", "screen"];
