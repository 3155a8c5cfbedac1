//! The keys of one row: each is asked for by name, and what nobody asked for is refused.

use super::source::Source;
use super::value::{Read, Value, kind_of};
use std::ops::Range;
use toml::de::DeTable;

/// A table of TOML being read into a row.
pub(super) struct Fields<'t, 'i> {
    source: &'t Source,
    owner: &'static str,
    table: &'t DeTable<'i>,
    span: Range<usize>,
    asked: Vec<&'static str>,
    marks: super::Marks,
}

impl<'t, 'i> Fields<'t, 'i> {
    /// Of a value that should be a table; says so if it is none.
    pub(super) fn of_value(source: &'t Source, owner: &'static str, value: &'t Value<'i>) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            let what = format!("`{owner}` is {}, not a table", kind_of(value.get_ref()));
            source.report(value.span(), what, "write it with its keys".into());
            return None;
        };
        // The span of a `[header]` may be that of the header alone or of nothing: its first key stands below it.
        let span = value.span();
        Some(Self { source, owner, table, span, asked: Vec::new(), marks: Vec::new() })
    }

    /// Where the table begins.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// A key that may be absent.
    pub(super) fn get<T>(&mut self, key: &'static str, read: impl FnOnce(&'t Value<'i>) -> Read<T>) -> Option<T> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        let line = self.source.line(value.span().start);
        if line != self.source.line(self.span.start) {
            self.marks.push((key.into(), line));
        }
        self.read(key, value, read)
    }

    /// A value of this table, or an item of its list, under the name of its key.
    pub(super) fn read<T>(
        &self,
        key: &str,
        value: &'t Value<'i>,
        read: impl FnOnce(&'t Value<'i>) -> Read<T>,
    ) -> Option<T> {
        match read(value) {
            Ok(read) => Some(read),
            Err(problem) => {
                self.source.report(
                    problem.span,
                    format!("`{key}` of `{}`: {}", self.owner, problem.what),
                    problem.mend,
                );
                None
            }
        }
    }

    /// A key that must be there.
    pub(super) fn need<T>(&mut self, key: &'static str, read: impl FnOnce(&'t Value<'i>) -> Read<T>) -> Option<T> {
        if self.table.get(key).is_none() {
            self.asked.push(key);
            self.source.report(self.span(), format!("`{}` has no `{key}`", self.owner), format!("write `{key} = …`"));
            return None;
        }
        self.get(key, read)
    }

    /// Whether a key is written.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Whether a key is written as a list of nothing.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        self.table.get(key).and_then(|value| value.get_ref().as_array()).is_some_and(|list| list.is_empty())
    }

    /// A table within this one.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Self> {
        self.asked.push(key);
        Self::of_value(self.source, key, self.table.get(key)?)
    }

    /// A list of tables within this one; nothing if the key is not written.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Self>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            let what = format!("`{key}` of `{}` is {}, not a list of tables", self.owner, kind_of(value.get_ref()));
            self.source.report(value.span(), what, format!("write each one as `[[{}.{key}]]`", self.owner));
            return None;
        };
        Some(items.iter().filter_map(|item| Self::of_value(self.source, key, item)).collect())
    }

    /// A value of a list that may be text or a table: the table.
    pub(super) fn item(&self, owner: &'static str, value: &'t Value<'i>) -> Option<Self> {
        Self::of_value(self.source, owner, value)
    }

    /// Says that keys do not go together, at `key` or else at the table.
    pub(super) fn wrong(&self, key: &str, what: &str, mend: &str) {
        let span = self.table.get(key).map_or(self.span(), |value| value.span());
        self.source.report(span, format!("`{}`: {what}", self.owner), mend.into());
    }

    /// Takes over the lines of the keys of a table within.
    pub(super) fn absorb(&mut self, inner: Self) {
        let marks = inner.finish();
        self.marks.extend(marks);
    }

    /// Refuses the keys that nobody asked for; gives the lines of the others.
    pub(super) fn finish(self) -> super::Marks {
        for (key, _) in self.table.iter().filter(|(key, _)| !self.asked.contains(&&**key.get_ref())) {
            self.source.unknown(key, &format!("`{}`", self.owner), &self.asked);
        }
        self.marks
    }
}
