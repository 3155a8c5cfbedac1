//! Imports that are under way: their pieces lie beside the tables until they are committed or given up.

use crate::Error;
use crate::command::RequestId;
use crate::store::{Batch, Engine, Family};
use routing::Change;
use std::collections::BTreeMap;

/// How many may be open at once.
const OPEN: usize = 8;

/// The open imports.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    open: BTreeMap<RequestId, Staging>,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Staging {
    /// Pieces that are there.
    pub(crate) pieces: u32,
}

impl Imports {
    pub(super) fn load(engine: &Engine) -> Result<Self, Error> {
        let mut imports = Self::default();
        engine.scan(Family::Staged, &[], |key, _| {
            let import = of_key(key).ok_or_else(|| engine.broken(format!("a piece has the key {key:02x?}")))?;
            imports.open.entry(import).or_default().pieces += 1;
            Ok(true)
        })?;
        Ok(imports)
    }

    /// Each open import, and how many pieces of it are there.
    pub(super) fn list(&self) -> Vec<(RequestId, u32)> {
        self.open.iter().map(|(import, staging)| (*import, staging.pieces)).collect()
    }

    pub(crate) const fn open(&self) -> &BTreeMap<RequestId, Staging> {
        &self.open
    }

    /// Takes a piece; a piece that is there already is not counted again.
    pub(super) fn stage(
        &mut self,
        engine: &Engine,
        batch: &mut Batch,
        import: RequestId,
        piece: u32,
        body: &[u8],
    ) -> Result<bool, Error> {
        if !self.open.contains_key(&import) && self.open.len() >= OPEN {
            return Ok(false);
        }
        let key = key(import, piece);
        // The pieces of one batch differ: the same one comes again only much later, when its answer was lost.
        if engine.get(Family::Staged, &key)?.is_none() {
            self.open.entry(import).or_default().pieces += 1;
        }
        batch.put(Family::Staged, key, body.to_vec());
        Ok(true)
    }

    /// Forgets an import and its pieces.
    pub(super) fn close(&mut self, batch: &mut Batch, import: RequestId) {
        if self.open.remove(&import).is_some() {
            batch.delete_range(Family::Staged, key(import, 0), key(import, u32::MAX));
        }
    }
}

/// All pieces of an import together.
pub(crate) fn pieces(engine: &Engine, import: RequestId) -> Result<(u32, Change), Error> {
    let (mut there, mut all) = (0, Change::default());
    engine.scan(Family::Staged, &key(import, 0), |key, value| {
        if of_key(key) != Some(import) {
            return Ok(false);
        }
        let piece: Change =
            serde_json::from_slice(value).map_err(|error| engine.broken(format!("a piece of an import: {error}")))?;
        all.put.extend(piece.put);
        all.delete.extend(piece.delete);
        there += 1;
        Ok(true)
    })?;
    Ok((there, all))
}

fn key(import: RequestId, piece: u32) -> Vec<u8> {
    let mut key = import.process.to_be_bytes().to_vec();
    key.extend_from_slice(&import.number.to_be_bytes());
    key.extend_from_slice(&piece.to_be_bytes());
    key
}

fn of_key(key: &[u8]) -> Option<RequestId> {
    let (process, rest) = key.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    (rest.len() == 4).then(|| RequestId { process: u64::from_be_bytes(*process), number: u64::from_be_bytes(*number) })
}
