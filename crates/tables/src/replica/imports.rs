//! Imports that are under way: their pieces lie beside the tables until they are committed or given up.

use crate::Error;
use crate::calm::breathe;
use crate::command::RequestId;
use crate::piece;
use crate::store::{Batch, Engine, Family};
use routing::model::{Deck, PlanHead};
use routing::{Change, Row, RowKey, Tables};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many may be open at once.
const OPEN: usize = 8;

/// The open imports.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    open: BTreeMap<RequestId, Staging>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Staging {
    /// The numbers of the pieces that are there. One may come twice, be it in the same batch, when its answer was lost.
    numbers: BTreeSet<u32>,
}

impl Staging {
    /// Pieces that are there.
    pub(crate) fn pieces(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }
}

impl Imports {
    pub(super) fn load(engine: &Engine) -> Result<Self, Error> {
        let mut imports = Self::default();
        engine.scan(Family::Staged, &[], |key, _| {
            let (import, piece) =
                of_key(key).ok_or_else(|| engine.broken(format!("a piece has the key {key:02x?}")))?;
            imports.open.entry(import).or_default().numbers.insert(piece);
            Ok(true)
        })?;
        Ok(imports)
    }

    /// Each open import, and how many pieces of it are there.
    pub(super) fn list(&self) -> Vec<(RequestId, u32)> {
        self.open.iter().map(|(import, staging)| (*import, staging.pieces())).collect()
    }

    pub(crate) const fn open(&self) -> &BTreeMap<RequestId, Staging> {
        &self.open
    }

    /// Takes a piece; a piece that is there already is not counted again.
    pub(super) fn stage(&mut self, batch: &mut Batch, import: RequestId, piece: u32, body: &[u8]) -> bool {
        if !self.open.contains_key(&import) && self.open.len() >= OPEN {
            return false;
        }
        self.open.entry(import).or_default().numbers.insert(piece);
        batch.put(Family::Staged, key(import, piece), body.to_vec());
        true
    }

    /// Forgets an import and its pieces.
    pub(super) fn close(&mut self, batch: &mut Batch, import: RequestId) {
        if self.open.remove(&import).is_some() {
            batch.delete_range(Family::Staged, key(import, 0), key(import, u32::MAX));
        }
    }
}

/// What of an import comes before its rows wherever it stands among them: the keys that are deleted, then the heads of plans and
/// decks. And how many pieces there are.
pub(crate) fn heads(engine: &Engine, import: RequestId) -> Result<(u32, Change), Error> {
    let (mut there, mut heads) = (0, Change::default());
    each::<Heads>(engine, import, |piece| {
        there += 1;
        heads.delete.extend(piece.delete);
        heads.put.extend(piece.put.into_iter().filter_map(|head| match head {
            Head::Deck(deck) => Some(Row::Deck(deck)),
            Head::Plan(plan) => Some(Row::Plan(plan)),
            Head::Account(_) | Head::Rate(_) | Head::Route(_) | Head::Trunk(_) | Head::Number(_) => None,
            Head::User(_) | Head::Ported(_) | Head::Screen(_) => None,
        }));
    })?;
    Ok((there, heads))
}

/// The tables with an import in them, whose heads are known. The rows pass piece by piece: nowhere are there all of them.
pub(crate) fn filled(engine: &Engine, import: RequestId, before: &Tables, heads: &Change) -> Result<Tables, Error> {
    let mut tables = before.clone();
    tables.apply_unchecked(heads);
    each::<Change>(engine, import, |piece| {
        for row in piece.put {
            breathe();
            tables.put(row);
        }
    })?;
    Ok(tables)
}

/// Hands out the pieces of an import in their order.
fn each<P: DeserializeOwned>(engine: &Engine, import: RequestId, mut take: impl FnMut(P)) -> Result<(), Error> {
    engine.scan(Family::Staged, &key(import, 0), |key, value| {
        if of_key(key).is_none_or(|(of, _)| of != import) {
            return Ok(false);
        }
        let broken = |what: String| engine.broken(format!("a piece of an import: {what}"));
        let json = piece::read(value).map_err(broken)?;
        take(serde_json::from_slice(&json).map_err(|error| broken(error.to_string()))?);
        Ok(true)
    })
}

/// A piece, of whose rows only heads are read.
#[derive(Deserialize)]
struct Heads {
    put: Vec<Head>,
    delete: Vec<RowKey>,
}

/// A [`Row`], of which only a head is read.
#[derive(Deserialize)]
enum Head {
    Account(IgnoredAny),
    Deck(Arc<Deck>),
    Rate(IgnoredAny),
    Plan(Arc<PlanHead>),
    Route(IgnoredAny),
    Trunk(IgnoredAny),
    Number(IgnoredAny),
    User(IgnoredAny),
    Ported(IgnoredAny),
    Screen(IgnoredAny),
}

fn key(import: RequestId, piece: u32) -> Vec<u8> {
    let mut key = import.process.to_be_bytes().to_vec();
    key.extend_from_slice(&import.number.to_be_bytes());
    key.extend_from_slice(&piece.to_be_bytes());
    key
}

fn of_key(key: &[u8]) -> Option<(RequestId, u32)> {
    let (process, rest) = key.split_first_chunk::<8>()?;
    let (number, piece) = rest.split_first_chunk::<8>()?;
    let import = RequestId { process: u64::from_be_bytes(*process), number: u64::from_be_bytes(*number) };
    Some((import, u32::from_be_bytes(piece.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Storage;

    #[test]
    fn a_piece_that_comes_twice_counts_once_in_one_batch_and_after_a_start() {
        let engine = Engine::open(&Storage::Memory).expect("memory");
        let (mut imports, mut batch) = (Imports::default(), Batch::default());
        let import = RequestId { process: 7, number: 1 };
        for piece in [0, 1, 1, 0] {
            assert!(imports.stage(&mut batch, import, piece, b"{\"put\":[],\"delete\":[]}"));
        }
        assert_eq!(imports.list(), [(import, 2)]);
        engine.write(batch, true).expect("memory");
        assert_eq!(Imports::load(&engine).expect("it reads").list(), [(import, 2)]);
        assert_eq!(heads(&engine, import).expect("it reads").0, 2);
    }
}
