//! Changes that lie over a table: what was written and deleted lately, in memory. It knows no disk.

use super::store::{Op, Pair};
use std::collections::BTreeMap;
use std::ops::Bound;

/// See the module.
#[derive(Default)]
pub(super) struct Overlay {
    /// A key without a value was deleted.
    keys: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Of these ranges, from the first to before the second, everything was deleted but what `keys` has.
    gone: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

/// A key and its value; without one it was deleted.
pub(super) type Said = (Box<[u8]>, Option<Box<[u8]>>);

/// What a layer says of keys in their order, as far as it was looked at.
#[derive(Default)]
pub(super) struct Page {
    /// In order.
    pub(super) entries: Vec<Said>,
    /// The last key that was looked at; nothing if all were.
    pub(super) end: Option<Box<[u8]>>,
}

impl Overlay {
    /// Makes a change.
    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Put(key, value) => self.set(key, Some(value)),
            Op::Delete(key) => self.set(key, None),
            Op::DeleteRange(from, to) if from < to => {
                let dropped = self.keys.extract_if(from.clone()..to.clone(), |_, _| true);
                let bytes: usize = dropped.map(|(key, value)| bytes_of(&key, value.as_deref())).sum();
                self.bytes -= bytes;
                self.note_gone(from, to);
            }
            Op::DeleteRange(..) => {}
        }
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let (length, bytes) = (key.len(), bytes_of(&key, value.as_deref()));
        self.bytes += bytes;
        if let Some(former) = self.keys.insert(key, value) {
            self.bytes -= length + former.map_or(0, |value| value.len());
        }
    }

    /// Ranges that touch become one: those of one kind of rows follow each other.
    fn note_gone(&mut self, mut from: Vec<u8>, mut to: Vec<u8>) {
        self.gone.retain(|(start, end)| {
            let touches = *start <= to && from <= *end;
            if touches {
                if *start < from {
                    from.clone_from(start);
                }
                if to < *end {
                    to.clone_from(end);
                }
            }
            !touches
        });
        self.gone.push((from, to));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.gone.is_empty()
    }

    /// What it holds, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it says of a key: nothing, that it was deleted, or its value.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        match self.keys.get(key) {
            Some(value) => Some(value.as_deref()),
            None => self.is_gone(key).then_some(None),
        }
    }

    /// Whether a key that it does not hold was deleted.
    pub(super) fn is_gone(&self, key: &[u8]) -> bool {
        self.gone.iter().any(|(from, to)| **from <= *key && *key < **to)
    }

    /// The ranges that were deleted.
    pub(super) fn gone(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.gone
    }

    /// All keys in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.keys.iter().map(|(key, value)| (&**key, value.as_deref()))
    }

    /// Its keys from this one on, so many.
    pub(super) fn page(&self, from: &[u8], limit: usize) -> Page {
        let there = self.keys.range::<[u8], _>((Bound::Included(from), Bound::Unbounded));
        let entries: Vec<_> =
            there.take(limit).map(|(key, value)| (key.as_slice().into(), value.as_deref().map(Box::from))).collect();
        let end = if entries.len() < limit { None } else { entries.last().map(|(key, _): &Said| key.clone()) };
        Page { entries, end }
    }

    /// Its last key that has a value, up to this one.
    pub(super) fn last_before(&self, key: &[u8]) -> Option<Box<[u8]>> {
        let mut there = self.keys.range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        there.rfind(|(_, value)| value.is_some()).map(|(key, _)| key.as_slice().into())
    }
}

fn bytes_of(key: &[u8], value: Option<&[u8]>) -> usize {
    key.len() + value.map_or(0, <[u8]>::len)
}

/// Lays pages over each other, the uppermost first: the pairs that are left up to where all of them were looked at, and that end.
/// `is_gone` says whether a key of one layer was deleted by a range of one above it.
pub(super) fn merge(pages: Vec<Page>, is_gone: impl Fn(usize, &[u8]) -> bool) -> (Vec<Pair>, Option<Box<[u8]>>) {
    let end = pages.iter().filter_map(|page| page.end.as_deref()).min().map(Box::<[u8]>::from);
    let inside = |key: &[u8]| end.as_deref().is_none_or(|end| key <= end);
    let mut all = BTreeMap::new();
    for (layer, page) in pages.into_iter().enumerate() {
        for (key, value) in page.entries.into_iter().filter(|(key, _)| inside(key)) {
            let value = value.filter(|_| !is_gone(layer, &key));
            all.entry(key).or_insert(value);
        }
    }
    (all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Op {
        Op::Put(key.into(), key.into())
    }

    fn range(from: &str, to: &str) -> Op {
        Op::DeleteRange(from.into(), to.into())
    }

    #[test]
    fn what_was_deleted_is_known_from_what_was_never_seen() {
        let mut overlay = Overlay::default();
        [put("b"), put("c"), put("e"), Op::Delete("c".into()), range("d", "f"), put("d")].into_iter().for_each(|op| {
            overlay.apply(op);
        });
        let said: Vec<_> = ["a", "b", "c", "d", "e", "f"].iter().map(|key| overlay.get(key.as_bytes())).collect();
        let expected = [None, Some(Some("b")), Some(None), Some(Some("d")), Some(None), None];
        assert_eq!(said, expected.map(|said| said.map(|value| value.map(str::as_bytes))));
        assert_eq!(overlay.last_before(b"cz").as_deref(), Some(&b"b"[..]), "what was deleted is not the last one");
    }

    #[test]
    fn its_size_is_that_of_what_it_holds() {
        let mut overlay = Overlay::default();
        for op in [put("a1"), put("a2"), put("a2"), put("a3"), Op::Delete("a1".into())] {
            overlay.apply(op);
        }
        assert_eq!(overlay.bytes(), 2 + 4 + 4);
        overlay.apply(range("a", "b"));
        assert_eq!((overlay.bytes(), overlay.is_empty()), (0, false), "a range must still be deleted below");
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut overlay = Overlay::default();
        for op in
            [range("a", "b"), range("x", "z"), range("c", "d"), range("b", "c"), range("y", "yy"), range("m", "m")]
        {
            overlay.apply(op);
        }
        let gone: Vec<_> = overlay.gone().iter().map(|(from, to)| (&**from, &**to)).collect();
        assert_eq!(gone, [(&b"a"[..], &b"d"[..]), (&b"x"[..], &b"z"[..])]);
    }

    #[test]
    fn the_upper_layer_wins_as_far_as_all_were_read() {
        let page = |keys: &[(&str, bool)], end: Option<&str>| Page {
            entries: keys
                .iter()
                .map(|(key, there)| ((*key).as_bytes().into(), there.then(|| Box::from(*b""))))
                .collect(),
            end: end.map(|end| end.as_bytes().into()),
        };
        let pages = || {
            vec![
                page(&[("b", false), ("d", true)], None),
                page(&[("a", true), ("b", true), ("c", true), ("e", true)], Some("e")),
            ]
        };
        let keys = |(pairs, end): (Vec<Pair>, Option<Box<[u8]>>)| {
            (pairs.into_iter().map(|(key, _)| key[0]).collect::<Vec<_>>(), end.map(|end| end[0]))
        };
        assert_eq!(keys(merge(pages(), |_, _| false)), (b"acde".to_vec(), Some(b'e')));
        assert_eq!(keys(merge(pages(), |layer, key| layer == 1 && key == b"c")), (b"ade".to_vec(), Some(b'e')));
        let mut short = pages();
        short[0].end = Some(Box::from(*b"d"));
        assert_eq!(keys(merge(short, |_, _| false)), (b"acd".to_vec(), Some(b'd')));
    }
}
