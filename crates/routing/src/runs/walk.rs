//! Two sorted arrays side by side.

use super::{Entry, Runs};
use std::cmp::Ordering;
use std::sync::Arc;

/// Calls `differs` with each key that only one side has, and with each that both have in pieces that they do not share,
/// in the order of the keys. Whether those of the latter differ is for the caller to say.
pub(crate) fn walk<'r, E: Entry>(
    before: &'r Runs<E>,
    after: &'r Runs<E>,
    mut differs: impl FnMut(Option<&'r E>, Option<&'r E>),
) {
    let (mut old, mut new) = (Cursor::of(before), Cursor::of(after));
    loop {
        if old.shares_piece(&new) {
            old.next_piece();
            new.next_piece();
            continue;
        }
        let order = match (old.entry(), new.entry()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(was), Some(is)) => was.key().cmp(&is.key()),
        };
        match order {
            Ordering::Less => differs(old.take(), None),
            Ordering::Greater => differs(None, new.take()),
            Ordering::Equal => differs(old.take(), new.take()),
        }
    }
}

/// A place on the way through all pieces.
struct Cursor<'r, E> {
    pieces: &'r [Arc<Vec<E>>],
    at: usize,
}

impl<'r, E: Entry> Cursor<'r, E> {
    fn of(runs: &'r Runs<E>) -> Self {
        Self { pieces: &runs.pieces, at: 0 }
    }

    fn entry(&self) -> Option<&'r E> {
        self.pieces.first()?.get(self.at)
    }

    fn take(&mut self) -> Option<&'r E> {
        let piece = self.pieces.first()?;
        let entry = piece.get(self.at);
        self.at += 1;
        if self.at >= piece.len() {
            self.next_piece();
        }
        entry
    }

    fn next_piece(&mut self) {
        self.pieces = self.pieces.get(1..).unwrap_or_default();
        self.at = 0;
    }

    /// Whether both stand at the begin of one and the same piece. The keys ascend, so no piece that both have is missed:
    /// the side that comes to its begin first waits there for the other.
    fn shares_piece(&self, other: &Self) -> bool {
        let both = self.pieces.first().zip(other.pieces.first());
        self.at == 0 && other.at == 0 && both.is_some_and(|(a, b)| Arc::ptr_eq(a, b))
    }
}
