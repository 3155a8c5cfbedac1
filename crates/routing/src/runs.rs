//! A sorted array in pieces that clones share: where a table of millions of small rows stands.
//!
//! A clone copies one pointer a piece, a change only the pieces that it touches, and a comparison passes over the pieces
//! that both sides share. Ascending puts fill every piece to the brim; puts in any other order leave them three quarters
//! full or more.

mod walk;

pub(crate) use walk::walk;

use std::sync::Arc;

/// What stands in it.
pub(crate) trait Entry: Copy {
    /// What it is sorted and found by.
    type Key: Ord + Copy;

    /// The most entries of a piece. A larger one makes small changes and look-ups dearer, a smaller one clones.
    const FULL: usize;

    /// Its key; no two entries have the same one.
    fn key(&self) -> Self::Key;
}

/// Entries in the order of their keys.
#[derive(Clone, Debug)]
pub(crate) struct Runs<E: Entry> {
    /// The key of the first entry of each piece, side by side for the search.
    firsts: Vec<E::Key>,
    /// Never an empty one.
    pieces: Vec<Arc<Vec<E>>>,
    len: usize,
}

/// The place of an entry, valid until the next change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    piece: usize,
    at: usize,
}

impl<E: Entry> Default for Runs<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Entry> Runs<E> {
    pub(crate) const fn new() -> Self {
        Self { firsts: Vec::new(), pieces: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &E> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }

    pub(crate) fn get(&self, key: E::Key) -> Option<&E> {
        let piece = self.pieces.get(self.piece_of(key))?;
        piece.binary_search_by_key(&key, E::key).ok().map(|at| &piece[at])
    }

    /// The place of the greatest key that is not above `key`.
    pub(crate) fn last_up_to(&self, key: E::Key) -> Option<Place> {
        let piece = self.piece_of(key);
        let at = self.pieces.get(piece)?.partition_point(|entry| entry.key() <= key);
        Some(Place { piece, at: at.checked_sub(1)? })
    }

    /// As [`Runs::last_up_to`], for a key below that of the entry after `place`. It is sought in steps that double from
    /// there, for what is near is in the cache.
    pub(crate) fn last_up_to_before(&self, place: Place, key: E::Key) -> Option<Place> {
        if self.firsts[place.piece] > key {
            return self.last_up_to(key);
        }
        let piece = &self.pieces[place.piece];
        let (mut above, mut step) = (place.at + 1, 1);
        loop {
            let at = above.saturating_sub(step);
            if piece[at].key() <= key {
                let within = piece[at..above].partition_point(|entry| entry.key() <= key);
                return Some(Place { at: at + within - 1, ..place });
            }
            (above, step) = (at, step * 2);
        }
    }

    pub(crate) fn at(&self, place: Place) -> &E {
        &self.pieces[place.piece][place.at]
    }

    /// The place before, if there is one.
    pub(crate) fn before(&self, place: Place) -> Option<Place> {
        if let Some(at) = place.at.checked_sub(1) {
            return Some(Place { at, ..place });
        }
        let piece = place.piece.checked_sub(1)?;
        Some(Place { piece, at: self.pieces[piece].len() - 1 })
    }

    /// Puts an entry; one of the same key is replaced.
    pub(crate) fn put(&mut self, entry: E) {
        let key = entry.key();
        let (piece, pieces) = (self.piece_of(key), self.pieces.len());
        let Some(entries) = self.pieces.get_mut(piece) else {
            self.push_piece(entry, 4);
            return;
        };
        let entries = Arc::make_mut(entries);
        match place_in(entries, key) {
            Ok(at) => entries[at] = entry,
            Err(at) if at == E::FULL && piece + 1 == pieces => self.push_piece(entry, E::FULL),
            Err(at) => {
                self.len += 1;
                if at == 0 {
                    self.firsts[piece] = key;
                }
                if entries.len() < E::FULL {
                    insert(entries, at, entry);
                } else {
                    self.split(piece, at, entry);
                }
            }
        }
    }

    /// Removes the entry of a key; whether there was one.
    pub(crate) fn remove(&mut self, key: E::Key) -> bool {
        let piece = self.piece_of(key);
        let found = self.pieces.get(piece).and_then(|entries| entries.binary_search_by_key(&key, E::key).ok());
        let Some(at) = found else { return false };
        let entries = Arc::make_mut(&mut self.pieces[piece]);
        entries.remove(at);
        // What many removals leave empty is given back before it is a third.
        if entries.capacity() > 8.max(entries.len() * 3 / 2) {
            entries.shrink_to(entries.len() * 9 / 8);
        }
        self.len -= 1;
        match entries.first() {
            None => {
                self.pieces.remove(piece);
                self.firsts.remove(piece);
            }
            Some(first) => {
                self.firsts[piece] = first.key();
                if entries.len() < E::FULL / 4 {
                    self.join(piece);
                }
            }
        }
        true
    }

    /// The piece in which a key stands or would stand.
    fn piece_of(&self, key: E::Key) -> usize {
        // A load in order always comes last.
        if self.firsts.last().is_some_and(|last| *last <= key) {
            return self.firsts.len() - 1;
        }
        self.firsts.partition_point(|first| *first <= key).saturating_sub(1)
    }

    fn push_piece(&mut self, entry: E, room: usize) {
        let mut entries = Vec::with_capacity(room);
        entries.push(entry);
        self.firsts.push(entry.key());
        self.pieces.push(Arc::new(entries));
        self.len += 1;
    }

    /// Cuts a full piece in two and puts an entry where it belongs.
    fn split(&mut self, piece: usize, at: usize, entry: E) {
        let lower = Arc::make_mut(&mut self.pieces[piece]);
        let mut upper = lower.split_off(E::FULL / 2);
        lower.shrink_to_fit();
        if at <= E::FULL / 2 {
            insert(lower, at, entry);
        } else {
            insert(&mut upper, at - E::FULL / 2, entry);
        }
        self.firsts.insert(piece + 1, upper[0].key());
        self.pieces.insert(piece + 1, Arc::new(upper));
    }

    /// Joins a piece that has become small with a neighbour that has room, so that years of changes leave no crumbs.
    fn join(&mut self, piece: usize) {
        let room = |other: usize| {
            let other = self.pieces.get(other)?;
            (self.pieces[piece].len() + other.len() <= E::FULL * 3 / 4).then_some(())
        };
        let lower = match piece.checked_sub(1) {
            Some(before) if room(before).is_some() => before,
            _ if room(piece + 1).is_some() => piece,
            _ => return,
        };
        let upper = self.pieces.remove(lower + 1);
        self.firsts.remove(lower + 1);
        let entries = Arc::make_mut(&mut self.pieces[lower]);
        entries.reserve_exact(upper.len());
        entries.extend_from_slice(&upper);
    }
}

impl<E: Entry> Extend<E> for Runs<E> {
    fn extend<I: IntoIterator<Item = E>>(&mut self, entries: I) {
        entries.into_iter().for_each(|entry| self.put(entry));
    }
}

/// Where a key stands in a piece or would stand.
fn place_in<E: Entry>(entries: &[E], key: E::Key) -> Result<usize, usize> {
    match entries.last() {
        Some(last) if last.key() < key => Err(entries.len()),
        Some(_) | None => entries.binary_search_by_key(&key, E::key),
    }
}

/// Grows by a quarter: the doubling of a `Vec` would leave half of it empty.
fn insert<E: Entry>(entries: &mut Vec<E>, at: usize, entry: E) {
    if entries.len() == entries.capacity() {
        entries.reserve_exact((entries.len() / 4).max(4).min(E::FULL - entries.len()));
    }
    entries.insert(at, entry);
}

#[cfg(test)]
mod tests;
