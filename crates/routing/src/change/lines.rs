//! A change as lines for a human, secrets masked.

use super::Change;
use crate::export::{Section, sections};
use crate::row::{Row, RowKey};
use crate::tables::Tables;

impl Change {
    /// One line a row: `+ trunk acme-pbx`, `~ trunk alpha: channels 30 -> 40`, `- number +44…`. Secrets are masked.
    /// `before` are the tables that it is applied to.
    #[must_use]
    pub fn lines(&self, before: &Tables) -> Vec<String> {
        self.each_line(before).collect()
    }

    /// The first of [`Change::lines`], so many and of so many bytes together; one more counts the rest.
    #[must_use]
    pub fn first_lines(&self, before: &Tables, most: usize, bytes: usize) -> Vec<String> {
        let mut room = bytes;
        let fits = |line: &String| {
            let fits = line.len() <= room;
            room = room.saturating_sub(line.len());
            fits
        };
        let mut lines: Vec<String> = self.each_line(before).take(most).take_while(fits).collect();
        let rest = self.delete.len() + self.put.len() - lines.len();
        if rest > 0 {
            lines.push(format!("and {rest} more"));
        }
        lines
    }

    fn each_line(&self, before: &Tables) -> impl Iterator<Item = String> {
        let deleted = self.delete.iter().map(move |key| match key {
            RowKey::Plan(name) => {
                with_count(key, before.plans().get(name).map_or(0, |plan| plan.iter().count()), "route")
            }
            RowKey::Deck(name) => with_count(key, before.decks().get(name).map_or(0, |deck| deck.len()), "rate"),
            RowKey::Rate { .. } | RowKey::Route { .. } | RowKey::Account(_) | RowKey::Trunk(_) => format!("- {key}"),
            RowKey::Number(_) | RowKey::User(_) | RowKey::Ported(_) | RowKey::Screen(_) => format!("- {key}"),
        });
        let put = self.put.iter().map(move |row| put_line(before, row));
        deleted.chain(put)
    }
}

fn with_count(key: &RowKey, count: usize, what: &str) -> String {
    match count {
        0 => format!("- {key}"),
        1 => format!("- {key} with 1 {what}"),
        _ => format!("- {key} with {count} {what}s"),
    }
}

fn put_line(before: &Tables, row: &Row) -> String {
    let key = row.key();
    match before.get(&key) {
        None => format!("+ {key}"),
        Some(was) => format!("~ {key}: {}", differences(&sections(&was), &sections(row)).join(", ")),
    }
}

/// `channels 30 -> 40` for every key that differs.
fn differences(was: &[Section], now: &[Section]) -> Vec<String> {
    let mut names: Vec<&'static str> = now.iter().map(|section| section.name).collect();
    names.extend(was.iter().map(|section| section.name).filter(|name| !now.iter().any(|now| now.name == *name)));
    let mut lines = Vec::new();
    for name in names {
        let (was, now) = (find(was, name), find(now, name));
        let mut keys: Vec<_> = now.into_iter().flat_map(|section| &section.keys).map(|entry| entry.key).collect();
        let old = was.into_iter().flat_map(|section| &section.keys).map(|entry| entry.key);
        keys.extend(old.filter(|key| now.is_none_or(|now| now.get(key).is_none())).collect::<Vec<_>>());
        for key in keys {
            let (was, now) = (was.and_then(|section| section.get(key)), now.and_then(|section| section.get(key)));
            if was.map(|entry| &entry.value) != now.map(|entry| &entry.value) {
                let path = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
                let show =
                    |entry: Option<&crate::export::Entry>| entry.map_or("(none)".into(), |entry| entry.masked.clone());
                let (was, now) = (show(was), show(now));
                lines.push(if was == now {
                    format!("{path} (secret) changed")
                } else {
                    format!("{path} {was} -> {now}")
                });
            }
        }
    }
    lines
}

fn find<'s>(sections: &'s [Section], name: &str) -> Option<&'s Section> {
    sections.iter().find(|section| section.name == name)
}
